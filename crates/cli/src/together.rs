//! A program that may be one of several processes: who speaks, and how a failure of one ends all.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cerberus::distributed::Group;
use cerberus::launch::join;
use cerberus::train::TrainError;
use clap::Parser;

use crate::shell::thread_pool;

/// How long a process with an error waits for rank 0, which most often has the same one, to end all.
const AFTER_FIRST: Duration = Duration::from_secs(2);

/// The processes started with this one, and the options of this one.
///
/// # Errors
/// The exit code, once a process has told its user what is wrong with the command line, or printed the help asked for.
pub fn start<O: Parser>() -> Result<(Arc<dyn Group>, O), ExitCode> {
    let group = join().map_err(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })?;
    let parsed = O::try_parse();
    let refused: Vec<bool> =
        group.gather(vec![parsed.is_err().into()]).wait().iter().map(|told| told[..] == [1]).collect();
    match parsed {
        Ok(options) if !refused.contains(&true) => Ok((group, options)),
        parsed => {
            // One of those that refuse speaks for all.
            let mut code = 2;
            if let Err(error) = parsed {
                if refused.iter().position(|refused| *refused) == Some(group.rank()) {
                    let _ = error.print();
                }
                code = error.exit_code();
            }
            group.barrier();
            Err(ExitCode::from(u8::try_from(code).unwrap_or(2)))
        }
    }
}

/// Tells an error and ends this process, and with it all others: nobody would answer them.
pub fn fail(group: &dyn Group, error: &TrainError) -> ExitCode {
    let code = if error.is_usage() { 2 } else { 1 };
    if group.size() == 1 {
        eprintln!("error: {error}");
        return ExitCode::from(code);
    }
    if group.is_first() {
        eprintln!("error: {error}");
    } else {
        std::thread::sleep(AFTER_FIRST);
        eprintln!("error: rank {}: {error}", group.rank());
    }
    group.abort(code.into())
}

/// Does the work of a program that may be one of several processes, on the threads that its options ask for.
pub fn run_together<O: Parser + Sync>(
    threads: impl Fn(&O) -> Option<usize>,
    work: impl FnOnce(&O, &Arc<dyn Group>) -> Result<(), TrainError> + Send,
) -> ExitCode {
    let (group, options) = match start::<O>() {
        Ok(started) => started,
        Err(code) => return code,
    };
    let pool = thread_pool(threads(&options)).map_err(TrainError::Option);
    match pool.and_then(|pool| pool.install(|| work(&options, &group))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*group, &error),
    }
}

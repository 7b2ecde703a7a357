//! Shared by the programs: printing, threads, and how a failure ends.

use std::path::Path;
use std::process::ExitCode;

use cerberus::nn::files::write_atomically;
use cerberus::tensor::Isa;
use cerberus::tensor::conv::winograd_from_environment;
use cerberus::train::TrainError;

/// Prints a line, and goes on if nobody reads it any more: `println!` would
/// panic when the output is a pipe whose other end was closed.
#[macro_export]
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

/// The command line of this program, to be pasted into a shell: every word that needs it in single quotes.
pub fn command_line() -> String {
    let words = std::env::args_os().map(|word| quoted(&word.to_string_lossy()));
    words.collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The threads a program computes on: `wanted`, or one for every core. It also
/// checks `CERBERUS_ISA` and `CERBERUS_WINOGRAD`, before anything is computed.
///
/// # Errors
/// A sentence for the user if that many threads cannot be started, or a value in
/// the environment is wrong or not supported.
pub fn thread_pool(wanted: Option<usize>) -> Result<rayon::ThreadPool, String> {
    Isa::from_environment().map_err(|error| error.to_string())?;
    winograd_from_environment().map_err(|error| error.to_string())?;
    let threads = wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    // Rayon would read 0 as "choose for me".
    if threads == 0 {
        return Err("--threads must be at least 1".into());
    }
    cerberus::tensor::parallel::pool(threads)
        .map_err(|error| format!("cannot start {threads} threads: {error}; try fewer"))
}

/// Makes the folder that a program writes into, if it is not there.
///
/// # Errors
/// [`TrainError::Folder`] if it cannot be made.
pub(crate) fn make_folder(path: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(path).map_err(|error| TrainError::Folder {
        path: path.to_path_buf(),
        problem: format!("cannot make the folder: {error}; choose another --out"),
    })
}

/// Writes a value as JSON to be read by people, too.
///
/// # Errors
/// If the file cannot be written; what was there before is then untouched.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), TrainError> {
    Ok(write_atomically(path, format!("{value:#}\n").as_bytes())?)
}

/// Does a program's work on that many [threads](thread_pool). A failure is
/// printed, and ends the program with 2 if an option was wrong and with 1
/// otherwise.
pub fn run_on(threads: Option<usize>, work: impl FnOnce() -> Result<(), TrainError> + Send) -> ExitCode {
    match thread_pool(threads).map_err(TrainError::Option).and_then(|pool| pool.install(work)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_change_are_quoted() {
        assert_eq!(quoted("--data=a/b.txt"), "--data=a/b.txt");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}

//! Trains one trunk with several heads and writes everything about the run into
//! a folder: configuration, metrics of every epoch, a summary on the test data,
//! checkpoints, and pictures.
//!
//! `cargo run --release --example train` trains on the embedded fashion scenes;
//! `--help` lists all options.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cerberus::distributed::Group;
use cerberus::train::{
    Outcome, RunFolder, Summary, TrainError, Trainer, Transfer, find_rate, fit_memory, open_mixed,
};
use clap::Parser;

use crate::display::{Display, figure};
use crate::say;
use crate::settings::Settings;
use crate::together;

/// Train one trunk with several heads: classify, detect and segment.
#[derive(Parser)]
#[command(name = "train", after_help = "Ctrl-C finishes the step and saves; --resume DIR continues.")]
struct Options {
    /// Settings from a TOML file, with the names of these options; every run writes one that repeats it, train.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Instead of training, try learning rates for up to N steps and suggest one; writes find-rate.csv and .html
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "120", conflicts_with_all = ["resume", "fit_memory"])]
    find_rate: Option<usize>,
    /// Choose the largest --batch whose steps need at most this many MiB of memory
    #[arg(long, value_name = "MIB", conflicts_with_all = ["resume", "batch"])]
    fit_memory: Option<usize>,
    /// With --resume: go on although the data have changed since the run began
    #[arg(long, requires = "resume")]
    accept_changed_data: bool,
    /// Threads to compute on; changes the speed and nothing else [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Threads that read and prepare pictures beside those that compute; changes the speed and nothing else
    #[arg(long, value_name = "N", default_value_t = 1)]
    loader_threads: usize,
    /// Folder for the run, new or empty [default: runs/train-1, or the next free number]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure the cost of each layer, and show it in report.html
    #[arg(long)]
    profile: bool,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
    /// Continue the run in this folder with its own settings; only --threads, --loader-threads, --profile, --quiet and
    /// --accept-changed-data may be given with it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["Settings", "config", "out"])]
    resume: Option<PathBuf>,
}

/// Trains one trunk with several heads; see the top of this file.
pub fn main() -> ExitCode {
    match together::start::<Options>() {
        Ok((group, options)) => {
            start(options, &group).unwrap_or_else(|error| together::fail(&*group, &error))
        }
        Err(code) => code,
    }
}

fn start(mut options: Options, group: &Arc<dyn Group>) -> Result<ExitCode, TrainError> {
    // The first of several processes speaks for all.
    options.quiet |= !group.is_first();
    let pool = crate::shell::thread_pool(options.threads).map_err(TrainError::Option)?;
    let stop = stop_on_interrupt(group.is_first());
    // Inside the pool, so that the serial parts run where the parallel ones do.
    pool.install(|| run(options, group, &stop))
}

fn run(options: Options, group: &Arc<dyn Group>, stop: &AtomicBool) -> Result<ExitCode, TrainError> {
    let mut trainer = match &options.resume {
        Some(folder) => {
            let config = RunFolder::read_config(folder)?;
            let dataset = config.open_data()?;
            Trainer::builder(config, dataset)
                .accept_changed_data(options.accept_changed_data)
                .command(&crate::shell::command_line())
                .loader_threads(options.loader_threads)
                .profile(options.profile)
                .group(Arc::clone(group))
                .resume(folder)?
        }
        None => match new_run(&options, group)? {
            Some(trainer) => trainer,
            None => return Ok(ExitCode::SUCCESS),
        },
    };
    let folder = trainer.folder().path().to_path_buf();
    if !options.quiet {
        introduce(&trainer, group.size());
    }
    let mut display = Display::new(&trainer, options.quiet);
    match trainer.run(&mut display, stop)? {
        Outcome::Finished(summary) => {
            display.finish();
            if !options.quiet {
                conclude(&summary, trainer.folder());
            }
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted => {
            display.finish();
            tell(&options, &format!("Stopped and saved. Continue with: --resume {}", folder.display()));
            Ok(ExitCode::from(130))
        }
    }
}

fn new_run(options: &Options, group: &Arc<dyn Group>) -> Result<Option<Trainer>, TrainError> {
    if group.size() > 1 && (options.find_rate.is_some() || options.fit_memory.is_some()) {
        return Err(TrainError::Option(
            "--find-rate and --fit-memory try steps of one process; start them without mpirun".into(),
        ));
    }
    let settings = match &options.config {
        Some(file) => options.settings.clone().over_file(file)?,
        None => options.settings.clone(),
    };
    let (seed, temperature) = (settings.seed.unwrap_or(1), settings.temperature.unwrap_or(1.0));
    let dataset = open_mixed(&settings.names(), temperature, seed, &settings.photos()?)?;
    for line in dataset.info().accounts.iter().flat_map(|account| account.lines()) {
        tell(options, &line);
    }
    let mut config = settings.config(&*dataset)?;
    let dataset = config.prepare_data(dataset)?;
    if let Some(steps) = options.find_rate {
        let found = find_rate(&config, &dataset, steps)?;
        crate::rates::report(&found, &config, options.out.as_deref())?;
        return Ok(None);
    }
    if let Some(mib) = options.fit_memory {
        let fitted = fit_memory(&config, &dataset, mib << 20)?;
        tell(options, &fitted.to_string());
        config.batch = fitted.batch;
    }
    let kept = settings.completed(&config).to_toml()?;
    let header =
        "# Repeats the run in this folder: cargo run --release --example train -- --config train.toml\n";
    let trainer = Trainer::builder(config, dataset)
        .settings(&(header.to_string() + &kept))
        .command(&crate::shell::command_line())
        .loader_threads(options.loader_threads)
        .profile(options.profile)
        .group(Arc::clone(group));
    let trainer = match &options.out {
        Some(out) => trainer.start(out),
        None => trainer.start_in_next(Path::new("runs")),
    }?;
    Ok(Some(trainer))
}

/// Prints a line unless `--quiet` is given.
fn tell(options: &Options, line: &str) {
    if !options.quiet {
        say!("{line}");
    }
}

/// A flag that the first Ctrl-C sets; the second ends the program at once. It says so if it `speaks`.
fn stop_on_interrupt(speaks: bool) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let installed = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        if speaks {
            eprintln!("\nStopping after this step; once more to stop at once.");
        }
    });
    if let Err(error) = installed {
        eprintln!("note: Ctrl-C will not save first ({error})");
    }
    stop
}

fn introduce(trainer: &Trainer, processes: usize) {
    use cerberus::nn::Module;
    let config = trainer.config();
    let tasks: Vec<&str> = config.model.heads.iter().map(|head| head.name.as_str()).collect();
    say!(
        "{}: {} on one trunk, {} parameters, {} epochs, batch {}, seed {}, {} threads",
        config.data,
        tasks.join(", "),
        trainer.model().parameter_count(),
        config.epochs,
        config.batch,
        config.seed,
        rayon::current_num_threads(),
    );
    if config.shards > 1 || processes > 1 {
        say!("each batch in {} shards, shared by {processes} processes", config.shards);
    }
    if trainer.state().step > 0 {
        say!("continuing after step {} (epoch {})", trainer.state().step, trainer.state().epoch + 1);
    }
    if let Some(transfer) = trainer.transfer() {
        tell_transfer(transfer);
    }
    say!("writing to {}", trainer.folder().path().display());
}

/// Prints what the model loaded from another, and what it did not.
fn tell_transfer(transfer: &Transfer) {
    let Transfer { taken, missing, reshaped, unused, left: _ } = transfer;
    let all = taken.len() + missing.len() + reshaped.len();
    say!("{} of {all} tensors begin as in the model given", taken.len());
    let list = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            say!("  {what}: {}", names.join(", "));
        }
    };
    list("not in it", missing.clone());
    let shapes =
        reshaped.iter().map(|(name, theirs, own)| format!("{name} ({theirs:?} there, {own:?} here)"));
    list("of another shape", shapes.collect());
    list("not used", unused.clone());
}

fn conclude(summary: &Summary, folder: &RunFolder) {
    match summary.tasks.is_empty() {
        true => {
            say!("\nNo image was held back to test on; score the model with the evaluate example on others.")
        }
        false => {
            let part = match summary.scored_on.as_deref() {
                Some("validation") => "Validation images (there is no test part; they also chose the epoch)",
                _ => "Test images",
            };
            say!("\n{part}, with the best model (epoch {} of {}):", summary.best_epoch, summary.epochs)
        }
    }
    for (task, metrics) in &summary.tasks {
        let figures: Vec<String> =
            metrics.iter().map(|(name, value)| format!("{name} {}", figure(*value))).collect();
        say!("  {task:<9} {}", figures.join("   "));
    }
    say!(
        "{:.0} images per second in training, {:.0} seconds in all{}",
        summary.images_per_second,
        summary.wall_seconds,
        summary.peak_rss_mb.map_or(String::new(), |mb| format!(", {mb:.0} MiB of memory at most")),
    );
    let show = |path: PathBuf| path.display().to_string();
    say!("\nWritten:");
    say!("  {}  the run on one page", show(folder.page()));
    say!("  {}  these figures", show(folder.summary()));
    say!("  {}  every epoch's losses and validation figures", show(folder.metrics()));
    say!("  {}  images, truth beside prediction (gallery.png shows a dozen)", show(folder.sample("")));
    say!("  {}  the best model, for the predict example", show(folder.best()));
    say!("  {}  the whole run as it ended", show(folder.last()));
}

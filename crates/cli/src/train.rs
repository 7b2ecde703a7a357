//! Trains one trunk with several heads and writes everything about the run into
//! a folder: configuration, metrics of every epoch, a summary on the test data,
//! checkpoints, and pictures.
//!
//! `cargo run --release --example train` trains on the embedded fashion scenes;
//! `--help` tells all options.

use crate::say;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cerberus::data::photos::fit::parse_size;
use cerberus::data::photos::map::parse_map;
use cerberus::data::{Fit, PhotoOptions, Photos, Split};
use cerberus::multitask::GradientsWrt;
use cerberus::train::{
    EpochRow, Observer, Outcome, RunFolder, StepReport, Summary, TrainConfig, TrainError, Trainer, open_mixed,
};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Train one trunk with several heads: classify, detect and segment.
#[derive(Parser)]
#[command(name = "train", after_help = "Ctrl-C finishes the step and saves; --resume DIR continues.")]
struct Options {
    /// Data: "fashion-scenes" (embedded), "multi-fashion" (pairs of garments), or a folder with Fashion-MNIST or CIFAR-10 files, or photographs in the
    /// layout of Oxford-IIIT Pet, COCO (folder or .json), YOLO (folder or .yaml) or Pascal VOC, or a folder of them for each class
    #[arg(long, value_name = "NAME|PATH", default_value = "fashion-scenes")]
    data: String,
    /// More data to mix in, with images of the same size; may be repeated. Labels of one name must have the same classes
    /// (photographs: by name, in any order, or some of them), and a data set without a label has it missing
    #[arg(long, value_name = "NAME|PATH")]
    mix: Vec<String>,
    /// How evenly mixed data are drawn: 1 in proportion to their size, large values all alike
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    temperature: f64,
    /// Tasks to train, separated by commas, each KIND, NAME:KIND or NAME:KIND@LABEL; kinds are classify, detect, segment,
    /// multi_label, regress, depth, centernet, fcos, fcn, unet, mlp [default: the first three, as far as the data has labels]
    #[arg(long, value_delimiter = ',')]
    tasks: Vec<String>,
    /// How the tasks are balanced: fixed (tuned weights), equal, or a strategy such as uw, famo, mgda, cagrad, upgrad; an unknown name lists all
    #[arg(long, value_name = "NAME", default_value = "fixed")]
    balance: String,
    /// What each task should count for, such as 1,2,1, for strategies that can use it [default: equal]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    preference: Vec<f64>,
    /// With respect to what strategies take gradients: parameters, streamed-parameters (no copies kept), features, summed-features
    #[arg(long, value_name = "PLACE", default_value = "parameters")]
    gradients: GradientsWrt,
    /// Measure every N steps how much the tasks' gradients conflict, into conflicts.csv
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    diagnose: usize,
    /// Times the training data are gone through
    #[arg(long)]
    epochs: Option<usize>,
    /// Images per step
    #[arg(long)]
    batch: Option<usize>,
    /// Chooses initial weights, training scenes and their order
    #[arg(long)]
    seed: Option<u64>,
    /// Largest learning rate of the schedule
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Against rare classes within a task that classifies or segments (not one that detects: see --sampler): its name, =,
    /// and inverse, effective, enet, focal or, with one label each, logit; may be repeated
    #[arg(long, value_name = "TASK=METHOD")]
    imbalance: Vec<String>,
    /// Draw training samples by the classes of a label: its name, =, and balanced or square_root
    #[arg(long, value_name = "LABEL=METHOD")]
    sampler: Option<String>,
    /// Take away this share of each label's training samples, to see what labels are worth
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    missing: f64,
    /// Photographs: the share that is kept from training to test on [default: 0, all are trained on]
    #[arg(long, value_name = "SHARE")]
    hold_back: Option<f64>,
    /// Photographs: the size they are brought to, N for a square or rows x columns, such as 96x160 [default: 128]
    #[arg(long, value_name = "N|HxW", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    /// Photographs: how they are brought to it, stretch (both sides, each by its own factor) or letterbox (proportions kept,
    /// centred, with a gray margin) [default: stretch]
    #[arg(long, value_name = "WAY")]
    fit: Option<Fit>,
    /// Photographs: how strongly training ones are changed, 0 to 2 [default: 1]
    #[arg(long, value_name = "STRENGTH")]
    augment: Option<f64>,
    /// Photographs: the format to read, where a folder could be of several [default: seen from what is there]
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Photographs: leave out pictures that cannot be read, and parts for validation or testing that are not there,
    /// instead of refusing them
    #[arg(long)]
    skip_broken: bool,
    /// Photographs: another name for a class, or - to leave its objects out; may be repeated, and several may become one
    #[arg(long, value_name = "OLD=NEW", value_parser = parse_map)]
    map: Vec<(String, String)>,
    /// Photographs: keep decoded pictures in this folder, to read them faster from the second time on
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Threads that read and prepare pictures beside those that compute; changes the speed and nothing else
    #[arg(long, value_name = "N", default_value_t = 1)]
    loader_threads: usize,
    /// With --resume: go on although the data are not what they were when the run began
    #[arg(long, requires = "resume")]
    accept_changed_data: bool,
    /// At most this many samples of each split, for a quick look
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Threads to compute on; changes the speed and nothing else [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Folder for the run, new or empty [default: runs/train-1, or the next free number]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in this folder with its own settings; only --threads, --loader-threads and --accept-changed-data may be given beside it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "mix", "temperature", "tasks", "balance", "preference", "gradients", "diagnose", "epochs", "batch", "seed", "learning_rate", "samples", "out", "hold_back", "size", "fit", "augment", "imbalance", "sampler", "missing", "format", "skip_broken", "map", "cache"])]
    resume: Option<PathBuf>,
}

/// Trains one trunk with several heads; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    match start(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

fn start(options: Options) -> Result<ExitCode, TrainError> {
    let pool = crate::shell::thread_pool(options.threads).map_err(TrainError::Option)?;
    let stop = stop_on_interrupt();
    // Inside the pool, so that the serial parts run where the parallel ones do.
    pool.install(|| run(options, &stop))
}

fn run(options: Options, stop: &AtomicBool) -> Result<ExitCode, TrainError> {
    let mut trainer = match &options.resume {
        Some(folder) => {
            let config = RunFolder::read_config(folder)?;
            let dataset = config.open_data()?;
            Trainer::builder(config, dataset)
                .accept_changed_data(options.accept_changed_data)
                .loader_threads(options.loader_threads)
                .resume(folder)?
        }
        None => new_run(&options)?,
    };
    let folder = trainer.folder().path().to_path_buf();
    introduce(&trainer);
    let mut display = Display::new(&trainer);
    match trainer.run(&mut display, stop)? {
        Outcome::Finished(summary) => {
            display.finish();
            conclude(&summary, trainer.folder());
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted => {
            display.finish();
            say!("Stopped and saved. Continue with: --resume {}", folder.display());
            Ok(ExitCode::from(130))
        }
    }
}

fn new_run(options: &Options) -> Result<Trainer, TrainError> {
    let seed = options.seed.unwrap_or(1);
    let photos = photo_options(options);
    let names: Vec<String> = std::iter::once(&options.data).chain(&options.mix).cloned().collect();
    let dataset = open_mixed(&names, options.temperature, seed, &photos)?;
    let mut config = if Photos::is_at(Path::new(&options.data)) {
        TrainConfig::for_photos(&options.data, &*dataset, photos)
    } else {
        // Photographs that are mixed in are opened again in the same way.
        let photos = names.iter().any(|name| Photos::is_at(Path::new(name))).then_some(photos);
        TrainConfig { photos, ..TrainConfig::for_data(&options.data, dataset.info()) }
    };
    config.seed = seed;
    config.mix = options.mix.clone();
    config.temperature = options.temperature;
    config.preference = options.preference.clone();
    config.gradients = options.gradients;
    config.diagnose = options.diagnose;
    config.epochs = options.epochs.unwrap_or(config.epochs);
    config.batch = options.batch.unwrap_or(config.batch);
    config.learning_rate = options.learning_rate.unwrap_or(config.learning_rate);
    config.samples = options.samples;
    if !options.tasks.is_empty() {
        config.set_heads(&options.tasks, dataset.info())?;
    }
    config.set_balance(&options.balance)?;
    for line in dataset.info().accounts.iter().flat_map(|account| account.lines()) {
        say!("{line}");
    }
    for choice in &options.imbalance {
        config.set_imbalance(choice, &*dataset)?;
    }
    config.missing = options.missing;
    if let Some(choice) = &options.sampler {
        config.set_sampler(choice)?;
    }
    // Labels taken away and samplers are part of the data; without them it is open already.
    let plain = config.missing == 0.0 && config.sampler.is_none();
    let dataset = if plain { dataset } else { config.open_data()? };
    let trainer = Trainer::builder(config, dataset).loader_threads(options.loader_threads);
    match &options.out {
        Some(out) => trainer.start(out),
        None => trainer.start_in_next(Path::new("runs")),
    }
}

fn photo_options(options: &Options) -> PhotoOptions {
    let usual = PhotoOptions::default();
    PhotoOptions {
        size: options.size.unwrap_or(usual.size),
        fit: options.fit.unwrap_or(usual.fit),
        hold_back: options.hold_back.unwrap_or(usual.hold_back),
        augment: options.augment.unwrap_or(usual.augment),
        format: options.format.clone(),
        skip_broken: options.skip_broken,
        map: options.map.iter().cloned().collect(),
        // From the root: a run is continued from any folder.
        cache: options
            .cache
            .as_ref()
            .map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone())),
        ..usual
    }
}

/// A flag that the first Ctrl-C raises; the second ends the program at once.
fn stop_on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let installed = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nStopping after this step; once more to stop at once.");
    });
    if let Err(error) = installed {
        eprintln!("note: Ctrl-C will not save first ({error})");
    }
    stop
}

fn introduce(trainer: &Trainer) {
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
    if trainer.state().step > 0 {
        say!("continuing after step {} (epoch {})", trainer.state().step, trainer.state().epoch + 1);
    }
    say!("writing to {}", trainer.folder().path().display());
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
    say!("  {}  these figures", show(folder.summary()));
    say!("  {}  every epoch's losses and validation figures", show(folder.metrics()));
    say!("  {}  images, truth beside prediction (gallery.png shows a dozen)", show(folder.sample("")));
    say!("  {}  the best model, for the predict example", show(folder.best()));
    say!("  {}  the whole run as it ended", show(folder.last()));
}

/// A figure with four decimals, a dash where it is unknown.
fn figure(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.4}"))
}

/// A progress bar and a table on a terminal, plain lines elsewhere.
struct Display {
    tasks: Vec<String>,
    bar: ProgressBar,
    terminal: bool,
    header_due: bool,
    last_line: Instant,
    evaluated: usize,
}

impl Display {
    fn new(trainer: &Trainer) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let target = if terminal { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{prefix} {bar:28} {percent:>3}%  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let tasks = trainer.model().task_names();
        Self { tasks, bar, terminal, header_due: true, last_line: Instant::now(), evaluated: 0 }
    }

    fn say(&self, line: String) {
        if self.terminal {
            self.bar.suspend(|| say!("{line}"));
        } else {
            say!("{line}");
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Display {
    fn step(&mut self, report: &StepReport) {
        let losses: Vec<String> =
            self.tasks.iter().zip(&report.losses).map(|(task, loss)| format!("{task} {loss:.3}")).collect();
        let [epoch, epochs] = report.epoch;
        let images = report.images_per_second;
        let left = format!("{:?}", Duration::from_secs(report.seconds_left.ceil() as u64));
        self.evaluated = 0;
        if self.terminal {
            self.bar.set_length(report.step[1]);
            self.bar.set_position(report.step[0]);
            self.bar.set_prefix(format!("epoch {epoch}/{epochs}"));
            self.bar.set_message(format!("{}  {images:.0} images/s  {left} left", losses.join("  ")));
        } else if self.last_line.elapsed() >= Duration::from_secs(10) {
            self.last_line = Instant::now();
            let [batch, batches] = report.batch;
            let losses = losses.join(" ");
            say!("epoch {epoch}/{epochs} step {batch}/{batches} {losses} images/s {images:.0} left {left}");
        }
    }

    fn evaluating(&mut self, split: Split, images: usize, of: usize) {
        self.evaluated += images;
        if self.terminal {
            self.bar.set_message(format!("{split}: {} of {of} scored", self.evaluated));
        }
    }

    fn epoch(&mut self, row: &EpochRow) {
        if std::mem::take(&mut self.header_due) {
            let mut header = format!("{:>5}", "epoch");
            for task in &self.tasks {
                header += &format!(" {:>9}", format!("{}.", &task[..task.len().min(8)]));
            }
            for (name, _) in row.validation.iter().flat_map(|task| &task.metrics) {
                header += &format!(" {name:>14}");
            }
            self.say(header + &format!(" {:>7} {:>9} {:>6}", "score", "images/s", "time"));
        }
        let mut line = format!("{:>5}", row.epoch);
        for loss in &row.losses {
            line += &format!(" {loss:>9.4}");
        }
        for (_, value) in row.validation.iter().flat_map(|task| &task.metrics) {
            line += &format!(" {:>14}", figure(*value));
        }
        let best = if row.is_best { " *" } else { "" };
        self.say(
            line + &format!(
                " {:>7} {:>9.0} {:>5.0}s{best}",
                figure(row.score),
                row.images_per_second,
                row.seconds
            ),
        );
    }
}

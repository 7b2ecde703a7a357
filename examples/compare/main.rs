//! Trains every task alone and any list of balancing strategies on the same
//! data, with paired seeds and equal epochs, and says how they compare.
//!
//! `cargo run --release --example compare -- --strategies equal,uw,mgda,upgrad --seeds 5`
//!
//! Each finished run appends one row to `rows.csv` in the folder. `--resume` skips runs that
//! have a row, `--shard i/n` does every n-th run of the plan, and `--report` only reads the
//! rows. At the end `table.csv`, `table.md` and `index.html` hold means with 95 % intervals,
//! Δm in all three conventions, and plots.

#[path = "../common/mod.rs"]
mod common;
mod plots;
mod rows;
mod statistics;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use cerberus::data::{self, Dataset, DatasetInfo, Split};
use cerberus::distributed::Group;
use cerberus::multitask::GradientsWrt;
use cerberus::nn::files::write_atomically;
use cerberus::tensor::pool::take_peak_bytes;
use cerberus::train::{EpochRow, Observer, StepReport, TrainConfig, TrainError};
use cerberus_cli::say;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rows::{Row, Rows};

/// Compare balancing strategies with each other and with single-task training.
#[derive(Parser)]
#[command(name = "compare")]
struct Options {
    /// Data: "fashion-scenes" (embedded), "multi-fashion" (pairs of garments, embedded) or "multi-fashion:FOLDER", or a
    /// folder with data files
    #[arg(long, value_name = "NAME|PATH", default_value = "fashion-scenes")]
    data: String,
    /// Tasks, separated by commas [default: all that the data has labels for]
    #[arg(long, value_delimiter = ',')]
    tasks: Vec<String>,
    /// Strategies, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "equal,uw,dwa,famo,mgda,pcgrad,cagrad,nash,upgrad")]
    strategies: Vec<String>,
    /// Seeds 1 to N, the same for every strategy
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Epochs of every run
    #[arg(long)]
    epochs: Option<usize>,
    /// At most this many samples of each split
    #[arg(long)]
    samples: Option<usize>,
    /// The variables with respect to which strategies take gradients: parameters, streamed-parameters (no copies
    /// kept), features, summed-features
    #[arg(long, value_name = "PLACE", default_value = "features")]
    gradients: GradientsWrt,
    /// Measure every N steps how much the tasks' gradients conflict; 0 for never
    #[arg(long, default_value_t = 20)]
    diagnose: usize,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Folder for the rows and the report
    #[arg(long, default_value = "comparison")]
    out: PathBuf,
    /// Continue in a folder that has rows; runs that have one are skipped
    #[arg(long)]
    resume: bool,
    /// Only every N-th run of the plan, from the I-th on: 1/4 to 4/4
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: String,
    /// Train nothing, only write the report of the existing rows
    #[arg(long)]
    report: bool,
}

/// One run of the plan.
struct Job {
    /// The strategy, or `single-TASK`.
    strategy: String,
    tasks: Vec<String>,
    seed: u64,
}

fn main() -> ExitCode {
    common::run_together(|options: &Options| options.threads, run)
}

fn run(options: &Options, group: &Arc<dyn Group>) -> Result<(), TrainError> {
    let path = options.out.join("rows.csv");
    let read = || Rows::read(&options.out, group.rank()).map_err(TrainError::Option);
    let mut rows = read()?;
    // All have read before any writes.
    group.barrier();
    if !rows.all.is_empty() && !options.resume && !options.report {
        return Err(TrainError::Option(format!(
            "{} has rows already; add --resume to go on, --report to see them, or choose another --out",
            path.display()
        )));
    }
    if !options.report {
        let info = data::open(&options.data, 1)?.info().clone();
        let jobs = plan(options, &info)?;
        let order: Vec<String> = jobs.iter().map(|job| job.strategy.clone()).collect();
        train_all(options, jobs, &info, &mut rows, &**group)?;
        group.barrier();
        // With the rows that others have added meanwhile.
        rows = read()?;
        if group.size() > 1 {
            let place = |row: &Row| order.iter().position(|strategy| *strategy == row.strategy);
            rows.all.sort_by_key(|row| (row.seed, place(row)));
        }
    }
    if !group.is_first() {
        return Ok(());
    }
    if rows.all.is_empty() {
        return Err(TrainError::Option(format!("{} has no rows to report", path.display())));
    }
    let table = table::Table::of(&rows);
    for line in table.text() {
        say!("{line}");
    }
    write_atomically(&options.out.join("table.csv"), table.csv().as_bytes())?;
    write_atomically(&options.out.join("table.md"), table.markdown().as_bytes())?;
    let page = plots::page(&table, &rows, &options.out.join("runs"));
    write_atomically(&options.out.join("index.html"), page.as_bytes())?;
    say!("written: {}", options.out.join("index.html").display());
    Ok(())
}

/// This shard's runs, seed by seed, so that a part of the plan is fair to all strategies.
fn plan(options: &Options, info: &DatasetInfo) -> Result<Vec<Job>, TrainError> {
    let fail = || TrainError::Option(format!("--shard {:?} is not I/N with 1 <= I <= N", options.shard));
    let (index, of) = options.shard.split_once('/').ok_or_else(fail)?;
    let (index, of): (usize, usize) = (index.parse().map_err(|_| fail())?, of.parse().map_err(|_| fail())?);
    if index == 0 || index > of || options.seeds == 0 {
        return Err(fail());
    }
    let mut tasks = options.tasks.clone();
    if tasks.is_empty() {
        let config = TrainConfig::for_data(&options.data, info);
        tasks = config.model.heads.into_iter().map(|head| head.name).collect();
    }
    let mut jobs = Vec::new();
    for seed in 1..=options.seeds {
        let singles = tasks.iter().map(|task| (format!("single-{task}"), vec![task.clone()]));
        let shared = options.strategies.iter().map(|name| (name.clone(), tasks.clone()));
        jobs.extend(singles.chain(shared).map(|(strategy, tasks)| Job { strategy, tasks, seed }));
    }
    // Options that do not fit are refused before hours of work, not after.
    for job in &jobs {
        config(options, job, info)?.validate(info)?;
    }
    let mine = jobs.into_iter().enumerate().filter(|(place, _)| place % of == index - 1);
    Ok(mine.map(|(_, job)| job).collect())
}

fn config(options: &Options, job: &Job, info: &DatasetInfo) -> Result<TrainConfig, TrainError> {
    let mut config = TrainConfig::for_data(&options.data, info);
    config.set_heads(&job.tasks, info)?;
    let single = job.tasks.len() == 1;
    config.set_balance(if single { "equal" } else { &job.strategy })?;
    let rule = config.balancing()?.strategy;
    config.gradients = if rule.needs().three_batches { GradientsWrt::Parameters } else { options.gradients };
    config.seed = job.seed;
    config.epochs = options.epochs.unwrap_or(config.epochs);
    config.samples = options.samples;
    config.diagnose = if single { 0 } else { options.diagnose };
    Ok(config)
}

fn train_all(
    options: &Options,
    jobs: Vec<Job>,
    info: &DatasetInfo,
    rows: &mut Rows,
    group: &dyn Group,
) -> Result<(), TrainError> {
    let waiting = jobs.into_iter().filter(|job| !rows.has(&job.strategy, job.seed));
    let waiting: Vec<Job> = waiting.skip(group.rank()).step_by(group.size()).collect();
    let bar = if group.is_first() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3}%  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let count = waiting.len();
    for (index, job) in waiting.iter().enumerate() {
        let config = config(options, job, info)?;
        let folder = options.out.join("runs").join(format!("{}-{}", job.strategy, job.seed));
        bar.set_message(format!("{}/{count} {} seed {}", index + 1, job.strategy, job.seed));
        let mut watch = Watch { bar: &bar, done: index, of: count };
        let open = |config: &TrainConfig| -> Result<Arc<dyn Dataset>, TrainError> {
            Ok(data::open(&config.data, config.seed)?)
        };
        // Reset the peak, so that each run has its own.
        take_peak_bytes();
        let summary = common::finish_run(config, &folder, &open, &mut watch)?;
        let row = Row::of(&job.strategy, &summary, take_peak_bytes());
        bar.suspend(|| say!("{}", row.line()));
        rows.append(row).map_err(TrainError::Option)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// One bar for the whole plan.
struct Watch<'a> {
    bar: &'a ProgressBar,
    done: usize,
    of: usize,
}

impl Observer for Watch<'_> {
    fn step(&mut self, report: &StepReport) {
        let [step, steps] = report.step;
        self.bar.set_length(steps * self.of as u64);
        self.bar.set_position(steps * self.done as u64 + step);
    }

    fn evaluating(&mut self, _split: Split, _images: usize, _of: usize) {}

    fn epoch(&mut self, _row: &EpochRow) {}
}

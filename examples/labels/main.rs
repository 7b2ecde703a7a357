//! What labels are worth, in two tables on fashion scenes:
//!
//! - `long-tail`: classes that are rare in training (a hundredth of the most
//!   frequent one), and what each method does for the rare, the middle and the
//!   frequent ones;
//! - `missing`: a third of each task's labels removed at random, compared with
//!   all labels and with a third of the scenes that keep all theirs.
//!
//! `cargo run --release --example labels -- --table long-tail`
//!
//! Each finished run appends one row to `rows.csv` in the folder; a run that has a
//! row is not repeated, and an interrupted one is continued. Under `mpirun`, the processes share out the runs. At the end `table.csv`
//! and `table.md` hold means over the seeds with 95 % intervals.

#[path = "../common/mod.rs"]
mod common;
#[path = "../compare/rows.rs"]
#[allow(dead_code)] // The reports of `compare` read more of it.
mod rows;
mod table;
mod ways;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use cerberus::distributed::Group;
use cerberus::nn::files::write_atomically;
use cerberus::prelude::*;
use cerberus::train::{EpochRow, Observer, StepReport, TrainError, load_model, peak_rss_mb, score_split};
use cerberus_cli::say;
use clap::{Parser, ValueEnum};
use rows::{Row, Rows};
use ways::Way;

/// Measure what labels are worth.
#[derive(Parser)]
#[command(name = "labels")]
struct Options {
    /// Which table
    #[arg(long)]
    table: Kind,
    /// Seeds 1 to N, the same for every line
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Epochs of every run [default: 6 for the long tail, 5 for missing labels]
    #[arg(long)]
    epochs: Option<usize>,
    /// At most this many samples of each split, for a quick look
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Folder for the rows and the table [default: the table's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A table.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Kind {
    /// Methods against rare classes
    LongTail,
    /// Removed labels
    Missing,
}

fn main() -> ExitCode {
    common::run_together(|options: &Options| options.threads, run)
}

fn run(options: &Options, group: &Arc<dyn Group>) -> Result<(), TrainError> {
    let (usual, ways) = match options.table {
        Kind::LongTail => ("long-tail", ways::long_tail(options.epochs.unwrap_or(6))),
        Kind::Missing => ("missing", ways::missing(options.epochs.unwrap_or(5))),
    };
    if options.seeds == 0 {
        return Err(TrainError::Option("--seeds must be at least 1".into()));
    }
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(usual));
    let read = || Rows::read(&out, group.rank()).map_err(TrainError::Option);
    let mut rows = read()?;
    // All have read before any writes.
    group.barrier();
    let all = (1..=options.seeds).flat_map(|seed| ways.iter().map(move |way| (way, seed)));
    let waiting: Vec<_> = all.filter(|(way, seed)| !rows.has(way.name, *seed)).collect();
    for (way, seed) in waiting.into_iter().skip(group.rank()).step_by(group.size()) {
        let row = one_run(way, seed, options, &out)?;
        say!("{}", row.line());
        rows.append(row).map_err(TrainError::Option)?;
    }
    group.barrier();
    if !group.is_first() {
        return Ok(());
    }
    let rows = read()?;
    let table = table::Table::of(&rows, &ways.iter().map(|way| way.name).collect::<Vec<_>>());
    say!("{}", table.markdown());
    write_atomically(&out.join("table.csv"), table.csv().as_bytes())?;
    write_atomically(&out.join("table.md"), table.markdown().as_bytes())?;
    Ok(())
}

fn one_run(way: &Way, seed: u64, options: &Options, out: &std::path::Path) -> Result<Row, TrainError> {
    let config = way.config(seed, options.samples)?;
    let folder = out.join("runs").join(format!("{}-{seed}", way.name));
    let open = |config: &_| way.open(config);
    let summary = common::finish_run(config.clone(), &folder, &open, &mut Quiet)?;
    let (_, best) = load_model(&folder.join("checkpoints/best.safetensors"))?;
    let dataset = way.open(&config)?;
    let metrics = score_split(&best, &dataset, Split::Test, options.samples, &mut |_| {})?;
    let mut figures = std::collections::BTreeMap::new();
    for (task, metric) in best.tasks().iter().zip(&metrics) {
        let (main, value) = metric.values()[0];
        if let Some(value) = value {
            figures.insert(format!("{}.{main}", task.name()), value);
        }
        // The figures of single classes whose mean is the main figure.
        if let (Some(groups), Some((_, values))) = (&way.groups, metric.per_class().first()) {
            for (group, classes) in groups {
                let there: Vec<f64> = classes.iter().filter_map(|&class| values[class]).collect();
                let mean = there.iter().sum::<f64>() / there.len().max(1) as f64;
                figures.insert(format!("{}.{main}.{group}", task.name()), mean);
            }
        }
    }
    Ok(Row {
        strategy: way.name.to_string(),
        seed,
        metrics: figures,
        images_per_second: summary.images_per_second,
        seconds: summary.wall_seconds,
        memory: memory_mb(),
    })
}

/// Prints nothing during a run.
struct Quiet;

impl Observer for Quiet {
    fn step(&mut self, _report: &StepReport) {}

    fn evaluating(&mut self, _split: Split, _images: usize, _of: usize) {}

    fn epoch(&mut self, _row: &EpochRow) {}
}

/// The peak memory of this process so far, over the earlier runs and this one.
fn memory_mb() -> f64 {
    peak_rss_mb().unwrap_or(f64::NAN)
}

//! Lists the runs in a folder: how far each is, what it trains, and its results. `--out` draws their curves in common
//! charts.
//!
//! `cargo run --release --example runs -- runs --sort classify --descending` has the best classifier on top. Runs lie
//! in the folder itself or up to two folders deep. A run that is broken or incomplete is listed with its problem, and
//! the list goes on.

mod found;
mod page;
mod table;

use crate::say;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::nn::files::write_atomically;
use cerberus::train::TrainError;
use clap::Parser;
use serde_json::{Map, Value, json};

use found::{Run, find};
use table::Listing;

/// List the runs in a folder, and compare them.
#[derive(Parser)]
#[command(name = "runs")]
struct Options {
    /// The folder: runs lie in it, or up to two folders deep
    #[arg(value_name = "DIR", default_value = "runs")]
    folder: PathBuf,
    /// The column to sort by: name, state, data, tasks, balance, epochs, best, images/s, or a task for its main figure
    #[arg(long, value_name = "COLUMN", default_value = "name")]
    sort: String,
    /// Sort from the largest to the smallest
    #[arg(long)]
    descending: bool,
    /// Only these runs, separated by commas
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Folder for runs.html, which draws the runs' curves in common charts; made if missing [default: no file]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Lists the runs in a folder; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    match list(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

fn list(options: &Options) -> Result<(), TrainError> {
    let mut runs = chosen(find(&options.folder)?, &options.only)?;
    let listing = Listing::of(&runs);
    listing.sort(&mut runs, &options.sort, options.descending)?;
    if let Some(out) = &options.out {
        write_page(out, &listing, &runs)?;
    }
    if options.json {
        let runs: Vec<Value> = runs.iter().map(as_json).collect();
        say!("{}", serde_json::to_string_pretty(&runs).expect("values are valid JSON"));
    } else if runs.is_empty() {
        say!("there is no run in {}", options.folder.display());
    } else {
        listing.lines(&runs).iter().for_each(|line| say!("{line}"));
    }
    Ok(())
}

/// The runs of these names; all if there are none.
fn chosen(runs: Vec<Run>, only: &[String]) -> Result<Vec<Run>, TrainError> {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name.as_str())) {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(TrainError::Option(format!(
            "there is no run {unknown:?}; there are {}",
            names.join(", ")
        )));
    }
    Ok(runs.into_iter().filter(|run| only.is_empty() || only.contains(&run.name)).collect())
}

fn write_page(out: &Path, listing: &Listing, runs: &[Run]) -> Result<(), TrainError> {
    crate::shell::make_folder(out)?;
    Ok(write_atomically(&out.join("runs.html"), page::page(listing, runs).as_bytes())?)
}

fn as_json(run: &Run) -> Value {
    let figures = run.figures.iter().map(|figure| {
        let value = json!({ "figure": figure.name, "value": figure.value, "part": figure.part });
        (figure.task.clone(), value)
    });
    json!({
        "name": run.name,
        "path": run.path.display().to_string(),
        "state": run.state.name(),
        "data": run.data,
        "tasks": run.tasks,
        "balance": run.balance,
        "epochs_done": run.epochs[0],
        "epochs": run.epochs[1],
        "best_epoch": run.best_epoch,
        "figures": figures.collect::<Map<String, Value>>(),
        "images_per_second": run.images_per_second,
        "problem": run.problem,
    })
}

#[cfg(test)]
mod tests;

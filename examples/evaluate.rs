//! Scores a trained model on the test part of a data set and prints every
//! metric as one line of JSON.
//!
//! `cargo run --release --example evaluate -- --model runs/train-1/checkpoints/best.safetensors`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use cerberus::data::Split;
use cerberus::multitask::trainer::{TrainError, evaluate, load_model};
use clap::Parser;
use serde_json::{Map, Value, json};

/// Score a trained model.
#[derive(Parser)]
#[command(name = "evaluate")]
struct Options {
    /// A checkpoint written by the train example
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Data set name or folder; of photographs all are scored, of those the model was trained on the ones held back
    /// [default: what the model was trained on]
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<String>,
    /// At most this many images
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = common::thread_pool(options.threads)
        .map_err(TrainError::Option)
        .and_then(|pool| pool.install(|| score(&options)));
    match result {
        Ok(line) => {
            say!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

fn score(options: &Options) -> Result<Value, TrainError> {
    let (config, model) = load_model(&options.model)?;
    let held_back = config.photos.as_ref().is_none_or(|photos| photos.hold_back > 0.0);
    let dataset = match &options.data {
        Some(other) if !held_back || !same_place(other, &config.data) => config.open_other(other)?,
        _ => config.open_data()?,
    };
    config.validate(dataset.info())?;
    if dataset.is_empty(Split::Test) {
        return Err(TrainError::Option(format!(
            "{} has no images kept from training; give others with --data, or train with --hold-back 0.2",
            config.data
        )));
    }
    let mut images = 0;
    let figures = evaluate(&model, &dataset, Split::Test, options.samples, &mut |count| images += count)?;
    let mut line = Map::new();
    for task in figures {
        for (name, value) in task.metrics.into_iter().chain(task.details) {
            // Where two tasks have a figure of one name, the later task's name stands before it.
            let name = if line.contains_key(&name) { format!("{}.{name}", task.task) } else { name };
            line.insert(name, json!(value));
        }
    }
    line.insert("images".into(), json!(images));
    Ok(Value::Object(line))
}

/// Whether two names lead to the same data.
fn same_place(a: &str, b: &str) -> bool {
    let place = |name: &str| std::fs::canonicalize(name).ok();
    a == b || (place(a).is_some() && place(a) == place(b))
}

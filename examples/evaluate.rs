//! Scores a trained model on the test part of a data set and prints every
//! metric as one line of JSON.
//!
//! `cargo run --release --example evaluate -- --model runs/train-1/checkpoints/best.safetensors`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use cerberus::data::{self, Split};
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
    /// Data set name or folder [default: what the model was trained on]
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
    let name = options.data.as_deref().unwrap_or(&config.data);
    let dataset = data::open(name, config.seed)?;
    config.validate(dataset.info())?;
    let info = dataset.info();
    if [info.height, info.width, info.channels] != config.model.image || info.classes != config.model.classes
    {
        return Err(TrainError::Option(format!(
            "{name} has other images or classes than the model was trained on ({}); choose --data to match",
            config.data
        )));
    }
    let mut images = 0;
    let figures = evaluate(&model, &dataset, Split::Test, options.samples, &mut |count| images += count)?;
    let mut line = Map::new();
    for task in figures {
        line.extend(task.metrics.into_iter().map(|(name, value)| (name, json!(value))));
    }
    line.insert("images".into(), json!(images));
    Ok(Value::Object(line))
}

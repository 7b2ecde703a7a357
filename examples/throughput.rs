//! How many images a second a training step does, with the data already in
//! memory: forward, backward and update, printed as one line of JSON.
//!
//! `cargo run --release --example throughput -- --workload mtl64 --batch 32`

mod common;

use std::process::ExitCode;
use std::time::Instant;

use cerberus::data::{self, Batch, Split};
use cerberus::multitask::trainer::{TrainConfig, peak_rss_mb, train_step};
use cerberus::multitask::{MultiTaskModel, TaskWeights};
use cerberus::nn::losses::{CrossEntropy, cross_entropy};
use cerberus::nn::optim::{Adam, AdamOptions, Optimizer};
use cerberus::prelude::*;
use clap::{Parser, ValueEnum};
use serde_json::json;

/// Measure training steps on data in memory.
#[derive(Parser)]
#[command(name = "throughput")]
struct Options {
    /// What to train
    #[arg(long)]
    workload: Workload,
    /// Images per step
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Steps to measure, after a few to warm up
    #[arg(long, default_value_t = 30)]
    steps: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Workload {
    /// The network of the cifar10 example on 32x32 images, Adam
    Seed32,
    /// The default three-head step of the train example on 64x64 scenes, Adam
    Mtl64,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let options = Options::parse();
    let run = || -> Result<(), Failure> {
        if options.batch == 0 || options.steps == 0 {
            return Err("--batch and --steps must be at least 1".into());
        }
        common::thread_pool(options.threads)?.install(|| measure(&options))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    let (name, parameters, mut step): (_, _, Box<dyn FnMut()>) = match options.workload {
        Workload::Seed32 => seed32(options.batch),
        Workload::Mtl64 => mtl64(options.batch)?,
    };
    for _ in 0..options.steps.min(3) {
        step();
    }
    let mut milliseconds: Vec<f64> = (0..options.steps)
        .map(|_| {
            let clock = Instant::now();
            step();
            clock.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    milliseconds.sort_by(f64::total_cmp);
    let median = milliseconds[milliseconds.len() / 2];
    let line = json!({
        "workload": name,
        "batch": options.batch,
        "threads": rayon::current_num_threads(),
        "ms_per_step": median,
        "images_per_second": options.batch as f64 * 1e3 / median,
        "peak_rss_mb": peak_rss_mb(),
        "parameters": parameters,
    });
    say!("{line}");
    Ok(())
}

type Prepared = (&'static str, usize, Box<dyn FnMut()>);

fn seed32(batch: usize) -> Prepared {
    let mut model = common::small_cnn(10, 1);
    let mut optimizer = Adam::new(AdamOptions::default());
    let images = Tensor::from_fn(&[batch, 32, 32, 3], |i| (i as f32 * 0.37).sin());
    let target: Vec<u8> = (0..batch).map(|i| (i % 10) as u8).collect();
    let parameters = model.parameter_count();
    let step = move || {
        let mut context = Context::training(1, 0);
        let logits = model.forward(Var::constant(images.clone()), &mut context);
        let gradients = backward(cross_entropy(logits, &target, &CrossEntropy::default()));
        drop(context);
        optimizer.step(&mut model, &gradients, 1e-3);
    };
    ("seed32", parameters, Box::new(step))
}

fn mtl64(batch: usize) -> Result<Prepared, Failure> {
    let scenes = data::open("fashion-scenes", 1)?;
    let config = TrainConfig::for_data("fashion-scenes", scenes.info());
    let indices: Vec<usize> = (0..batch).collect();
    let samples: Result<Vec<_>, _> =
        indices.iter().map(|&i| scenes.sample(Split::Train, 0, i % scenes.len(Split::Train))).collect();
    let batch = Batch::assemble(&samples?, indices)?;
    let mut model = MultiTaskModel::new(&config.model, 1);
    let mut optimizer = Adam::new(AdamOptions::default());
    let parameters = model.parameter_count();
    let step = move || {
        train_step(
            &mut model,
            &mut optimizer,
            &batch,
            &TaskWeights::default(),
            1e-3,
            config.clip_norm,
            [1, 0],
        );
    };
    Ok(("mtl64", parameters, Box::new(step)))
}

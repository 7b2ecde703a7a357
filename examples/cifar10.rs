//! The classic small convolutional network on CIFAR-10: two convolutions with
//! pooling and a dense layer, softmax cross-entropy from logits, Adam, batches
//! of 32.
//!
//! `cargo run --release --example cifar10 -- --data FOLDER` with the official
//! binary batches (`data_batch_1.bin` .. `test_batch.bin`) in the folder.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use cerberus::data::Cifar10;
use cerberus::prelude::*;
use cerberus_cli::say;
use clap::Parser;

/// Train the classic small network on CIFAR-10.
#[derive(Parser)]
#[command(name = "cifar10")]
struct Options {
    /// Folder with the official binary batches of CIFAR-10
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Passes over the training images
    #[arg(long, default_value_t = 10)]
    epochs: usize,
    /// Images per step
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Chooses the initial weights and the order of the images
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// At most this many images of each split, for a quick look
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let options = Options::parse();
    let run = || -> Result<(), Failure> { common::thread_pool(options.threads)?.install(|| train(&options)) };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn train(options: &Options) -> Result<(), Failure> {
    let data = Arc::new(Cifar10::from_folder(&options.data)?);
    let mut model = common::small_cnn(32, data.info().labels[0].classes.len(), options.seed);
    let mut optimizer = Adam::new(AdamOptions::default());
    say!(
        "{} training and {} test images, {} parameters, seed {}",
        data.len(Split::Train),
        data.len(Split::Test),
        model.parameter_count(),
        options.seed
    );
    say!("{:>5} {:>10} {:>13} {:>9}", "epoch", "loss", "test accuracy", "images/s");
    let choices = StepOptions { seed: options.seed, ..StepOptions::default() };
    for epoch in 0..options.epochs {
        let plan = EpochPlan {
            seed: options.seed,
            limit: options.samples,
            ..EpochPlan::training(epoch, options.batch)
        };
        let clock = Instant::now();
        let (mut loss_sum, mut images) = (0.0, 0);
        for batch in Loader::new(data.clone(), plan)? {
            let batch = batch?;
            images += batch.len();
            let loss = step_with(&mut model, &mut optimizer, choices, |model, context| {
                cross_entropy(model.forward((&batch.images).into(), context), &batch.classes)
            });
            loss_sum += batch.len() as f64 * loss;
        }
        let rate = images as f64 / clock.elapsed().as_secs_f64();
        let accuracy = accuracy(&model, &data, options.samples)?;
        say!("{:>5} {:>10.4} {accuracy:>13.4} {rate:>9.0}", epoch + 1, loss_sum / images.max(1) as f64);
    }
    Ok(())
}

fn accuracy(model: &Sequential, data: &Arc<Cifar10>, limit: Option<usize>) -> Result<f64, Failure> {
    let (mut right, mut seen) = (0, 0);
    for batch in
        Loader::new(data.clone(), EpochPlan { batch_size: 200, limit, ..EpochPlan::new(Split::Test) })?
    {
        let batch = batch?;
        let best = predict(model, batch.images).argmax();
        right += best.iter().zip(&batch.classes).filter(|&(best, class)| Some(*best) == *class).count();
        seen += batch.classes.len();
    }
    Ok(right as f64 / seen.max(1) as f64)
}

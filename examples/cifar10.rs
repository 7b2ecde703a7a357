//! CIFAR-10 by two recipes. The classic one is a small network of two convolutions with pooling and a dense layer,
//! softmax cross-entropy from logits, Adam, batches of 32. The [fast](recipes) one takes a few epochs to 94 %.
//!
//! `cargo run --release --example cifar10 -- --data FOLDER --recipe fast` with the official binary batches
//! (`data_batch_1.bin` .. `test_batch.bin`) in the folder.

mod common;
mod recipes;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use cerberus::data::Cifar10;
use cerberus::prelude::*;
use cerberus_cli::say;
use clap::Parser;

/// Train on CIFAR-10: the classic small network, or the fast recipe.
#[derive(Parser)]
#[command(name = "cifar10")]
struct Options {
    /// Folder with the official binary batches of CIFAR-10
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The network and how it is trained
    #[arg(long, value_enum, default_value_t = Recipe::Classic)]
    recipe: Recipe,
    /// Passes over the training images [default: 10]
    #[arg(long)]
    epochs: Option<usize>,
    /// Images per step [default: 32, fast: 2000]
    #[arg(long)]
    batch: Option<usize>,
    /// For the fast recipe: train this many times, with the seed and those after it, and print the mean
    #[arg(long, default_value_t = 1)]
    runs: u64,
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

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Recipe {
    /// Two convolutions and a dense layer, Adam
    Classic,
    /// Whitening, Muon and alternating flips: 94 % in a few epochs
    Fast,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let options = Options::parse();
    if [options.epochs, options.batch, options.samples].contains(&Some(0)) || options.runs == 0 {
        eprintln!("error: --epochs, --batch, --samples and --runs must be at least 1");
        return ExitCode::FAILURE;
    }
    let run = || -> Result<(), Failure> {
        common::thread_pool(options.threads)?.install(|| match options.recipe {
            Recipe::Classic => train(&options),
            Recipe::Fast => train_fast(&options),
        })
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The fast recipe, once or several times.
fn train_fast(options: &Options) -> Result<(), Failure> {
    let data = Arc::new(Cifar10::from_folder(&options.data)?);
    let mut totals = [0.0; 4];
    for seed in options.seed..options.seed + options.runs {
        let recipe = recipes::Options {
            epochs: options.epochs.unwrap_or(10),
            batch: options.batch.unwrap_or(2000),
            seed,
            samples: options.samples,
        };
        let outcome = recipes::run(&data, &recipe)?;
        say!(
            "seed {seed}: {}, training {:.1} s, with the test {:.1} s",
            accuracies(outcome.accuracy),
            outcome.training_seconds,
            outcome.seconds
        );
        let [all, mirrored, alone] = outcome.accuracy;
        let figures = [all, mirrored, alone, outcome.seconds];
        totals.iter_mut().zip(figures).for_each(|(total, figure)| *total += figure);
    }
    let [all, mirrored, alone, seconds] = totals.map(|total| total / options.runs as f64);
    say!("mean of {} runs: {}, {seconds:.1} s", options.runs, accuracies([all, mirrored, alone]));
    Ok(())
}

/// The accuracies by the views of a test picture, in words.
fn accuracies([all, mirrored, alone]: [f64; 3]) -> String {
    let [most, two, one] = recipes::VIEWS;
    format!("test accuracy {all:.4} ({most}; {mirrored:.4} {two}, {alone:.4} {one})")
}

/// The classic recipe.
fn train(options: &Options) -> Result<(), Failure> {
    let (epochs, batch_size) = (options.epochs.unwrap_or(10), options.batch.unwrap_or(32));
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
    for epoch in 0..epochs {
        let plan = EpochPlan {
            seed: options.seed,
            limit: options.samples,
            ..EpochPlan::training(epoch, batch_size)
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

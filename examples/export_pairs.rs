//! Trains the network of the MultiMNIST literature on pairs of garments under a
//! balancing strategy and writes everything that another program needs to take the
//! same steps, and the results that it should find.
//! `benches/peers/multi_fashion.py` is that other program.
//!
//! `cargo run --release --example export_pairs -- --balance mgda --out pairs`
//!
//! | file in the folder | holds |
//! |---|---|
//! | `train-images`, `train-left`, `train-right`, `test-...` | the pairs and their classes, as IDX files |
//! | `initial.safetensors`, `final.safetensors` | checkpoints |
//! | `indices.safetensors` | `indices [steps, batch]`: the training pairs of each step |
//! | `steps.csv` | each step's losses, the weights that were used, and the order of visits where it was drawn at random |
//!
//! Gradients are taken with respect to the trunk's parameters. With `--double` weights and
//! arithmetic have 64 bits.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::balance::by_name;
use cerberus::data::idx::{IdxImages, write_images, write_labels};
use cerberus::data::{self, Dataset, MultiFashion, Split};
use cerberus::multitask::{Balancing, StepInput, StepResult, train_step};
use cerberus::multitask::{LENET_SIDE, MultiTaskModel};
use cerberus::nn::checkpoint;
use cerberus::nn::files::write_atomically;
use cerberus::prelude::*;
use cerberus::train::{TrainConfig, TrainError};
use cerberus_cli::say;
use clap::Parser;

/// Train on pairs of garments and write all that another program needs to do the same.
#[derive(Parser)]
#[command(name = "export_pairs")]
struct Options {
    /// How the two tasks are balanced
    #[arg(long, default_value = "equal")]
    balance: String,
    /// Steps to take
    #[arg(long, default_value_t = 50)]
    steps: usize,
    /// At most this many training pairs
    #[arg(long)]
    samples: Option<usize>,
    /// Compute with 64 bits
    #[arg(long)]
    double: bool,
    /// Chooses initial weights and the order of the pairs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Folder to write to, new or of an earlier export
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    common::run_on(options.threads, || {
        if options.double { export::<f64>(&options) } else { export::<f32>(&options) }
    })
}

fn export<T: Element>(options: &Options) -> Result<(), TrainError> {
    let pairs = MultiFashion::embedded();
    let mut config = TrainConfig::for_data(MultiFashion::NAME, pairs.info());
    config.seed = options.seed;
    config.set_balance(&options.balance)?;
    config.samples = options.samples;
    config.validate(pairs.info())?;
    if options.steps == 0 || config.samples_of(&*pairs, Split::Train) < config.batch {
        let problem = format!("--steps must be at least 1, --samples at least {}", config.batch);
        return Err(TrainError::Option(problem));
    }
    common::make_folder(&options.out)?;
    for split in [Split::Train, Split::Test] {
        save_split(&options.out, &pairs, split)?;
    }

    let mut model = MultiTaskModel::<T>::new(&config.model, config.seed);
    let mut optimizer =
        AdamW::<T>::new(AdamOptions { learning_rate: config.learning_rate, ..AdamOptions::default() });
    let strategy = by_name::<T>(&config.balance, 2, &config.model.weights())?;
    let mut balancing = Balancing { strategy, preference: vec![0.5; 2], wrt: Default::default() };
    common::save_model(&options.out.join("initial.safetensors"), &config, &model)?;
    let (mut table, mut indices) = (Table::default(), Vec::new());
    let mut epoch = 0;
    while table.steps < options.steps {
        let plan = EpochPlan {
            epoch,
            batch_size: config.batch,
            seed: config.seed,
            shuffle: true,
            limit: config.samples,
            drop_last: true,
            ..EpochPlan::new(Split::Train)
        };
        let loader = Loader::new(data::open(MultiFashion::NAME, config.seed)?, plan)?;
        for batch in loader.take(options.steps - table.steps) {
            let batch = batch?;
            indices.extend(batch.indices.iter().map(|&index| index as f32));
            let input = StepInput {
                clip_norm: config.clip_norm,
                seed: [config.seed, table.steps as u64],
                ..StepInput::new(&batch)
            };
            table.push(&train_step(&mut model, &mut optimizer, &mut balancing, &input)?);
        }
        epoch += 1;
    }
    common::save_model(&options.out.join("final.safetensors"), &config, &model)?;
    let indices = Tensor::from_vec(indices, &[options.steps, config.batch]);
    let indices = [("indices".to_string(), indices)];
    checkpoint::save(&options.out.join("indices.safetensors"), &indices, &BTreeMap::new())?;
    write_atomically(&options.out.join("steps.csv"), table.text().as_bytes())?;
    say!("{} steps of {} written to {}", options.steps, options.balance, options.out.display());
    Ok(())
}

/// `steps.csv` as it grows.
#[derive(Default)]
struct Table {
    steps: usize,
    rows: String,
}

impl Table {
    fn push<T: Element>(&mut self, result: &StepResult<T>) {
        let losses = result.losses.iter().map(|loss| format!("{:e}", loss.as_f64()));
        let weights = result.weights.iter().map(|weight| format!("{weight:e}"));
        let cells: Vec<String> = losses.chain(weights).collect();
        let order = result.order.as_ref().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(self.rows, "{},{},{order}", self.steps, cells.join(","));
        self.steps += 1;
    }

    fn text(&self) -> String {
        format!("step,left,right,weight_left,weight_right,order\n{}", self.rows)
    }
}

fn save_split(folder: &Path, pairs: &MultiFashion, split: Split) -> Result<(), TrainError> {
    let pixels = pairs.pictures(split).to_vec();
    let images = IdxImages { count: pairs.len(split), height: LENET_SIDE, width: LENET_SIDE, pixels };
    let [left, right] = pairs.classes(split);
    let in_memory = "a vector takes what is written";
    let mut file = Vec::new();
    write_images(&images, &mut file).expect(in_memory);
    write_atomically(&folder.join(format!("{split}-images")), &file)?;
    for (side, classes) in [("left", left), ("right", right)] {
        let mut file = Vec::new();
        write_labels(&classes, &mut file).expect(in_memory);
        write_atomically(&folder.join(format!("{split}-{side}")), &file)?;
    }
    Ok(())
}

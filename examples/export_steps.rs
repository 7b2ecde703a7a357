//! Trains the default model for a number of steps and writes everything that
//! another program needs to take the same steps: initial weights, every batch
//! with its labels, learning rates; and the results that it should find: losses,
//! the first step's gradients, the final weights. `benches/peers/twin.py` is that
//! other program.
//!
//! `cargo run --release --example export_steps -- --out steps`
//!
//! | file in the folder | holds |
//! |---|---|
//! | `initial.safetensors`, `final.safetensors` | checkpoints, as `evaluate` reads them |
//! | `gradients.safetensors` | the gradients of the first step's weighted loss, before clipping, by parameter |
//! | `batches/0000.safetensors`, ... | `images [N, 64, 64, 3]`, `classes [N]`, `masks [N, 64, 64]`, and `objects [M, 6]`, each its image, class and box |
//! | `steps.csv` | each step's learning rate and losses |
//!
//! With `--double` weights and arithmetic have 64 bits. Two programs that then
//! agree to a dozen digits compute the same, and their differences in 32 bits are
//! rounding.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use cerberus::data::{self, Dataset};
use cerberus::multitask::MultiTaskModel;
use cerberus::multitask::{Balancing, StepInput, train_step};
use cerberus::nn::checkpoint;
use cerberus::nn::files::write_atomically;
use cerberus::prelude::*;
use cerberus::train::{TrainConfig, TrainError};
use cerberus_cli::say;
use clap::Parser;

/// Take training steps and write all that another program needs to take the same ones.
#[derive(Parser)]
#[command(name = "export_steps")]
struct Options {
    /// Steps to take
    #[arg(long, default_value_t = 50)]
    steps: usize,
    /// Steps of the learning-rate schedule [default: those of a whole default run]
    #[arg(long, value_name = "STEPS")]
    schedule: Option<usize>,
    /// Largest learning rate of the schedule [default: that of train]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Images per step [default: that of train]
    #[arg(long)]
    batch: Option<usize>,
    /// Compute with 64 bits
    #[arg(long)]
    double: bool,
    /// Chooses initial weights, scenes and their order
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
    let scenes = data::open("fashion-scenes", options.seed)?;
    let mut config = TrainConfig::for_data("fashion-scenes", scenes.info());
    config.seed = options.seed;
    config.batch = options.batch.unwrap_or(config.batch);
    config.learning_rate = options.learning_rate.unwrap_or(config.learning_rate);
    config.validate(scenes.info())?;
    let an_epoch = scenes.len(Split::Train) / config.batch;
    if options.steps == 0 || an_epoch == 0 {
        return Err(TrainError::Option("--steps must be at least 1, --batch at most an epoch".into()));
    }
    let schedule = config.schedule(options.schedule.unwrap_or(config.epochs * an_epoch));
    let folder = options.out.join("batches");
    common::make_folder(&folder)?;

    let mut model = MultiTaskModel::<T>::new(&config.model, config.seed);
    let decay = AdamOptions { weight_decay: config.weight_decay, ..AdamOptions::default() };
    let mut optimizer = AdamW::<T>::new(decay);
    let mut balancing = Balancing::fixed(&config.model.weights());
    common::save_model(&options.out.join("initial.safetensors"), &config, &model)?;
    let names: Vec<&str> = model.tasks().iter().map(|task| task.name()).collect();
    let mut table = format!("step,learning_rate,{}\n", names.join(","));
    for step in 0..options.steps {
        let batch = batch_of(&scenes, &config, step)?;
        save_batch(&folder.join(format!("{step:04}.safetensors")), &batch)?;
        if step == 0 {
            save_gradients(&options.out.join("gradients.safetensors"), &config, &model, &batch)?;
        }
        let rate = schedule.rate(step);
        optimizer.set_learning_rate(rate);
        let input = StepInput {
            clip_norm: config.clip_norm,
            seed: [config.seed, step as u64],
            ..StepInput::new(&batch)
        };
        let result = train_step(&mut model, &mut optimizer, &mut balancing, &input)?;
        let losses: Vec<String> = result.losses.iter().map(|loss| format!("{:e}", loss.as_f64())).collect();
        let _ = writeln!(table, "{step},{rate:e},{}", losses.join(","));
    }
    common::save_model(&options.out.join("final.safetensors"), &config, &model)?;
    write_atomically(&options.out.join("steps.csv"), table.as_bytes())?;
    say!("{} steps written to {}", options.steps, options.out.display());
    Ok(())
}

/// The batch that a run's step sees: the epochs are shuffled as the trainer does.
fn batch_of(scenes: &Arc<dyn Dataset>, config: &TrainConfig, step: usize) -> Result<Batch, TrainError> {
    let an_epoch = scenes.len(Split::Train) / config.batch;
    let plan = EpochPlan {
        epoch: (step / an_epoch) as u64,
        batch_size: config.batch,
        seed: config.seed,
        shuffle: true,
        start_batch: step % an_epoch,
        drop_last: true,
        workers: 0,
        ..EpochPlan::new(Split::Train)
    };
    let mut loader = Loader::new(Arc::clone(scenes), plan)?;
    Ok(loader.next().expect("an epoch has this batch")?)
}

fn save_batch(path: &Path, batch: &Batch) -> Result<(), TrainError> {
    let [n, height, width] = [0, 1, 2].map(|side| batch.images.shape()[side]);
    let classes = batch.classes.iter().flatten().map(|&class| class as f32).collect();
    let masks = batch.masks.iter().flatten().flat_map(|mask| mask.classes.iter().map(|&id| f32::from(id)));
    let objects = batch.objects.iter().enumerate().flat_map(|(image, objects)| {
        let rows = objects.iter().flatten();
        rows.flat_map(move |object| [image as f32, object.class as f32].into_iter().chain(object.bbox))
    });
    let objects: Vec<f32> = objects.collect();
    let count = objects.len() / 6;
    let tensors = [
        ("images".to_string(), batch.images.clone()),
        ("classes".to_string(), Tensor::from_vec(classes, &[n])),
        ("masks".to_string(), Tensor::from_vec(masks.collect(), &[n, height, width])),
        ("objects".to_string(), Tensor::from_vec(objects, &[count, 6])),
    ];
    Ok(checkpoint::save(path, &tensors, &BTreeMap::new())?)
}

/// The gradients of the weighted loss, as the step sees them before they are clipped.
fn save_gradients<T: Element>(
    path: &Path,
    config: &TrainConfig,
    model: &MultiTaskModel<T>,
    batch: &Batch,
) -> Result<(), TrainError> {
    let mut context = Context::training(config.seed, 0);
    let loss = model.loss(batch, &config.model.weights(), &mut context).expect("scenes have all labels");
    let gradients = backward(loss);
    context.discard();
    let named = |(name, parameter): (String, &Parameter<T>)| {
        let gradient = gradients.parameter(parameter.id()).expect("every parameter takes part");
        (name, gradient.clone())
    };
    let tensors: Vec<_> = model.parameters().into_iter().map(named).collect();
    Ok(checkpoint::save(path, &tensors, &BTreeMap::new())?)
}

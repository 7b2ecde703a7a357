//! What sharing a step among processes costs: the time of a step and of its computation alone, and the bytes that a
//! process sends, beside those of the formula in docs/cluster.md. Prints one line of JSON.
//!
//! `mpirun -n 2 target/release/examples/cluster --workload resnet18 --batch 32 --threads 1`

mod common;
#[path = "workloads/resnet.rs"]
mod resnet;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cerberus::data::{self, Batch, Split};
use cerberus::distributed::{Alone, Bytes, Group, Message, Pending, Shards};
use cerberus::multitask::{MultiTaskModel, StepInput};
use cerberus::nn::losses::cross_entropy;
use cerberus::nn::shards::step_over_shards;
use cerberus::prelude::*;
use cerberus::train::{TrainConfig, TrainError};
use cerberus_cli::say;
use clap::{Parser, ValueEnum};
use serde_json::json;

/// Measure training steps that several processes share.
#[derive(Parser)]
#[command(name = "cluster")]
struct Options {
    /// What to run
    #[arg(long)]
    workload: Workload,
    /// Images per step, in all processes
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Parts of a batch [default: one for each process]
    #[arg(long)]
    shards: Option<usize>,
    /// Threads of each process [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Steps to measure, after a few to warm up
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// The form in which processes send gradients: exact or bf16
    #[arg(long, default_value = "exact")]
    messages: Message,
    /// Wait for every message before anything else is done
    #[arg(long)]
    no_overlap: bool,
    /// Also print the time of a step by the model of docs/cluster.md, for a network of so many Mbit/s
    #[arg(long, value_name = "MBITS")]
    rate: Option<f64>,
}

/// What can be measured; the networks are those of `throughput`.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Workload {
    /// The default step of the train example on its 64x64 scenes, AdamW
    Scenes64,
    /// The ResNet-18 for 32x32 images, SGD with momentum
    Resnet18,
    /// 224x224 images, 1,000 classes, nearly all weights in one dense layer, Adam
    Seed224,
}

fn main() -> ExitCode {
    common::run_together(|options: &Options| options.threads, run)
}

fn run(options: &Options, group: &Arc<dyn Group>) -> Result<(), TrainError> {
    let counted =
        Arc::new(Counted { group: Arc::clone(group), sent: AtomicUsize::new(0), waits: options.no_overlap });
    let count = options.shards.unwrap_or(group.size());
    let shards = Shards::new(counted.clone(), count).map_err(TrainError::Option)?;
    if options.batch < count || options.steps == 0 {
        return Err(TrainError::Option(
            "give --batch an image for each shard, and --steps at least 1".into(),
        ));
    }
    let mut work = options.workload.prepare(options.batch, options.messages)?;
    let own = shards.own_samples(options.batch).len();
    let alone = Shards::new(Arc::new(Alone), shards.own().len()).map_err(TrainError::Option)?;
    let computing = median(options.steps, || (work.step)(&alone, own))?;
    counted.sent.store(0, Ordering::Relaxed);
    (work.step)(&shards, options.batch);
    let sent = counted.sent.load(Ordering::Relaxed);
    group.barrier();
    let step = median(options.steps, || (work.step)(&shards, options.batch))?;
    // Rank 0 tells for all: of bytes, the mean, as pieces differ by a number; of times, its own.
    let all = group.gather_at_first((sent as u64).to_le_bytes().to_vec());
    if !group.is_first() {
        return Ok(());
    }
    let sent: u64 = all.iter().filter_map(|sent| Some(u64::from_le_bytes(*sent.first_chunk()?))).sum();
    let name = options.workload.to_possible_value().expect("no workload is hidden");
    // The least and the most: all of what is sent is hidden behind what is computed, or nothing.
    let modelled = options.rate.map(|rate| {
        let sending = work.bytes(group.size(), count, options.messages) * 8.0 / (rate * 1e3);
        let least = if options.no_overlap { computing * 1e3 + sending } else { sending.max(computing * 1e3) };
        [least, computing * 1e3 + sending]
    });
    let line = json!({
        "workload": name.get_name(),
        "processes": group.size(),
        "shards": count,
        "batch": options.batch,
        "threads": rayon::current_num_threads(),
        "overlap": !options.no_overlap,
        "ms_per_step": step * 1e3,
        "ms_computing": computing * 1e3,
        "ms_by_model": modelled,
        "images_per_second": options.batch as f64 / step,
        "bytes_per_step": sent as f64 / group.size() as f64,
        "bytes_by_formula": work.bytes(group.size(), count, options.messages),
    });
    say!("{line}");
    Ok(())
}

/// The median of several steps, in seconds.
fn median(steps: usize, mut step: impl FnMut() -> f64) -> Result<f64, TrainError> {
    let mut seconds = Vec::new();
    for number in 0..steps + 2 {
        let clock = Instant::now();
        if !step().is_finite() {
            return Err(TrainError::Option("the loss is not finite; the figures would mean nothing".into()));
        }
        // The first ones allocate what the others use.
        if number >= 2 {
            seconds.push(clock.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

/// A step on so many images; returns the loss.
type Step = Box<dyn FnMut(&Shards, usize) -> f64>;

/// A network in training.
struct Prepared {
    /// Numbers and tensors of parameters, and of buffers.
    parameters: [usize; 2],
    buffers: [usize; 2],
    /// Bytes that a shard tells of its losses.
    told: usize,
    step: Step,
}

impl Prepared {
    fn of(model: &dyn Module, told: usize, step: impl FnMut(&Shards, usize) -> f64 + 'static) -> Self {
        let (mut parameters, mut buffers) = ([0; 2], [0; 2]);
        model.visit("", &mut |_, entry| {
            let is_parameter = matches!(entry, cerberus::nn::ModuleTensor::Parameter(_));
            let counts = if is_parameter { &mut parameters } else { &mut buffers };
            counts[0] += entry.value().len();
            counts[1] += 1;
        });
        Self { parameters, buffers, told, step: Box::new(step) }
    }

    /// The bytes that a process sends per step: see docs/cluster.md.
    fn bytes(&self, processes: usize, shards: usize, messages: Message) -> f64 {
        let each = if messages == Message::Bf16 { 2 } else { 4 };
        let sums = each * self.parameters.iter().sum::<usize>() + 4 * self.buffers.iter().sum::<usize>();
        let (others, processes) = ((processes - 1) as f64, processes as f64);
        2.0 * others / processes * sums as f64 + others * shards as f64 / processes * self.told as f64
    }
}

impl Workload {
    fn prepare(self, batch: usize, messages: Message) -> Result<Prepared, TrainError> {
        let sgd = || Sgd::new(SgdOptions { momentum: 0.9, ..SgdOptions::default() });
        match self {
            Self::Scenes64 => scenes(batch, messages),
            Self::Resnet18 => {
                let train = Classified { size: 32, classes: 10, batch, messages };
                Ok(train.prepared(resnet::resnet18(10, 1), sgd()))
            }
            Self::Seed224 => {
                let train = Classified { size: 224, classes: 1000, batch, messages };
                Ok(train.prepared(common::small_cnn(224, 1000, 1), Adam::new(AdamOptions::default())))
            }
        }
    }
}

/// Generated images of one class each.
struct Classified {
    size: usize,
    classes: usize,
    batch: usize,
    messages: Message,
}

impl Classified {
    fn prepared(self, mut model: Sequential, mut optimizer: impl Optimizer + 'static) -> Prepared {
        let Self { size, classes, batch, messages } = self;
        let images = Tensor::from_fn(&[batch, size, size, 3], |i| (i as f32 * 0.37).sin());
        let labels: Vec<Option<usize>> = (0..batch).map(|i| Some(i % classes)).collect();
        optimizer.set_learning_rate(1e-3);
        // Per shard, the loss and the length before it.
        let told = 16;
        let counted = &model;
        let mut prepared = Prepared::of(counted, told, |_, _| 0.0);
        prepared.step = Box::new(move |shards, samples| {
            let options = StepOptions::default();
            step_over_shards(
                &mut model,
                &mut optimizer,
                options,
                (shards, messages),
                |shard, model, context| {
                    let places = shards.samples(shard, samples);
                    let part = images.narrow(0, places.start, places.len());
                    cross_entropy(model.forward((&part).into(), context), &labels[places])
                },
            )
        });
        prepared
    }
}

fn scenes(batch: usize, messages: Message) -> Result<Prepared, TrainError> {
    let dataset = data::open("fashion-scenes", 1)?;
    let config = TrainConfig::for_data("fashion-scenes", dataset.info());
    let samples =
        (0..batch).map(|index| dataset.sample(Split::Train, 0, index)).collect::<Result<Vec<_>, _>>()?;
    let all = Batch::assemble(&samples, (0..batch).collect())?;
    let mut model = MultiTaskModel::new(&config.model, 1);
    let mut optimizer = AdamW::new(AdamOptions { learning_rate: 1e-3, ..AdamOptions::default() });
    let mut balancing = config.balancing()?;
    // Per shard, the number of labels and the loss of each task, and the length before them.
    let mut prepared = Prepared::of(&model, 8 + 16 * model.tasks().len(), |_, _| 0.0);
    prepared.step = Box::new(move |shards, samples| {
        let own = shards.own_samples(samples);
        let part = all.narrow(own.start, own.len());
        let input = StepInput {
            samples,
            shards: shards.clone(),
            messages,
            clip_norm: config.clip_norm,
            seed: [1, 0],
            ..StepInput::new(&part)
        };
        let result = model.step(&mut optimizer, &mut balancing, &input);
        result.map_or(f64::NAN, |result| f64::from(result.losses[0]))
    });
    Ok(prepared)
}

/// Counts the bytes that a process sends to others.
struct Counted {
    group: Arc<dyn Group>,
    sent: AtomicUsize,
    /// Whether every exchange is waited for where it begins.
    waits: bool,
}

impl Group for Counted {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn exchange(&self, parts: Vec<Bytes>) -> Pending {
        let others = parts.iter().enumerate().filter(|(rank, _)| *rank != self.rank());
        self.sent.fetch_add(others.map(|(_, part)| part.len()).sum(), Ordering::Relaxed);
        let pending = self.group.exchange(parts);
        if !self.waits {
            return pending;
        }
        let received = pending.wait();
        Pending::new(move || received)
    }

    fn abort(&self, code: i32) -> ! {
        self.group.abort(code)
    }
}

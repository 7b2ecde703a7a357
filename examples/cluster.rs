//! What sharing a step among processes costs: the time of a step and of its computation alone, and the bytes that a
//! process sends, beside those of the formula in docs/cluster.md, and holds of the optimiser's state. Prints one line
//! of JSON.
//!
//! `mpirun -n 2 target/release/examples/cluster --workload resnet18 --batch 32 --threads 1`

mod common;
#[path = "workloads/resnet.rs"]
mod resnet;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cerberus::data::{self, Batch, Split};
use cerberus::distributed::{Alone, Bytes, Counted, Group, Message, Next, Pending, Shards, bytes_to_others};
use cerberus::multitask::{MultiTaskModel, StepInput};
use cerberus::nn::ModuleTensor;
use cerberus::nn::losses::cross_entropy;
use cerberus::nn::optim::Shared;
use cerberus::nn::shards::step_over_shards;
use cerberus::prelude::*;
use cerberus::tensor::parallel::PIECE;
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
    /// Each process keeps the optimiser's state of a part of the weights, and updates that part
    #[arg(long)]
    share_optimizer: bool,
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
    let counted = Arc::new(Counted::new(Arc::clone(group)));
    let watched =
        Arc::new(Watched { group: counted.clone(), waits: options.no_overlap, left: Mutex::default() });
    let through: Arc<dyn Group> = watched.clone();
    let count = options.shards.unwrap_or(group.size());
    let shards = Shards::new(Arc::clone(&through), count).map_err(TrainError::Option)?;
    if options.batch < count || options.steps == 0 {
        return Err(TrainError::Option(
            "give --batch an image for each shard, and --steps at least 1".into(),
        ));
    }
    let own = shards.own_samples(options.batch).len();
    let alone = Shards::new(Arc::new(Alone), shards.own().len()).map_err(TrainError::Option)?;
    let computing = {
        let mut work = options.workload.prepare(options, Arc::new(Alone))?;
        median(options.steps, || (work.step)(&alone, own))?
    };
    let sharing = if options.share_optimizer { through } else { Arc::new(Alone) };
    let mut work = options.workload.prepare(options, sharing)?;
    counted.take();
    (work.step)(&shards, options.batch);
    let sent = counted.take();
    group.barrier();
    let mut leavings = Vec::new();
    let step = median(options.steps, || {
        let clock = Instant::now();
        let loss = (work.step)(&shards, options.batch);
        leavings.push(watched.take(clock));
        loss
    })?;
    // Rank 0 tells for all: of bytes that are sent, the mean, as pieces differ by a number; of those that are held, the
    // most; of times, its own.
    let own = [sent as u64, (work.held)() as u64];
    let all = group.gather_at_first(own.iter().flat_map(|number| number.to_le_bytes()).collect());
    if !group.is_first() {
        return Ok(());
    }
    let of = |place: usize| {
        all.iter()
            .filter_map(move |bytes| bytes.as_chunks().0.get(place))
            .map(|bytes| u64::from_le_bytes(*bytes))
    };
    let (sent, held) = (of(0).sum::<u64>(), of(1).max());
    let name = options.workload.to_possible_value().expect("no workload is hidden");
    let modelled = options.rate.map(|rate| {
        let time = |bytes: f64| bytes * 8.0 / (rate * 1e6);
        let sending = work.bytes(group.size(), count, options);
        if options.no_overlap {
            return computing + time(sending);
        }
        // Of a shared optimiser, the new weights leave after the update.
        let weights = if options.share_optimizer { work.bytes_of_weights(group.size()) } else { 0.0 };
        // Messages leave when their gradients are there and the network has sent those before them. The buffers, a
        // hundredth, leave when the gradients have arrived.
        let (mut end, mut bytes) = (0.0_f64, 0.0);
        for &(left, part) in leavings.last().into_iter().flatten() {
            if bytes + weights < 0.98 * sending {
                end = end.max(left) + time(part as f64);
            }
            bytes += part as f64;
        }
        computing.max(end) + time(weights)
    });
    let line = json!({
        "workload": name.get_name(),
        "processes": group.size(),
        "shards": count,
        "batch": options.batch,
        "threads": rayon::current_num_threads(),
        "overlap": !options.no_overlap,
        "shared": options.share_optimizer,
        "ms_per_step": step * 1e3,
        "ms_computing": computing * 1e3,
        "ms_by_model": modelled.map(|seconds| seconds * 1e3),
        "images_per_second": options.batch as f64 / step,
        "bytes_per_step": sent as f64 / group.size() as f64,
        "bytes_by_formula": work.bytes(group.size(), count, options),
        "state_bytes": held,
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
    /// Numbers, tensors and pieces of parameters.
    parameters: [usize; 3],
    /// Numbers and tensors of buffers.
    buffers: [usize; 2],
    /// Bytes that a shard tells of its losses.
    told: usize,
    /// Whether gradients are clipped to a norm.
    clips: bool,
    step: Step,
    /// The bytes of the optimiser's state in this process.
    held: Box<dyn Fn() -> usize>,
}

impl Prepared {
    fn of(model: &dyn Module, [told, clips]: [usize; 2], optimizer: &Own, step: Step) -> Self {
        let (mut parameters, mut buffers) = ([0; 3], [0; 2]);
        model.visit("", &mut |_, entry| {
            let len = entry.value().len();
            let counts = [len, 1, len.div_ceil(PIECE)];
            match entry {
                ModuleTensor::Parameter(_) => {
                    parameters.iter_mut().zip(counts).for_each(|(sum, x)| *sum += x)
                }
                ModuleTensor::Buffer(_) => buffers.iter_mut().zip(counts).for_each(|(sum, x)| *sum += x),
            }
        });
        let optimizer = Rc::clone(optimizer);
        let len = |(_, tensor): (String, Tensor)| size_of::<f32>() * tensor.len();
        let held = Box::new(move || optimizer.borrow().own_state().into_iter().map(len).sum());
        Self { parameters, buffers, told, clips: clips > 0, step, held }
    }

    /// The bytes that a process sends per step: see docs/cluster.md.
    fn bytes(&self, processes: usize, shards: usize, options: &Options) -> f64 {
        let each = if options.messages == Message::Bf16 { 2 } else { 4 };
        let [numbers, tensors, pieces] = self.parameters;
        let gradients = each * (numbers + tensors);
        let of_parameters = if options.share_optimizer {
            let norms = if self.clips { 8 * pieces } else { 0 };
            gradients + tensors + norms + 4 * numbers
        } else {
            2 * gradients
        };
        let sums = of_parameters + 8 * self.buffers.iter().sum::<usize>();
        let (others, processes) = ((processes - 1) as f64, processes as f64);
        others / processes * (sums + shards * self.told) as f64
    }

    /// The bytes of them that are new weights, of a shared optimiser.
    fn bytes_of_weights(&self, processes: usize) -> f64 {
        (4 * (processes - 1) * self.parameters[0]) as f64 / processes as f64
    }
}

/// An optimiser whose state is known; alone, it holds all of it.
type Own = Rc<RefCell<Shared<f32, Box<dyn Optimizer + Send>>>>;

fn own(optimizer: impl Optimizer + Send + 'static, sharing: Arc<dyn Group>) -> Own {
    Rc::new(RefCell::new(Shared::new(Box::new(optimizer), sharing)))
}

impl Workload {
    /// With an optimiser that the processes of a group share.
    fn prepare(self, options: &Options, sharing: Arc<dyn Group>) -> Result<Prepared, TrainError> {
        let sgd = || Sgd::new(SgdOptions { momentum: 0.9, ..SgdOptions::default() });
        match self {
            Self::Scenes64 => scenes(options, sharing),
            Self::Resnet18 => {
                let train = Classified { size: 32, classes: 10 };
                Ok(train.prepared(options, resnet::resnet18(10, 1), own(sgd(), sharing)))
            }
            Self::Seed224 => {
                let train = Classified { size: 224, classes: 1000 };
                let adam = own(Adam::new(AdamOptions::default()), sharing);
                Ok(train.prepared(options, common::small_cnn(224, 1000, 1), adam))
            }
        }
    }
}

/// Generated images of one class each.
struct Classified {
    size: usize,
    classes: usize,
}

impl Classified {
    fn prepared(self, options: &Options, mut model: Sequential, optimizer: Own) -> Prepared {
        let (Self { size, classes }, batch, messages) = (self, options.batch, options.messages);
        let images = Tensor::from_fn(&[batch, size, size, 3], |i| (i as f32 * 0.37).sin());
        let labels: Vec<Option<usize>> = (0..batch).map(|i| Some(i % classes)).collect();
        optimizer.borrow_mut().set_learning_rate(1e-3);
        // Per shard, the loss and the length before it; nothing is clipped.
        let mut prepared = Prepared::of(&model, [16, 0], &optimizer, Box::new(|_, _| 0.0));
        prepared.step = Box::new(move |shards, samples| {
            let options = StepOptions::default();
            step_over_shards(
                &mut model,
                &mut *optimizer.borrow_mut(),
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

fn scenes(options: &Options, sharing: Arc<dyn Group>) -> Result<Prepared, TrainError> {
    let (batch, messages) = (options.batch, options.messages);
    let dataset = data::open("fashion-scenes", 1)?;
    let config = TrainConfig::for_data("fashion-scenes", dataset.info());
    let samples =
        (0..batch).map(|index| dataset.sample(Split::Train, 0, index)).collect::<Result<Vec<_>, _>>()?;
    let all = Batch::assemble(&samples, (0..batch).collect())?;
    let mut model = MultiTaskModel::new(&config.model, 1);
    let optimizer = own(AdamW::new(AdamOptions { learning_rate: 1e-3, ..AdamOptions::default() }), sharing);
    let mut balancing = config.balancing()?;
    // Per shard, the number of labels and the loss of each task, and the length before them.
    let told = 8 + 16 * model.tasks().len();
    let mut prepared = Prepared::of(&model, [told, 1], &optimizer, Box::new(|_, _| 0.0));
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
        let result = model.step(&mut *optimizer.borrow_mut(), &mut balancing, &input);
        result.map_or(f64::NAN, |result| f64::from(result.losses[0]))
    });
    Ok(prepared)
}

/// A group that notes when messages leave, and waits for every exchange where it begins, if it is to.
struct Watched {
    group: Arc<dyn Group>,
    waits: bool,
    /// When messages to others left, and their bytes, those of the answer included.
    left: Mutex<Vec<(Instant, usize)>>,
}

impl Watched {
    /// The seconds after which messages left, and their bytes, since the last call.
    fn take(&self, start: Instant) -> Vec<(f64, usize)> {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let since =
            |(left, bytes): (Instant, usize)| (left.saturating_duration_since(start).as_secs_f64(), bytes);
        left.into_iter().map(since).collect()
    }

    fn note(&self, parts: &[Bytes], times: usize) {
        let bytes = times * bytes_to_others(parts, self.rank());
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), bytes));
    }

    fn begun(&self, pending: Pending) -> Pending {
        if self.waits { pending.arrived() } else { pending }
    }
}

impl Group for Watched {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn exchange(&self, parts: Vec<Bytes>) -> Pending {
        self.note(&parts, 1);
        self.begun(self.group.exchange(parts))
    }

    fn exchange_twice(&self, parts: Vec<Bytes>, next: Next) -> Pending {
        // What is sent on is as long as what was received.
        self.note(&parts, 2);
        self.begun(self.group.exchange_twice(parts, next))
    }

    fn abort(&self, code: i32) -> ! {
        self.group.abort(code)
    }
}

//! Steps without a run: to find a learning rate, and a batch that fits into memory.

use std::fmt;
use std::sync::Arc;

use cerberus_data::{Batch, Dataset, EpochPlan, Loader, Split};
use cerberus_multitask::MultiTaskModel;
use cerberus_multitask::step::{Balancing, StepInput, StepResult};
use cerberus_nn::optim::Optimizer;
use cerberus_tensor::pool::{live_bytes, take_peak_bytes};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::report::rss_bytes;
use crate::start::{adopt_normalisation, prepare};

/// A model, its optimiser and its strategy as a run would begin with them.
struct Trial<'a> {
    config: &'a TrainConfig,
    model: MultiTaskModel,
    optimizer: Box<dyn Optimizer + Send>,
    balancing: Balancing,
}

impl<'a> Trial<'a> {
    fn new(config: &'a TrainConfig, dataset: &dyn Dataset) -> Result<Self, TrainError> {
        config.validate(dataset.info())?;
        if dataset.is_empty(Split::Train) {
            return Err(TrainError::Option(format!("{} has no training samples to try", config.data)));
        }
        let mut started = config.clone();
        adopt_normalisation(&mut started)?;
        let mut model = MultiTaskModel::new(&started.model, started.seed);
        prepare(&mut model, &started)?;
        let optimizer = config.optimizer.build(config.weight_decay);
        Ok(Self { config, model, optimizer, balancing: config.balancing()? })
    }

    fn step(&mut self, batch: &Batch, number: usize) -> Result<StepResult, TrainError> {
        let input = StepInput {
            validation: self.balancing.strategy.needs().lookahead.then_some(batch),
            clip_norm: self.config.clip_norm,
            seed: [self.config.seed, number as u64],
            modulation: self.config.modulation,
            ..StepInput::new(batch)
        };
        Ok(self.model.step(&mut *self.optimizer, &mut self.balancing, &input)?)
    }
}

/// An endless sequence of training batches.
fn batches(
    config: &TrainConfig,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
) -> impl Iterator<Item = Result<Batch, TrainError>> {
    let (dataset, seed, limit) = (Arc::clone(dataset), config.seed, config.samples);
    let samples = config.samples_of(&*dataset, Split::Train);
    (0..).flat_map(move |epoch| {
        let drop_last = samples >= batch;
        let plan = EpochPlan { seed, limit, drop_last, ..EpochPlan::training(epoch, batch) };
        match Loader::new(Arc::clone(&dataset), plan) {
            Ok(loader) => Box::new(loader.map(|batch| Ok(batch?))) as Box<dyn Iterator<Item = _>>,
            Err(error) => Box::new(std::iter::once(Err(error.into()))),
        }
    })
}

/// The range of the rates.
const LOWEST_RATE: f64 = 1e-6;
const HIGHEST_RATE: f64 = 10.0;
/// The decay of the smoothed loss.
const KEPT: f64 = 0.9;
/// The test ends when the smoothed loss is this many times the lowest.
const BLOWN_UP: f64 = 4.0;

/// A step of [`find_rate`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatePoint {
    /// Its learning rate.
    pub rate: f64,
    /// The weighted sum of the tasks' losses before it.
    pub loss: f64,
    /// The smoothed loss: a mean over the steps so far in which each step back counts a tenth less.
    pub smoothed: f64,
}

/// The result of [`find_rate`].
#[derive(Clone, Debug, PartialEq)]
pub struct RateTest {
    /// Its steps, with rising rate.
    pub points: Vec<RatePoint>,
    /// The rate at which the smoothed loss falls most steeply over the logarithm of the rate: one to train with.
    pub suggested: f64,
    /// The rate at which the smoothed loss is lowest: too high, but a bound.
    pub lowest_loss: f64,
}

/// Trains a fresh model for up to `steps` steps with a learning rate that rises from 1e-6 to 10 by the same factor each
/// time. It ends early if the loss blows up (Smith, "Cyclical learning rates for training neural networks", 2017,
/// section 3.3).
///
/// # Errors
/// If the configuration does not fit the data, a sample cannot be read, there are fewer than 20 steps, or the loss never fell.
pub fn find_rate(
    config: &TrainConfig,
    dataset: &Arc<dyn Dataset>,
    steps: usize,
) -> Result<RateTest, TrainError> {
    if !(20..=100_000).contains(&steps) {
        return Err(TrainError::Option(format!("--find-rate {steps}: give 20 to 100000 steps")));
    }
    let mut trial = Trial::new(config, &**dataset)?;
    let weights = config.model.weights();
    let factor = (HIGHEST_RATE / LOWEST_RATE).powf(1.0 / (steps - 1) as f64);
    let (mut points, mut sum, mut lowest) = (Vec::<RatePoint>::new(), 0.0, f64::INFINITY);
    for (number, batch) in batches(config, dataset, config.batch).take(steps).enumerate() {
        let rate = LOWEST_RATE * factor.powi(number as i32);
        trial.optimizer.set_learning_rate(rate);
        let result = trial.step(&batch?, number)?;
        let loss: f64 =
            result.losses.iter().zip(&weights).map(|(&loss, weight)| f64::from(loss) * weight).sum();
        sum = KEPT * sum + (1.0 - KEPT) * loss;
        let smoothed = sum / (1.0 - KEPT.powi(number as i32 + 1));
        if !smoothed.is_finite() || result.is_diverged() || smoothed > BLOWN_UP * lowest {
            break;
        }
        lowest = lowest.min(smoothed);
        points.push(RatePoint { rate, loss, smoothed });
    }
    // A slope over several steps: that between two neighbours is noise.
    let reach = (points.len() / 12).max(2);
    let slope = |place: &usize| {
        let [before, after] = [place.saturating_sub(reach), (place + reach).min(points.len() - 1)];
        (points[after].smoothed - points[before].smoothed) / (after - before).max(1) as f64
    };
    // The first steps are left out, because their loss is hardly smoothed.
    let steepest = (reach..points.len()).min_by(|a, b| slope(a).total_cmp(&slope(b)));
    let best = points.iter().min_by(|a, b| a.smoothed.total_cmp(&b.smoothed));
    match (steepest, best) {
        (Some(steepest), Some(best)) if slope(&steepest) < 0.0 => {
            let (suggested, lowest_loss) = (points[steepest].rate, best.rate);
            Ok(RateTest { points, suggested, lowest_loss })
        }
        _ => Err(TrainError::Option(
            "--find-rate: the loss never fell, whatever the rate; look at the data with the inspect example, or give more steps"
                .into(),
        )),
    }
}

/// The batch that [`fit_memory`] chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FittedBatch {
    /// Images per step.
    pub batch: usize,
    /// Bytes that the program then needs, as measured in a step.
    pub needed: usize,
}

impl fmt::Display for FittedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}: a step needs {} MiB", self.batch, self.needed.div_ceil(1 << 20))
    }
}

/// The factor by which the allocator holds more than is requested.
const SPARE: f64 = 1.1;
/// Bytes for what comes after training: pictures, the page, checkpoints.
const AFTERWARDS: usize = 32 << 20;

/// The largest batch whose steps need at most `bytes` of memory, the rest of the program included: estimated from steps
/// with 1 and with 4 images (3 and 8 if the strategy needs three parts of a batch), and confirmed by steps with the
/// whole batch.
///
/// # Errors
/// If even the smallest batch needs more, or a sample cannot be read.
pub fn fit_memory(
    config: &TrainConfig,
    dataset: &Arc<dyn Dataset>,
    bytes: usize,
) -> Result<FittedBatch, TrainError> {
    let mut trial = Trial::new(config, &**dataset)?;
    let samples = config.samples_of(&**dataset, Split::Train);
    // A strategy may need three parts of a batch.
    let least = if trial.balancing.strategy.needs().three_batches { 3 } else { 1 };
    let evaluation = evaluation_peak(&trial, dataset)?;
    let mut measure = |batch: usize| -> Result<usize, TrainError> {
        let mut peak = 0;
        // The optimiser's state is allocated in the first step.
        for (number, batch) in batches(config, dataset, batch).take(2).enumerate() {
            let batch = batch?;
            let others = rss_bytes().unwrap_or(0).saturating_sub(live_bytes());
            take_peak_bytes();
            trial.step(&batch, number)?;
            // Two finished batches wait beside the one that is used.
            let inputs = batch.inputs.values().map(|input| input.values.len()).sum::<usize>();
            let waiting = 2 * (batch.images.len() + inputs) * size_of::<f32>();
            let step = take_peak_bytes().max(evaluation);
            peak = (step as f64 * SPARE) as usize + waiting + others + AFTERWARDS;
        }
        Ok(peak)
    };
    let [few, more] = [least, 2 * least + 2].map(|batch| batch.min(samples));
    let (small, large) = (measure(few)?, measure(more)?);
    let too_small = |needed: usize| {
        TrainError::Option(format!(
            "--fit-memory {}: a step with {least} images needs {} MiB; allow more, or choose a smaller --size or --trunk",
            bytes >> 20,
            needed.div_ceil(1 << 20)
        ))
    };
    if small > bytes {
        return Err(too_small(small));
    }
    let each = (large.saturating_sub(small) / (more - few).max(1)).max(1);
    let mut batch = rounded((few + (bytes - small) / each).min(samples).max(least));
    loop {
        let needed = measure(batch)?;
        if needed <= bytes {
            return Ok(FittedBatch { batch, needed });
        }
        if batch <= least {
            return Err(too_small(needed));
        }
        batch = rounded((batch * 7 / 8).min(batch - 1).max(least));
    }
}

/// Peak bytes of tensors while a batch of validation samples is predicted.
fn evaluation_peak(trial: &Trial, dataset: &Arc<dyn Dataset>) -> Result<usize, TrainError> {
    let split = [Split::Validation, Split::Test].into_iter().find(|&split| !dataset.is_empty(split));
    let Some(split) = split else { return Ok(0) };
    let plan = EpochPlan { limit: trial.config.samples, workers: 0, ..EpochPlan::new(split) };
    let Some(batch) = Loader::new(Arc::clone(dataset), plan)?.next() else { return Ok(0) };
    let batch = batch?;
    take_peak_bytes();
    let _ = trial.model.predict(&batch);
    Ok(take_peak_bytes())
}

/// Rounds down to a multiple of eight, from sixteen on.
fn rounded(batch: usize) -> usize {
    if batch < 16 { batch } else { batch / 8 * 8 }
}

//! The trainer: epochs, evaluation, checkpoints, interruption and resumption.

mod builder;
mod divergence;
mod finish;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cerberus_data::{Batch, Dataset, EpochPlan, Loader, Split};
use cerberus_distributed::Shards;
use cerberus_nn::WeightAverage;
use cerberus_nn::files::write_atomically;
use cerberus_nn::optim::{Accumulated, Optimizer};
use cerberus_nn::schedule::Schedule;

use cerberus_balance::EpochFigures;
use cerberus_multitask::MultiTaskModel;

use crate::balance_log::BalanceLog;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::evaluate::{TaskFigures, evaluate_among, score};
use crate::folder::RunFolder;
use crate::page::RunView;
use crate::profile::Profile;
use crate::report::Summary;
use crate::saved;
use crate::start::Transfer;
use crate::state::{self, EpochRow, State};
use crate::watch::Watch;
use cerberus_multitask::step::{Balancing, StepInput, StepResult};

pub use builder::TrainerBuilder;

/// How a call of [`Trainer::run`] ended.
pub enum Outcome {
    /// All epochs are done; this is what `summary.json` holds.
    Finished(Box<Summary>),
    /// It was asked to stop, and saved its position.
    Interrupted,
}

/// The report of a step to an [`Observer`].
#[derive(Clone, Debug)]
pub struct StepReport {
    /// The current epoch, from 1, and the number of epochs.
    pub epoch: [usize; 2],
    /// Finished batches of the epoch, and the number of batches.
    pub batch: [usize; 2],
    /// Steps taken in all, and the number of steps.
    pub step: [u64; 2],
    /// Each task's mean loss over the epoch so far, in the model's order.
    pub losses: Vec<f64>,
    /// Training images per second over this epoch.
    pub images_per_second: f64,
    /// Seconds for the remaining steps at the pace so far, evaluations not counted.
    pub seconds_left: f64,
}

/// Watches a run.
pub trait Observer {
    /// A step was taken.
    fn step(&mut self, report: &StepReport);
    /// `images` more images of a split were evaluated, of `of` in all.
    fn evaluating(&mut self, split: Split, images: usize, of: usize);
    /// An epoch ended.
    fn epoch(&mut self, row: &EpochRow);
}

/// One run: model, optimiser, data, folder and position.
///
/// [`start`](Self::start) and [`resume`](Self::resume) make everything as the
/// configuration says; [`builder`](Self::builder) takes a model with a trunk and
/// heads of your own, an optimiser or a schedule.
pub struct Trainer {
    pub(crate) config: TrainConfig,
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) folder: RunFolder,
    pub(crate) model: MultiTaskModel,
    pub(crate) optimizer: Box<dyn Optimizer + Send>,
    pub(crate) schedule: Schedule,
    pub(crate) state: State,
    pub(crate) balancing: Balancing,
    pub(crate) log: BalanceLog,
    pub(crate) watch: Watch,
    pub(crate) loader_threads: usize,
    /// How batches are cut, and the processes that share them out.
    pub(crate) shards: Shards,
    /// The running mean of the weights, if the run keeps one.
    pub(crate) average: Option<WeightAverage>,
    /// Gradients of the batches since the last step.
    pub(crate) accumulated: Accumulated,
    /// What the model loaded from another one's checkpoint.
    pub(crate) transfer: Option<Transfer>,
    /// Whether to measure layers, and their costs.
    profiles: bool,
    profile: Option<Profile>,
}

impl Trainer {
    /// A trainer with parts of your own; what is not given is made as `config` says.
    pub fn builder(config: TrainConfig, dataset: Arc<dyn Dataset>) -> TrainerBuilder {
        TrainerBuilder::new(config, dataset)
    }

    /// A new run in a new folder.
    ///
    /// # Errors
    /// If an option is out of range, or the folder cannot be used.
    pub fn start(config: TrainConfig, dataset: Arc<dyn Dataset>, folder: &Path) -> Result<Self, TrainError> {
        Self::builder(config, dataset).start(folder)
    }

    /// Continues the run in `folder` from its last checkpoint; from its
    /// beginning if it was stopped before the first one.
    ///
    /// # Errors
    /// If there is no run, or its checkpoint or data do not fit.
    pub fn resume(
        folder: &Path,
        open: impl FnOnce(&TrainConfig) -> Result<Arc<dyn Dataset>, TrainError>,
    ) -> Result<Self, TrainError> {
        let (_, config) = RunFolder::open(folder)?;
        let dataset = open(&config)?;
        Self::builder(config, dataset).resume(folder)
    }

    fn samples(&self, split: Split) -> usize {
        self.config.samples_of(&*self.dataset, split)
    }

    /// Samples of every step: a batch, or all samples if they are fewer.
    fn samples_of_step(&self) -> usize {
        self.config.batch.min(self.samples(Split::Train))
    }

    /// Whether this process writes the run's files: the only one, or the first of several.
    fn writes(&self) -> bool {
        self.shards.group().is_first()
    }

    /// The run's configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The model as it is now.
    pub fn model(&self) -> &MultiTaskModel {
        &self.model
    }

    /// What the model loaded from the checkpoint it began with, if it began with one.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref()
    }

    /// The run's position.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Trains to the end, or until `stop` is set in any process: the current step is then
    /// finished and the run saved.
    ///
    /// # Errors
    /// If data cannot be read, a file cannot be written, or a loss is not finite.
    pub fn run(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        while !self.is_done() {
            if !self.train_epoch(observer, stop)? {
                self.save_last()?;
                return Ok(self.interrupted());
            }
            self.finish_epoch(observer)?;
            if self.is_stopped(stop) && !self.is_done() {
                return Ok(self.interrupted());
            }
        }
        let summary = self.summarise(observer)?;
        self.shards.group().barrier();
        Ok(Outcome::Finished(Box::new(summary)))
    }

    /// Whether any process was asked to stop.
    fn is_stopped(&self, stop: &AtomicBool) -> bool {
        self.shards.group().any(stop.load(Ordering::Relaxed))
    }

    /// Returns when the run is saved: a process that ended before would take the one that saves with it.
    fn interrupted(&self) -> Outcome {
        self.shards.group().barrier();
        Outcome::Interrupted
    }

    /// Whether all epochs are done, or the run's patience is used up.
    fn is_done(&self) -> bool {
        let waited = self.state.epochs_since_best();
        self.state.epoch >= self.config.epochs
            || self.config.patience.is_some_and(|patience| waited >= patience)
    }

    /// Trains the rest of the current epoch; false if it was stopped before its end.
    fn train_epoch(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<bool, TrainError> {
        let plan = EpochPlan {
            epoch: self.state.epoch as u64,
            batch_size: self.config.batch,
            seed: self.config.seed,
            shuffle: true,
            start_batch: self.state.batch,
            limit: self.config.samples,
            // A step on a handful of images would disturb batch norm.
            drop_last: self.samples(Split::Train) >= self.config.batch,
            workers: self.loader_threads,
            within: Some(self.shards.own_samples(self.samples_of_step())),
            ..EpochPlan::new(Split::Train)
        };
        let loader = Loader::new(Arc::clone(&self.dataset), plan)?;
        let (batches, samples) = (loader.batches(), self.samples_of_step());
        let mut clock = Instant::now();
        for batch in loader {
            // Stops only between steps of the optimiser: gradients of a part of a step are in no checkpoint.
            if self.accumulated.batches() == 0 && self.is_stopped(stop) {
                return Ok(false);
            }
            let batch = batch?;
            let is_last = self.state.batch + 1 == batches;
            let result = self.step(&batch, is_last)?;
            let seconds = clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let state = &mut self.state;
            for &task in &result.tasks {
                state.loss_sums[task] += f64::from(result.losses[task]) * samples as f64;
                state.loss_images[task] += samples;
            }
            state.weight_sums.iter_mut().zip(&result.weights).for_each(|(sum, weight)| *sum += weight);
            self.log.push(state.step, &result);
            state.batch += 1;
            state.step += 1;
            state.images += samples;
            state.training_images += samples as u64;
            state.training_seconds += seconds;
            state.seconds += seconds;
            let steps = (batches * self.config.epochs) as u64;
            let pace = state.training_seconds / state.step as f64;
            observer.step(&StepReport {
                epoch: [state.epoch + 1, self.config.epochs],
                batch: [state.batch, batches],
                step: [state.step, steps],
                losses: state.mean_losses(),
                images_per_second: state.epoch_images_per_second(),
                seconds_left: steps.saturating_sub(state.step) as f64 * pace,
            });
        }
        Ok(true)
    }

    /// Trains on a batch: one step of the optimiser, or a part of one. The last batch of an epoch ends a step.
    fn step(&mut self, batch: &Batch, is_last: bool) -> Result<StepResult, TrainError> {
        let validation =
            if self.balancing.strategy.needs().lookahead { Some(self.some_validation()?) } else { None };
        let (all, samples) = (self.samples(Split::Train), self.samples_of_step());
        let Self { config, model, optimizer, state, balancing, accumulated, shards, .. } = self;
        let update = state.epoch * updates_per_epoch(config, all) + state.batch / config.accumulate;
        optimizer.set_learning_rate(self.schedule.rate(update));
        let input = StepInput {
            samples,
            shards: shards.clone(),
            sync_norm: config.sync_norm,
            messages: config.messages,
            validation: validation.as_ref(),
            clip_norm: config.clip_norm,
            seed: [config.seed, state.step],
            diagnose: config.diagnose > 0 && state.step.is_multiple_of(config.diagnose as u64),
            modulation: config.modulation,
            ..StepInput::new(batch)
        };
        let result = if config.accumulate == 1 {
            model.step(&mut **optimizer, balancing, &input)?
        } else {
            let now = is_last || accumulated.batches() + 1 == config.accumulate;
            model.step(&mut accumulated.through(&mut **optimizer, now), balancing, &input)?
        };
        if result.not_finite.is_some() || result.is_diverged() {
            return Err(self.diverged(batch, result.not_finite));
        }
        if let Some(average) = self.average.as_mut().filter(|_| self.accumulated.batches() == 0) {
            average.update(&self.model);
            self.state.averaged = average.updates();
        }
        Ok(result)
    }

    /// As many validation samples as a batch has, of which those of this process's shards, different ones at each step;
    /// training samples if there is no validation split, never test samples.
    fn some_validation(&self) -> Result<Batch, TrainError> {
        let has_validation = !self.dataset.is_empty(Split::Validation);
        let split = if has_validation { Split::Validation } else { Split::Train };
        let of = self.samples(split).max(1);
        let count = self.samples_of_step();
        let first = self.state.step as usize * count;
        let own = self.shards.own_samples(count);
        let indices: Vec<usize> = own.map(|place| (first + place) % of).collect();
        let epoch = self.state.epoch as u64;
        let samples = indices.iter().map(|&index| self.dataset.sample(split, epoch, index));
        Ok(Batch::assemble(&samples.collect::<Result<Vec<_>, _>>()?, indices)?)
    }

    fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let clock = Instant::now();
        self.swap_average();
        let validation = self.evaluate(Split::Validation, observer)?;
        let score = score(&validation);
        let state = &mut self.state;
        // Without a validation part there is no best epoch to choose: the figures
        // are those of the test part, if any, and the last epoch counts as the
        // best.
        let is_best = state.would_be_best(score) || self.dataset.is_empty(Split::Validation);
        state.epoch += 1;
        state.seconds += clock.elapsed().as_secs_f64();
        let row = EpochRow {
            epoch: state.epoch,
            step: state.step,
            learning_rate: self.optimizer.learning_rate(),
            losses: state.mean_losses(),
            weights: state.weight_sums.iter().map(|sum| sum / state.batch.max(1) as f64).collect(),
            validation,
            score,
            is_best,
            images_per_second: state.epoch_images_per_second(),
            seconds: state.seconds,
        };
        let metrics: Vec<Option<f64>> = row.validation.iter().map(|task| task.metrics[0].1).collect();
        self.balancing.strategy.end_epoch(&EpochFigures { losses: &row.losses, metrics: &metrics });
        state.history.push(row.clone());
        state.batch = 0;
        state.images = 0;
        state.loss_sums.fill(0.0);
        state.loss_images.fill(0);
        state.weight_sums.fill(0.0);
        state.training_seconds_before = state.training_seconds;
        // Save the best model first: a run killed between the two repeats the
        // epoch and writes the same file again.
        if is_best && self.writes() {
            saved::save(&self.folder.best(), &self.config, &self.model, None)?;
        }
        self.swap_average();
        self.save_last()?;
        if self.writes() {
            write_atomically(
                &self.folder.metrics(),
                state::to_csv(&self.model.task_names(), &self.state.history).as_bytes(),
            )?;
            if self.profiles && self.profile.is_none() {
                self.profile = Some(self.measure_layers()?);
            }
            self.watch.epoch(&self.view());
        }
        observer.epoch(&row);
        Ok(())
    }

    /// Exchanges the weights with their running mean, or back.
    fn swap_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.swap(&mut self.model);
        }
    }

    /// Scores a part of the data; if validation or test is empty, the other one is used.
    fn evaluate(&self, split: Split, observer: &mut dyn Observer) -> Result<Vec<TaskFigures>, TrainError> {
        let split = self.scored(split);
        let of = self.samples(split);
        let group = self.shards.group();
        evaluate_among(group, &self.model, &self.dataset, (split, self.config.samples), &mut |images| {
            observer.evaluating(split, images, of);
        })
    }

    /// The cost of each layer in a step with a training batch.
    fn measure_layers(&self) -> Result<Profile, TrainError> {
        let (config, epoch) = (&self.config, self.state.epoch as u64);
        let samples = (0..config.batch.min(self.samples(Split::Train)))
            .map(|index| self.dataset.sample(Split::Train, epoch, index))
            .collect::<Result<Vec<_>, _>>()?;
        let batch = Batch::assemble(&samples, (0..samples.len()).collect())?;
        Ok(Profile::of(&self.model, &batch, config.seed))
    }

    /// The data of the page and the event file.
    fn view(&self) -> RunView<'_> {
        let Self { config, folder, model, dataset, schedule, state, profile, .. } = self;
        RunView { config, folder, model, dataset, schedule, state, profile: profile.as_ref() }
    }

    /// The part that is scored for `split`.
    fn scored(&self, split: Split) -> Split {
        let other = if split == Split::Test { Split::Validation } else { Split::Test };
        if self.dataset.is_empty(split) && !self.dataset.is_empty(other) { other } else { split }
    }

    fn save_last(&self) -> Result<(), TrainError> {
        self.save_run(&self.folder.last())?;
        if self.writes() { self.log.write(&self.folder) } else { Ok(()) }
    }

    /// Writes the whole run in its current state, in the first process; all must call it.
    pub(crate) fn save_run(&self, path: &Path) -> Result<(), TrainError> {
        if !self.writes() {
            // The first process gathers the state of an optimiser that is shared.
            drop(self.optimizer.state());
            return Ok(());
        }
        let memory = self.balancing.strategy.memory();
        let average = self.average.as_ref();
        let run = saved::Run { optimizer: &*self.optimizer, state: &self.state, memory, average };
        saved::save(path, &self.config, &self.model, Some(run))
    }
}

/// Batches of an epoch: the last, smaller one is left out unless it is the only one.
fn batches(samples: usize, batch: usize) -> usize {
    if samples >= batch { samples / batch } else { 1 }
}

/// Steps of the optimiser in an epoch.
pub(crate) fn updates_per_epoch(config: &TrainConfig, samples: usize) -> usize {
    batches(samples, config.batch).div_ceil(config.accumulate)
}

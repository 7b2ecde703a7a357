//! The trainer: epochs, evaluation, checkpoints, interruption and resumption.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cerberus_data::{Batch, Dataset, EpochPlan, Loader, Split};
use cerberus_nn::Module;
use cerberus_nn::files::write_atomically;
use cerberus_nn::optim::{AdamOptions, AdamW, Optimizer};
use cerberus_nn::schedule::Schedule;

use cerberus_balance::EpochFigures;
use cerberus_multitask::{MultiTaskModel, TrunkKind};

use crate::balance_log::BalanceLog;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::evaluate::{TaskFigures, evaluate, score};
use crate::folder::RunFolder;
use crate::report::{Summary, write_samples};
use crate::saved;
use crate::state::{self, EpochRow, State};
use cerberus_multitask::step::{Balancing, StepInput, StepResult};

/// How a call of [`Trainer::run`] ended.
pub enum Outcome {
    /// All epochs are done; this is what `summary.json` holds.
    Finished(Box<Summary>),
    /// It was asked to stop, and saved where it stands.
    Interrupted,
}

/// What an [`Observer`] is told of a step.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// The epoch under way, from 1, and of how many.
    pub epoch: [usize; 2],
    /// Finished batches of the epoch, and of how many.
    pub batch: [usize; 2],
    /// Steps taken in all, and of how many.
    pub step: [u64; 2],
    /// Each task's mean loss over the epoch so far, in the model's order.
    pub losses: Vec<f64>,
    /// Training images per second over this epoch.
    pub images_per_second: f64,
    /// What the remaining steps will take at the pace so far, evaluations not counted.
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
    config: TrainConfig,
    dataset: Arc<dyn Dataset>,
    folder: RunFolder,
    model: MultiTaskModel,
    optimizer: Box<dyn Optimizer + Send>,
    schedule: Schedule,
    state: State,
    balancing: Balancing,
    log: BalanceLog,
    loader_threads: usize,
}

/// A trainer to be, made by [`Trainer::builder`].
///
/// ```no_run
/// use cerberus_data::Dataset;
/// use cerberus_multitask::{MultiTaskModel, TrunkKind};
/// use cerberus_nn::{Sgd, SgdOptions};
/// use cerberus_train::{TrainConfig, TrainError, Trainer};
///
/// # fn run(my_model: MultiTaskModel, observer: &mut dyn cerberus_train::Observer) -> Result<(), TrainError> {
/// let data = cerberus_data::open("fashion-scenes", 1)?;
/// let config = TrainConfig::for_data("fashion-scenes", data.info());
/// let mut trainer = Trainer::builder(config, data)
///     .model(my_model)
///     .optimizer(Sgd::new(SgdOptions { momentum: 0.9, ..SgdOptions::default() }))
///     .start("runs/mine".as_ref())?;
/// trainer.run(observer, &false.into())?;
/// # Ok(())
/// # }
/// ```
pub struct TrainerBuilder {
    config: TrainConfig,
    dataset: Arc<dyn Dataset>,
    model: Option<MultiTaskModel>,
    optimizer: Option<Box<dyn Optimizer + Send>>,
    schedule: Option<Schedule>,
    accepts_changed_data: bool,
    loader_threads: usize,
}

impl TrainerBuilder {
    /// Trains this model, whose trunk and heads may be of kinds that no list names.
    /// The run's checkpoints are then loaded into a model that you build, with
    /// [`load_into`](crate::load_into).
    pub fn model(mut self, model: MultiTaskModel) -> Self {
        self.config.model.trunk = TrunkKind::Custom;
        self.config.model.stages = Vec::new();
        self.config.model.heads = model.tasks().iter().map(|task| task.config().clone()).collect();
        self.model = Some(model);
        self
    }

    /// Updates parameters with this optimiser instead of AdamW.
    pub fn optimizer(mut self, optimizer: impl Optimizer + Send + 'static) -> Self {
        self.optimizer = Some(Box::new(optimizer));
        self
    }

    /// Sets the learning rate by this schedule instead of the configuration's.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Continues a run even if its data are not what they were when it began.
    pub fn accept_changed_data(mut self, accepts: bool) -> Self {
        self.accepts_changed_data = accepts;
        self
    }

    /// Makes batches on so many threads beside those that compute, 1 by default; with 0 they are made between steps. It
    /// changes the speed and nothing else.
    pub fn loader_threads(mut self, threads: usize) -> Self {
        self.loader_threads = threads;
        self
    }

    /// A new run in a new folder.
    ///
    /// # Errors
    /// If an option is out of range, or the folder cannot be used.
    pub fn start(self, folder: &Path) -> Result<Trainer, TrainError> {
        self.start_in(|config| RunFolder::create(folder, config))
    }

    /// A new run in a new folder of its own, `base/train-1` or the next free number.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_in_next(self, base: &Path) -> Result<Trainer, TrainError> {
        self.start_in(|config| RunFolder::create_next(base, config))
    }

    fn start_in(
        mut self,
        create: impl FnOnce(&TrainConfig) -> Result<RunFolder, TrainError>,
    ) -> Result<Trainer, TrainError> {
        if self.dataset.is_empty(Split::Train) {
            let data = &self.config.data;
            return Err(TrainError::Option(format!(
                "{data} has no training samples: hold back less than all of them, or name a training part"
            )));
        }
        let (model, optimizer) = self.parts()?;
        self.config.note_data(self.dataset.info());
        let folder = create(&self.config)?;
        folder.write_accounts(&self.dataset.info().accounts)?;
        self.assemble(folder, model, optimizer, State::default())
    }

    /// Continues the run in `folder` from its last checkpoint; from its beginning if
    /// it was stopped before the first one. The model and the optimiser must be built
    /// as they were at the start of the run.
    ///
    /// # Errors
    /// If there is no run in the folder, another program has it, it has another configuration, its data have
    /// changed, or if the checkpoint does not fit the model or the optimiser.
    pub fn resume(mut self, folder: &Path) -> Result<Trainer, TrainError> {
        let (folder, config) = RunFolder::open(folder)?;
        folder.clear_temporary();
        self.config.places.clone_from(&config.places);
        self.config.fingerprints.clone_from(&config.fingerprints);
        if config != self.config {
            return Err(TrainError::Folder {
                path: folder.config(),
                problem: "describes another run; resume with the configuration and model of its start".into(),
            });
        }
        let (mut model, mut optimizer) = self.parts()?;
        self.check_data(&folder)?;
        if !folder.last().exists() {
            return self.assemble(folder, model, optimizer, State::default());
        }
        let (state, memory) = saved::load_run(&folder.last(), &mut model, &mut *optimizer)?;
        let mut trainer = self.assemble(folder, model, optimizer, state)?;
        trainer.balancing.strategy.restore(&memory)?;
        Ok(trainer)
    }

    /// Refuses data that are not those the run began with, or notes what they are now.
    fn check_data(&mut self, folder: &RunFolder) -> Result<(), TrainError> {
        let began = std::mem::take(&mut self.config.fingerprints);
        let accounts = Arc::clone(&self.dataset.info().accounts);
        self.config.fingerprints = accounts.iter().map(|account| account.fingerprint.clone()).collect();
        // A run of before there were fingerprints has none.
        if began.is_empty() || began == self.config.fingerprints {
            return Ok(());
        }
        if self.accepts_changed_data {
            folder.write_json(&folder.config(), &self.config)?;
            return folder.write_accounts(&accounts);
        }
        let before = folder.accounts();
        let changes = before.iter().zip(accounts.iter()).filter_map(|(old, new)| new.changes_since(old));
        let changes: Vec<String> = changes.collect();
        let changes = if changes.is_empty() { "its account is gone".into() } else { changes.join("; ") };
        Err(TrainError::Folder {
            path: folder.path().to_path_buf(),
            problem: format!(
                "the data have changed since the run began: {changes}; put them back as they were, or go on with \
                 --accept-changed-data"
            ),
        })
    }

    /// The model and the optimiser, those of the configuration where none were given.
    fn parts(&mut self) -> Result<(MultiTaskModel, Box<dyn Optimizer + Send>), TrainError> {
        let config = &self.config;
        let model = match self.model.take() {
            Some(model) => {
                config.validate_run()?;
                model
            }
            None => {
                config.validate(self.dataset.info())?;
                MultiTaskModel::new(&config.model, config.seed)
            }
        };
        let options = AdamOptions { weight_decay: config.weight_decay, ..AdamOptions::default() };
        Ok((model, self.optimizer.take().unwrap_or_else(|| AdamW::boxed(options))))
    }

    fn assemble(
        self,
        folder: RunFolder,
        model: MultiTaskModel,
        optimizer: Box<dyn Optimizer + Send>,
        mut state: State,
    ) -> Result<Trainer, TrainError> {
        let Self { config, dataset, schedule, loader_threads, .. } = self;
        let steps = config.epochs * batches(config.samples_of(&*dataset, Split::Train), config.batch);
        let schedule = schedule.unwrap_or_else(|| config.schedule(steps));
        let balancing = config.balancing()?;
        let log = BalanceLog::before(&folder, state.step, model.task_names());
        state.loss_sums.resize(model.tasks().len(), 0.0);
        state.loss_images.resize(model.tasks().len(), 0);
        state.weight_sums.resize(model.tasks().len(), 0.0);
        Ok(Trainer { config, dataset, folder, model, optimizer, schedule, state, balancing, log, loader_threads })
    }
}

impl Trainer {
    /// A trainer with parts of your own; what is not given is made as `config` says.
    pub fn builder(config: TrainConfig, dataset: Arc<dyn Dataset>) -> TrainerBuilder {
        TrainerBuilder {
            config,
            dataset,
            model: None,
            optimizer: None,
            schedule: None,
            accepts_changed_data: false,
            loader_threads: 1,
        }
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

    /// Where the run stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Trains to the end, or until `stop` is set: the step under way is then
    /// finished and the run saved.
    ///
    /// # Errors
    /// If data cannot be read, a file cannot be written, or a loss is no longer
    /// a number.
    pub fn run(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        while self.state.epoch < self.config.epochs {
            if !self.train_epoch(observer, stop)? {
                self.save_last()?;
                return Ok(Outcome::Interrupted);
            }
            self.finish_epoch(observer)?;
            if stop.load(Ordering::Relaxed) && self.state.epoch < self.config.epochs {
                return Ok(Outcome::Interrupted);
            }
        }
        Ok(Outcome::Finished(Box::new(self.summarise(observer)?)))
    }

    /// The rest of the epoch under way; false if it was stopped before its end.
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
            ..EpochPlan::new(Split::Train)
        };
        let loader = Loader::new(Arc::clone(&self.dataset), plan)?;
        let batches = loader.batches();
        let mut clock = Instant::now();
        for batch in loader {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let batch = batch?;
            let result = self.step(&batch)?;
            let seconds = clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let state = &mut self.state;
            for &task in &result.tasks {
                state.loss_sums[task] += f64::from(result.losses[task]) * batch.len() as f64;
                state.loss_images[task] += batch.len();
            }
            state.weight_sums.iter_mut().zip(&result.weights).for_each(|(sum, weight)| *sum += weight);
            self.log.push(state.step, &result);
            state.batch += 1;
            state.step += 1;
            state.images += batch.len();
            state.training_images += batch.len() as u64;
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

    fn step(&mut self, batch: &Batch) -> Result<StepResult, TrainError> {
        let validation = if self.balancing.strategy.needs().lookahead {
            Some(self.some_validation(batch.len())?)
        } else {
            None
        };
        let Self { config, model, optimizer, state, balancing, .. } = self;
        optimizer.set_learning_rate(self.schedule.rate(state.step as usize));
        let input = StepInput {
            batch,
            validation: validation.as_ref(),
            clip_norm: config.clip_norm,
            seed: [config.seed, state.step],
            diagnose: config.diagnose > 0 && state.step.is_multiple_of(config.diagnose as u64),
        };
        let result = model.step(&mut **optimizer, balancing, &input)?;
        let step = state.step;
        match result.losses.iter().position(|loss| !loss.is_finite()) {
            Some(index) => Err(TrainError::Diverged {
                task: model.tasks()[index].name().to_string(),
                value: result.losses[index],
                step,
            }),
            None if result.is_diverged() => Err(TrainError::DivergedGradient { step }),
            None => Ok(result),
        }
    }

    /// As many validation samples as a batch has, others at each step; of the
    /// training split where there is no validation split, never of the test split.
    fn some_validation(&self, count: usize) -> Result<Batch, TrainError> {
        let has_validation = !self.dataset.is_empty(Split::Validation);
        let split = if has_validation { Split::Validation } else { Split::Train };
        let of = self.samples(split).max(1);
        let first = self.state.step as usize * count;
        let indices: Vec<usize> = (first..first + count).map(|index| index % of).collect();
        let epoch = self.state.epoch as u64;
        let samples = indices.iter().map(|&index| self.dataset.sample(split, epoch, index));
        Ok(Batch::assemble(&samples.collect::<Result<Vec<_>, _>>()?, indices)?)
    }

    fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let clock = Instant::now();
        let validation = self.evaluate(Split::Validation, observer)?;
        let score = score(&validation);
        let state = &mut self.state;
        // Without a validation part nothing may choose: what is shown is the test
        // part, if any, and the last epoch is the best.
        let is_best = state.would_be_best(score) || self.dataset.is_empty(Split::Validation);
        state.epoch += 1;
        state.seconds += clock.elapsed().as_secs_f64();
        let row = EpochRow {
            epoch: state.epoch,
            step: state.step,
            learning_rate: self.schedule.rate(state.step.saturating_sub(1) as usize),
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
        // The best model first: a run killed between the two repeats the epoch
        // and writes the same file again.
        if is_best {
            saved::save(&self.folder.best(), &self.config, &self.model, None)?;
        }
        self.save_last()?;
        write_atomically(
            &self.folder.metrics(),
            state::to_csv(&self.model.task_names(), &self.state.history).as_bytes(),
        )?;
        observer.epoch(&row);
        Ok(())
    }

    /// Scores a part of the data; validation and test stand in for each other where one of them is empty.
    fn evaluate(&self, split: Split, observer: &mut dyn Observer) -> Result<Vec<TaskFigures>, TrainError> {
        let split = self.scored(split);
        let of = self.samples(split);
        evaluate(&self.model, &self.dataset, split, self.config.samples, &mut |images| {
            observer.evaluating(split, images, of);
        })
    }

    /// The part that is scored where `split` was asked for.
    fn scored(&self, split: Split) -> Split {
        let other = if split == Split::Test { Split::Validation } else { Split::Test };
        if self.dataset.is_empty(split) && !self.dataset.is_empty(other) { other } else { split }
    }

    fn save_last(&self) -> Result<(), TrainError> {
        let memory = self.balancing.strategy.memory();
        let run = saved::Run { optimizer: &*self.optimizer, state: &self.state, memory };
        saved::save(&self.folder.last(), &self.config, &self.model, Some(run))?;
        self.log.write(&self.folder)
    }

    /// Reads the test split with the best model and writes what was found.
    fn summarise(&mut self, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
        let clock = Instant::now();
        let last = self.model.tensors();
        saved::load_into(&self.folder.best(), &mut self.model)?;
        // What was trained and measured so far is not lost by a test picture that cannot be read.
        let tested = self.evaluate(Split::Test, observer).and_then(|figures| {
            write_samples(&self.folder, &self.model, &self.dataset)?;
            Ok(figures)
        });
        self.state.seconds += clock.elapsed().as_secs_f64();
        let (figures, failure) = match tested {
            Ok(figures) => (figures, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let summary = Summary::new(&self.config, &self.model, &self.state, &self.dataset, &figures)
            .scored_on(self.scored(Split::Test));
        let mut last = last.into_iter();
        self.model.visit_mut("", &mut |_, mut entry| {
            *entry.value_mut() = last.next().expect("the model has the tensors it had").1;
        });
        self.folder.write_json(&self.folder.summary(), &summary)?;
        failure.map_or(Ok(summary), Err)
    }
}

/// Batches of an epoch: the last, smaller one is left out unless it is the only one.
fn batches(samples: usize, batch: usize) -> usize {
    if samples >= batch { samples / batch } else { 1 }
}

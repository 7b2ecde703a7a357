//! Building a trainer, for a new run or the continuation of one, from the configuration and the user's own parts.

use std::path::Path;
use std::sync::Arc;

use cerberus_data::{Dataset, Split};
use cerberus_distributed::{Alone, Group, Shards};
use cerberus_multitask::networks::Neck;
use cerberus_multitask::{MultiTaskModel, TrunkKind};
use cerberus_nn::WeightAverage;
use cerberus_nn::optim::{Accumulated, Optimizer, Shared};
use cerberus_nn::schedule::Schedule;

use super::{Trainer, updates_per_epoch};
use crate::agree::agree;
use crate::balance_log::BalanceLog;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::folder::RunFolder;
use crate::saved;
use crate::start::{Transfer, adopt_normalisation, prepare};
use crate::state::State;
use crate::watch::Watch;

/// Builds a trainer; made by [`Trainer::builder`].
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
    transfer: Option<Transfer>,
    command: Option<String>,
    settings: Option<String>,
    loader_threads: usize,
    profiles: bool,
    group: Arc<dyn Group>,
}

impl TrainerBuilder {
    pub(crate) fn new(config: TrainConfig, dataset: Arc<dyn Dataset>) -> Self {
        Self {
            config,
            dataset,
            model: None,
            optimizer: None,
            schedule: None,
            accepts_changed_data: false,
            transfer: None,
            command: None,
            settings: None,
            loader_threads: 1,
            profiles: false,
            group: Arc::new(Alone),
        }
    }
}

impl TrainerBuilder {
    /// Trains this model, whose trunk and heads may be of your own kinds. The run's
    /// checkpoints are then loaded into a model that you build, with
    /// [`load_into`](crate::load_into).
    pub fn model(mut self, model: MultiTaskModel) -> Self {
        self.config.model.trunk = TrunkKind::Custom;
        (self.config.model.stages, self.config.model.network) = (Vec::new(), String::new());
        self.config.model.neck = Neck::None;
        self.config.model.heads = model.tasks().iter().map(|task| task.config().clone()).collect();
        self.model = Some(model);
        self
    }

    /// Updates parameters with this optimiser instead of the configuration's.
    pub fn optimizer(mut self, optimizer: impl Optimizer + Send + 'static) -> Self {
        self.optimizer = Some(Box::new(optimizer));
        self
    }

    /// Sets the learning rate by this schedule instead of the configuration's.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Continues a run even if its data have changed since it began.
    pub fn accept_changed_data(mut self, accepts: bool) -> Self {
        self.accepts_changed_data = accepts;
        self
    }

    /// Records the command that starts or continues the run, in `command.txt` and on its page. It is not part of
    /// the configuration.
    pub fn command(mut self, command: &str) -> Self {
        self.command = Some(command.into());
        self
    }

    /// The text of a new run's `train.toml`: the settings that repeat it.
    pub fn settings(mut self, text: &str) -> Self {
        self.settings = Some(text.into());
        self
    }

    /// Makes batches on this many threads besides those that compute, 1 by default; with 0 they are made between steps.
    /// This changes only the speed.
    pub fn loader_threads(mut self, threads: usize) -> Self {
        self.loader_threads = threads;
        self
    }

    /// Measures the cost of each layer after the first epoch, and shows it on the run's page.
    pub fn profile(mut self, profiles: bool) -> Self {
        self.profiles = profiles;
        self
    }

    /// Trains together with the other processes of this group, each of which builds the same trainer. The first one
    /// writes the run's files; the others leave its folder alone and take it from the first.
    pub fn group(mut self, group: Arc<dyn Group>) -> Self {
        self.group = group;
        self
    }

    /// A new run in a new folder.
    ///
    /// # Errors
    /// If an option is out of range, the folder cannot be used, or the processes of the group differ.
    pub fn start(self, folder: &Path) -> Result<Trainer, TrainError> {
        self.start_in(|config, settings| RunFolder::create_with(folder, config, settings))
    }

    /// A new run in a new folder of its own, `base/train-1` or the next free number.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_in_next(self, base: &Path) -> Result<Trainer, TrainError> {
        self.start_in(|config, settings| RunFolder::create_next(base, config, settings))
    }

    fn start_in(
        mut self,
        create: impl FnOnce(&TrainConfig, Option<&str>) -> Result<RunFolder, TrainError>,
    ) -> Result<Trainer, TrainError> {
        if self.dataset.is_empty(Split::Train) {
            let data = &self.config.data;
            return Err(TrainError::Option(format!(
                "{data} has no training samples: hold back less than all of them, or name a training part"
            )));
        }
        if self.model.is_none() {
            adopt_normalisation(&mut self.config)?;
        }
        let (model, optimizer) = self.parts()?;
        self.config.note_data(self.dataset.info());
        self.agree(None)?;
        let folder = if self.group.is_first() {
            let folder = create(&self.config, self.settings.as_deref())?;
            folder.write_accounts(&self.dataset.info().accounts)?;
            self.group.broadcast(folder.path().to_string_lossy().into_owned().into_bytes());
            folder
        } else {
            let path = self.group.broadcast(Vec::new());
            RunFolder::of_another(Path::new(&*String::from_utf8_lossy(&path)))
        };
        self.assemble(folder, model, optimizer, State::default())
    }

    /// Continues the run in `folder` from its last checkpoint; from its beginning if
    /// it was stopped before the first one. The model and the optimiser must be built
    /// as they were at the start of the run.
    ///
    /// # Errors
    /// If there is no run in the folder, another program uses it, it has another configuration, its data have
    /// changed, or if the checkpoint does not fit the model or the optimiser.
    pub fn resume(mut self, folder: &Path) -> Result<Trainer, TrainError> {
        let (folder, config) = if self.group.is_first() {
            let (folder, config) = RunFolder::open(folder)?;
            folder.clear_temporary();
            (folder, config)
        } else {
            (RunFolder::of_another(folder), RunFolder::read_config(folder)?)
        };
        self.config.places.clone_from(&config.places);
        self.config.fingerprints.clone_from(&config.fingerprints);
        if self.config.model.normalisation.is_none() {
            self.config.model.normalisation.clone_from(&config.model.normalisation);
        }
        if config != self.config {
            return Err(TrainError::Folder {
                path: folder.config(),
                problem: "describes another run; resume with the configuration and model of its start".into(),
            });
        }
        let (mut model, mut optimizer) = self.parts()?;
        self.check_data(&folder)?;
        self.agree(Some(&folder.last()))?;
        if !folder.last().exists() {
            return self.assemble(folder, model, optimizer, State::default());
        }
        let last = folder.last();
        let saved = saved::load_run(&last, &mut model, &mut *optimizer)?;
        let mut trainer = self.assemble(folder, model, optimizer, saved.state)?;
        trainer.balancing.strategy.restore(&saved.memory)?;
        if let Some(average) = &mut trainer.average {
            average.restore(saved.average, trainer.state.averaged).map_err(|name| TrainError::Folder {
                path: last,
                problem: format!("the running mean of {name} is missing or has another shape"),
            })?;
        }
        Ok(trainer)
    }

    /// Refuses a group of processes that differ, or that cannot share the shards.
    fn agree(&self, checkpoint: Option<&Path>) -> Result<(), TrainError> {
        agree(&*self.group, &self.config, &*self.dataset, checkpoint)?;
        let samples = self.config.samples_of(&*self.dataset, Split::Train);
        if samples < self.config.shards {
            return Err(TrainError::Option(format!(
                "{samples} training samples cannot be cut into {} shards; each needs one",
                self.config.shards
            )));
        }
        Shards::new(Arc::clone(&self.group), self.config.shards).map(drop).map_err(TrainError::Option)
    }

    /// Refuses data that have changed since the run began, or, if changes are accepted, records the new ones.
    fn check_data(&mut self, folder: &RunFolder) -> Result<(), TrainError> {
        let began = std::mem::take(&mut self.config.fingerprints);
        let accounts = Arc::clone(&self.dataset.info().accounts);
        self.config.fingerprints = accounts.iter().map(|account| account.fingerprint.clone()).collect();
        // A run that began before there were fingerprints has none.
        if began.is_empty() || began == self.config.fingerprints {
            return Ok(());
        }
        if self.accepts_changed_data {
            if !self.group.is_first() {
                return Ok(());
            }
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

    /// The model and the optimiser that were given, or those of the configuration.
    fn parts(&mut self) -> Result<(MultiTaskModel, Box<dyn Optimizer + Send>), TrainError> {
        let config = &self.config;
        let mut model = match self.model.take() {
            Some(model) => {
                config.validate_run()?;
                model
            }
            None => {
                config.validate(self.dataset.info())?;
                MultiTaskModel::new(&config.model, config.seed)
            }
        };
        model.recompute(config.recompute);
        self.transfer = prepare(&mut model, config)?;
        let optimizer = self.optimizer.take().unwrap_or_else(|| config.optimizer.build(config.weight_decay));
        if !config.share_optimizer {
            return Ok((model, optimizer));
        }
        Ok((model, Box::new(Shared::new(optimizer, Arc::clone(&self.group)))))
    }

    fn assemble(
        self,
        folder: RunFolder,
        model: MultiTaskModel,
        optimizer: Box<dyn Optimizer + Send>,
        mut state: State,
    ) -> Result<Trainer, TrainError> {
        let Self { config, dataset, schedule, transfer, command, loader_threads, profiles, group, .. } = self;
        if let Some(command) = command.filter(|_| group.is_first()) {
            folder.note_command(&command)?;
        }
        let steps = config.epochs * updates_per_epoch(&config, config.samples_of(&*dataset, Split::Train));
        let schedule = schedule.unwrap_or_else(|| config.schedule(steps));
        let balancing = config.balancing()?;
        let log = BalanceLog::before(&folder, state.step, model.task_names());
        state.loss_sums.resize(model.tasks().len(), 0.0);
        state.loss_images.resize(model.tasks().len(), 0);
        state.weight_sums.resize(model.tasks().len(), 0.0);
        let average = (config.ema > 0.0).then(|| WeightAverage::new(config.ema, &model));
        let accumulated = Accumulated::default();
        let watch = Watch::of(&folder);
        let shards = Shards::new(group, config.shards).map_err(TrainError::Option)?;
        Ok(Trainer {
            config,
            dataset,
            folder,
            model,
            optimizer,
            schedule,
            state,
            balancing,
            log,
            watch,
            loader_threads,
            shards,
            average,
            accumulated,
            transfer,
            profiles,
            profile: None,
        })
    }
}

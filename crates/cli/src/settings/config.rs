//! From settings to a run's configuration, and back to complete settings.

use std::path::Path;

use cerberus::data::augment::AugmentConfig;
use cerberus::data::{Dataset, DatasetInfo, InputFiles, Photos};
use cerberus::multitask::ModelConfig;
use cerberus::multitask::networks::Neck;
use cerberus::multitask::senses::Fusion;
use cerberus::train::{OptimizerKind, ScheduleConfig, TrainConfig, TrainError};

use super::{Augment, Settings, Size, absolute};

impl Settings {
    /// The configuration of a run on data that were opened as these settings say.
    ///
    /// # Errors
    /// If a name is not known, or a setting does not go with the data.
    pub fn config(&self, dataset: &dyn Dataset) -> Result<TrainConfig, TrainError> {
        let info = dataset.info();
        let is_photos = |name: &str| Photos::is_at(Path::new(name));
        let mut config = if is_photos(self.data()) {
            TrainConfig::for_photos(self.data(), dataset, self.photos()?)
        } else {
            // Photographs that are mixed in, and files of inputs, are opened again in the same way.
            let is_resized = |name: &String| is_photos(name) || InputFiles::path_in(name).is_some();
            let photos = self.names().iter().any(is_resized).then(|| self.photos()).transpose()?;
            TrainConfig { photos, ..TrainConfig::for_data(self.data(), info) }
        };
        config.mix = self.mix.clone();
        config.preference = self.preference.clone();
        config.samples = self.samples;
        config.patience = self.patience;
        config.init_from = self.init_from.clone();
        config.freeze = self.freeze.clone();
        let set = |value: Option<f64>, to: &mut f64| *to = value.unwrap_or(*to);
        set(self.temperature, &mut config.temperature);
        set(self.learning_rate, &mut config.learning_rate);
        set(self.weight_decay, &mut config.weight_decay);
        set(self.clip_norm, &mut config.clip_norm);
        set(self.ema, &mut config.ema);
        set(self.missing, &mut config.missing);
        set(self.momentum, &mut config.optimizer.momentum);
        set(self.beta1, &mut config.optimizer.beta1);
        set(self.beta2, &mut config.optimizer.beta2);
        config.optimizer.nesterov = self.nesterov;
        config.recompute = self.recompute;
        config.optimizer.kind = self.optimizer.unwrap_or_default();
        let set = |value: Option<usize>, to: &mut usize| *to = value.unwrap_or(*to);
        set(self.epochs, &mut config.epochs);
        set(self.batch, &mut config.batch);
        set(self.shards, &mut config.shards);
        config.sync_norm = self.sync_norm;
        set(self.accumulate, &mut config.accumulate);
        config.modulation = self.modulate;
        set(self.diagnose, &mut config.diagnose);
        config.seed = self.seed.unwrap_or(1);
        config.gradients = self.gradients.unwrap_or_default();
        config.messages = self.messages.unwrap_or_default();
        config.share_optimizer = self.share_optimizer;
        self.set_schedule(&mut config)?;
        self.set_augment(&mut config, info)?;
        if let Some(trunk) = &self.trunk {
            config.model.set_trunk(trunk).map_err(TrainError::Option)?;
        }
        if let Some(neck) = &self.neck {
            config.model.neck = Neck::by_name(neck).map_err(TrainError::Option)?;
        }
        if !self.tasks.is_empty() {
            config.set_heads(&self.tasks, info)?;
        }
        self.set_senses(&mut config.model, info).map_err(TrainError::Option)?;
        config.set_balance(self.balance.as_deref().unwrap_or("fixed"))?;
        for choice in &self.imbalance {
            config.set_imbalance(choice, dataset)?;
        }
        if let Some(choice) = &self.sampler {
            config.set_sampler(choice)?;
        }
        Ok(config)
    }

    /// The inputs, how they are encoded and how they are joined.
    fn set_senses(&self, model: &mut ModelConfig, info: &DatasetInfo) -> Result<(), String> {
        if !self.inputs.is_empty() {
            model.set_inputs(&self.inputs, info)?;
        }
        if let Some(name) = &self.clip_encoder {
            model.set_clip_encoder(name)?;
        }
        if let Some(name) = &self.audio_encoder {
            model.set_audio_encoder(name)?;
        }
        let several = model.inputs.len() > 1;
        let joining = self.fusion.is_some() || self.modality_dropout.is_some() || self.auxiliary.is_some();
        if joining && !several {
            return Err("--fusion, --modality-dropout and --auxiliary are for several inputs, and the model has one; \
                        name more with --inputs"
                .into());
        }
        if let Some(name) = &self.fusion {
            model.fusion.kind = Fusion::by_name(name)?;
        }
        if let Some(rate) = self.modality_dropout {
            model.fusion.modality_dropout = rate;
        }
        if let Some(weight) = self.auxiliary.filter(|weight| *weight > 0.0) {
            model.add_auxiliary(weight);
        }
        Ok(())
    }

    fn set_schedule(&self, config: &mut TrainConfig) -> Result<(), TrainError> {
        if let Some(name) = &self.schedule {
            config.schedule = ScheduleConfig::by_name(name).map_err(TrainError::Option)?;
        }
        let Some(share) = self.warmup else { return Ok(()) };
        let Some(warmup) = config.schedule.warmup_mut() else {
            let problem = "--warmup means nothing to a constant rate; choose --schedule warmup_cosine";
            return Err(TrainError::Option(problem.into()));
        };
        *warmup = share;
        Ok(())
    }

    fn set_augment(&self, config: &mut TrainConfig, info: &DatasetInfo) -> Result<(), TrainError> {
        let strength = match &self.augment {
            None => 1.0,
            Some(Augment::Strength(strength)) => *strength,
            Some(other) => {
                config.augment = AugmentConfig { operations: other.list()?.unwrap_or_default() };
                return Ok(());
            }
        };
        if !(0.0..=2.0).contains(&strength) {
            return Err(TrainError::Option(format!(
                "--augment {strength}: give a strength from 0 to 2, or a list"
            )));
        }
        config.augment.operations.retain(|_| strength > 0.0);
        config.augment.operations.iter_mut().for_each(|operation| operation.strength = strength);
        if self.augment.is_some()
            && config.augment.operations.is_empty()
            && config.photos.is_none()
            && strength > 0.0
        {
            let problem = format!("{} has no usual augmentation; give a list to --augment", info.name);
            return Err(TrainError::Option(problem));
        }
        Ok(())
    }

    /// These settings, with everything they leave open taken from `config`.
    pub fn completed(&self, config: &TrainConfig) -> Self {
        // A name that is not a path is kept.
        let place = |name: &String| {
            let place = std::fs::canonicalize(name);
            place.map_or_else(|_| name.clone(), |place| place.display().to_string())
        };
        let photos = config.photos.as_ref();
        // Those from one input alone are made again by `auxiliary`.
        let heads = config.model.heads.iter().filter(|head| head.options.input.is_none());
        let tasks = heads.map(|head| format!("{}:{}@{}", head.name, head.kind, head.label));
        let several = config.model.inputs.len() > 1;
        let (schedule, warmup) = (config.schedule.name(), config.schedule.warmup());
        let sgd = config.optimizer.kind == OptimizerKind::Sgd;
        let augment = match (&self.augment, photos) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(photos)) => Some(Augment::Strength(photos.augment)),
            (None, None) if config.augment.operations.is_empty() => None,
            (None, None) => Some(Augment::List(config.augment.operations.clone())),
        };
        Self {
            data: Some(place(&self.data().to_string())),
            mix: self.mix.iter().map(place).collect(),
            temperature: (!self.mix.is_empty()).then_some(config.temperature),
            tasks: tasks.collect(),
            trunk: Some(config.model.trunk_name()),
            neck: (!config.model.neck.is_none() || !config.model.network.is_empty())
                .then(|| config.model.neck.name().into()),
            inputs: config.model.inputs.iter().map(|input| input.name.clone()).collect(),
            fusion: several.then(|| config.model.fusion.kind.name().into()),
            clip_encoder: config.model.clip_encoder().map(|encoder| encoder.name().into()),
            audio_encoder: config.model.audio_encoder().map(str::to_string),
            balance: Some(config.balance.clone()),
            gradients: Some(config.gradients),
            epochs: Some(config.epochs),
            batch: Some(config.batch),
            modulate: config.modulation,
            accumulate: Some(config.accumulate),
            seed: Some(config.seed),
            learning_rate: Some(config.learning_rate),
            schedule: Some(schedule.into()),
            warmup,
            optimizer: Some(config.optimizer.kind),
            momentum: sgd.then_some(config.optimizer.momentum),
            beta1: (!sgd).then_some(config.optimizer.beta1),
            beta2: (!sgd).then_some(config.optimizer.beta2),
            weight_decay: Some(config.weight_decay),
            clip_norm: Some(config.clip_norm),
            init_from: self.init_from.as_deref().map(absolute),
            cache: self.cache.as_deref().map(absolute),
            augment,
            hold_back: photos.map(|photos| photos.hold_back),
            size: photos.map(|photos| Size(photos.size)),
            fit: photos.map(|photos| photos.fit),
            repeats: photos.map(|photos| photos.repeats),
            ..self.clone()
        }
    }
}

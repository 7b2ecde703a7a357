//! The usual configuration for each kind of data.

use cerberus_data::augment::{AugmentConfig, OperationConfig};
use cerberus_data::{Dataset, DatasetInfo, InputKind, MovingScenes, PhotoOptions, Split};
use cerberus_distributed::Message;
use cerberus_multitask::config::{ModelConfig, TrunkKind};
use cerberus_multitask::step::GradientsWrt;

use super::{TrainConfig, UNCLIPPED, in_proportion};
use crate::choices::{OptimizerConfig, ScheduleConfig};

/// For photographs: the number of views to train on in a whole run, and the fewest
/// and the most epochs for it.
const PHOTO_VIEWS: usize = 108_000;
const FEWEST_EPOCHS: usize = 3;
const MOST_EPOCHS: usize = 36;

/// For sounds: the number of epochs.
const SOUND_EPOCHS: usize = 20;
/// The usual number of epochs of moving scenes, whose clips take longer than pictures.
const MOVING_EPOCHS: usize = 7;

/// The default augmentation for small images of one class each: a shift by some pixels (He et al., 2016, section 4.2),
/// and for CIFAR-10's objects, unlike for digits, a horizontal flip. Sounds come earlier or later, faster or slower and
/// with noise: there are few speakers.
fn usual_augment(info: &DatasetInfo) -> AugmentConfig {
    let mut names: Vec<&str> = match info.name.as_str() {
        "cifar10" => vec!["pad_and_crop", "horizontal_flip"],
        "idx" | "digits" => vec!["pad_and_crop"],
        _ => vec![],
    };
    if has_sounds(info) {
        names.extend(["sound_shift", "sound_speed", "sound_noise"]);
    }
    AugmentConfig { operations: names.into_iter().map(OperationConfig::new).collect() }
}

fn has_sounds(info: &DatasetInfo) -> bool {
    info.inputs.iter().any(|input| matches!(input.kind, InputKind::Sound { .. }))
}

impl TrainConfig {
    /// The defaults for a data set: classification, detection and segmentation, as
    /// far as it has labels for them.
    /// For [pairs of garments](cerberus_data::MultiFashion) those of PaMaL's setup: ten epochs
    /// of Adam at a rate of 0.001, 256 images a step.
    pub fn for_data(data: &str, info: &DatasetInfo) -> Self {
        let mut config = Self::usual(data, info);
        config.augment = usual_augment(info);
        if has_sounds(info) {
            // Recordings are few, and every epoch changes them.
            (config.epochs, config.learning_rate) = (SOUND_EPOCHS, 3e-3);
        }
        if info.name == MovingScenes::NAME {
            config.epochs = MOVING_EPOCHS;
        }
        if config.model.trunk == TrunkKind::Stages {
            return config;
        }
        Self {
            epochs: 10,
            batch: 256,
            learning_rate: 1e-3,
            schedule: ScheduleConfig::Constant,
            weight_decay: 0.0,
            clip_norm: UNCLIPPED,
            ..config
        }
    }

    fn usual(data: &str, info: &DatasetInfo) -> Self {
        Self {
            data: data.to_string(),
            model: ModelConfig::for_data(info),
            balance: "fixed".to_string(),
            preference: Vec::new(),
            gradients: GradientsWrt::default(),
            diagnose: 0,
            mix: Vec::new(),
            temperature: in_proportion(),
            photos: None,
            missing: 0.0,
            sampler: None,
            epochs: 8,
            batch: 32,
            shards: 1,
            sync_norm: false,
            messages: Message::Exact,
            share_optimizer: false,
            seed: 1,
            learning_rate: 5e-3,
            schedule: ScheduleConfig::default(),
            optimizer: OptimizerConfig::default(),
            weight_decay: 0.02,
            clip_norm: 10.0,
            modulation: None,
            accumulate: 1,
            recompute: false,
            ema: 0.0,
            patience: None,
            augment: AugmentConfig::default(),
            init_from: None,
            freeze: Vec::new(),
            samples: None,
            places: Vec::new(),
            fingerprints: Vec::new(),
        }
    }

    /// The defaults for photographs, of which there are few: more epochs, smaller steps,
    /// and features dropped before the classes. The fewer photographs, the more epochs,
    /// so that hundreds and thousands of them take times of the same order.
    pub fn for_photos(data: &str, dataset: &dyn Dataset, photos: PhotoOptions) -> Self {
        let mut config = Self::for_data(data, dataset.info());
        for head in config.model.heads.iter_mut().filter(|head| head.kind == "classify") {
            head.options.dropout = 0.2;
            head.options.label_smoothing = 0.1;
        }
        Self {
            photos: Some(photos),
            epochs: (PHOTO_VIEWS / dataset.len(Split::Train).max(1)).clamp(FEWEST_EPOCHS, MOST_EPOCHS),
            batch: 16,
            weight_decay: 0.05,
            learning_rate: 3e-3,
            ..config
        }
    }
}

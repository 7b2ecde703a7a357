//! Everything that determines what `train` does, as options of the command line and as a TOML file.
//!
//! Both have the same names. The command line overrides the file, and what neither sets is chosen for the data. Every
//! run writes a complete `train.toml`, so that `--config` repeats it.

mod config;
mod values;

use std::path::{Path, PathBuf};

use cerberus::data::photos::map::parse_map;
use cerberus::data::{Fit, PhotoOptions};
use cerberus::distributed::Message;
use cerberus::multitask::GradientsWrt;
use cerberus::train::{OptimizerKind, ScheduleConfig, TrainError};
use clap::Args;
use serde::{Deserialize, Serialize};

pub use values::{Augment, Size};

/// The settings of a run; absent ones are chosen for the data.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Data: "fashion-scenes" (embedded), "multi-fashion" (pairs of garments), or a folder with Fashion-MNIST or CIFAR-10 files, or photographs in the
    /// layout of Oxford-IIIT Pet, COCO (folder or .json), YOLO (folder or .yaml) or Pascal VOC, a folder of them for each class, or a table (.csv)
    /// [default: fashion-scenes]
    #[arg(long, value_name = "NAME|PATH")]
    pub data: Option<String>,
    /// More data to mix in, with images of the same size; may be repeated. Labels of one name must have the same
    /// classes, but those of photographs may differ: predictions of a class that a set lacks do not count as errors
    /// there. Samples of a data set without a label lack that label
    #[arg(long, value_name = "NAME|PATH")]
    pub mix: Vec<String>,
    /// How evenly mixed data are drawn: 1 in proportion to their size, large values nearly equally [default: 1]
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// Tasks to train, separated by commas, each KIND, NAME:KIND or NAME:KIND@LABEL; kinds are classify, detect, segment,
    /// multi_label, regress, depth, centernet, fcos, fcn, unet, mlp [default: the first three, as far as the data has labels]
    #[arg(long, value_delimiter = ',')]
    pub tasks: Vec<String>,
    /// The trunk: base, narrow, wide (half and twice the channels), lenet, a network such as resnet18, vgg11_bn,
    /// efficientnet_b0, convnext_tiny or vit_tiny (an unknown name lists all), or the channels of each convolution with /
    /// between stages, such as 16/32,32/64,64 [default: base, as fits the images]
    #[arg(long, value_name = "NAME|STAGES")]
    pub trunk: Option<String>,
    /// How the trunk's maps are joined for the heads: none (as the trunk does it), fpn (a feature pyramid), pan (a
    /// pyramid, then down again), unet (a decoder up to the finest map) or aspp (atrous spatial pyramid pooling)
    /// [default: fpn for networks, otherwise none]
    #[arg(long, value_name = "NAME")]
    pub neck: Option<String>,
    /// The inputs of the model, separated by commas, such as image,audio or video [default: all that the data has, but not
    /// the image beside a clip, of which it is the last frame]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub inputs: Vec<String>,
    /// How several inputs are joined: concat, gated, film, attention, late (the mean of an answer from each), or
    /// late-weighted [default: concat]
    #[arg(long, value_name = "NAME")]
    pub fusion: Option<String>,
    /// The rate at which training drops an input of a sample that has another, so that the model can do without
    /// [default: 0]
    #[arg(long, value_name = "RATE")]
    pub modality_dropout: Option<f64>,
    /// Train a task from each input alone beside every task that answers for a whole sample, with this weight; they are
    /// balanced as tasks are [default: 0, none]
    #[arg(long, value_name = "WEIGHT")]
    pub auxiliary: Option<f64>,
    /// Slow down the encoder of an input that is ahead of the others (OGM-GE, with its noise), by this alpha from 0 to 1;
    /// needs --auxiliary [default: none]
    #[arg(long, value_name = "ALPHA")]
    pub modulate: Option<f64>,
    /// How the frames of a clip are encoded: stack (as channels of one image), mean, attention, shift (TSM), conv3d or
    /// r2plus1d [default: stack]
    #[arg(long, value_name = "NAME")]
    pub clip_encoder: Option<String>,
    /// How sounds are encoded: log-mel (a spectrogram) or waveform (the samples) [default: log-mel]
    #[arg(long, value_name = "NAME")]
    pub audio_encoder: Option<String>,
    /// How the tasks are balanced: fixed (tuned weights), equal, or a strategy such as uw, famo, mgda, cagrad, upgrad; an
    /// unknown name lists all [default: fixed]
    #[arg(long, value_name = "NAME")]
    pub balance: Option<String>,
    /// How much each task should count, such as 1,2,1, for strategies that can use it [default: equal]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub preference: Vec<f64>,
    /// The variables with respect to which strategies take gradients: parameters, streamed-parameters (no copies
    /// kept), features, summed-features [default: parameters]
    #[arg(long, value_name = "PLACE")]
    pub gradients: Option<GradientsWrt>,
    /// Measure every N steps how much the tasks' gradients conflict, into conflicts.csv
    #[arg(long, value_name = "STEPS")]
    pub diagnose: Option<usize>,
    /// Passes over the training data
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Images per step
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Parts of a batch that are passes of their own, each with its own statistics in batch norms: as many processes can
    /// share the work, and any number of them gives the same result [default: 1]
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
    /// Batch norms use the statistics of all shards of a step, as if it were not cut; costs two exchanges for each norm
    #[arg(long)]
    pub sync_norm: bool,
    /// The form in which processes send gradients: exact, or bf16 (16 bits: half the bytes, rounded) [default: exact]
    #[arg(long, value_name = "FORM")]
    pub messages: Option<Message>,
    /// Each process keeps the optimiser's state of a part of the weights only, updates it and sends it to the others:
    /// less memory, as many bytes, the same result
    #[arg(long)]
    pub share_optimizer: bool,
    /// Batches whose gradients are averaged for one step [default: 1]
    #[arg(long, value_name = "N")]
    pub accumulate: Option<usize>,
    /// Compute the values inside the trunk's blocks again in the backward pass instead of keeping them: less memory,
    /// more time
    #[arg(long)]
    pub recompute: bool,
    /// Chooses initial weights, training scenes and their order [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Largest learning rate of the schedule; --find-rate measures a good one
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// How the learning rate changes: one_cycle, warmup_cosine, step, exponential, cosine_restarts, polynomial or
    /// constant
    #[arg(long, value_name = "NAME", value_parser = schedule_name)]
    pub schedule: Option<String>,
    /// Share of the steps that climb to the largest rate, for all schedules but constant
    #[arg(long, value_name = "SHARE")]
    pub warmup: Option<f64>,
    /// The optimiser: adamw, adam, sgd, adagrad, rmsprop, adadelta (at a rate of 1), lion (at a third of adamw's rate or
    /// less), lamb or muon [default: adamw]
    #[arg(long, value_name = "NAME", value_parser = optimizer_kind)]
    pub optimizer: Option<OptimizerKind>,
    /// For sgd: how much of the last direction is kept [default: 0.9]
    #[arg(long, value_name = "SHARE")]
    pub momentum: Option<f64>,
    /// For sgd: look ahead along the momentum
    #[arg(long)]
    pub nesterov: bool,
    /// For adam, adamw, lamb and muon: how much of the mean gradient is kept [default: 0.9]
    #[arg(long, value_name = "SHARE")]
    pub beta1: Option<f64>,
    /// For adam, adamw, lamb and muon: how much of the mean square is kept [default: 0.999]
    #[arg(long, value_name = "SHARE")]
    pub beta2: Option<f64>,
    /// Weight decay of matrices and kernels
    #[arg(long, value_name = "RATE")]
    pub weight_decay: Option<f64>,
    /// Gradients with a larger norm are scaled down to it
    #[arg(long, value_name = "NORM")]
    pub clip_norm: Option<f64>,
    /// Evaluate and save an exponential moving average of the weights with this decay, such as 0.999 [default: 0, none]
    #[arg(long, value_name = "DECAY")]
    pub ema: Option<f64>,
    /// Stop after this many epochs in a row without a better validation score [default: never]
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<usize>,
    /// Begin with the weights of this model where names and shapes match
    #[arg(long, value_name = "MODEL")]
    pub init_from: Option<PathBuf>,
    /// Frozen parameters: paths or patterns with *, such as trunk or trunk.stage1.*; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub freeze: Vec<String>,
    /// A method against rare classes within a task that classifies or segments (not one that detects: see --sampler):
    /// the task's name, =, and inverse, effective, enet, focal or, with one label each, logit; may be repeated
    #[arg(long, value_name = "TASK=METHOD")]
    pub imbalance: Vec<String>,
    /// Draw training samples by the classes of a label: its name, =, and balanced or square_root
    #[arg(long, value_name = "LABEL=METHOD")]
    pub sampler: Option<String>,
    /// Remove this share of each label's training samples, to measure what labels are worth
    #[arg(long, value_name = "SHARE")]
    pub missing: Option<f64>,
    /// How training samples are augmented: a strength from 0 to 2 for the default augmentation (photographs: crop, flip
    /// and colours; CIFAR-10 and IDX: small moves), or a list of NAME:STRENGTH:PROBABILITY, where the numbers may be
    /// left out, such as random_resized_crop,horizontal_flip,mixup:0.5; `inspect --augment` shows all [default: 1]
    #[arg(long, value_name = "STRENGTH|LIST")]
    pub augment: Option<Augment>,
    /// Photographs: the share that is kept from training for testing [default: 0, all are trained on]
    #[arg(long, value_name = "SHARE")]
    pub hold_back: Option<f64>,
    /// Photographs: the size they are resized to, N for a square or rows x columns, such as 96x160 [default: 128]
    #[arg(long, value_name = "N|HxW")]
    pub size: Option<Size>,
    /// Photographs: how they are resized, stretch (both sides, each by its own factor) or letterbox (proportions kept,
    /// centred, with a gray margin) [default: stretch]
    #[arg(long, value_name = "WAY")]
    pub fit: Option<Fit>,
    /// Photographs: how often an epoch shows each of them [default: 10]
    #[arg(long, value_name = "N")]
    pub repeats: Option<usize>,
    /// Photographs: the format to read, if a folder could be of several [default: detected]
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// Photographs: leave out pictures that cannot be read and missing parts for validation or testing, instead of
    /// refusing them
    #[arg(long)]
    pub skip_broken: bool,
    /// Photographs: another name for a class, or - to leave its objects out; may be repeated, and several may become one
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    pub map: Vec<String>,
    /// Photographs: keep decoded pictures in this folder, to read them faster from the second time on
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// At most this many samples of each split, for a quick look
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
}

fn schedule_name(name: &str) -> Result<String, String> {
    ScheduleConfig::by_name(name).map(|_| name.to_string())
}

fn optimizer_kind(name: &str) -> Result<OptimizerKind, String> {
    OptimizerKind::by_name(name)
}

fn renaming(text: &str) -> Result<String, String> {
    parse_map(text).map(|_| text.to_string())
}

/// The absolute path, so that a run can be continued from any folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

impl Settings {
    /// These settings, completed with those of a TOML file.
    ///
    /// # Errors
    /// If the file cannot be read or understood; the message names the place in it.
    pub fn over_file(self, file: &Path) -> Result<Self, TrainError> {
        let problem = |problem: String| TrainError::Folder { path: file.to_path_buf(), problem };
        let text = std::fs::read_to_string(file).map_err(|error| {
            problem(format!("cannot be read: {error}; give a TOML file such as a run's train.toml"))
        })?;
        let from_file: Self =
            toml::from_str(&text).map_err(|error| problem(error.to_string().trim_end().into()))?;
        let mut table = from_file.table().map_err(problem)?;
        table.extend(self.table().map_err(TrainError::Option)?);
        table.try_into().map_err(|error: toml::de::Error| problem(error.to_string()))
    }

    /// The settings that are set.
    fn table(&self) -> Result<toml::Table, String> {
        // TOML integers have 64 bits with a sign.
        let most = i64::MAX;
        let mut table = toml::Table::try_from(self).map_err(|error| {
            format!("a setting cannot be kept in a file: {error}; whole numbers go up to {most}")
        })?;
        table.retain(|_, value| {
            *value != toml::Value::Boolean(false) && value.as_array().is_none_or(|list| !list.is_empty())
        });
        Ok(table)
    }

    /// The settings as a TOML file.
    ///
    /// # Errors
    /// If an integer is too large for TOML.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        let table = self.table().map_err(TrainError::Option)?;
        toml::to_string(&table)
            .map_err(|error| TrainError::Option(format!("the settings cannot be written: {error}")))
    }

    /// The name of the data.
    pub fn data(&self) -> &str {
        self.data.as_deref().unwrap_or("fashion-scenes")
    }

    /// The names of all data, mixed ones included.
    pub fn names(&self) -> Vec<String> {
        std::iter::once(self.data().to_string()).chain(self.mix.iter().cloned()).collect()
    }

    /// How photographs become samples.
    ///
    /// # Errors
    /// If a renaming in a file is invalid; those of the command line have been checked.
    pub fn photos(&self) -> Result<PhotoOptions, TrainError> {
        let usual = PhotoOptions::default();
        Ok(PhotoOptions {
            size: self.size.map_or(usual.size, |size| size.0),
            fit: self.fit.unwrap_or(usual.fit),
            hold_back: self.hold_back.unwrap_or(usual.hold_back),
            repeats: self.repeats.unwrap_or(usual.repeats),
            augment: match &self.augment {
                None => usual.augment,
                Some(Augment::Strength(strength)) => *strength,
                // A list replaces the default augmentation.
                Some(_) => 0.0,
            },
            format: self.format.clone(),
            skip_broken: self.skip_broken,
            map: self
                .map
                .iter()
                .map(|text| parse_map(text))
                .collect::<Result<_, _>>()
                .map_err(TrainError::Option)?,
            cache: self.cache.as_deref().map(absolute),
            ..usual
        })
    }
}

#[cfg(test)]
mod tests {
    use cerberus::data::augment::OperationConfig;

    use super::*;

    #[test]
    fn a_file_and_the_command_line_say_the_same_and_the_line_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("train.toml");
        let text = "epochs = 3\nbatch = 8\nsize = 96\ntasks = [\"classify\"]\nnesterov = true\noptimizer = \"sgd\"\n\
                    [[augment]]\nname = \"cutout\"\nstrength = 0.5\n";
        std::fs::write(&file, text).unwrap();
        let line = Settings {
            epochs: Some(5),
            augment: Some("gray:0.1:0.2".parse().unwrap()),
            ..Settings::default()
        };
        let both = line.over_file(&file).unwrap();
        assert_eq!((both.epochs, both.batch, both.size), (Some(5), Some(8), Some(Size([96, 96]))));
        assert!(both.nesterov && both.optimizer == Some(OptimizerKind::Sgd) && both.tasks == ["classify"]);
        let gray = OperationConfig { strength: 0.1, probability: Some(0.2), ..OperationConfig::new("gray") };
        assert_eq!(both.augment, Some(Augment::List(vec![gray])));
        let again: Settings = toml::from_str(&both.to_toml().unwrap()).unwrap();
        assert_eq!(again, both);
    }

    #[test]
    fn what_a_file_says_wrongly_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("train.toml");
        for (text, told) in [
            ("epochs = 3\nepoch = 4\n", "unknown field `epoch`"),
            ("epochs = \"many\"\n", "line 1"),
            ("epochs = 3\nsize = \"a\"\n", "is no size"),
            ("epochs = \n", "line 1"),
            ("augment = true\n", "augment is a strength"),
            ("seed = 18446744073709551615\n", "whole numbers go up to"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Settings::default().over_file(&file).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("train.toml"), "{error}");
        }
        let missing =
            Settings::default().over_file(&folder.path().join("none.toml")).unwrap_err().to_string();
        assert!(missing.contains("none.toml") && missing.contains("cannot be read"), "{missing}");
    }

    #[test]
    fn operations_that_cannot_be_are_refused() {
        for (text, told) in [("flip", "give one of"), ("gray:much", "no number"), ("gray:1:1:1", "too many")]
        {
            let error = text.parse::<Augment>().unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}

//! Everything that determines a run's result: written to `config.json` and into
//! every checkpoint. The number of threads is not part of it, because it
//! changes nothing.

mod defaults;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cerberus_data::augment::AugmentConfig;
use cerberus_data::{Dataset, DatasetInfo, PhotoOptions, Split};
use cerberus_distributed::Message;
use cerberus_nn::schedule::Schedule;
use serde::{Deserialize, Serialize};

use crate::choices::{OptimizerConfig, ScheduleConfig, schedule_or_constant};
use crate::error::TrainError;
use cerberus_balance as balance;
use cerberus_balance::GradientNeed;
use cerberus_multitask::config::{HeadConfig, ModelConfig};
use cerberus_multitask::step::{Balancing, GradientsWrt};
use cerberus_multitask::tasks;

/// How training samples are drawn by the classes of a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplerChoice {
    /// The label.
    pub label: String,
    /// By the square root of the classes' frequencies instead of evenly.
    pub square_root: bool,
}

/// One training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The data set's name or folder.
    pub data: String,
    /// The model's structure.
    pub model: ModelConfig,
    /// How the losses are combined, a name that [`balance::by_name`] knows.
    pub balance: String,
    /// How much each task should count, in the order of the tasks; equal if empty.
    #[serde(default)]
    pub preference: Vec<f64>,
    /// The variables with respect to which strategies take the tasks' gradients.
    #[serde(default)]
    pub gradients: GradientsWrt,
    /// Steps between measurements of how much the tasks' gradients conflict; 0 for never.
    #[serde(default)]
    pub diagnose: usize,
    /// More data that are mixed in, each sample with the labels of the set it is from.
    #[serde(default)]
    pub mix: Vec<String>,
    /// How evenly the sets are drawn in training: in proportion to `n^(1 / temperature)`, with `n` their samples.
    #[serde(default = "in_proportion")]
    pub temperature: f64,
    /// How photographs become samples; absent for other data.
    #[serde(default)]
    pub photos: Option<PhotoOptions>,
    /// The share of each label's training samples that is removed.
    #[serde(default)]
    pub missing: f64,
    /// The label by whose classes training samples are drawn, if any.
    #[serde(default)]
    pub sampler: Option<SamplerChoice>,
    /// The number of passes over the training split.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// The parts of a batch that are passes of their own, each with its own statistics in batch norms: as many processes
    /// can share the work.
    #[serde(default = "one")]
    pub shards: usize,
    /// Whether batch norms use the statistics of all shards of a step instead.
    #[serde(default)]
    pub sync_norm: bool,
    /// The form in which processes send gradients.
    #[serde(default)]
    pub messages: Message,
    /// Whether each of several processes keeps the optimiser's state of a part of the weights only.
    #[serde(default)]
    pub share_optimizer: bool,
    /// Chooses the initial weights, the training scenes and their order.
    pub seed: u64,
    /// The largest learning rate of the schedule.
    pub learning_rate: f64,
    /// How it changes over the run.
    #[serde(default, alias = "constant_rate", deserialize_with = "schedule_or_constant")]
    pub schedule: ScheduleConfig,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Weight decay of matrices and kernels.
    pub weight_decay: f64,
    /// Gradients with a larger global norm are scaled down to it.
    pub clip_norm: f64,
    /// How much the encoder of an input that is ahead of the others is slowed down (`alpha` of OGM-GE), for a model with a
    /// task of each input alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modulation: Option<f64>,
    /// Batches whose gradients are averaged for one step.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Whether the backward pass computes the values inside the trunk's blocks again instead of keeping them: less
    /// memory, more time, the same results.
    #[serde(default)]
    pub recompute: bool,
    /// The decay of the [running mean of the weights](cerberus_nn::WeightAverage) that is evaluated and saved as the best
    /// model; 0 for none.
    #[serde(default)]
    pub ema: f64,
    /// Training stops after this many epochs in a row without a better validation score; never if absent.
    #[serde(default)]
    pub patience: Option<usize>,
    /// The augmentation of training samples, in order.
    #[serde(default)]
    pub augment: AugmentConfig,
    /// The checkpoint whose weights the model starts with, where names and shapes match.
    #[serde(default)]
    pub init_from: Option<PathBuf>,
    /// Frozen parameters: paths, or patterns with `*`, such as `trunk` or `trunk.stages.0.*`.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// At most this many samples of each split; all if absent.
    pub samples: Option<usize>,
    /// The absolute paths of the data that `data` and `mix` name by a path, so that a run can be continued from any
    /// folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Option<PathBuf>>,
    /// The [fingerprints](cerberus_data::Account::fingerprint) of the data when the run began, for data that have
    /// one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<String>,
}

/// The upper limit of several options: a larger number is a typing error.
const MOST: usize = 1 << 24;

/// A norm that no gradient reaches, because JSON has no infinity.
const UNCLIPPED: f64 = 1e30;

fn in_proportion() -> f64 {
    1.0
}

fn one() -> usize {
    1
}

impl TrainConfig {
    /// Chooses the heads: the name of an existing head keeps it; others are read by [`HeadConfig::parse`] and get
    /// the options of an existing head of their kind, if there is one.
    ///
    /// # Errors
    /// [`TrainError::Option`] if there is no such head, or no label for it.
    pub fn set_heads(&mut self, names: &[String], info: &DatasetInfo) -> Result<(), TrainError> {
        let before = std::mem::take(&mut self.model.heads);
        for name in names {
            if let Some(known) = before.iter().find(|known| known.name == *name) {
                self.model.heads.push(known.clone());
                continue;
            }
            let mut head = HeadConfig::parse(name, info).map_err(TrainError::Option)?;
            if let Some(known) = before.iter().find(|known| known.kind == head.kind) {
                head.options = known.options.clone();
            }
            self.model.heads.push(head);
        }
        Ok(())
    }

    /// Sets how the losses are combined.
    ///
    /// # Errors
    /// If there is no such strategy; the message lists the existing ones.
    pub fn set_balance(&mut self, name: &str) -> Result<(), TrainError> {
        // Enough tasks for any strategy: the real number is checked later.
        balance::by_name::<f32>(name, 16, &[1.0; 16])?;
        let kinds = tasks::kinds::<f32>();
        let usual =
            |head: &HeadConfig| kinds.iter().find(|kind| kind.name == head.kind).map_or(1.0, |k| k.weight);
        for head in &mut self.model.heads {
            match name {
                "fixed" => head.weight = usual(head),
                "equal" => head.weight = 1.0,
                _ => {}
            }
        }
        self.balance = name.to_string();
        Ok(())
    }

    /// The strategy of this run, in its initial state.
    ///
    /// # Errors
    /// If the balance, the preference and the choice of gradients do not go together.
    pub fn balancing(&self) -> Result<Balancing, TrainError> {
        let fail = |message: String| Err(TrainError::Option(message));
        let tasks = self.model.heads.len();
        let fixed = self.model.weights();
        let strategy = balance::by_name::<f32>(&self.balance, tasks, &fixed)?;
        let sum: f64 = self.preference.iter().sum();
        let preference = match self.preference.len() {
            0 => vec![1.0 / tasks as f64; tasks],
            len if len != tasks => {
                return fail(format!("a preference of {len} numbers for {tasks} tasks; give one for each"));
            }
            _ if !(sum > 0.0 && sum.is_finite()) || self.preference.iter().any(|p| *p < 0.0) => {
                return fail("preferences must not be negative, and at least one must be positive".into());
            }
            _ if !strategy.takes_preference() => {
                return fail(format!("the balance {:?} takes no preference; leave it out", self.balance));
            }
            _ => self.preference.iter().map(|p| p / sum).collect(),
        };
        let needs = strategy.needs();
        let summed = self.gradients == GradientsWrt::SummedFeatures;
        if summed && needs.gradients == GradientNeed::Rows {
            return fail(format!(
                "the balance {:?} makes a direction of its own, which summed features cannot give; \
                 use features or parameters",
                self.balance
            ));
        }
        let streamed = self.gradients == GradientsWrt::StreamedParameters;
        if streamed && needs.gradients == GradientNeed::Rows && !needs.three_batches {
            return fail(format!(
                "the balance {:?} looks at every entry of the gradients, which streamed parameters do not keep; \
                 use parameters or features",
                self.balance
            ));
        }
        if needs.three_batches && self.gradients != GradientsWrt::Parameters {
            return fail(format!(
                "the balance {:?} compares gradients of different images, which have only parameters in common; \
                 use gradients with respect to parameters",
                self.balance
            ));
        }
        if self.modulation.is_some() {
            let alone = self.model.heads.iter().filter_map(|head| head.options.input.as_deref());
            if alone.collect::<BTreeSet<&str>>().len() < 2 {
                return fail(
                    "the inputs' gradients are modulated by how well each answers alone; give the model several inputs \
                     and --auxiliary a weight"
                        .into(),
                );
            }
        }
        if self.accumulate > 1 && needs.losses_after_step {
            return fail(format!(
                "the balance {:?} looks at the losses after each step, which several batches would share; leave \
                 accumulate at 1",
                self.balance
            ));
        }
        if needs.three_batches && self.batch < 3 * self.shards {
            let least = 3 * self.shards;
            let each = if self.shards > 1 { "each shard of a batch" } else { "each batch" };
            return fail(format!("this balance splits {each} into three; batch must be at least {least}"));
        }
        if streamed && self.shards > 1 {
            return fail(
                "streamed parameters hold the gradients of one parameter at a time, and shards have them one after \
                 another; use parameters or features, or one shard"
                    .into(),
            );
        }
        if summed && self.shards > 1 && self.model.has_senses() {
            return fail(
                "features of several inputs, any of which a shard may lack, cannot be summed over shards; use features \
                 or parameters, or one shard"
                    .into(),
            );
        }
        Ok(Balancing { strategy, preference, wrt: self.gradients })
    }

    /// How many samples of a split the run uses.
    pub fn samples_of(&self, dataset: &dyn Dataset, split: Split) -> usize {
        dataset.len(split).min(self.samples.unwrap_or(usize::MAX))
    }

    /// The learning rate at every step of a run of `steps` steps.
    pub fn schedule(&self, steps: usize) -> Schedule {
        self.schedule.over(self.learning_rate, steps)
    }

    /// Checks the values that do not depend on the model's structure.
    ///
    /// # Errors
    /// [`TrainError::Option`], naming the value and what is allowed.
    pub fn validate_run(&self) -> Result<(), TrainError> {
        let fail = |message: String| Err(TrainError::Option(message));
        let counts = [
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("shards", self.shards),
            ("samples", self.samples.unwrap_or(1)),
            ("accumulate", self.accumulate),
            ("patience", self.patience.unwrap_or(1)),
        ];
        if let Some((name, count)) = counts.into_iter().find(|(_, count)| !(1..=MOST).contains(count)) {
            return fail(format!("{name} is {count}; it must be from 1 to {MOST}"));
        }
        let numbers = [
            ("the learning rate", self.learning_rate, f64::MIN_POSITIVE, 100.0),
            ("the weight decay", self.weight_decay, 0.0, 100.0),
            ("the norm to clip gradients to", self.clip_norm, f64::MIN_POSITIVE, UNCLIPPED),
            ("the temperature", self.temperature, f64::MIN_POSITIVE, 1e6),
            ("the share of missing labels", self.missing, 0.0, 1.0),
            ("the modulation of inputs' gradients", self.modulation.unwrap_or(0.0), 0.0, 1.0),
        ];
        for (name, value, least, most) in numbers {
            if !(least..=most).contains(&value) {
                let least = if least == f64::MIN_POSITIVE {
                    "more than 0".into()
                } else {
                    format!("at least {least}")
                };
                return fail(format!("{name} is {value}; it must be {least} and at most {most}"));
            }
        }
        if !(0.0..1.0).contains(&self.ema) {
            let average = self.ema;
            return fail(format!(
                "the decay of the weights' mean is {average}; it must be from 0 (none) to below 1"
            ));
        }
        if self.batch < self.shards {
            return fail(format!(
                "a batch of {} cannot be cut into {} shards; each needs an image",
                self.batch, self.shards
            ));
        }
        self.schedule.check().and_then(|()| self.optimizer.check()).map_err(TrainError::Option)?;
        self.augment.check()?;
        if self.model.heads.is_empty() {
            return Ok(());
        }
        self.balancing().map(drop)
    }

    /// The names of the data, `data` first; a recorded absolute path that still exists replaces its name.
    pub fn data_names(&self) -> Vec<String> {
        let names = std::iter::once(&self.data).chain(&self.mix);
        let places = self.places.iter().map(Option::as_deref).chain(std::iter::repeat(None));
        names
            .zip(places)
            .map(|(name, place)| match place {
                Some(place) if place.exists() => place.display().to_string(),
                _ => name.clone(),
            })
            .collect()
    }

    /// Records the places and the fingerprints of the data, to recognise them later.
    pub fn note_data(&mut self, info: &DatasetInfo) {
        let names = std::iter::once(&self.data).chain(&self.mix);
        self.places = names.map(|name| std::fs::canonicalize(Path::new(name)).ok()).collect();
        self.fingerprints = info.accounts.iter().map(|account| account.fingerprint.clone()).collect();
    }

    /// Checks that the model can be scored on data; returns the tasks that cannot, and why.
    ///
    /// # Errors
    /// [`TrainError::Option`] if no task can, images have another size, or classes differ.
    pub fn check_to_score(&self, info: &DatasetInfo) -> Result<Vec<(String, String)>, TrainError> {
        let mut unscored = Vec::new();
        for head in &self.model.heads {
            match info.label(&head.label) {
                None => {
                    unscored.push((head.name.clone(), format!("{} has no label {:?}", info.name, head.label)))
                }
                Some(_) => self.check_label(head, info)?,
            }
        }
        if unscored.len() == self.model.heads.len() {
            let labels: Vec<&str> = info.labels.iter().map(|label| label.name.as_str()).collect();
            let wanted: Vec<&str> = self.model.heads.iter().map(|head| head.label.as_str()).collect();
            return Err(TrainError::Option(format!(
                "nothing can be scored: the model's tasks need the labels {}, {} has {}",
                wanted.join(", "),
                info.name,
                if labels.is_empty() { "none".into() } else { labels.join(", ") }
            )));
        }
        self.check_images(info)?;
        Ok(unscored)
    }

    /// A head's label must be of the right kind and have the head's classes.
    fn check_label(&self, head: &HeadConfig, info: &DatasetInfo) -> Result<(), TrainError> {
        let found = HeadConfig::new(&head.name, &head.kind, Some(&head.label), info);
        let found = found.map_err(TrainError::Option)?;
        if found.classes == head.classes {
            return Ok(());
        }
        Err(TrainError::Option(format!(
            "{} has other classes under {:?} than the task {} was made for ({}); choose the data to match",
            info.name,
            head.label,
            head.name,
            head.classes.join(", ")
        )))
    }

    fn check_images(&self, info: &DatasetInfo) -> Result<(), TrainError> {
        if [info.height, info.width, info.channels] == self.model.image {
            return Ok(());
        }
        Err(TrainError::Option(format!(
            "{} has images of {}x{} pixels and {} channels, the model takes {:?}; choose the data to match",
            info.name, info.height, info.width, info.channels, self.model.image
        )))
    }

    /// Checks the values against each other and against the data.
    ///
    /// # Errors
    /// [`TrainError::Option`], naming the value and what is allowed.
    pub fn validate(&self, info: &DatasetInfo) -> Result<(), TrainError> {
        self.validate_run()?;
        let fail = |message: String| Err(TrainError::Option(message));
        if self.model.heads.is_empty() {
            let kinds = tasks::kinds::<f32>();
            let possible: Vec<&str> = kinds
                .iter()
                .filter(|kind| info.labels.iter().any(|label| label.kind == kind.label))
                .map(|kind| kind.name)
                .collect();
            return fail(format!("there is no task to train; name at least one of {}", possible.join(", ")));
        }
        for head in &self.model.heads {
            self.check_label(head, info)?;
        }
        self.check_images(info)?;
        self.model.check().map_err(TrainError::Option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_data::FashionScenes;

    #[test]
    fn strategies_that_need_every_entry_refuse_streamed_parameters() {
        let dataset = FashionScenes::embedded(1);
        let mut config = TrainConfig::for_data("fashion-scenes", dataset.info());
        config.gradients = GradientsWrt::StreamedParameters;
        config.set_balance("graddrop").unwrap();
        let told = config.balancing().err().expect("an error").to_string();
        assert!(told.contains("graddrop") && told.contains("use parameters or features"), "{told}");
        config.set_balance("mgda").unwrap();
        config.balancing().unwrap();
    }
}

//! The input and the result of a training step.

use std::borrow::Cow;

use cerberus_balance::diagnostics::Conflicts;
use cerberus_balance::{Decision, Orders, Strategy};
use cerberus_data::Batch;
use cerberus_distributed::{Message, Shards};
use cerberus_nn::sync_norm::SyncNorm;
use cerberus_tensor::Element;
use serde::{Deserialize, Serialize};

use crate::model::MultiTaskModel;

/// The variables with respect to which the tasks' gradients are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GradientsWrt {
    /// The trunk's parameters, as the papers define it.
    #[default]
    Parameters,
    /// The same, for strategies that need only the products of the gradients: the
    /// tasks' gradients are computed side by side, parameter by parameter, and dropped
    /// as soon as they are multiplied. Memory does not grow with the number of tasks
    /// times that of parameters, and the step takes one more backward pass.
    StreamedParameters,
    /// The features of every image of the batch side by side (MGDA-UB: Sener and
    /// Koltun, 2018, section 3.3): an upper bound, at a fraction of the cost.
    Features,
    /// The features' gradients summed over the batch before they are multiplied
    /// (`rep_grad` in LibMTL). They give only weights, which differ from those of
    /// the other choices.
    SummedFeatures,
}

impl GradientsWrt {
    /// The names on command lines.
    pub const NAMES: [&str; 4] = ["parameters", "streamed-parameters", "features", "summed-features"];

    /// Whether gradients are taken with respect to the trunk's parameters.
    pub(super) fn is_parameters(self) -> bool {
        matches!(self, Self::Parameters | Self::StreamedParameters)
    }
}

impl std::str::FromStr for GradientsWrt {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "parameters" => Ok(Self::Parameters),
            "streamed-parameters" => Ok(Self::StreamedParameters),
            "features" => Ok(Self::Features),
            "summed-features" => Ok(Self::SummedFeatures),
            _ => Err(format!(
                "gradients cannot be taken with respect to {name:?}; choose one of {}",
                Self::NAMES.join(", ")
            )),
        }
    }
}

/// A balancing strategy with its settings.
pub struct Balancing<T: Element = f32> {
    /// The strategy.
    pub strategy: Box<dyn Strategy<T>>,
    /// How much each task should count: sum 1.
    pub preference: Vec<f64>,
    /// The variables with respect to which gradients are taken for it.
    pub wrt: GradientsWrt,
}

impl<T: Element> Balancing<T> {
    /// The same weights in every step.
    ///
    /// # Panics
    /// If a weight is negative or not finite.
    #[track_caller]
    pub fn fixed(weights: &[f64]) -> Self {
        assert!(
            weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0),
            "Balancing::fixed: weights must be numbers of at least 0, found {weights:?}"
        );
        let strategy = cerberus_balance::by_name("fixed", weights.len(), weights)
            .expect("fixed weights are a strategy for any number of tasks");
        let preference = vec![1.0 / weights.len().max(1) as f64; weights.len()];
        Self { strategy, preference, wrt: GradientsWrt::default() }
    }
}

/// The input of a step.
pub struct StepInput<'a> {
    /// The images and labels; in one of several processes, those of its shards.
    pub batch: &'a Batch,
    /// The samples of the batch in all processes.
    pub samples: usize,
    /// How the batch is cut, and which shards are this process's; see [the module](super).
    pub shards: Shards,
    /// Whether batch norms use the statistics of the whole batch, not those of their shard.
    pub sync_norm: bool,
    /// The form in which processes send each other gradients.
    pub messages: Message,
    /// As many samples of the validation split, cut in the same way, for strategies that look ahead.
    pub validation: Option<&'a Batch>,
    /// Gradients with a larger global norm are scaled down to it.
    pub clip_norm: f64,
    /// The run's seed and the number of the step, which determine its random numbers.
    pub seed: [u64; 2],
    /// Whether to measure how much the tasks' gradients conflict.
    pub diagnose: bool,
    /// For a model of several inputs with a task of each alone: how much the encoder of an input that is ahead is slowed
    /// down (`alpha` of OGM-GE).
    pub modulation: Option<f64>,
}

impl<'a> StepInput<'a> {
    /// A step on `batch`, which is not cut, without clipping, with seed 0.
    pub fn new(batch: &'a Batch) -> Self {
        Self {
            batch,
            samples: batch.len(),
            shards: Shards::whole(),
            sync_norm: false,
            messages: Message::Exact,
            validation: None,
            clip_norm: f64::INFINITY,
            seed: [0, 0],
            diagnose: false,
            modulation: None,
        }
    }

    /// What the passes of a model meet at, if its batch norms are to see all shards.
    pub(super) fn sync<T: Element>(&self, model: &MultiTaskModel<T>) -> Option<SyncNorm> {
        (self.sync_norm && !self.shards.is_whole()).then(|| SyncNorm::new(model, &self.shards))
    }

    /// A batch cut into this process's shards.
    pub(super) fn cut<'b>(&self, batch: &'b Batch) -> Vec<Cow<'b, Batch>> {
        if self.shards.is_whole() {
            return vec![Cow::Borrowed(batch)];
        }
        let start = self.shards.own_samples(self.samples).start;
        let own = self.shards.own().map(|shard| self.shards.samples(shard, self.samples));
        own.map(|range| Cow::Owned(batch.narrow(range.start - start, range.len()))).collect()
    }
}

/// The result of a step.
#[derive(Clone, Debug)]
pub struct StepResult<T: Element = f32> {
    /// Each task's loss before the step; 0 for tasks that took no part.
    pub losses: Vec<T>,
    /// The first loss that is not finite, if any: its task's place, its value, and the shard it is of.
    pub not_finite: Option<(usize, T, usize)>,
    /// The places of the tasks that the batch had labels for.
    pub tasks: Vec<usize>,
    /// The weights that were used, of every task; empty if a loss or gradient was not finite and nothing was changed.
    pub weights: Vec<f64>,
    /// For each task that took part, the order in which it was compared with the others,
    /// if that was drawn at random; as places in the model.
    pub order: Option<Orders>,
    /// How much the tasks' gradients conflicted: over all shared variables and in each stage.
    pub conflicts: Vec<(String, Conflicts)>,
}

impl<T: Element> StepResult<T> {
    /// Whether a loss or a gradient was not finite, so that nothing was changed.
    pub fn is_diverged(&self) -> bool {
        self.weights.is_empty()
    }

    /// The result of a step before the strategy's decision.
    pub(super) fn new(losses: Vec<T>, tasks: Vec<usize>) -> Self {
        Self { losses, not_finite: None, tasks, weights: Vec::new(), order: None, conflicts: Vec::new() }
    }

    /// The losses of the tasks that take part.
    pub(super) fn present_losses(&self) -> Vec<f64> {
        self.tasks.iter().map(|&task| self.losses[task].as_f64()).collect()
    }

    /// Stores the decision for the tasks that take part.
    pub(super) fn decided(&mut self, decision: &Decision<T>) {
        self.weights = vec![0.0; self.losses.len()];
        self.tasks.iter().zip(&decision.weights).for_each(|(&task, &weight)| self.weights[task] = weight);
        // Convert places among the tasks that took part to places in the model.
        let named = |order: &Vec<usize>| order.iter().map(|&place| self.tasks[place]).collect();
        self.order = decision.order.as_ref().map(|orders| Orders(orders.0.iter().map(named).collect()));
    }
}

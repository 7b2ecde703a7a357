//! Multi-task balancing: how much each task's loss, or gradient, counts in a step
//! when the tasks' gradients conflict in the parameters they share. Pure
//! mathematics: nothing here knows of a network, a batch or an optimiser; the
//! training step that uses it is in `cerberus-multitask`.
//!
//! With losses `L_t` and shared parameters `θ`, the rows `g_t = ∂L_t/∂θ` form a matrix
//! `J`; a strategy returns weights `w` and the shared part moves along `d = Jᵀw`. A
//! [`Strategy`] declares what it [needs](Needs) (from the losses alone to several
//! batches), receives that as [`Evidence`], returns a [`Decision`], and owns its
//! [memory](Memory), which checkpoints store.
//!
//! - [`on_gramian`]: weights from the products of the gradients, as functions;
//! - [`strategies`]: all strategies behind the one interface;
//! - [`registry`]: the strategies by name, for command lines;
//! - [`solvers`]: exact solvers of the small problems underneath;
//! - [`TaskGradients`], [`Products`], [`Gramian`]: the gradients and their products;
//! - [`diagnostics`]: how much the tasks' gradients conflict;
//! - [`toy`]: a problem with two parameters, to watch the strategies on.
#![forbid(unsafe_code)]

pub mod diagnostics;
mod gradients;
mod gramian;
mod memory;
pub mod on_gramian;
pub mod registry;
pub mod solvers;
pub mod strategies;
pub mod toy;

#[cfg(test)]
mod tests;

use cerberus_tensor::{Element, Tensor};

pub use gradients::{Products, TaskGradients};
pub use gramian::Gramian;
pub use memory::Memory;
pub use on_gramian::Orders;
pub use registry::{NAMES, by_name};

/// Weights could not be chosen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BalanceError {
    /// A gradient or a loss is infinite or not a number.
    #[error("the gradient or loss of task {task} is not finite")]
    NotFinite {
        /// The task's place in the model's order.
        task: usize,
    },
    /// A strategy that does not exist, or one that does not fit the tasks or the batch.
    #[error("{0}")]
    Option(String),
    /// The saved memory belongs to another strategy or to other tasks.
    #[error(
        "the saved state of the balance lacks a fitting {0:?}; resume with the strategy and tasks that wrote it"
    )]
    Memory(String),
}

/// Which gradients a strategy needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum GradientNeed {
    /// None: one backward pass of the weighted loss is enough, heads included.
    #[default]
    None,
    /// Their products.
    Gramian,
    /// All their entries.
    Rows,
}

/// What a strategy needs at each step besides the losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The tasks' gradients.
    pub gradients: GradientNeed,
    /// Whether gradients of three independent parts of the batch are needed instead of one of the whole.
    pub three_batches: bool,
    /// Whether the gradients must have the same parts at every step, because the strategy remembers them entry by
    /// entry.
    pub same_parts: bool,
    /// Whether the losses of the same batch are needed again after the step.
    pub losses_after_step: bool,
    /// Whether it needs the change of the training losses along the gradient of the validation loss.
    pub lookahead: bool,
}

/// The input of a strategy at a step.
pub struct Evidence<'a, T: Element = f32> {
    /// The places, in the model's order, of the tasks that the batch has labels for.
    /// Losses, preference, gradients and lookahead are for these tasks only, in this
    /// order.
    pub tasks: &'a [usize],
    /// The tasks' losses.
    pub losses: &'a [f64],
    /// How much each task should count: not negative, with sum 1.
    pub preference: &'a [f64],
    /// The gradients that the strategy needs: of the batch, or of its three parts; empty if it needs none.
    pub gradients: &'a [TaskGradients<T>],
    /// The products of the (first) gradients, if the strategy needs gradients.
    pub gramian: Option<&'a Gramian>,
    /// `[L_t(θ + εv) − L_t(θ − εv)] / 2ε` along the validation gradient `v`, if the strategy needs it.
    pub lookahead: Option<&'a [f64]>,
    /// The run's seed and the step, which determine the random numbers.
    pub seed: [u64; 2],
}

impl<T: Element> Evidence<'_, T> {
    /// The products.
    ///
    /// # Panics
    /// If the strategy did not ask for gradients.
    #[track_caller]
    pub fn gramian(&self) -> &Gramian {
        self.gramian.expect("a strategy that looks at the Gramian says so in its needs")
    }

    /// The preference scaled so that equal ones are 1.
    pub fn shares(&self) -> Vec<f64> {
        self.preference.iter().map(|p| p * self.preference.len() as f64).collect()
    }
}

/// The output of a strategy at a step.
#[derive(Clone, Debug)]
pub struct Decision<T: Element = f32> {
    /// Each task's weight, with `d = Jᵀw`, where `J` is that of the last part if the
    /// batch is in three parts. Only a summary if `direction` is given.
    pub weights: Vec<f64>,
    /// The direction itself, part by part like the gradients, if it is not a combination of them.
    pub direction: Option<Vec<Tensor<T>>>,
    /// The random order in which each task was compared with the others, if there was one.
    pub order: Option<Orders>,
}

impl<T: Element> Decision<T> {
    /// The direction `Jᵀw`.
    pub fn weights(weights: Vec<f64>) -> Self {
        Self { weights, direction: None, order: None }
    }
}

/// The input of a strategy at the end of an epoch.
pub struct EpochFigures<'a> {
    /// Each task's mean training loss.
    pub losses: &'a [f64],
    /// Each task's main metric on the validation split, 0 to 1; `None` if it is unknown.
    pub metrics: &'a [Option<f64>],
}

/// A way of balancing tasks; see the [module](self).
pub trait Strategy<T: Element = f32>: Send {
    /// What it needs at each step.
    fn needs(&self) -> Needs;

    /// Whether it uses the preference.
    fn takes_preference(&self) -> bool {
        false
    }

    /// The weights of this step, one for each task that takes part.
    ///
    /// # Errors
    /// [`BalanceError::NotFinite`].
    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError>;

    /// The current weights, for the trial step of strategies that look ahead.
    fn weights_so_far(&self, tasks: usize) -> Vec<f64> {
        vec![1.0; tasks]
    }

    /// Receives the losses of the same batch and tasks after the step, if [needed](Needs::losses_after_step).
    fn after_step(&mut self, _losses: &[f64]) {}

    /// An epoch ended.
    fn end_epoch(&mut self, _figures: &EpochFigures) {}

    /// Its whole memory.
    fn memory(&self) -> Memory<T> {
        Memory::default()
    }

    /// Continues from a saved memory.
    ///
    /// # Errors
    /// [`BalanceError::Memory`] if it is another strategy's, or of other tasks.
    fn restore(&mut self, _memory: &Memory<T>) -> Result<(), BalanceError> {
        Ok(())
    }
}

/// Refuses losses that are not finite.
pub fn all_finite(losses: &[f64]) -> Result<(), BalanceError> {
    match losses.iter().position(|loss| !loss.is_finite()) {
        Some(task) => Err(BalanceError::NotFinite { task }),
        None => Ok(()),
    }
}

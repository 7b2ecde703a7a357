//! Optimisers: they turn gradients into new parameter values.
//!
//! A step is one pass over memory: for every piece of every parameter, the
//! value, its gradient and its moments are read once and written once. All
//! pieces of all parameters form one list of jobs, so that a small bias next to
//! a large weight keeps no core waiting. Values never depend on how the work
//! was spread.
//!
//! The rules are PyTorch's, to the order of the operations. Two choices are ours.
//! **Weight decay** spares parameters of rank 1 and 0 (biases, and the scales and
//! shifts of norms, which decay would only pull away from the values that fit the
//! data) unless `decay_all` is set. **A parameter without a gradient** in this
//! step (a head whose task was left out, say) is left alone entirely: no weight
//! decay, no change of its moments or of its step count.

mod accumulate;
mod adadelta;
mod adagrad;
mod adam;
mod adam_w;
mod groups;
mod lamb;
mod lion;
mod lookahead;
mod muon;
mod own;
mod owners;
mod pass;
mod rms_prop;
mod sgd;
mod shared;
mod state;

pub use accumulate::{Accumulated, Accumulating};
pub use adadelta::{Adadelta, AdadeltaOptions};
pub use adagrad::{Adagrad, AdagradOptions};
pub use adam::{Adam, AdamOptions};
pub use adam_w::AdamW;
pub use groups::{GroupError, ParameterGroup, ParameterGroups};
pub use lamb::{Lamb, LambOptions};
pub use lion::{Lion, LionOptions};
pub use lookahead::{Lookahead, LookaheadOptions};
pub use muon::{Muon, MuonOptions, MuonScale};
pub use own::{OwnGradients, StepGradients};
pub use owners::{Owners, Reach};
pub use rms_prop::{RmsProp, RmsPropOptions};
pub use sgd::{Sgd, SgdOptions};
pub use shared::Shared;
pub use state::StateError;

use std::sync::Arc;

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};

use crate::module::Module;

/// Changes a model's parameters by their gradients and keeps the state it needs.
///
/// [`step`](crate::step) calls it in the right place; a
/// [`Schedule`](crate::Schedule) sets its learning rate before each step.
pub trait Optimizer<T: Element = f32> {
    /// One step. A parameter without a gradient is left as it is, and so is its state.
    ///
    /// # Panics
    /// If the values of a parameter with a gradient are shared with another
    /// tensor (they would have to be copied), if a gradient has another shape
    /// than its parameter, or if the state belongs to another model. The message
    /// names the parameter.
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>);

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate of the steps to come.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    fn set_learning_rate(&mut self, rate: f64);

    /// Steps taken so far; part of the state.
    fn steps(&self) -> u64;

    /// The state, step counts included, in the declaration order of the
    /// parameters. A name joins those of the optimiser, the quantity and the
    /// parameter: `adam.m.trunk.conv.weight`. Empty before the first step.
    fn state(&self) -> Vec<(String, Tensor<T>)>;

    /// Replaces the state by one that [`state`](Self::state) returned for a
    /// model with the same parameters. Continuing from it gives the same bits
    /// as never having stopped.
    ///
    /// If a tensor belongs to no parameter of `model` or to another optimiser or
    /// has the wrong shape, or if a tensor of a parameter is missing. The state
    /// is then unchanged.
    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError>;

    /// What the update of a number depends on, which decides how processes can [share](Shared) the optimiser: not at
    /// all unless it says so.
    fn reach(&self) -> Reach {
        Reach::Model
    }

    /// The path of the parameter to whose numbers those of a tensor of the [state](Self::state) belong, one to one,
    /// from the tensor's name; `None` for others, such as counts of steps. Sharing needs it.
    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        let _ = name;
        None
    }

    /// If processes share this optimiser: who updates which part of the model's trainable parameters. Each then needs
    /// the gradients of its part only, and passes them to [`step_own`](Self::step_own).
    fn owners(&mut self, model: &dyn Module<T>) -> Option<Arc<Owners>> {
        let _ = model;
        None
    }

    /// One step along gradients of which every process has its own part, by the last [`owners`](Self::owners). All
    /// processes must call it together.
    ///
    /// # Panics
    /// As [`step`](Self::step), and if the optimiser is not shared.
    #[track_caller]
    fn step_own(&mut self, model: &mut dyn Module<T>, gradients: &OwnGradients<T>) {
        let _ = (model, gradients);
        panic!("Optimizer::step_own: no processes share this optimiser; it takes whole gradients, by step");
    }
}

impl<T: Element, O: Optimizer<T> + ?Sized> Optimizer<T> for Box<O> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        (**self).step(model, gradients);
    }

    fn learning_rate(&self) -> f64 {
        (**self).learning_rate()
    }

    #[track_caller]
    fn set_learning_rate(&mut self, rate: f64) {
        (**self).set_learning_rate(rate);
    }

    fn steps(&self) -> u64 {
        (**self).steps()
    }

    fn state(&self) -> Vec<(String, Tensor<T>)> {
        (**self).state()
    }

    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        (**self).load_state(model, tensors)
    }

    fn reach(&self) -> Reach {
        (**self).reach()
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        (**self).parameter_of(name)
    }

    fn owners(&mut self, model: &dyn Module<T>) -> Option<Arc<Owners>> {
        (**self).owners(model)
    }

    #[track_caller]
    fn step_own(&mut self, model: &mut dyn Module<T>, gradients: &OwnGradients<T>) {
        (**self).step_own(model, gradients);
    }
}

/// # Panics
/// Unless `rate` is a learning rate.
#[track_caller]
fn assert_learning_rate(optimizer: &str, rate: f64) {
    assert!(
        rate.is_finite() && rate >= 0.0,
        "{optimizer}: the learning rate must be a number of at least 0, found {rate}"
    );
}

#[cfg(test)]
mod tests;

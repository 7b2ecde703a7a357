//! Adam with decoupled weight decay.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};

use super::adam::{AdamOptions, Decay, Moments};
use super::state::StateError;
use super::{Optimizer, Reach};
use crate::module::Module;

/// [`Adam`](super::Adam) whose weight decay does not pass through the moments
/// (Loshchilov and Hutter, 2019, algorithm 2): `w *= 1 - learning_rate weight_decay`
/// before a step with the plain gradient. As `torch.optim.AdamW`, whose default
/// `weight_decay` is 0.01; here it is that of [`AdamOptions`], 0.
pub struct AdamW<T: Element = f32>(Moments<T>);

impl<T: Element> AdamW<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless both betas are at least 0 and below 1, and `eps` and the decay at least 0.
    #[track_caller]
    pub fn new(options: AdamOptions) -> Self {
        Self(Moments::new("adamw", options))
    }
}

impl AdamW<f32> {
    /// The optimiser as a trait object, compiled in this crate.
    ///
    /// # Panics
    /// As [`AdamW::new`].
    #[track_caller]
    #[inline(never)]
    pub fn boxed(options: AdamOptions) -> Box<dyn Optimizer<f32> + Send> {
        Box::new(Self::new(options))
    }
}

impl<T: Element> Optimizer<T> for AdamW<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let learning_rate = self.0.options.learning_rate;
        let place = |decay| Decay { gradient: 0.0, value: learning_rate * decay };
        self.0.step(model, gradients, place);
    }

    fn learning_rate(&self) -> f64 {
        self.0.options.learning_rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.0.set_learning_rate(rate);
    }

    fn steps(&self) -> u64 {
        self.0.state.steps()
    }

    fn state(&self) -> Vec<(String, Tensor<T>)> {
        self.0.state.save()
    }

    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        self.0.state.load(model, tensors)
    }

    fn reach(&self) -> Reach {
        Reach::Value
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.0.state.parameter_of(name)
    }
}

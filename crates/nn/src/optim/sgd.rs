//! Stochastic gradient descent with momentum.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::pass::{Piece, flushed};
use super::state::{State, StateError};
use super::{Optimizer, Reach, assert_learning_rate};
use crate::module::Module;

/// The options of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SgdOptions {
    /// The learning rate before a schedule changes it; 1e-3 by default.
    pub learning_rate: f64,
    /// How much of the last direction is kept; 0 keeps none and needs no state.
    pub momentum: f64,
    /// Whether to look ahead along the new direction (Sutskever et al., 2013, section 2).
    pub nesterov: bool,
    /// How much of the value is added to the gradient.
    pub weight_decay: f64,
    /// Whether parameters of rank 0 and 1 decay too.
    pub decay_all: bool,
}

impl Default for SgdOptions {
    fn default() -> Self {
        Self { learning_rate: 1e-3, momentum: 0.0, nesterov: false, weight_decay: 0.0, decay_all: false }
    }
}

/// Stochastic gradient descent: with `g` the gradient plus `weight_decay w`,
/// `b = g` in a parameter's first step and `b = momentum b + g` from then on,
/// `w -= learning_rate b`, or `learning_rate (g + momentum b)` with `nesterov`.
/// Like `torch.optim.SGD` without dampening.
pub struct Sgd<T: Element = f32> {
    options: SgdOptions,
    momentum: State<T, 1>,
    steps: u64,
}

impl<T: Element> Sgd<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless the learning rate is a number of at least 0, the momentum is at least 0 and below 1 and the decay at
    /// least 0, or if `nesterov` is set without momentum.
    #[track_caller]
    pub fn new(options: SgdOptions) -> Self {
        let SgdOptions { learning_rate, momentum, nesterov, weight_decay, .. } = options;
        assert_learning_rate("Sgd", learning_rate);
        assert!(
            (0.0..1.0).contains(&momentum) && weight_decay >= 0.0 && (momentum > 0.0 || !nesterov),
            "Sgd: momentum must be at least 0 and below 1 (above 0 with nesterov) and the decay at least 0, found {options:?}"
        );
        Self { options, momentum: State::new("sgd", ["momentum"]), steps: 0 }
    }
}

impl<T: Element> Optimizer<T> for Sgd<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let SgdOptions { learning_rate, momentum, nesterov, weight_decay, decay_all } = self.options;
        self.steps += 1;
        let (rate, mu) = (T::from_f64(learning_rate), T::from_f64(momentum));
        let decay = |rank: usize| T::from_f64(if decay_all || rank >= 2 { weight_decay } else { 0.0 });
        if momentum == 0.0 {
            let update = |decay: T, piece: Piece<'_, T, 0>| {
                for (w, &g) in piece.value.iter_mut().zip(piece.gradient) {
                    *w -= rate * (g + decay * *w);
                }
            };
            return State::new("sgd", []).step(model, gradients, |at| decay(at.rank), update);
        }
        // A buffer that only decays would become subnormal, and slow, before it reaches 0.
        let smallest = T::from_f64(16.0) * T::min_positive_value();
        // The buffer is 0 before the first step, so that momentum b + g is g there, as it should be.
        let update = |decay: T, piece: Piece<'_, T, 1>| {
            let [buffer] = piece.state;
            for ((w, &g), b) in piece.value.iter_mut().zip(piece.gradient).zip(buffer) {
                let g = g + decay * *w;
                *b = flushed(mu * *b + g, smallest);
                *w -= rate * if nesterov { g + mu * *b } else { *b };
            }
        };
        self.momentum.step(model, gradients, |at| decay(at.rank), update);
    }

    fn learning_rate(&self) -> f64 {
        self.options.learning_rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        assert_learning_rate("Sgd", rate);
        self.options.learning_rate = rate;
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn state(&self) -> Vec<(String, Tensor<T>)> {
        if self.options.momentum > 0.0 || self.steps == 0 {
            return self.momentum.save();
        }
        vec![(STEPS.to_string(), Tensor::scalar(T::from_f64(self.steps as f64)))]
    }

    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        mut tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        // An older file has no count.
        let place = tensors.iter().position(|(name, tensor)| name == STEPS && tensor.len() == 1);
        let plain = place.map(|place| tensors.remove(place).1.to_vec()[0].as_f64());
        self.momentum.load(model, tensors)?;
        self.steps = plain.map_or(self.momentum.steps(), |steps| steps as u64);
        Ok(())
    }

    fn reach(&self) -> Reach {
        Reach::Value
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.momentum.parameter_of(name)
    }
}

/// The count of steps without momentum, when there is no state of any parameter to keep it.
const STEPS: &str = "sgd.steps";

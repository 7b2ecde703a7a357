//! Lion: steps of one size, in the direction of the sign of a momentum.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::pass::{Piece, decay_of, flushed};
use super::state::{State, StateError, kept_in_state};
use super::{Optimizer, assert_learning_rate};
use crate::module::Module;

/// The options of [`Lion`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LionOptions {
    /// The learning rate before a schedule changes it; 1e-4 by default. The paper's advice is 3 to 10 times less
    /// than for AdamW, with a weight decay that is larger by as much.
    pub learning_rate: f64,
    /// How much of the mean gradient is in the direction of a step; 0.9 by default.
    pub beta1: f64,
    /// How much of the mean gradient is kept; 0.99 by default.
    pub beta2: f64,
    /// The strength of the decoupled weight decay; 0 by default.
    pub weight_decay: f64,
    /// Whether parameters of rank 0 and 1 decay too; not by default.
    pub decay_all: bool,
}

impl Default for LionOptions {
    fn default() -> Self {
        Self { learning_rate: 1e-4, beta1: 0.9, beta2: 0.99, weight_decay: 0.0, decay_all: false }
    }
}

/// Lion (Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2):
/// `u = sign(beta1 m + (1 - beta1) g)`, `m = beta2 m + (1 - beta2) g`,
/// `w -= learning_rate (u + weight_decay w)`. The sign of 0 is 0.
pub struct Lion<T: Element = f32> {
    options: LionOptions,
    state: State<T, 1>,
}

impl<T: Element> Lion<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless both betas are at least 0 and below 1, and the decay at least 0.
    #[track_caller]
    pub fn new(options: LionOptions) -> Self {
        let LionOptions { learning_rate, beta1, beta2, weight_decay, .. } = options;
        assert_learning_rate("lion", learning_rate);
        assert!(
            (0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2) && weight_decay >= 0.0,
            "lion: the betas must be at least 0 and below 1, the decay at least 0, found {options:?}"
        );
        Self { options, state: State::new("lion", ["m"]) }
    }
}

impl<T: Element> Optimizer<T> for Lion<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let LionOptions { learning_rate, beta1, beta2, weight_decay, decay_all } = self.options;
        let number = T::from_f64;
        let (rate, in_step, new_in_step) = (number(learning_rate), number(beta1), number(1.0 - beta1));
        let (keep, new) = (number(beta2), number(1.0 - beta2));
        let smallest = number(16.0) * T::min_positive_value();
        self.state.step(
            model,
            gradients,
            |at| decay_of::<T>(weight_decay, decay_all, at.rank),
            |decay, piece: Piece<'_, T, 1>| {
                let [m] = piece.state;
                for ((w, &g), m) in piece.value.iter_mut().zip(piece.gradient).zip(m) {
                    let direction = in_step * *m + new_in_step * g;
                    // `signum` of 0 is 1; NaN stays NaN.
                    let sign = if direction == T::ZERO { T::ZERO } else { direction.signum() };
                    *m = flushed(keep * *m + new * g, smallest);
                    *w -= rate * (sign + decay * *w);
                }
            },
        );
    }

    kept_in_state!(Value);
}

//! Adagrad: every value has a learning rate that falls as its gradients add up.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::pass::{Piece, decay_of, flushed, least};
use super::state::{State, StateError, kept_in_state};
use super::{Optimizer, assert_learning_rate};
use crate::module::Module;

/// The options of [`Adagrad`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdagradOptions {
    /// The learning rate before a schedule changes it; 1e-2 by default.
    pub learning_rate: f64,
    /// How fast the learning rate falls by itself, per step; 0 by default.
    pub rate_decay: f64,
    /// The sum of squares before the first step; 0 by default.
    pub initial_sum: f64,
    /// Added to the root of the sum of squares; 1e-10 by default.
    pub eps: f64,
    /// How much of the value is added to the gradient; 0 by default.
    pub weight_decay: f64,
    /// Whether parameters of rank 0 and 1 decay too; not by default.
    pub decay_all: bool,
}

impl Default for AdagradOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-2,
            rate_decay: 0.0,
            initial_sum: 0.0,
            eps: 1e-10,
            weight_decay: 0.0,
            decay_all: false,
        }
    }
}

/// Adagrad (Duchi, Hazan and Singer, 2011, figure 1, with diagonal matrices): with `g` the gradient plus
/// `weight_decay w`, `s += g²` and `w -= learning_rate / (1 + (t - 1) rate_decay) g / (sqrt(s) + eps)` in a
/// parameter's step `t`; `s` starts as `initial_sum`. Like `torch.optim.Adagrad`.
pub struct Adagrad<T: Element = f32> {
    options: AdagradOptions,
    state: State<T, 1>,
}

impl<T: Element> Adagrad<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless all numbers are finite and at least 0.
    #[track_caller]
    pub fn new(options: AdagradOptions) -> Self {
        let AdagradOptions { learning_rate, rate_decay, initial_sum, eps, weight_decay, .. } = options;
        assert_learning_rate("adagrad", learning_rate);
        assert!(
            [rate_decay, initial_sum, eps, weight_decay].iter().all(|x| x.is_finite() && *x >= 0.0),
            "adagrad: the numbers must be finite and at least 0, found {options:?}"
        );
        Self { options, state: State::new("adagrad", ["sum"]) }
    }
}

impl<T: Element> Optimizer<T> for Adagrad<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let AdagradOptions { learning_rate, rate_decay, initial_sum, eps, weight_decay, decay_all } =
            self.options;
        let number = T::from_f64;
        let eps = number(eps);
        let (no_square, _) = least(T::ONE);
        self.state.step(
            model,
            gradients,
            |at| {
                let rate = learning_rate / (1.0 + (at.step - 1) as f64 * rate_decay);
                let before = if at.step == 1 { initial_sum } else { 0.0 };
                (decay_of::<T>(weight_decay, decay_all, at.rank), number(rate), number(before))
            },
            |(decay, rate, before), piece: Piece<'_, T, 1>| {
                let [sum] = piece.state;
                for ((w, &g), sum) in piece.value.iter_mut().zip(piece.gradient).zip(sum) {
                    let g = flushed(g + decay * *w, no_square);
                    *sum = *sum + before + g * g;
                    // Without eps and before the first gradient this would be 0 / 0.
                    if g != T::ZERO {
                        *w -= rate * (g / (sum.sqrt() + eps));
                    }
                }
            },
        );
    }

    kept_in_state!(Value);
}

//! Adadelta: the gradient in the unit of the last changes, so that it needs no learning rate.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::pass::{Piece, decay_of, flushed, least};
use super::state::{State, StateError, kept_in_state};
use super::{Optimizer, assert_learning_rate};
use crate::module::Module;

/// The options of [`Adadelta`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdadeltaOptions {
    /// A factor of every change, which a schedule may change; 1 by default.
    pub learning_rate: f64,
    /// How much of both mean squares is kept; 0.9 by default.
    pub rho: f64,
    /// Added to both mean squares under their roots; 1e-6 by default.
    pub eps: f64,
    /// How much of the value is added to the gradient; 0 by default.
    pub weight_decay: f64,
    /// Whether parameters of rank 0 and 1 decay too; not by default.
    pub decay_all: bool,
}

impl Default for AdadeltaOptions {
    fn default() -> Self {
        Self { learning_rate: 1.0, rho: 0.9, eps: 1e-6, weight_decay: 0.0, decay_all: false }
    }
}

/// Adadelta (Zeiler, 2012, algorithm 1): with `g` the gradient plus `weight_decay w`,
/// `v = rho v + (1 - rho) g²`, `d = sqrt(u + eps) / sqrt(v + eps) g`, `u = rho u + (1 - rho) d²` and
/// `w -= learning_rate d`. Like `torch.optim.Adadelta`, except that gradients and changes too small to be squared
/// count as 0.
pub struct Adadelta<T: Element = f32> {
    options: AdadeltaOptions,
    state: State<T, 2>,
}

impl<T: Element> Adadelta<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless `rho` is at least 0 and below 1, `eps` above 0 and the decay at least 0.
    #[track_caller]
    pub fn new(options: AdadeltaOptions) -> Self {
        let AdadeltaOptions { learning_rate, rho, eps, weight_decay, .. } = options;
        assert_learning_rate("adadelta", learning_rate);
        assert!(
            (0.0..1.0).contains(&rho) && eps > 0.0 && weight_decay >= 0.0,
            "adadelta: rho must be at least 0 and below 1, eps above 0, the decay at least 0, found {options:?}"
        );
        Self { options, state: State::new("adadelta", ["v", "u"]) }
    }
}

impl<T: Element> Optimizer<T> for Adadelta<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let AdadeltaOptions { learning_rate, rho, eps, weight_decay, decay_all } = self.options;
        let number = T::from_f64;
        let (rate, keep, new, eps) = (number(learning_rate), number(rho), number(1.0 - rho), number(eps));
        let (no_square, smallest) = least(new);
        self.state.step(
            model,
            gradients,
            |at| decay_of::<T>(weight_decay, decay_all, at.rank),
            |decay, piece: Piece<'_, T, 2>| {
                let [v, u] = piece.state;
                for (((w, &g), v), u) in piece.value.iter_mut().zip(piece.gradient).zip(v).zip(u) {
                    let g = flushed(g + decay * *w, no_square);
                    *v = flushed(keep * *v + new * g * g, smallest);
                    let d = flushed((*u + eps).sqrt() / (*v + eps).sqrt() * g, no_square);
                    *u = flushed(keep * *u + new * d * d, smallest);
                    *w -= rate * d;
                }
            },
        );
    }

    kept_in_state!(Value);
}

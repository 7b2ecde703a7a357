//! LAMB: Adam whose step is as long as the parameter is large, for large batches.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::pass::{Piece, Situation, decay_of, flushed, least};
use super::state::{State, StateError, kept_in_state};
use super::{Optimizer, assert_learning_rate};
use crate::module::Module;

/// The options of [`Lamb`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LambOptions {
    /// The learning rate before a schedule changes it; 1e-3 by default.
    pub learning_rate: f64,
    /// How much of the mean gradient is kept; 0.9 by default.
    pub beta1: f64,
    /// How much of the mean square is kept; 0.999 by default.
    pub beta2: f64,
    /// Added to the root of the mean square; 1e-6 by default.
    pub eps: f64,
    /// The strength of the weight decay; 0 by default.
    pub weight_decay: f64,
    /// Whether parameters of rank 0 and 1 decay too; not by default.
    pub decay_all: bool,
    /// Whether the steps of parameters of rank 0 and 1 are scaled too, as in the paper; not by default, because a
    /// bias that starts at 0 would hardly move after its first step.
    pub scale_all: bool,
}

impl Default for LambOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-6,
            weight_decay: 0.0,
            decay_all: false,
            scale_all: false,
        }
    }
}

/// LAMB (You et al., "Large batch optimization for deep learning", 2020, algorithm 2): with the moments of
/// [`Adam`](super::Adam), `r = m̂ / (sqrt(v̂) + eps) + weight_decay w` and
/// `w -= learning_rate ‖w‖ / ‖r‖ r`, the norms over the whole parameter. The ratio is 1 if one of them is 0.
///
/// A step reads a parameter twice, because the norms must be known before a value can change.
pub struct Lamb<T: Element = f32> {
    options: LambOptions,
    state: State<T, 2>,
}

/// The numbers of one parameter's step.
#[derive(Clone, Copy)]
struct Coefficients<T> {
    decay: T,
    /// `1 / (1 - beta1ᵗ)`.
    mean: T,
    /// `1 / sqrt(1 - beta2ᵗ)`.
    root: T,
    eps: T,
    scaled: bool,
}

impl<T: Element> Coefficients<T> {
    /// The direction `r` of a value.
    #[inline(always)]
    fn direction(self, w: T, m: T, v: T) -> T {
        let step = if m == T::ZERO { m } else { m * self.mean / (v.sqrt() * self.root + self.eps) };
        step + self.decay * w
    }
}

impl<T: Element> Lamb<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless both betas are at least 0 and below 1, and `eps` and the decay at least 0.
    #[track_caller]
    pub fn new(options: LambOptions) -> Self {
        let LambOptions { learning_rate, beta1, beta2, eps, weight_decay, .. } = options;
        assert_learning_rate("lamb", learning_rate);
        assert!(
            (0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2) && eps >= 0.0 && weight_decay >= 0.0,
            "lamb: the betas must be at least 0 and below 1, eps and the decay at least 0, found {options:?}"
        );
        Self { options, state: State::new("lamb", ["m", "v"]) }
    }
}

impl<T: Element> Optimizer<T> for Lamb<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let LambOptions { learning_rate, beta1, beta2, eps, weight_decay, decay_all, scale_all } =
            self.options;
        let number = T::from_f64;
        let (new_m, keep_v, new_v) = (number(1.0 - beta1), number(beta2), number(1.0 - beta2));
        let (no_square, smallest) = least(new_v);
        let coefficients = |at: Situation| Coefficients {
            decay: decay_of(weight_decay, decay_all, at.rank),
            mean: number((1.0 - beta1.powf(at.step as f64)).recip()),
            root: number((1.0 - beta2.powf(at.step as f64)).sqrt().recip()),
            eps: number(eps),
            scaled: scale_all || at.rank >= 2,
        };
        // Returns the squared norms of the values and of the directions.
        let moments = |c: Coefficients<T>, piece: Piece<'_, T, 2>| {
            let [m, v] = piece.state;
            let mut squares = [0.0; 2];
            for (((&mut w, &g), m), v) in piece.value.iter_mut().zip(piece.gradient).zip(m).zip(v) {
                let g = flushed(g, no_square);
                *m = flushed(*m + new_m * (g - *m), no_square);
                *v = flushed(keep_v * *v + new_v * g * g, smallest);
                let (w, r) = (w.as_f64(), c.direction(w, *m, *v).as_f64());
                squares[0] += w * w;
                squares[1] += r * r;
            }
            squares
        };
        let values = |c: Coefficients<T>, [w, r]: [f64; 2], piece: Piece<'_, T, 2>| {
            let ratio = if c.scaled && w > 0.0 && r > 0.0 { w.sqrt() / r.sqrt() } else { 1.0 };
            let rate = number(learning_rate * ratio);
            let [m, v] = piece.state;
            for ((w, m), v) in piece.value.iter_mut().zip(m).zip(v) {
                *w -= rate * c.direction(*w, *m, *v);
            }
        };
        self.state.step_with_sums(model, gradients, coefficients, (moments, values));
    }

    kept_in_state!(Tensor);
}

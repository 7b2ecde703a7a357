//! Adam, with weight decay as part of the gradient.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::pass::{Piece, flushed};
use super::state::{State, StateError};
use super::{Optimizer, Reach, assert_learning_rate};
use crate::module::Module;

/// The options of [`Adam`] and [`AdamW`](super::AdamW).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdamOptions {
    /// The learning rate before a schedule changes it; 1e-3 by default.
    pub learning_rate: f64,
    /// How much of the mean gradient is kept; 0.9 by default.
    pub beta1: f64,
    /// How much of the mean square is kept; 0.999 by default.
    pub beta2: f64,
    /// Added to the root of the mean square; 1e-8 by default.
    pub eps: f64,
    /// The strength of the weight decay; 0 by default.
    pub weight_decay: f64,
    /// Whether parameters of rank 0 and 1 decay too; not by default.
    pub decay_all: bool,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decay_all: false }
    }
}

/// Adam (Kingma and Ba, 2015, algorithm 1): with `g` the gradient plus
/// `weight_decay w`, `m += (1 - beta1) (g - m)`, `v = beta2 v + (1 - beta2) g²`,
/// `w -= learning_rate m̂ / (sqrt(v̂) + eps)`, where `m̂ = m / (1 - beta1ᵗ)` and
/// `v̂ = v / (1 - beta2ᵗ)` in a parameter's step `t`. Like `torch.optim.Adam`,
/// except that gradients and moments too small to be squared count as 0 (below
/// about 3e-18 in `f32`): arithmetic on subnormal numbers is a hundred times
/// slower.
pub struct Adam<T: Element = f32>(Moments<T>);

impl<T: Element> Adam<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless both betas are at least 0 and below 1, and `eps` and the decay at least 0.
    #[track_caller]
    pub fn new(options: AdamOptions) -> Self {
        Self(Moments::new("adam", options))
    }
}

impl<T: Element> Optimizer<T> for Adam<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        self.0.step(model, gradients, |decay| Decay { gradient: decay, value: 0.0 });
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

/// Where a weight decay acts: the share of the value that is added to the
/// gradient, and the share that is subtracted from the value before the step.
pub(super) struct Decay {
    pub gradient: f64,
    pub value: f64,
}

/// The rule that [`Adam`] and [`AdamW`](super::AdamW) share.
pub(super) struct Moments<T: Element> {
    pub options: AdamOptions,
    pub state: State<T, 2>,
}

/// The numbers of one parameter's step.
#[derive(Clone, Copy)]
struct Coefficients<T> {
    into_gradient: T,
    kept: T,
    /// `learning_rate / (1 - beta1ᵗ)`.
    rate: T,
    /// `1 / sqrt(1 - beta2ᵗ)`.
    root: T,
}

impl<T: Element> Moments<T> {
    #[track_caller]
    pub fn set_learning_rate(&mut self, rate: f64) {
        assert_learning_rate(self.state.name(), rate);
        self.options.learning_rate = rate;
    }

    #[track_caller]
    pub fn new(name: &'static str, options: AdamOptions) -> Self {
        let AdamOptions { learning_rate, beta1, beta2, eps, weight_decay, .. } = options;
        assert_learning_rate(name, learning_rate);
        assert!(
            (0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2) && eps >= 0.0 && weight_decay >= 0.0,
            "{name}: the betas must be at least 0 and below 1, eps and the decay at least 0, found {options:?}"
        );
        Self { options, state: State::new(name, ["m", "v"]) }
    }

    /// One step; `place` decides where a decay of a given strength acts.
    #[track_caller]
    pub fn step(
        &mut self,
        model: &mut dyn Module<T>,
        gradients: &Gradients<T>,
        place: impl Fn(f64) -> Decay,
    ) {
        let AdamOptions { learning_rate, beta1, beta2, eps, weight_decay, decay_all } = self.options;
        let number = T::from_f64;
        let (eps, keep_v) = (number(eps), number(beta2));
        let (new_m, new_v) = (number(1.0 - beta1), number(1.0 - beta2));
        // Below these the next square or product could be subnormal.
        let smallest = number(2.0) * T::min_positive_value();
        let no_square = (T::min_positive_value() / new_v).sqrt();
        let correction = |beta: f64, step: u64| 1.0 - beta.powf(step as f64);
        self.state.step(
            model,
            gradients,
            |at| {
                let decay = place(if decay_all || at.rank >= 2 { weight_decay } else { 0.0 });
                Coefficients {
                    into_gradient: number(decay.gradient),
                    kept: number(1.0 - decay.value),
                    rate: number(learning_rate / correction(beta1, at.step)),
                    root: number(correction(beta2, at.step).sqrt().recip()),
                }
            },
            |c, piece: Piece<'_, T, 2>| {
                let [m, v] = piece.state;
                for (((w, &g), m), v) in piece.value.iter_mut().zip(piece.gradient).zip(m).zip(v) {
                    let value = *w * c.kept;
                    let g = flushed(g + c.into_gradient * value, no_square);
                    *m = flushed(*m + new_m * (g - *m), no_square);
                    *v = flushed(keep_v * *v + new_v * g * g, smallest);
                    *w = value - c.rate * *m / (v.sqrt() * c.root + eps);
                }
            },
        );
    }
}

//! RMSprop: the gradient over the root of its mean square.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::pass::{Piece, decay_of, flushed, least};
use super::state::{State, StateError};
use super::{Optimizer, Reach, assert_learning_rate};
use crate::module::Module;

/// The options of [`RmsProp`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RmsPropOptions {
    /// The learning rate before a schedule changes it; 1e-2 by default.
    pub learning_rate: f64,
    /// How much of the mean square is kept; 0.99 by default.
    pub alpha: f64,
    /// Added to the root of the mean square; 1e-8 by default.
    pub eps: f64,
    /// How much of the last direction is kept; 0, the default, keeps none and needs no memory.
    pub momentum: f64,
    /// Whether the gradient is divided by its standard deviation, and not by the root of its mean square; not by
    /// default.
    pub centered: bool,
    /// How much of the value is added to the gradient; 0 by default.
    pub weight_decay: f64,
    /// Whether parameters of rank 0 and 1 decay too; not by default.
    pub decay_all: bool,
}

impl Default for RmsPropOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-2,
            alpha: 0.99,
            eps: 1e-8,
            momentum: 0.0,
            centered: false,
            weight_decay: 0.0,
            decay_all: false,
        }
    }
}

/// RMSprop (Tieleman and Hinton, 2012, lecture 6.5; momentum and centring as Graves, 2013, equations 38 to 41):
/// with `g` the gradient plus `weight_decay w`, `v = alpha v + (1 - alpha) g²`, `u = g / (sqrt(v) + eps)` and
/// `w -= learning_rate u`. With momentum, `b = momentum b + u` takes the place of `u` in the last equation. If
/// `centered`, `m += (1 - alpha) (g - m)`, and the root is that of `v - m²`, or of 0 if rounding takes it below. Like
/// `torch.optim.RMSprop`, except that gradients and moments too small to be squared count as 0.
pub struct RmsProp<T: Element = f32> {
    options: RmsPropOptions,
    memory: Memory<T>,
}

/// As much state as the options need.
enum Memory<T: Element> {
    Plain(State<T, 1>),
    Momentum(State<T, 2>),
    Centered(State<T, 2>),
    Both(State<T, 3>),
}

/// The same expression of any state.
macro_rules! each {
    ($memory:expr, $state:ident => $expression:expr) => {
        match $memory {
            Memory::Plain($state) => $expression,
            Memory::Momentum($state) | Memory::Centered($state) => $expression,
            Memory::Both($state) => $expression,
        }
    };
}

impl<T: Element> RmsProp<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless `alpha` and the momentum are at least 0 and below 1, and the other numbers finite and at least 0.
    #[track_caller]
    pub fn new(options: RmsPropOptions) -> Self {
        let RmsPropOptions { learning_rate, alpha, eps, momentum, centered, weight_decay, .. } = options;
        assert_learning_rate("rmsprop", learning_rate);
        assert!(
            [alpha, momentum].iter().all(|x| (0.0..1.0).contains(x))
                && [eps, weight_decay].iter().all(|x| x.is_finite() && *x >= 0.0),
            "rmsprop: alpha and momentum must be at least 0 and below 1, eps and the decay at least 0, found {options:?}"
        );
        let memory = match (centered, momentum > 0.0) {
            (false, false) => Memory::Plain(State::new("rmsprop", ["v"])),
            (false, true) => Memory::Momentum(State::new("rmsprop", ["v", "momentum"])),
            (true, false) => Memory::Centered(State::new("rmsprop", ["v", "m"])),
            (true, true) => Memory::Both(State::new("rmsprop", ["v", "m", "momentum"])),
        };
        Self { options, memory }
    }
}

impl<T: Element> Optimizer<T> for RmsProp<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let RmsPropOptions { learning_rate, alpha, eps, momentum, weight_decay, decay_all, .. } =
            self.options;
        let number = T::from_f64;
        let (rate, keep, new) = (number(learning_rate), number(alpha), number(1.0 - alpha));
        let (eps, mu) = (number(eps), number(momentum));
        let (no_square, smallest) = least(new);
        let no_buffer = number(16.0) * T::min_positive_value();
        let decay = |rank: usize| decay_of::<T>(weight_decay, decay_all, rank);
        let gradient = |g: T, decay: T, w: T| flushed(g + decay * w, no_square);
        let square = |v: &mut T, g: T| {
            *v = flushed(keep * *v + new * g * g, smallest);
            *v
        };
        let variance = |v: T, m: &mut T, g: T| {
            *m = flushed(*m + new * (g - *m), no_square);
            (v - *m * *m).max(T::ZERO)
        };
        // Without eps, the ratio of a gradient that was always 0 would be 0 / 0.
        let ratio = |g: T, v: T| if g == T::ZERO { g } else { g / (v.sqrt() + eps) };
        let heavy = |b: &mut T, u: T| {
            *b = flushed(mu * *b + u, no_buffer);
            *b
        };
        match &mut self.memory {
            Memory::Plain(state) => {
                let update = |decay: T, piece: Piece<'_, T, 1>| {
                    let [v] = piece.state;
                    for ((w, &g), v) in piece.value.iter_mut().zip(piece.gradient).zip(v) {
                        let g = gradient(g, decay, *w);
                        *w -= rate * ratio(g, square(v, g));
                    }
                };
                state.step(model, gradients, |at| decay(at.rank), update);
            }
            Memory::Momentum(state) => {
                let update = |decay: T, piece: Piece<'_, T, 2>| {
                    let [v, b] = piece.state;
                    for (((w, &g), v), b) in piece.value.iter_mut().zip(piece.gradient).zip(v).zip(b) {
                        let g = gradient(g, decay, *w);
                        *w -= rate * heavy(b, ratio(g, square(v, g)));
                    }
                };
                state.step(model, gradients, |at| decay(at.rank), update);
            }
            Memory::Centered(state) => {
                let update = |decay: T, piece: Piece<'_, T, 2>| {
                    let [v, m] = piece.state;
                    for (((w, &g), v), m) in piece.value.iter_mut().zip(piece.gradient).zip(v).zip(m) {
                        let g = gradient(g, decay, *w);
                        *w -= rate * ratio(g, variance(square(v, g), m, g));
                    }
                };
                state.step(model, gradients, |at| decay(at.rank), update);
            }
            Memory::Both(state) => {
                let update = |decay: T, piece: Piece<'_, T, 3>| {
                    let [v, m, b] = piece.state;
                    let kept = v.iter_mut().zip(m).zip(b);
                    for ((w, &g), ((v, m), b)) in piece.value.iter_mut().zip(piece.gradient).zip(kept) {
                        let g = gradient(g, decay, *w);
                        *w -= rate * heavy(b, ratio(g, variance(square(v, g), m, g)));
                    }
                };
                state.step(model, gradients, |at| decay(at.rank), update);
            }
        }
    }

    fn learning_rate(&self) -> f64 {
        self.options.learning_rate
    }

    #[track_caller]
    fn set_learning_rate(&mut self, rate: f64) {
        assert_learning_rate("rmsprop", rate);
        self.options.learning_rate = rate;
    }

    fn steps(&self) -> u64 {
        each!(&self.memory, state => state.steps())
    }

    fn state(&self) -> Vec<(String, Tensor<T>)> {
        each!(&self.memory, state => state.save())
    }

    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        each!(&mut self.memory, state => state.load(model, tensors))
    }

    fn reach(&self) -> Reach {
        Reach::Value
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        each!(&self.memory, state => state.parameter_of(name))
    }
}

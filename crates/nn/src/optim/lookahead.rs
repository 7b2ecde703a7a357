//! Lookahead: slow weights that follow the fast ones of any other optimiser.

use cerberus_autograd::Gradients;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::state::{State, StateError};
use super::{Optimizer, Reach};
use crate::module::Module;

/// The options of [`Lookahead`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LookaheadOptions {
    /// Steps of the fast weights for one of the slow ones; 5 by default.
    pub period: u64,
    /// How far the slow weights go towards the fast ones; 0.5 by default.
    pub alpha: f64,
}

impl Default for LookaheadOptions {
    fn default() -> Self {
        Self { period: 5, alpha: 0.5 }
    }
}

/// Lookahead (Zhang et al., "Lookahead optimizer: k steps forward, 1 step back", 2019, algorithm 1): after every
/// `period` steps of the optimiser inside, `slow += alpha (w - slow)` and `w = slow`. The slow weights start as the
/// parameter's values before its first step; the state of the optimiser inside goes on. A parameter counts only the
/// steps in which it has a gradient.
///
/// ```
/// use cerberus_nn::optim::{AdamOptions, AdamW, Lookahead, LookaheadOptions, Optimizer};
///
/// let inside = AdamW::new(AdamOptions::default());
/// let optimizer = Lookahead::<f32, _>::new(inside, LookaheadOptions::default());
/// assert_eq!(optimizer.learning_rate(), 1e-3);
/// ```
pub struct Lookahead<T: Element, O> {
    options: LookaheadOptions,
    inside: O,
    slow: State<T, 1>,
}

impl<T: Element, O: Optimizer<T>> Lookahead<T, O> {
    /// Slow weights around `inside`, before the first step.
    ///
    /// # Panics
    /// Unless the period is at least 1 and alpha from 0 to 1.
    #[track_caller]
    pub fn new(inside: O, options: LookaheadOptions) -> Self {
        assert!(
            options.period > 0 && (0.0..=1.0).contains(&options.alpha),
            "lookahead: the period must be at least 1 and alpha from 0 to 1, found {options:?}"
        );
        Self { options, inside, slow: State::new("lookahead", ["slow"]) }
    }
}

impl<T: Element, O: Optimizer<T>> Optimizer<T> for Lookahead<T, O> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        self.slow.apply(model, gradients, true, |at, piece| {
            let [slow] = piece.state;
            if at.step == 1 {
                slow.copy_from_slice(piece.value);
            }
        });
        self.inside.step(model, gradients);
        let (period, alpha) = (self.options.period, T::from_f64(self.options.alpha));
        self.slow.apply(model, gradients, false, |at, piece| {
            let [slow] = piece.state;
            if at.step % period == 0 {
                for (w, slow) in piece.value.iter_mut().zip(slow) {
                    *slow += alpha * (*w - *slow);
                    *w = *slow;
                }
            }
        });
    }

    fn learning_rate(&self) -> f64 {
        self.inside.learning_rate()
    }

    #[track_caller]
    fn set_learning_rate(&mut self, rate: f64) {
        self.inside.set_learning_rate(rate);
    }

    fn steps(&self) -> u64 {
        self.slow.steps()
    }

    fn state(&self) -> Vec<(String, Tensor<T>)> {
        let mut all = self.slow.save();
        all.extend(self.inside.state());
        all
    }

    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        let (slow, inside): (Vec<_>, Vec<_>) =
            tensors.into_iter().partition(|(name, _)| name.starts_with("lookahead."));
        let mut restored = State::new("lookahead", ["slow"]);
        restored.load(model, slow)?;
        // Last, so that an error leaves both as they were.
        self.inside.load_state(model, inside)?;
        self.slow = restored;
        Ok(())
    }

    fn reach(&self) -> Reach {
        self.inside.reach()
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.slow.parameter_of(name).or_else(|| self.inside.parameter_of(name))
    }
}

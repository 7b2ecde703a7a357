//! Gradients of several batches for one step of an optimiser.

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus_autograd::{Gradients, ParamId};
use cerberus_tensor::{Element, Tensor};

use super::{Optimizer, OwnGradients, Owners, Reach, StateError};
use crate::module::Module;

/// Gradient accumulation: sums the gradients of several batches, so that an optimiser takes one step with their mean.
/// The step equals that of one batch with all the images if the batches have the same size and no layer mixes the
/// images of a batch (batch norms do).
///
/// If only some of the batches give a parameter a gradient, its mean is over those batches.
pub struct Accumulated<T: Element = f32> {
    sums: BTreeMap<ParamId, (Tensor<T>, usize)>,
    batches: usize,
}

impl<T: Element> Default for Accumulated<T> {
    fn default() -> Self {
        Self { sums: BTreeMap::new(), batches: 0 }
    }
}

impl<T: Element> Accumulated<T> {
    /// Batches added since the last step.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Adds the gradients of a batch.
    pub fn add(&mut self, gradients: &Gradients<T>) {
        self.batches += 1;
        for (id, gradient) in gradients.parameters() {
            match self.sums.get_mut(&id) {
                Some((sum, count)) => {
                    sum.add_scaled(T::ONE, gradient);
                    *count += 1;
                }
                None => drop(self.sums.insert(id, (gradient.clone(), 1))),
            }
        }
    }

    /// Returns the mean of the added gradients and empties the sum.
    pub fn take_mean(&mut self) -> Gradients<T> {
        self.batches = 0;
        let mean = |(id, (sum, count)): (ParamId, (Tensor<T>, usize))| {
            (id, sum.scale(T::from_f64(1.0 / count as f64)))
        };
        std::mem::take(&mut self.sums).into_iter().map(mean).collect()
    }

    /// An optimiser whose step adds to the sum and, if `now`, takes a step of `optimizer` with the mean.
    pub fn through<'a>(&'a mut self, optimizer: &'a mut dyn Optimizer<T>, now: bool) -> Accumulating<'a, T> {
        Accumulating { sums: self, optimizer, now }
    }
}

/// See [`Accumulated::through`].
pub struct Accumulating<'a, T: Element = f32> {
    sums: &'a mut Accumulated<T>,
    optimizer: &'a mut dyn Optimizer<T>,
    now: bool,
}

impl<T: Element> Optimizer<T> for Accumulating<'_, T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        self.sums.add(gradients);
        if self.now {
            self.optimizer.step(model, &self.sums.take_mean());
        }
    }

    fn learning_rate(&self) -> f64 {
        self.optimizer.learning_rate()
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.optimizer.set_learning_rate(rate);
    }

    fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    fn state(&self) -> Vec<(String, Tensor<T>)> {
        self.optimizer.state()
    }

    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        self.optimizer.load_state(model, tensors)
    }

    fn reach(&self) -> Reach {
        self.optimizer.reach()
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.optimizer.parameter_of(name)
    }

    fn owners(&mut self, model: &dyn Module<T>) -> Option<Arc<Owners>> {
        self.optimizer.owners(model)
    }

    #[track_caller]
    fn step_own(&mut self, model: &mut dyn Module<T>, gradients: &OwnGradients<T>) {
        self.sums.add(&gradients.own);
        if self.now {
            let own = self.sums.take_mean();
            self.optimizer.step_own(model, &OwnGradients { own, ..gradients.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{AdamOptions, AdamW};
    use crate::{Context, Init, Layer, Linear};
    use cerberus_autograd::{Var, backward};

    fn gradients(model: &Linear<f64>, x: &Tensor<f64>) -> Gradients<f64> {
        let mut context = Context::training(1, 0);
        let y = model.forward(Var::constant(x.clone()), &mut context);
        let gradients = backward((y.clone() * y).mean_all());
        context.discard();
        gradients
    }

    #[test]
    fn two_halves_of_a_batch_move_the_weights_as_the_batch_does() {
        let x = Tensor::from_fn(&[6, 3], |i| (i as f64 * 0.7).sin());
        let (mut whole, mut halves) =
            (Linear::new(3, 2, &mut Init::new(4)), Linear::new(3, 2, &mut Init::new(4)));
        let options = AdamOptions { learning_rate: 0.1, ..AdamOptions::default() };
        let (mut one, mut two) = (AdamW::new(options), AdamW::new(options));
        let mut sums = Accumulated::default();
        for _ in 0..5 {
            let all = gradients(&whole, &x);
            one.step(&mut whole, &all);
            for (half, now) in [(0, false), (3, true)] {
                let part = gradients(&halves, &x.narrow(0, half, 3).contiguous());
                sums.through(&mut two, now).step(&mut halves, &part);
            }
            assert_eq!(sums.batches(), 0);
        }
        assert_eq!((one.steps(), two.steps()), (5, 5));
        for ((name, a), (_, b)) in whole.tensors().into_iter().zip(halves.tensors()) {
            let furthest = a.data().iter().zip(b.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(furthest < 1e-12, "{name}: {furthest}");
        }
    }

    #[test]
    fn a_gradient_that_some_batches_lack_is_the_mean_of_the_others() {
        let (a, b) = (ParamId::fresh(), ParamId::fresh());
        let mut sums = Accumulated::<f64>::default();
        sums.add(&[(a, Tensor::scalar(1.0)), (b, Tensor::scalar(5.0))].into_iter().collect());
        sums.add(&[(a, Tensor::scalar(2.0))].into_iter().collect());
        let mean = sums.take_mean();
        assert_eq!((mean.parameter(a).unwrap().item(), mean.parameter(b).unwrap().item()), (1.5, 5.0));
        assert_eq!(sums.take_mean().parameters().count(), 0);
    }
}

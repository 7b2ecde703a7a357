//! Sharpness-aware minimisation: the gradient at the worst place nearby.

use cerberus_autograd::{Gradients, Var, backward};
use cerberus_tensor::{Element, Tensor};

use crate::context::{Context, commit};
use crate::module::Module;
use crate::optim::Optimizer;
use crate::step::{StepOptions, checked_value, clip};

/// The options of [`sam_step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamOptions {
    /// How far away the second gradient is taken; 0.05 by default, and about ten times as much if `adaptive`.
    pub rho: f64,
    /// Whether distances are measured in parts of each value (ASAM), so that they do not depend on the scale of the
    /// weights; not by default.
    pub adaptive: bool,
    /// The seed, and how the gradient that the optimiser gets is clipped.
    pub step: StepOptions,
}

impl Default for SamOptions {
    fn default() -> Self {
        Self { rho: 0.05, adaptive: false, step: StepOptions::default() }
    }
}

/// One step of training whose gradient is that of `loss` at `w + e` (Foret et al., "Sharpness-aware minimization", 2021,
/// algorithm 1 and equation 2): `e = rho g / ‖g‖`, where `g` is the gradient at `w` and the norm that of all parameters
/// together. If `adaptive`, `e = rho w² g / ‖w g‖`, by element (Kwon et al., "ASAM", 2021, algorithm 1). The optimiser then
/// changes `w`. Returns the loss at `w`.
///
/// The loss is computed twice, with the same random numbers; running statistics of batch norms follow the first time
/// alone. If a loss is not finite, the model and the optimiser are left as they were, and it is returned.
///
/// ```
/// use cerberus_autograd::Var;
/// use cerberus_nn::{Init, Layer, Linear, SamOptions, Sgd, SgdOptions, sam_step};
/// use cerberus_tensor::Tensor;
///
/// let x = Tensor::from_vec(vec![0.0, 1.0, 2.0, 3.0], &[4, 1]);
/// let y = Tensor::from_vec(vec![1.0, 3.0, 5.0, 7.0], &[4, 1]);
/// let mut model = Linear::new(1, 1, &mut Init::new(0));
/// let mut optimizer = Sgd::new(SgdOptions { learning_rate: 0.05, ..SgdOptions::default() });
/// let losses: Vec<f64> = (0..50)
///     .map(|_| {
///         sam_step(&mut model, &mut optimizer, SamOptions::default(), |model, context| {
///             (model.forward(Var::from(&x), context) - &y).square().mean_all()
///         })
///     })
///     .collect();
/// assert!(losses[49] < 0.2 * losses[0]);
/// ```
///
/// # Panics
/// As [`step`](crate::step), and if `rho` is negative or not finite.
#[track_caller]
pub fn sam_step<T: Element, M: Module<T>>(
    model: &mut M,
    optimizer: &mut (impl Optimizer<T> + ?Sized),
    options: SamOptions,
    loss: impl Fn(&M, &mut Context<T>) -> Var<T>,
) -> f64 {
    let SamOptions { rho, step, .. } = options;
    assert!(rho.is_finite() && rho >= 0.0, "sam_step: rho must be finite and at least 0, found {rho}");
    let mut context = Context::training(step.seed, optimizer.steps());
    context.recompute(step.recompute);
    let first = loss(model, &mut context);
    let value = checked_value(&first);
    if !value.is_finite() {
        context.discard();
        return value;
    }
    let nearby = backward(first);
    let updates = context.finish();

    let before = move_away(model, &nearby, options);
    let mut context = Context::training(step.seed, optimizer.steps());
    context.recompute(step.recompute);
    let second = loss(model, &mut context);
    let worst = checked_value(&second);
    let gradients = worst.is_finite().then(|| backward(second));
    context.discard();
    // The very tensors from before: no rounding moves a value.
    for ((_, parameter), value) in model.parameters_mut().into_iter().zip(before) {
        parameter.value = value;
    }
    let Some(mut gradients) = gradients else { return worst };
    clip(&mut gradients, step);
    optimizer.step(model, &gradients);
    commit(model, updates);
    value
}

/// Moves the parameters by `e`; returns their values from before.
fn move_away<T: Element>(
    model: &mut dyn Module<T>,
    gradients: &Gradients<T>,
    options: SamOptions,
) -> Vec<Tensor<T>> {
    let mut parameters = model.parameters_mut();
    // By parameter: g, or |w| g.
    let scaled: Vec<Option<Tensor<T>>> = parameters
        .iter()
        .map(|(_, parameter)| {
            let gradient = gradients.parameter(parameter.id())?.clone();
            let scale = |g: T, w: T| g * w.abs();
            Some(if options.adaptive { gradient.zip(parameter.value.clone(), scale) } else { gradient })
        })
        .collect();
    let norm = scaled.iter().flatten().map(Tensor::squared_norm).sum::<f64>().sqrt();
    let rate = T::from_f64(options.rho / (norm + 1e-12));
    let mut before = Vec::with_capacity(parameters.len());
    for ((_, parameter), scaled) in parameters.iter_mut().zip(scaled) {
        let value = parameter.value.clone();
        if let Some(scaled) = scaled {
            parameter.value = match options.adaptive {
                true => value.clone().zip(scaled, |w, g| w + rate * (w.abs() * g)),
                false => value.clone().zip(scaled, |w, g| w + rate * g),
            };
        }
        before.push(value);
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Sgd, SgdOptions};
    use crate::step::step_with;
    use crate::step::tests::{loss, net, values};

    #[test]
    fn with_rho_0_it_is_a_plain_step_with_the_same_dropout_and_one_update_of_the_statistics() {
        let (mut plain, mut sharp) = (net(), net());
        let step = StepOptions { seed: 3, clip_norm: Some(0.1), ..StepOptions::default() };
        let mut optimizers =
            [0, 1].map(|_| Sgd::new(SgdOptions { learning_rate: 0.1, ..Default::default() }));
        for _ in 0..3 {
            let one = step_with(&mut plain, &mut optimizers[0], step, loss);
            let options = SamOptions { rho: 0.0, step, ..SamOptions::default() };
            assert_eq!(sam_step(&mut sharp, &mut optimizers[1], options, loss), one);
        }
        assert_eq!(values(&plain), values(&sharp));
    }

    #[test]
    fn a_second_loss_that_is_not_finite_leaves_everything_as_it_was() {
        let mut model = net();
        let before = values(&model);
        let mut optimizer = Sgd::new(SgdOptions::default());
        let calls = std::cell::Cell::new(0u8);
        let value = sam_step(&mut model, &mut optimizer, SamOptions::default(), |model, context| {
            calls.set(calls.get() + 1);
            loss(model, context) / (2.0 - f64::from(calls.get()))
        });
        assert!(!value.is_finite() && calls.get() == 2);
        assert!(values(&model) == before && optimizer.steps() == 0);
    }
}

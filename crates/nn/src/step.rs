//! One step of training, in the only order that works.
//!
//! A step is: a forward pass in a fresh [`Context`], the backward pass, the end
//! of the context (it shares the parameters, which the optimiser changes in
//! place), the optimiser, and the batch norms' running statistics. [`step`] does
//! all of it, so that none can be forgotten.

use cerberus_autograd::{Gradients, Var, backward};
use cerberus_tensor::Element;

use crate::context::{Context, commit};
use crate::module::Module;
use crate::optim::Optimizer;

/// The options of [`step_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepOptions {
    /// The seed of the layers' random numbers, such as dropout masks. Each step
    /// draws others: they also depend on [`Optimizer::steps`].
    pub seed: u64,
    /// The largest global norm of the gradients; longer ones are scaled down
    /// (Pascanu, Mikolov and Bengio, 2013).
    pub clip_norm: Option<f64>,
    /// The largest magnitude of a value of the gradients; larger ones are cut
    /// off. Applied before `clip_norm`.
    pub clip_value: Option<f64>,
    /// Whether the backward pass computes the values of [segments](Context::segment) again, instead of the forward pass
    /// keeping them.
    pub recompute: bool,
}

/// One step of training: the loss of a forward pass, its gradients, the
/// optimiser's update and the batch norms' running statistics. Returns the loss
/// before the step.
///
/// ```
/// use cerberus_autograd::Var;
/// use cerberus_nn::{Adam, AdamOptions, Init, Layer, Linear, step};
/// use cerberus_tensor::Tensor;
///
/// let x = Tensor::from_vec(vec![0.0, 1.0, 2.0, 3.0], &[4, 1]);
/// let y = Tensor::from_vec(vec![1.0, 3.0, 5.0, 7.0], &[4, 1]);
/// let mut model = Linear::new(1, 1, &mut Init::new(0));
/// let mut optimizer = Adam::new(AdamOptions { learning_rate: 0.1, ..AdamOptions::default() });
/// let mut losses = Vec::new();
/// for _ in 0..50 {
///     losses.push(step(&mut model, &mut optimizer, |model, context| {
///         (model.forward(Var::from(&x), context) - &y).square().mean_all()
///     }));
/// }
/// assert!(losses[49] < 0.2 * losses[0]);
/// ```
///
/// A loss that is not finite is returned, and the model and the optimiser are
/// left as they were.
///
/// # Panics
/// If the loss is not a single number, if it depends on no parameter of the model
/// through the context (all are frozen, say, or another context was used), and as
/// [`Optimizer::step`].
#[track_caller]
pub fn step<T: Element, M: Module<T>>(
    model: &mut M,
    optimizer: &mut (impl Optimizer<T> + ?Sized),
    loss: impl FnOnce(&M, &mut Context<T>) -> Var<T>,
) -> f64 {
    step_with(model, optimizer, StepOptions::default(), loss)
}

/// [`step`] with a seed of choice and clipped gradients.
///
/// # Panics
/// As [`step`].
#[track_caller]
pub fn step_with<T: Element, M: Module<T>>(
    model: &mut M,
    optimizer: &mut (impl Optimizer<T> + ?Sized),
    options: StepOptions,
    loss: impl FnOnce(&M, &mut Context<T>) -> Var<T>,
) -> f64 {
    let mut context = Context::training(options.seed, optimizer.steps());
    context.recompute(options.recompute);
    let loss = loss(model, &mut context);
    let value = checked_value(&loss);
    if !value.is_finite() {
        context.discard();
        return value;
    }
    let mut gradients = backward(loss);
    let updates = context.finish();
    clip(&mut gradients, options);
    optimizer.step(model, &gradients);
    commit(model, updates);
    value
}

/// The value of a loss.
///
/// # Panics
/// If it is not a single number, or depends on no parameter.
#[track_caller]
pub(crate) fn checked_value<T: Element>(loss: &Var<T>) -> f64 {
    assert!(
        loss.value().len() == 1,
        "step: the loss has shape {:?}; reduce it to one number, with mean_all() say",
        loss.shape()
    );
    assert!(
        loss.is_recorded(),
        "step: the loss depends on no parameter that can be trained; compute it by forward passes that take \
         the context which the closure is given, and freeze less than everything"
    );
    loss.value().item().as_f64()
}

/// Clips gradients as the options say.
pub(crate) fn clip<T: Element>(gradients: &mut Gradients<T>, options: StepOptions) {
    if let Some(limit) = options.clip_value {
        gradients.clip_values(T::from_f64(limit));
    }
    if let Some(limit) = options.clip_norm {
        gradients.clip_global_norm(T::from_f64(limit));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;
    use crate::init::Init;
    use crate::layers::{BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, Sequential};
    use crate::optim::{Sgd, SgdOptions};
    use cerberus_tensor::Tensor;

    pub(crate) fn net() -> Sequential {
        let mut init = Init::new(1);
        Sequential::new()
            .add("conv", Conv2d::new(2, 3, 3, &mut init).same())
            .add("norm", BatchNorm2d::new(3))
            .add("flatten", Flatten::default())
            .add("drop", Dropout::new(0.5))
            .add("dense", Linear::new(48, 2, &mut init))
    }

    pub(crate) fn loss(model: &Sequential, context: &mut Context) -> Var {
        let x = Tensor::from_fn(&[3, 4, 4, 2], |i| (i as f32 * 0.7).sin());
        model.forward(x.into(), context).square().mean_all()
    }

    pub(crate) fn values(model: &Sequential) -> Vec<(String, Vec<f32>)> {
        model.tensors().into_iter().map(|(name, tensor)| (name, tensor.to_vec())).collect()
    }

    #[test]
    fn a_step_changes_every_parameter_and_every_running_statistic() {
        let mut model = net();
        let before = values(&model);
        let mut optimizer = Sgd::new(SgdOptions { learning_rate: 0.1, ..SgdOptions::default() });
        step(&mut model, &mut optimizer, loss);
        for ((name, old), (_, new)) in before.iter().zip(values(&model)) {
            // A bias before a batch norm has no effect, and so almost no gradient.
            assert!(*old != new || name == "conv.bias", "{name} is as it was");
        }
    }

    #[test]
    fn frozen_parameters_stay_and_the_others_move() {
        let mut model = net();
        model.freeze("conv");
        model.freeze("norm.gamma");
        let before = values(&model);
        let mut optimizer = Sgd::new(SgdOptions { learning_rate: 0.1, ..SgdOptions::default() });
        step(&mut model, &mut optimizer, loss);
        for ((name, old), (_, new)) in before.iter().zip(values(&model)) {
            let frozen = name.starts_with("conv") || name == "norm.gamma";
            assert_eq!(*old == new, frozen, "{name}");
        }
        model.unfreeze("");
        assert!(model.parameters().iter().all(|(_, parameter)| parameter.is_trainable()));
    }

    #[test]
    #[should_panic(expected = "there is no parameter at or under \"con\"; there are conv.weight, conv.bias")]
    fn freezing_what_is_not_there_is_refused() {
        net().freeze("con");
    }

    #[test]
    fn every_step_drops_other_values_and_the_same_seed_the_same() {
        let masks = |seed: u64| {
            let mut model = net();
            let mut optimizer = Sgd::new(SgdOptions { learning_rate: 0.0, ..SgdOptions::default() });
            let options = StepOptions { seed, ..StepOptions::default() };
            [0, 1].map(|_| step_with(&mut model, &mut optimizer, options, loss))
        };
        let [first, second] = masks(1);
        assert_ne!(first, second);
        assert_eq!(masks(1), [first, second]);
        assert_ne!(masks(2), [first, second]);
    }

    #[test]
    fn gradients_are_clipped_to_the_norm_that_is_asked_for() {
        let moved = |clip_norm| {
            let mut model = net();
            let before = values(&model);
            let mut optimizer = Sgd::new(SgdOptions { learning_rate: 1.0, ..SgdOptions::default() });
            step_with(&mut model, &mut optimizer, StepOptions { clip_norm, ..StepOptions::default() }, loss);
            let parameters = model.parameters().into_iter().map(|(path, _)| path).collect::<Vec<_>>();
            let both = before.iter().zip(values(&model)).filter(|((name, _), _)| parameters.contains(name));
            let squares = both.flat_map(|((_, old), (_, new))| {
                old.iter().zip(new).map(|(old, new)| f64::from(new - old).powi(2)).collect::<Vec<_>>()
            });
            squares.sum::<f64>().sqrt()
        };
        assert_abs_diff_eq!(moved(Some(1e-3)), 1e-3, epsilon = 1e-5);
        assert!(moved(None) > 1e-2);
    }

    #[test]
    fn no_value_moves_further_than_its_clipped_gradient() {
        let mut model = net();
        let before = values(&model);
        let mut optimizer = Sgd::new(SgdOptions { learning_rate: 1.0, ..SgdOptions::default() });
        let options = StepOptions { clip_value: Some(1e-3), ..StepOptions::default() };
        step_with(&mut model, &mut optimizer, options, loss);
        let paths: Vec<String> = model.parameters().into_iter().map(|(path, _)| path).collect();
        let both = before.into_iter().zip(values(&model)).filter(|((path, _), _)| paths.contains(path));
        let moved: Vec<f32> = both
            .flat_map(|((_, old), (_, new))| {
                old.into_iter().zip(new).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>()
            })
            .collect();
        let furthest = moved.iter().fold(0.0, |a: f32, &b| a.max(b));
        assert_abs_diff_eq!(furthest, 1e-3, epsilon = 1e-6);
    }

    #[test]
    fn a_loss_that_is_not_finite_leaves_everything_as_it_was() {
        let mut model = net();
        let before = values(&model);
        let mut optimizer = Sgd::new(SgdOptions::default());
        let value = step(&mut model, &mut optimizer, |model, context| loss(model, context) / 0.0);
        assert!(value.is_infinite() && values(&model) == before && optimizer.steps() == 0);
    }

    #[test]
    #[should_panic(expected = "the loss depends on no parameter that can be trained")]
    fn a_loss_from_another_context_is_refused() {
        let mut optimizer = Sgd::new(SgdOptions::default());
        step(&mut net(), &mut optimizer, |model, _| loss(model, &mut Context::evaluation()));
    }

    #[test]
    fn the_output_of_any_named_layer_can_be_read() {
        let model = Sequential::new().add("first", net()).add("last", Linear::new(2, 1, &mut Init::new(2)));
        let x = Tensor::from_fn(&[1, 4, 4, 2], |i| i as f32);
        let mut context = Context::evaluation();
        context.watch("first.norm");
        context.watch("first");
        context.watch("nowhere");
        let y = model.forward(x.into(), &mut context);
        assert_eq!(context.activation("first.norm").unwrap().shape(), [1, 4, 4, 3]);
        let first = context.activation("first").unwrap().clone();
        assert!(context.activation("nowhere").is_none() && context.activation("last").is_none());
        let last = model.forward_from("last", first, &mut Context::evaluation());
        assert_eq!(last.value().to_vec(), y.value().to_vec());
    }
}

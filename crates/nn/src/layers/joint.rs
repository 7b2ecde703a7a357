//! Layers that are computed together.
//!
//! A convolution, its batch norm and a ReLU are three passes over memory, or fewer: the norm computes the ReLU in its
//! own pass, and in evaluation, where it is a fixed scale and shift of every channel, both become part of the
//! convolution's weights and bias. The results are those of the layers one after another, up to rounding.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
use cerberus_tensor::conv::{Epilogue, PreparedConv2d};
use cerberus_tensor::norm::Rectifier;

use super::{BatchNorm2d, Conv2d, Joint, Layer};
use crate::context::{Context, Normed};

/// `norm` after `conv`, in one pass if nothing is recorded and no layer is watched: evaluation scales and shifts every
/// channel of the convolution's output, which its weights and bias can do.
///
/// `x [N, H, W, Cin]` to `[N, OH, OW, Cout]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn conv_norm<T: Element>(
    conv: &Conv2d<T>,
    norm: &BatchNorm2d<T>,
    x: Var<T>,
    context: &mut Context<T>,
) -> Var<T> {
    folded(conv, norm, norm.activation(), &x, context)
        .unwrap_or_else(|| norm.forward(conv.forward(x, context), context))
}

/// The three in one pass, where that is possible.
#[track_caller]
fn folded<T: Element>(
    conv: &Conv2d<T>,
    norm: &BatchNorm2d<T>,
    activation: Rectifier,
    x: &Var<T>,
    context: &mut Context<T>,
) -> Option<Var<T>> {
    if context.is_training() || x.is_recorded() || context.observes_layers() || conv.has_relu() {
        return None;
    }
    let ids = [conv.weight().id(), norm.gamma_id()];
    let Normed { convolution, bias, .. } = context.normed(ids, || together(conv, norm));
    let bias = Some(bias.clone());
    Some(Var::constant(convolution.forward(x.value(), &Epilogue { bias, activation })))
}

/// `conv` with the scale and shift of `norm` in its weights and bias.
fn together<T: Element>(conv: &Conv2d<T>, norm: &BatchNorm2d<T>) -> Normed<T> {
    let [scale, shift] = norm.running_affine();
    let weight = &conv.weight().value;
    let bias = match conv.bias() {
        Some(bias) => bias.value.clone() * &scale + shift,
        None => shift,
    };
    let sources = norm.running_tensors().into_iter().chain([weight.clone()]).collect();
    let convolution = PreparedConv2d::new(&(weight.clone() * &scale), conv.spec());
    Normed { convolution, bias, _sources: sources }
}

/// The output of the first of `layers`, or of the first few of them, and how many they are.
#[track_caller]
pub(super) fn first<T: Element>(
    layers: &[(String, Box<dyn Layer<T>>)],
    x: Var<T>,
    context: &mut Context<T>,
) -> (Var<T>, usize) {
    let joint = |index: usize| layers.get(index).map_or(Joint::Apart, |(_, layer)| layer.joint());
    if !context.observes_layers() {
        match (joint(0), joint(1), joint(2)) {
            (Joint::Conv2d(conv), Joint::BatchNorm2d(norm), next) => {
                let (activation, used) = match (norm.activation(), next) {
                    (Rectifier::None, Joint::Rectifier(activation)) => (activation, 3),
                    (activation, _) => (activation, 2),
                };
                if let Some(y) = folded(conv, norm, activation, &x, context) {
                    return (y, used);
                }
            }
            (Joint::BatchNorm2d(norm), Joint::Rectifier(activation), _)
                if norm.activation() == Rectifier::None =>
            {
                return (norm.forward_rectified(x, activation, context), 2);
            }
            _ => {}
        }
    }
    let (name, layer) = &layers[0];
    (context.part(name, |context| layer.forward(x, context)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use crate::layers::{Relu, Relu6, Sequential};
    use crate::module::{Module, ModuleTensorMut};
    use cerberus_autograd::backward;
    use cerberus_tensor::Tensor;
    use cerberus_tensor::conv::Conv2dSpec;

    /// Convolutions, norms and activations in every order that is computed together, with running statistics that are
    /// not those of a new layer.
    fn model() -> Sequential<f64> {
        let mut init = Init::new(5);
        let grouped = Conv2dSpec { groups: 6, ..Conv2dSpec::same(3) };
        let mut model = Sequential::new()
            .add("conv1", Conv2d::new(3, 6, 3, &mut init).same().without_bias())
            .add("norm1", BatchNorm2d::new(6))
            .add("relu1", Relu::default())
            .add("conv2", Conv2d::with_spec(6, 6, 3, grouped, &mut init).with_bias(0.3))
            .add("norm2", BatchNorm2d::new(6).with_relu6())
            .add("conv3", Conv2d::new(6, 4, 1, &mut init).with_relu())
            .add("norm3", BatchNorm2d::new(4))
            .add("relu3", Relu6::default())
            .add("conv4", Conv2d::new(4, 5, 3, &mut init))
            .add("norm4", BatchNorm2d::new(5));
        let mut number = 0;
        model.visit_mut("", &mut |path, mut entry| {
            if path.starts_with("norm") {
                let large = if path.ends_with("gamma") { 6.0 } else { 1.0 };
                let values = entry.value_mut();
                *values = Tensor::from_fn(values.shape(), |i| {
                    number += 1;
                    large * (1.2 + (f64::from(number) + i as f64).sin())
                });
            }
            if let ModuleTensorMut::Buffer(_) = entry {
                number += 7;
            }
        });
        model
    }

    /// The output, and in training the gradients, with the layers together or one after another.
    fn results(training: bool, together: bool) -> Vec<Vec<f64>> {
        let model = model();
        let x = Tensor::from_fn(&[2, 9, 8, 3], |i| 2.0 * (i as f64 * 0.7).sin());
        let mut context = if training { Context::training(1, 0) } else { Context::evaluation() };
        if !together {
            context.watch("relu1");
        }
        let y = model.forward(Var::constant(x), &mut context);
        assert_eq!(context.activation("relu1").is_some(), !together);
        let mut results = vec![y.value().to_vec()];
        if training {
            results.extend(context.finish().into_iter().map(|(_, value)| value.to_vec()));
            let gradients = backward(y.square().sum_all());
            results.extend(gradients.parameters().map(|(_, gradient)| gradient.to_vec()));
        }
        results
    }

    #[test]
    fn layers_computed_together_give_the_results_of_one_after_another() {
        for training in [true, false] {
            let (found, expected) = (results(training, true), results(training, false));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert!((found - expected).abs() < 1e-10 * (1.0 + expected.abs()), "{found}, {expected}");
            }
        }
    }

    #[test]
    fn a_context_keeps_what_it_folded() {
        let model = model();
        let x = || Var::constant(Tensor::from_fn(&[1, 6, 6, 3], |i| (i as f64 * 0.7).sin()));
        let mut context = Context::evaluation();
        let first = model.forward(x(), &mut context).value().to_vec();
        assert_eq!(model.forward(x(), &mut context).value().to_vec(), first);
    }
}

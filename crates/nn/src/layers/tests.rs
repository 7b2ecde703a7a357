//! Every layer: the shape of its output, its gradients against finite differences, and both its
//! output and its gradients against PyTorch (`tests/parity/README.md`).

mod samples;

use std::collections::BTreeMap;

use cerberus_autograd::grad;
use cerberus_autograd::gradcheck::{self, Case, gradcheck, gradients};
use cerberus_autograd::ops::{Conv1dSpec, Conv3dSpec};
use cerberus_tensor::conv::Padding;
use serde_json::Value;

use super::*;
use crate::{Init, output_shape, predict, summary};
use samples::{Sample, all};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/layers.json");

/// The layer in training as a function of its input, unless that is ids, and of its parameters.
fn function(sample: Sample) -> impl Fn(Vec<Var<f64>>) -> Var<f64> + 'static {
    move |mut inputs| {
        let x = if sample.takes_ids() { sample.input().into() } else { inputs.remove(0) };
        let mut context = Context::training(1, 0);
        for ((_, parameter), value) in sample.layer.parameters().into_iter().zip(inputs) {
            context.substitute(parameter, value);
        }
        let y = sample.layer.forward(x, &mut context);
        context.discard();
        y
    }
}

/// What [`function`] takes, with this input.
fn inputs(sample: &Sample, x: Tensor<f64>) -> Vec<Tensor<f64>> {
    let parameters = sample.layer.parameters().into_iter().map(|(_, parameter)| parameter.value.clone());
    (!sample.takes_ids()).then_some(x).into_iter().chain(parameters).collect()
}

#[test]
fn every_layer_gives_the_shape_that_it_documents() {
    for sample in all() {
        assert_eq!(output_shape(&sample.layer, &sample.x), sample.y, "{}", sample.name);
        let mut context = Context::training(1, 0);
        let y = sample.layer.forward(sample.input().into(), &mut context);
        context.discard();
        assert_eq!(y.shape(), sample.y, "{} in training", sample.name);
    }
}

#[test]
fn every_gradient_agrees_with_finite_differences() {
    for sample in all() {
        let name = sample.name;
        let inputs = inputs(&sample, gradcheck::sample(3, &sample.x));
        let error = gradcheck(&Case::new(name, inputs, function(sample)));
        assert!(error < 1e-6, "{name}: {error:.1e}");
    }
}

#[test]
fn every_layer_has_a_sample() {
    let source = include_str!("mod.rs");
    let exported = source.split("pub use ").skip(1).map(|line| line.split(';').next().expect("its end"));
    let names = exported.flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
    let layers: Vec<&str> =
        names.filter(|name| name.starts_with(char::is_uppercase) && !name.ends_with("Spec")).collect();
    let samples = all();
    for layer in &layers {
        let found = samples.iter().any(|sample| sample.name.split(':').next() == Some(layer));
        assert!(found, "{layer} has no sample");
    }
    assert!(layers.len() > 50, "{layers:?}");
}

/// Tensors in the reference file.
fn tensor(value: &Value) -> Tensor<f64> {
    let numbers =
        |key: &str| value[key].as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number"));
    let shape: Vec<usize> = numbers("shape").map(|extent| extent as usize).collect();
    Tensor::from_vec(numbers("data").collect(), &shape)
}

#[test]
fn outputs_and_gradients_agree_with_pytorch() {
    let text = std::fs::read_to_string(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}"));
    let file: BTreeMap<String, Vec<Value>> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{FILE}: {error}"));
    let mut compared = Vec::new();
    for sample in all() {
        let name = sample.name;
        // A layer that is one operation is compared where all operations are.
        if sample.layer.parameters().is_empty() && !file.contains_key(name) {
            continue;
        }
        let expected = file.get(name).unwrap_or_else(|| panic!("{FILE} has no {name:?}: make it again"));
        let inputs = inputs(&sample, sample.input());
        let function = function(sample);
        let y = function(inputs.iter().cloned().map(Var::constant).collect()).into_value();
        let c = Tensor::from_fn(y.shape(), |i| (0.9 * i as f64 + 0.1).cos());
        let found: Vec<Tensor<f64>> = std::iter::once(y).chain(gradients(&function, &inputs, &c)).collect();
        assert_eq!(found.len(), expected.len(), "{name}: output, input and parameters");
        for (which, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            let expected = tensor(expected);
            assert_eq!(found.shape(), expected.shape(), "{name}: result {which}");
            for (found, expected) in found.to_vec().into_iter().zip(expected.to_vec()) {
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error < 1e-10, "{name}: result {which}: {found} instead of {expected}");
            }
        }
        compared.push(name.to_string());
    }
    compared.sort();
    assert_eq!(compared, file.into_keys().collect::<Vec<_>>(), "{FILE} has other layers (right)");
}

#[test]
fn every_layer_reports_all_its_parameters_to_a_summary() {
    for sample in all() {
        let summary = summary(&sample.layer, &sample.x);
        let reported: usize = summary.layers.iter().map(|layer| layer.parameters).sum();
        assert_eq!(reported, summary.parameters, "{}:\n{summary}", sample.name);
    }
}

/// Evaluation takes other ways through a layer than training: packed weights, fused norms.
#[test]
fn evaluation_gives_the_same_whether_or_not_the_input_is_recorded() {
    for sample in all() {
        let tape = cerberus_autograd::Tape::new();
        let x = tape.leaf(sample.input());
        let recorded = sample.layer.forward(x.clone(), &mut Context::evaluation());
        let plain = predict(&sample.layer, sample.input());
        for (a, b) in recorded.value().to_vec().into_iter().zip(plain.to_vec()) {
            assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{}: {a} and {b}", sample.name);
        }
        if !sample.takes_ids() {
            let slope = grad(&[&recorded.sum_all()], &[&x]);
            assert_eq!(slope[0].shape(), sample.x, "{}", sample.name);
        }
    }
}

/// A mistake in the calling code, and what its message says.
type Mistake = (&'static str, fn());

#[test]
fn mistakes_are_named_with_the_layer_and_both_shapes() {
    fn forward(layer: impl Layer<f64>, x: &[usize]) {
        let _ = predict(&layer, Tensor::zeros(x));
    }
    let mistakes: [Mistake; 21] = [
        ("Conv1d: 3 and 4 channels must both be multiples of 2 groups", || {
            let spec = Conv1dSpec { groups: 2, ..Conv1dSpec::default() };
            Conv1d::<f64>::with_spec(3, 4, 3, spec, &mut Init::new(1));
        }),
        ("ConvTranspose2d: 2 and 3 channels", || {
            ConvTranspose2d::<f64>::new(2, 3, 3, 0, &mut Init::new(1));
        }),
        ("Conv2d: weights of shape [3, 3] for a layer with [3, 3, 1, 2]", || {
            let _ = Conv2d::new(1, 2, 3, &mut Init::new(1)).with_weight(Tensor::<f64>::zeros(&[3, 3]));
        }),
        ("Linear: x [2, 3] must end in the 4 inputs of weight [4, 5]", || {
            forward(Linear::new(4, 5, &mut Init::new(1)), &[2, 3]);
        }),
        ("BatchNorm1d: x [2, 3, 3, 4] must be [N, C] or [N, L, C]", || {
            forward(BatchNorm1d::new(4), &[2, 3, 3, 4])
        }),
        ("BatchNorm2d: x [2, 4] must be [N, H, W, C]", || forward(BatchNorm2d::new(4), &[2, 4])),
        ("BatchNorm3d: x [2, 3, 3, 4] must be [N, D, H, W, C]", || {
            forward(BatchNorm3d::new(4), &[2, 3, 3, 4])
        }),
        ("GroupNorm: 6 channels must be a multiple of 4 groups", || {
            GroupNorm::<f64>::new(4, 6);
        }),
        ("AdaptiveMaxPool2d: no extent of [2, 0] may be 0", || {
            AdaptiveMaxPool2d::<f64>::new([2, 0]);
        }),
        ("GlobalMaxPool: x [2, 3] must be [N, image.., C]", || forward(GlobalMaxPool::default(), &[2, 3])),
        ("Softmax: x [] has no dimension", || forward(Softmax::default(), &[])),
        ("DropPath: the rate 1 must be at least 0 and below 1", || {
            DropPath::<f64>::new(1.0);
        }),
        ("MultiHeadSelfAttention: 6 channels must be a multiple of 4 heads", || {
            MultiHeadSelfAttention::<f64>::new(6, 4, &mut Init::new(1));
        }),
        ("SqueezeExcitation: x [2, 4] must be [N, H, W, C]", || {
            forward(SqueezeExcitation::new(4, 2, &mut Init::new(1)), &[2, 4]);
        }),
        ("Reshape: samples of x [2, 6] do not have the values of [4, 2]", || {
            forward(Reshape::new(&[4, 2]), &[2, 6])
        }),
        ("ConvTranspose1d: x [2, 6] must be [N, L, C]", || {
            forward(ConvTranspose1d::new(6, 3, 3, 2, &mut Init::new(1)), &[2, 6]);
        }),
        ("ConvTranspose3d: 2 and 4 channels must both be multiples of 3 groups", || {
            let spec = Conv3dSpec { groups: 3, ..Conv3dSpec::default() };
            ConvTranspose3d::<f64>::with_spec(2, 4, 3, spec, &mut Init::new(1));
        }),
        ("Glu: the channels of x [2, 3] must be an even number", || forward(Glu::default(), &[2, 3])),
        ("Pad2d: 3 and 0 positions before and after axis 1 of x [1, 2, 4, 1]", || {
            let padding = Padding { top: 3, ..Padding::default() };
            forward(Pad2d::circular(padding), &[1, 2, 4, 1]);
        }),
        ("PixelUnshuffle: height and width of x [1, 4, 3, 2] must be multiples of 2", || {
            forward(PixelUnshuffle::new(2), &[1, 4, 3, 2]);
        }),
        ("Upsample: x [2, 6] must be [N, H, W, C]", || forward(Upsample::nearest(2), &[2, 6])),
    ];
    for (expected, mistake) in mistakes {
        let panic = std::panic::catch_unwind(mistake).expect_err(expected);
        let message = panic.downcast::<String>().expect("a message with shapes");
        assert!(message.contains(expected), "{message:?} instead of {expected:?}");
    }
}

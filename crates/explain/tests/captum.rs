//! Every method that captum 0.9 has too, against its numbers: a network of two convolutions with two heads, in 64-bit
//! numbers. `vectors/attribution.json` holds the network, a picture and the attributions for two of its five logits,
//! in PyTorch's order of dimensions.

use cerberus_autograd::Var;
use cerberus_explain::{Attribution, Baseline, Cam, Explainer, IntegratedGradients, Occlusion, Quadrature};
use cerberus_nn::{Context, Conv2d, Flatten, Init, Layer, Linear, MaxPool2d, Module, Relu, Sequential};
use cerberus_tensor::Tensor;
use serde_json::Value;

fn file() -> Value {
    serde_json::from_str(include_str!("vectors/attribution.json")).expect("the vectors")
}

/// A nested list as numbers in PyTorch's order, with its shape.
fn numbers(value: &Value) -> Tensor<f64> {
    fn flatten(value: &Value, depth: usize, shape: &mut Vec<usize>, into: &mut Vec<f64>) {
        match value {
            Value::Array(list) => {
                if shape.len() == depth {
                    shape.push(list.len());
                }
                list.iter().for_each(|item| flatten(item, depth + 1, shape, into));
            }
            number => into.push(number.as_f64().expect("a number")),
        }
    }
    let (mut shape, mut into) = (Vec::new(), Vec::new());
    flatten(value, 0, &mut shape, &mut into);
    Tensor::from_vec(into, &shape)
}

/// A trunk that ends in 36 numbers, and the two heads.
struct Network {
    trunk: Sequential<f64>,
    heads: [Linear<f64>; 2],
}

impl Network {
    /// The network of the file; `fused` computes each ReLU together with the layer before it.
    fn new(fused: bool) -> Self {
        let weights = &file()["weights"];
        let mut init = Init::new(0);
        let mut conv = |cin, cout, name: &str| {
            let mut layer = Conv2d::new(cin, cout, 3, &mut init).same();
            if fused {
                layer = layer.with_relu();
            }
            // [O, I, KH, KW] to [KH, KW, I, O].
            let weight = numbers(&weights[format!("{name}.weight")]).permute(&[2, 3, 1, 0]).contiguous();
            set(&mut layer, weight, numbers(&weights[format!("{name}.bias")]));
            layer
        };
        let (conv1, conv2) = (conv(1, 3, "c1"), conv(3, 4, "c2"));
        let mut head = |name: &str| {
            let weight = numbers(&weights[format!("{name}.weight")]);
            let outputs = weight.shape()[0];
            // [out, C H W] to [H W C, out].
            let weight = weight.reshape(&[outputs, 4, 9]).permute(&[2, 1, 0]).contiguous();
            let mut layer = Linear::new(36, outputs, &mut init);
            set(&mut layer, weight.reshape(&[36, outputs]), numbers(&weights[format!("{name}.bias")]));
            layer
        };
        let heads = [head("headA"), head("headB")];
        let mut trunk = Sequential::new().add("conv1", conv1);
        if !fused {
            trunk = trunk.add("relu1", Relu::default());
        }
        trunk = trunk.add("pool", MaxPool2d::new(2, 2)).add("conv2", conv2);
        if !fused {
            trunk = trunk.add("relu2", Relu::default());
        }
        Self { trunk: trunk.add("flatten", Flatten::default()), heads }
    }

    /// The five logits, each as an answer.
    fn logits(&self, x: Var<f64>, context: &mut Context<f64>) -> Vec<Var<f64>> {
        let features = self.trunk.forward(x, context);
        let logits = self.heads.iter().map(|head| head.forward(features.clone(), context)).collect();
        let logits = Var::concat(logits, 1);
        (0..5).map(|class| logits.clone().narrow(1, class, 1)).collect()
    }
}

fn set(layer: &mut impl Module<f64>, weight: Tensor<f64>, bias: Tensor<f64>) {
    layer.visit_mut("", &mut |path, mut entry| {
        let value = if path == "weight" { &weight } else { &bias };
        assert_eq!(entry.value_mut().shape(), value.shape());
        *entry.value_mut() = value.clone();
    });
}

fn picture() -> Tensor<f64> {
    numbers(&file()["x"]).permute(&[0, 2, 3, 1]).contiguous()
}

/// Compares the attributions of all logits for which the file has them.
fn assert_same(name: &str, found: &[Attribution<f64>]) {
    assert_eq!(found.len(), 5);
    let file = file();
    let targets = file["targets"].as_object().expect("targets");
    assert!(targets.len() >= 2);
    for (target, expected) in targets {
        let expected = numbers(&expected[name]).permute(&[0, 2, 3, 1]).contiguous();
        let found = &found[target.parse::<usize>().expect("a number")].values;
        assert_eq!(found.shape(), expected.shape());
        for (place, (a, b)) in found.to_vec().into_iter().zip(expected.to_vec()).enumerate() {
            assert!((a - b).abs() < 1e-9, "{name} of target {target} at {place}: {a}, captum has {b}");
        }
    }
}

/// Runs a method on the network with its ReLUs in the layers and apart: both must give captum's numbers.
fn check(name: &str, method: impl Fn(&Explainer<f64>, &Tensor<f64>) -> Vec<Attribution<f64>>) {
    for fused in [false, true] {
        let network = Network::new(fused);
        let model = |x: Var<f64>, context: &mut Context<f64>| network.logits(x, context);
        assert_same(name, &method(&Explainer::new(&model), &picture()));
    }
}

#[test]
fn the_network_is_the_one_that_captum_explained() {
    let network = Network::new(false);
    let model = |x: Var<f64>, context: &mut Context<f64>| network.logits(x, context);
    let found = Explainer::new(&model).answers(&picture()).concat();
    for (a, b) in found.into_iter().zip(numbers(&file()["logits"]).to_vec()) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
}

#[test]
fn saliency() {
    check("saliency_abs", |explainer, x| explainer.saliency(x));
    check("saliency_signed", |explainer, x| explainer.gradients(x));
}

#[test]
fn input_x_gradient() {
    check("input_x_grad", |explainer, x| explainer.input_x_gradient(x));
}

#[test]
fn integrated_gradients_by_two_rules_and_their_gap() {
    check("ig_gausslegendre50", |explainer, x| {
        let found = explainer.integrated_gradients(x, &IntegratedGradients::default()).unwrap();
        let file = file();
        for (target, expected) in file["targets"].as_object().unwrap() {
            let gap = found[target.parse::<usize>().unwrap()].gap.as_ref().unwrap()[0];
            let expected = expected["ig_delta"].as_f64().unwrap();
            assert!((gap - expected).abs() < 1e-9, "{gap}, captum has {expected}");
        }
        found
    });
    check("ig_riemann_trapezoid_64", |explainer, x| {
        let options =
            IntegratedGradients { baseline: Baseline::Zero, quadrature: Quadrature::Trapezoid, steps: 64 };
        explainer.integrated_gradients(x, &options).unwrap()
    });
}

#[test]
fn guided_backpropagation() {
    check("guided_backprop", |explainer, x| explainer.guided_backprop(x).unwrap());
}

#[test]
fn deconvolution() {
    check("deconvolution", |explainer, x| explainer.deconvolution(x).unwrap());
}

#[test]
fn deep_lift_from_zeros() {
    check("deeplift_rescale_zero_baseline", |explainer, x| {
        let found = explainer.deep_lift(x, &Baseline::Zero).unwrap();
        for attribution in &found {
            assert!(attribution.gap.as_ref().unwrap()[0].abs() < 1e-12);
        }
        found
    });
}

#[test]
fn occlusion_by_overlapping_windows_and_by_tiles() {
    for (name, side, stride) in [("occlusion_3x3_stride1_zero", 3, 1), ("occlusion_2x2_stride2_zero", 2, 2)] {
        check(name, |explainer, x| {
            let options = Occlusion { window: [side; 2], stride: [stride; 2], baseline: Baseline::Zero };
            explainer.occlusion(x, &options).unwrap()
        });
    }
}

#[test]
fn grad_cam_of_the_second_convolution() {
    // captum reads the convolution's output before the ReLU.
    let network = Network::new(false);
    let model = |x: Var<f64>, context: &mut Context<f64>| network.logits(x, context);
    let explainer = Explainer::new(&model);
    for (name, relu) in [("gradcam_conv2_no_relu", false), ("gradcam_conv2_relu", true)] {
        assert_same(name, &explainer.cam(&picture(), "conv2", Cam::Grad, relu).unwrap());
    }
}

//! DeepLIFT at single operations: complete at those it is defined for, refused at those it is not.

use cerberus_autograd::Var;
use cerberus_explain::{Baseline, Explainer};
use cerberus_nn::{Context, Init, Layer, LayerNorm, Linear, MultiHeadSelfAttention, SqueezeExcitation};
use cerberus_tensor::Tensor;
use cerberus_tensor::conv::Padding;
use cerberus_tensor::pooling::Pool2dSpec;
use cerberus_tensor::resize::Interpolation;
use cerberus_tensor::windows::Sliding;

/// A part of a network, with and without a context.
type Part<'a> = &'a dyn Fn(Var<f64>, &mut Context<f64>) -> Var<f64>;
type Single = fn(Var<f64>) -> Var<f64>;

/// Pictures with values above 0, for logarithms and roots.
fn picture() -> Tensor<f64> {
    Tensor::from_fn(&[2, 4, 6, 2], |i| 1.3 + (i as f64 * 0.83).sin())
}

fn gaps(f: Part) -> Result<Vec<f64>, String> {
    let model = |x: Var<f64>, context: &mut Context<f64>| {
        let y = f(x, context);
        let (n, size) = (y.shape()[0], y.value().len() / y.shape()[0]);
        // Different weights, so that what comes back is not 1 everywhere.
        let weights = Tensor::from_fn(&[size, 1], |i| (i as f64 * 0.7).cos());
        vec![y.reshape(&[n, size]).matmul(Var::constant(weights))]
    };
    // Small values above 0, some of them the picture's own: there the own gradient is used.
    let baseline = Tensor::from_fn(&[2, 4, 6, 2], |i| {
        if i % 5 == 0 { picture().data()[i] } else { 0.6 + 0.5 * (i as f64 * 1.7).cos() }
    });
    let found = Explainer::new(&model).deep_lift(&picture(), &Baseline::Given(baseline));
    found.map(|found| found[0].gap.clone().unwrap()).map_err(|error| error.to_string())
}

#[test]
fn functions_of_single_numbers_and_largest_values_are_complete() {
    let functions: [(&str, Single); 28] = [
        ("relu", |x| x.affine(1.0, -1.0).relu()),
        ("leaky_relu", |x| x.affine(1.0, -1.0).leaky_relu(0.1)),
        ("prelu", |x| x.affine(1.0, -1.0).prelu(Var::constant(Tensor::from_vec(vec![0.2, 0.3], &[2])))),
        ("elu", |x| x.affine(1.0, -1.0).elu(0.7)),
        ("gelu", |x| x.affine(1.0, -1.0).gelu()),
        ("silu", |x| x.affine(1.0, -1.0).silu()),
        ("mish", |x| x.affine(1.0, -1.0).mish()),
        ("hardswish", |x| x.affine(3.0, -3.0).hardswish()),
        ("sigmoid", |x| x.sigmoid()),
        ("log_sigmoid", |x| x.log_sigmoid()),
        ("softplus", |x| x.softplus()),
        ("tanh", |x| x.tanh()),
        ("clamp", |x| x.clamp(0.5, 1.5)),
        ("maximum", |x| x.maximum(Var::constant(Tensor::scalar(1.0)))),
        ("abs", |x| x.affine(1.0, -1.0).abs()),
        ("square", |x| x.square()),
        ("sqrt", |x| x.sqrt()),
        ("exp", |x| x.exp()),
        ("log", |x| x.log()),
        ("div", |x| Var::constant(Tensor::scalar(2.0)) / x),
        ("sum of two ways", |x| x.clone().square() + x.exp()),
        ("max_pool2d", |x| x.max_pool2d(Pool2dSpec::square(2))),
        ("max_pool2d_relu", |x| x.affine(1.0, -1.0).max_pool2d_relu(Pool2dSpec::square(2))),
        ("overlapping max_pool2d", |x| {
            x.max_pool2d(Pool2dSpec { kernel: [3; 2], stride: [1; 2], padding: Padding::all(1) })
        }),
        ("max_pool", |x| {
            x.max_pool(Sliding { kernel: [2; 2], stride: [1; 2], padding: [0; 2], ceil_mode: false }).square()
        }),
        ("adaptive_max_pool", |x| x.adaptive_max_pool(&[3, 2])),
        ("resize", |x| x.square().resize([7, 5], Interpolation::Bilinear)),
        ("permute", |x| x.permute(&[0, 3, 1, 2]).square()),
    ];
    for (name, function) in functions {
        for gap in gaps(&|x, _| function(x)).unwrap_or_else(|error| panic!("{name}: {error}")) {
            assert!(gap.abs() < 1e-10, "{name}: {gap}");
        }
    }
}

#[test]
fn what_is_not_a_function_of_single_numbers_is_refused_by_its_name() {
    let refused = |name: &str, f: Part| {
        let error = gaps(f).expect_err(name);
        assert!(error.contains(&format!("the operation {name}: ")), "{name}: {error}");
    };
    let mut init = Init::new(1);
    refused("mul", &|x, _| x.clone() * x.sigmoid());
    refused("softmax", &|x, _| x.softmax(3));
    refused("where", &|x, _| {
        let above = x.value().clone().map(|v| if v > 1.0 { 1.0 } else { 0.0 });
        Var::where_(&above, x, Var::constant(Tensor::scalar(0.5)))
    });
    refused("permute", &|x, _| x.permute(&[1, 0, 2, 3]).square().permute(&[1, 0, 2, 3]));
    let norm = LayerNorm::new(2);
    refused("layer_norm", &|x, context| norm.forward(x, context));
    let squeeze = SqueezeExcitation::new(2, 2, &mut init);
    refused("mul", &|x, context| squeeze.forward(x, context));
    let attention = MultiHeadSelfAttention::new(4, 2, &mut init);
    let embed = Linear::new(2, 4, &mut init);
    let error = gaps(&|x, context| {
        let n = x.shape()[0];
        let x = embed.forward(x.reshape(&[n, 24, 2]), context);
        attention.forward(x, context)
    });
    assert!(error.unwrap_err().contains("attention"));
}

#[test]
fn differences_that_are_only_rounding_get_the_gradient_and_no_quotient_of_noise() {
    // In 32 bits 1 and 1 + 2^-23 differ by one unit, and so may their squares, or not at all.
    let one = Tensor::<f32>::ones(&[1, 1, 1, 1]);
    let next = one.clone().map(|v| v + f32::EPSILON);
    let model = |x: Var<f32>, _: &mut Context<f32>| {
        let n = x.shape()[0];
        vec![x.affine(1.0, 0.0).sigmoid().reshape(&[n])]
    };
    let explainer = Explainer::new(&model);
    let slope = explainer.gradients(&next)[0].values.item();
    let found = explainer.deep_lift(&next, &Baseline::Given(one)).unwrap()[0].values.item();
    assert!((found - slope * f32::EPSILON).abs() < 1e-3 * slope * f32::EPSILON, "{found}");
}

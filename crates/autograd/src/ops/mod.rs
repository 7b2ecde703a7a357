//! The operations, one file each, and the list every check runs over.
//!
//! To add one: write its file, then name it in the list at the end. Its samples
//! live in its file, so the checks find them by themselves
//! (`docs/adding-an-operation.md`).

use cerberus_tensor::{Element, Shape};

#[cfg(feature = "proofs")]
use crate::gradcheck::Case;
#[cfg(feature = "proofs")]
use crate::proof::OpInfo;

/// An element-wise operation of one input and some fixed numbers: a struct, its
/// rules, its samples, its method on `Var`.
///
/// In order: documentation; struct, fixed numbers and method; what the backward
/// rule keeps and reads (`input` or `output`); `y` from `x`; `dx` from what was
/// kept and `dy`; the same in variables, for gradients of gradients; formula,
/// gradient and PyTorch expression, and further facts; the fixed numbers of the
/// samples; the samples.
macro_rules! unary {
    (
        $(#[$doc:meta])* $struct:ident { $($p:ident),* }, $method:ident, $saves:expr, $kept:ident,
        |$x:ident| $forward:expr,
        |$k:ident, $dy:ident| $backward:expr,
        graph |$gk:ident, $gdy:ident| $graph:expr,
        facts($formula:literal, $gradient:literal, $torch:literal) $(.$fact:ident($($value:expr),*))*,
        ($($arg:expr),*), [$($sample:expr),* $(,)?]
    ) => {
        $(#[$doc])*
        pub struct $struct {
            $(
                #[doc = concat!("The fixed number `", stringify!($p), "` of the formula.")]
                pub $p: f64,
            )*
        }

        impl<T: cerberus_tensor::Element> crate::Operation<T> for $struct {
            fn name(&self) -> &'static str {
                stringify!($method)
            }

            fn saves(&self) -> crate::Saves {
                $saves
            }

            fn forward(&mut self, inputs: crate::Inputs<T>) -> cerberus_tensor::Tensor<T> {
                $(let $p = T::from_f64(self.$p);)*
                let [x] = inputs.take();
                x.map_heavy(|$x| $forward)
            }

            fn backward(
                &self,
                mut saved: crate::Saved<T>,
                dy: cerberus_tensor::Tensor<T>,
                _wants: &[bool],
            ) -> Vec<Option<crate::Gradient<T>>> {
                $(let $p = T::from_f64(self.$p);)*
                crate::one(dy.zip_heavy(unary!(@kept saved, $kept), |$dy, $k| $backward))
            }

            fn backward_graph(
                &self,
                mut saved: crate::SavedVars<T>,
                $gdy: crate::Var<T>,
                _wants: &[bool],
            ) -> Option<Vec<Option<crate::Var<T>>>> {
                $(let $p = self.$p;)*
                let $gk = unary!(@kept saved, $kept);
                crate::one_var($graph)
            }
        }

        #[cfg(feature = "proofs")]
        impl crate::Proof for $struct {
            fn facts() -> crate::Facts {
                crate::Facts::new(stringify!($method), crate::Group::Elementwise, $formula, $gradient)
                    .torch($torch) $(.$fact($($value),*))*
            }

            fn cases() -> Vec<crate::gradcheck::Case> {
                let case = |kind: &str, x: cerberus_tensor::Tensor<f64>| {
                    let name = format!("{}{kind}", stringify!($method));
                    let case = crate::case!(name, $torch, [x], |x| x.$method($($arg),*));
                    if $gradient == "dx = 0" { case.zero_gradient(0) } else { case }
                };
                let kinds = ["", ": wider", ": widest"];
                let mut all: Vec<_> = kinds.into_iter().zip([$($sample),*]).map(|(kind, x)| case(kind, x)).collect();
                all.push(case(": rank 0", crate::gradcheck::positive_sample(4, &[]).map(|x| x + 0.4)));
                all.push(case(": empty batch", crate::gradcheck::sample(1, &[0, 3])));
                all.push(case(": special values", super::special_values()).special());
                all
            }

            fn error_cases() -> Vec<crate::ErrorCase> {
                Vec::new()
            }

            fn large_cases() -> Vec<crate::gradcheck::Case> {
                let x = crate::gradcheck::positive_sample(3, &[3, 11_001]);
                vec![crate::case!(stringify!($method), $torch, [x], |x| x.$method($($arg),*))]
            }
        }

        impl<T: cerberus_tensor::Element> crate::Var<T> {
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self $(, $p: f64)*) -> crate::Var<T> {
                crate::Var::record($struct { $($p),* }, vec![self])
            }
        }
    };
    (@kept $saved:ident, input) => { $saved.input(0) };
    (@kept $saved:ident, output) => { $saved.output() };
}

/// NaN, infinities, zeros and values far from 0, for comparison with reference values.
#[cfg(feature = "proofs")]
fn special_values() -> cerberus_tensor::Tensor<f64> {
    let values =
        vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 50.0, -50.0];
    cerberus_tensor::Tensor::from_vec(values, &[11])
}

/// # Panics
/// If the shapes do not broadcast; names the operation and both.
#[track_caller]
fn assert_broadcast(operation: &str, a: &[usize], b: &[usize]) {
    assert!(
        Shape::new(a).broadcast(&Shape::new(b)).is_some(),
        "{operation}: shapes {a:?} and {b:?} do not broadcast: aligned from the last dimension, extents must be equal or 1"
    );
}

/// # Panics
/// If `axes` are not distinct dimensions of `shape`.
#[track_caller]
fn assert_axes(operation: &str, axes: &[usize], shape: &[usize]) {
    let distinct = axes.iter().enumerate().all(|(i, axis)| *axis < shape.len() && !axes[..i].contains(axis));
    assert!(distinct, "{operation}: axes {axes:?} are not distinct dimensions of shape {shape:?}");
}

/// Samples of an operation of two inputs that are broadcast to a common shape.
#[cfg(feature = "proofs")]
macro_rules! broadcast_cases {
    ($name:literal, $torch:literal, $sample_a:ident, $sample_b:ident, |$a:ident, $b:ident| $body:expr) => {{
        let case = |kind: &str, a: &[usize], b: &[usize]| {
            crate::case!(format!("{}{kind}", $name), $torch, [$sample_a(1, a), $sample_b(2, b)], |$a, $b| {
                $body
            })
        };
        vec![
            case("", &[2, 3], &[2, 3]),
            case(": both broadcast", &[4, 1, 3], &[2, 1]),
            case(": a scalar", &[2, 3], &[]),
            case(": rank 0", &[], &[]),
            case(": empty batch", &[0, 3], &[3]).zero_gradient(1),
        ]
    }};
}

/// The misuse every operation with broadcasting refuses.
#[cfg(feature = "proofs")]
macro_rules! broadcast_errors {
    ($name:literal, |$a:ident, $b:ident| $body:expr) => {
        vec![crate::ErrorCase::new(concat!($name, ": shapes [2, 3] and [2] do not broadcast"), || {
            let zeros = |shape: &[usize]| crate::Var::constant(cerberus_tensor::Tensor::<f64>::zeros(shape));
            let ($a, $b) = (zeros(&[2, 3]), zeros(&[2]));
            let _ = $body;
        })]
    };
}

macro_rules! operations {
    ($($module:ident::$struct:ident $(($composed:ident))?),* $(,)?) => {
        $(mod $module; pub use $module::$struct;)*
        $(operations!(@compile $struct $($composed)?);)*

        /// Every operation, in the order of the files' list.
        #[cfg(feature = "proofs")]
        pub fn all() -> Vec<OpInfo> {
            vec![$(OpInfo::of::<$struct>()),*]
        }
    };
    // Nothing of its own to compile: composed of other operations, or generic itself.
    (@compile $struct:ident $composed:ident) => {};
    (@compile $struct:ident) => {
        impl crate::operation::Precompiled for $struct {
            #[inline(never)]
            fn single(self) -> Box<dyn crate::Operation<f32>> {
                Box::new(self)
            }

            #[cfg(feature = "proofs")]
            #[inline(never)]
            fn double(self) -> Box<dyn crate::Operation<f64>> {
                Box::new(self)
            }
        }
    };
}

/// The samples of every operation.
#[cfg(feature = "proofs")]
pub fn cases() -> Vec<Case> {
    all().into_iter().flat_map(|info| (info.cases)()).collect()
}

/// A variable of zeros of this shape through which no gradient flows.
fn zeros<T: Element>(shape: &[usize]) -> crate::Var<T> {
    crate::Var::constant(cerberus_tensor::Tensor::zeros(shape))
}

/// Applies `rule`, which works along the last dimension, along `axis`: the two are swapped before and after.
fn along<T: Element>(
    x: crate::Var<T>,
    axis: usize,
    rule: impl FnOnce(crate::Var<T>) -> crate::Var<T>,
) -> crate::Var<T> {
    let rank = x.shape().len();
    if axis + 1 == rank {
        return rule(x);
    }
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(axis, rank - 1);
    rule(x.permute(&order)).permute(&order)
}

mod extreme;

pub use batch_norm::{Among, Peers};
pub use conv1d::Conv1dSpec;
pub use conv3d::Conv3dSpec;
pub use linear_map::Origin;
pub use pad::PadMode;
pub use roi_align::Region;

operations! {
    add::Add,
    add_relu::AddRelu,
    sub::Sub,
    mul::Mul,
    div::Div,
    affine::Affine,
    pow::Pow,
    powf::Powf,
    square::Square,
    sqrt::Sqrt,
    rsqrt::Rsqrt,
    exp::Exp,
    expm1::Expm1,
    log::Log,
    log1p::Log1p,
    abs::Abs,
    sign::Sign,
    clamp::Clamp,
    minimum::Minimum,
    maximum::Maximum,
    choose::Where (generic),
    sin::Sin,
    cos::Cos,
    tanh::Tanh,
    sigmoid::Sigmoid,
    log_sigmoid::LogSigmoid,
    softplus::Softplus,
    relu::Relu,
    leaky_relu::LeakyRelu,
    prelu::Prelu,
    elu::Elu,
    selu::Selu (composed),
    gelu::Gelu,
    gelu_tanh::GeluTanh,
    silu::Silu,
    mish::Mish,
    hardsigmoid::Hardsigmoid,
    hardswish::Hardswish,
    erf::Erf,
    sum::Sum,
    mean::Mean (composed),
    variance::Variance (composed),
    std::Std (composed),
    max::Max (composed),
    min::Min (composed),
    argmax::Argmax (composed),
    prod::Prod (composed),
    logsumexp::LogSumExp,
    norm::Norm,
    cumsum::Cumsum,
    softmax::Softmax,
    log_softmax::LogSoftmax,
    reshape::Reshape,
    permute::Permute,
    expand::Expand,
    narrow::Narrow,
    slice::Slice (composed),
    pad::Pad (composed),
    concat::Concat,
    stack::Stack (composed),
    flip::Flip (composed),
    roll::Roll (composed),
    tile::Tile (composed),
    temporal_shift::TemporalShift (composed),
    index_select::IndexSelect (composed),
    gather::Gather (composed),
    scatter_add::ScatterAdd (composed),
    one_hot::OneHot (composed),
    linear_map::Mapped,
    matmul::MatMul,
    linear::Linear,
    batched_matmul::BatchedMatMul,
    outer::Outer (composed),
    conv1d::Conv1d (composed),
    conv2d::Conv2d,
    conv3d::Conv3d (composed),
    conv_transpose2d::ConvTranspose2d,
    conv_transpose3d::ConvTranspose3d (composed),
    conv2d_weight_gradient::Conv2dWeightGradient,
    max_pool2d::MaxPool2d,
    max_pool::MaxPool (composed),
    avg_pool::AvgPool (composed),
    adaptive_max_pool::AdaptiveMaxPool (composed),
    adaptive_avg_pool::AdaptiveAvgPool (composed),
    global_avg_pool::GlobalAvgPool,
    resize::Resize,
    resize_corners::ResizeCorners (composed),
    pixel_shuffle::PixelShuffle (composed),
    unfold::Unfold (composed),
    fold::Fold (composed),
    roi_align::RoiAlign (composed),
    grid_sample::GridSample (composed),
    batch_norm::BatchNorm (generic),
    self_attention::SelfAttention (generic),
    layer_norm::LayerNorm,
    group_norm::GroupNorm (composed),
    instance_norm::InstanceNorm (composed),
    rms_norm::RmsNorm (composed),
}

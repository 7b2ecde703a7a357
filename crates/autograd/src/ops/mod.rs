//! The operations, one file each, and the list the gradient check runs over.
//!
//! To add one: write its file, then name it twice below, in the modules and in
//! [`cases`]. Its samples live in its file, so the check finds them by itself.

use cerberus_tensor::Element;

use crate::gradcheck::Case;
use crate::operation::Operation;

/// An element-wise operation of one input: a unit struct, its rule, its method
/// on `Var`. `kept` is what the backward rule reads: the input or the output.
macro_rules! unary {
    (
        $(#[$doc:meta])* $struct:ident, $method:ident, $saves:expr, $kept:ident,
        |$x:ident| $forward:expr, |$k:ident, $dy:ident| $backward:expr, $samples:expr
    ) => {
        $(#[$doc])*
        pub struct $struct;

        impl<T: cerberus_tensor::Element> crate::Operation<T> for $struct {
            fn name(&self) -> &'static str {
                stringify!($method)
            }

            fn saves(&self) -> crate::Saves {
                $saves
            }

            fn forward(&mut self, inputs: crate::Inputs<T>) -> cerberus_tensor::Tensor<T> {
                let [x] = inputs.take();
                x.map(|$x| $forward)
            }

            fn backward(
                &self,
                mut saved: crate::Saved<T>,
                dy: cerberus_tensor::Tensor<T>,
                _wants: &[bool],
            ) -> Vec<Option<crate::Gradient<T>>> {
                crate::one(dy.zip(unary!(@kept saved, $kept), |$dy, $k| $backward))
            }

            fn cases() -> Vec<crate::gradcheck::Case> {
                let samples: Vec<cerberus_tensor::Tensor<f64>> = $samples;
                samples
                    .into_iter()
                    .map(|x| crate::gradcheck::Case::unary(stringify!($method), x, crate::Var::$method))
                    .collect()
            }
        }

        impl<T: cerberus_tensor::Element> crate::Var<T> {
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self) -> crate::Var<T> {
                crate::Var::apply($struct, vec![self])
            }
        }
    };
    (@kept $saved:ident, input) => { $saved.input(0) };
    (@kept $saved:ident, output) => { $saved.output() };
}

macro_rules! operations {
    ($($module:ident::$struct:ident),* $(,)?) => {
        $(mod $module; pub use $module::$struct;)*

        /// The samples of every operation, for the gradient check.
        pub fn cases() -> Vec<Case> {
            let mut all = Vec::new();
            $(all.extend(cases_of::<f64, $struct>());)*
            all
        }
    };
}

fn cases_of<T: Element, O: Operation<T>>() -> Vec<Case> {
    let cases = O::cases();
    assert!(!cases.is_empty(), "{} has no samples", std::any::type_name::<O>());
    cases
}

operations! {
    add::Add,
    add_relu::AddRelu,
    sub::Sub,
    mul::Mul,
    div::Div,
    affine::Affine,
    exp::Exp,
    log::Log,
    sqrt::Sqrt,
    square::Square,
    abs::Abs,
    tanh::Tanh,
    sigmoid::Sigmoid,
    softplus::Softplus,
    relu::Relu,
    sum::Sum,
    reshape::Reshape,
    permute::Permute,
    narrow::Narrow,
    concat::Concat,
    matmul::MatMul,
    linear::Linear,
    softmax::Softmax,
    log_softmax::LogSoftmax,
    conv2d::Conv2d,
    max_pool2d::MaxPool2d,
    global_avg_pool::GlobalAvgPool,
    resize::Resize,
    batch_norm::BatchNorm,
}

//! Convolutions of sequences and of volumes: [`Conv2d`](super::Conv2d)'s layer over one and
//! over three dimensions.

use cerberus_autograd::Var;
use cerberus_autograd::ops::{Conv1dSpec, Conv3dSpec};
use cerberus_tensor::{Element, Tensor};

use super::{Layer, set_weight};
use crate::context::Context;
use crate::init::Init;
use crate::module::Parameter;

/// The numbers of all axes: a specification of one dimension has plain numbers.
macro_rules! spec_axes {
    (1, $value:expr) => {
        [$value]
    };
    (3, $value:expr) => {
        $value
    };
}

/// The inverse of [`spec_axes`].
macro_rules! spec_value {
    (1, $axes:expr) => {
        $axes[0]
    };
    (3, $axes:expr) => {
        $axes
    };
}

/// Declares a convolution layer: its name, its operation, its specification, and how one number
/// becomes a number for every dimension.
macro_rules! convolution {
    ($(#[$doc:meta])* $name:ident, $method:ident, $spec:ident, $rank:tt, |$each:ident| $all:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<T: Element = f32> {
            weight: Parameter<T>,
            bias: Option<Parameter<T>>,
            spec: $spec,
        }

        crate::module!($name { weight, bias } without { spec });

        impl<T: Element> $name<T> {
            /// A kernel with the same extent in every dimension, He weights and zero bias; stride 1, no padding.
            pub fn new(cin: usize, cout: usize, kernel: usize, init: &mut Init) -> Self {
                Self::with_spec(cin, cout, kernel, $spec::default(), init)
            }

            /// A kernel with strides, padding, dilation and groups of choice.
            ///
            /// # Panics
            /// If the channels are not multiples of the groups.
            #[track_caller]
            pub fn with_spec(cin: usize, cout: usize, kernel: usize, spec: $spec, init: &mut Init) -> Self {
                Self::with_kernel([cin, cout], [kernel; $rank], spec, init)
            }

            /// A kernel of these extents from the first to the second number of `channels`.
            ///
            /// # Panics
            /// If the channels are not multiples of the groups.
            #[track_caller]
            pub fn with_kernel(
                channels: [usize; 2],
                kernel: [usize; $rank],
                spec: $spec,
                init: &mut Init,
            ) -> Self {
                let ([cin, cout], groups) = (channels, spec.groups);
                assert!(
                    groups > 0 && cin.is_multiple_of(groups) && cout.is_multiple_of(groups),
                    "{}: {cin} and {cout} channels must both be multiples of {groups} groups",
                    stringify!($name)
                );
                let shape = [&kernel[..], &[cin / groups, cout]].concat();
                let fan_in = kernel.iter().product::<usize>() * cin / groups;
                Self {
                    weight: Parameter::new(init.he(&shape, fan_in)),
                    bias: Some(Parameter::new(Tensor::zeros(&[cout]))),
                    spec,
                }
            }

            /// With the padding that keeps the size at stride 1 for odd kernels; call it after
            /// [`dilation`](Self::dilation).
            pub fn same(mut self) -> Self {
                let kernel = self.weight.value.shape();
                let dilation = spec_axes!($rank, self.spec.dilation);
                let padding: [usize; $rank] = std::array::from_fn(|axis| kernel[axis] / 2 * dilation[axis]);
                self.spec.padding = spec_value!($rank, padding);
                self
            }

            /// With zeros on both sides of every dimension.
            pub fn padding(mut self, $each: usize) -> Self {
                self.spec.padding = $all;
                self
            }

            /// With this stride in every dimension.
            pub fn stride(mut self, $each: usize) -> Self {
                self.spec.stride = $all;
                self
            }

            /// With this distance between the kernel's taps in every dimension.
            pub fn dilation(mut self, $each: usize) -> Self {
                self.spec.dilation = $all;
                self
            }

            /// Without bias, for use before a batch norm, which would cancel it.
            pub fn without_bias(self) -> Self {
                Self { bias: None, ..self }
            }

            /// With these weights.
            ///
            /// # Panics
            /// If they have another shape than the layer's.
            #[track_caller]
            pub fn with_weight(mut self, weight: Tensor<T>) -> Self {
                set_weight(stringify!($name), &mut self.weight, weight);
                self
            }
        }

        impl<T: Element> Layer<T> for $name<T> {
            #[track_caller]
            fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
                let bias = self.bias.as_ref().map(|bias| context.parameter(bias));
                let y = x.$method(context.parameter(&self.weight), bias, self.spec);
                let weight = &self.weight.value;
                let products = weight.len() / weight.shape()[$rank + 1].max(1);
                context.count_multiply_adds(y.value().len() * products);
                context.layer_done(&self.weight, &y);
                y
            }
        }
    };
}

convolution! {
    /// Convolution of sequences `[N, L, Cin]` to `[N, OL, Cout]`, with optional bias;
    /// `weight [K, Cin/groups, Cout]`, `bias [Cout]`. The forward pass panics if `x` has another rank or other
    /// channels. See [`Var::conv1d`].
    Conv1d, conv1d, Conv1dSpec, 1, |each| each
}

convolution! {
    /// Convolution of volumes `[N, D, H, W, Cin]` to `[N, OD, OH, OW, Cout]`, with optional bias;
    /// `weight [KD, KH, KW, Cin/groups, Cout]`, `bias [Cout]`. The forward pass panics if `x` has another rank or
    /// other channels. See [`Var::conv3d`].
    Conv3d, conv3d, Conv3dSpec, 3, |each| [each; 3]
}

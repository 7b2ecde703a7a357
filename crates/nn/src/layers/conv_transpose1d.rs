//! The transposed convolution of sequences, which makes them longer with learned
//! weights: [`ConvTranspose2d`](super::ConvTranspose2d) of images with one row.

use cerberus_autograd::Var;
use cerberus_autograd::ops::Conv1dSpec;
use cerberus_tensor::conv::{Conv2dSpec, Padding};
use cerberus_tensor::{Element, Tensor};

use super::{Layer, set_weight};
use crate::context::Context;
use crate::init::Init;
use crate::module::Parameter;

/// Transposed convolution of sequences `[N, L, Cin]` to `[N, OL, Cout]` with
/// `OL = (L - 1) stride + dilation (K - 1) + 1 - 2 padding + output_padding`, with optional bias;
/// `weight [K, Cout/groups, Cin]`, `bias [Cout]`. The forward pass panics if `x` has another rank or other channels, or
/// the padding leaves nothing. See [`Var::conv_transpose2d`].
#[derive(Clone, Debug)]
pub struct ConvTranspose1d<T: Element = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
    spec: Conv1dSpec,
    output_padding: usize,
}

crate::module!(ConvTranspose1d { weight, bias } without { spec, output_padding });

impl<T: Element> ConvTranspose1d<T> {
    /// A kernel that makes sequences longer by `stride`; He weights, zero bias, no padding.
    ///
    /// # Panics
    /// If the stride is 0.
    #[track_caller]
    pub fn new(cin: usize, cout: usize, kernel: usize, stride: usize, init: &mut Init) -> Self {
        Self::with_spec(cin, cout, kernel, Conv1dSpec { stride, ..Conv1dSpec::default() }, init)
    }

    /// A kernel with stride, padding, dilation and groups of choice. The weights' variance counts the products that are
    /// added up in one output, `K Cin / (groups stride)` on average.
    ///
    /// # Panics
    /// If the channels are not multiples of the groups, or the stride is 0.
    #[track_caller]
    pub fn with_spec(cin: usize, cout: usize, kernel: usize, spec: Conv1dSpec, init: &mut Init) -> Self {
        let Conv1dSpec { groups, stride, .. } = spec;
        assert!(
            groups > 0 && cin.is_multiple_of(groups) && cout.is_multiple_of(groups) && stride > 0,
            "ConvTranspose1d: {cin} and {cout} channels must both be multiples of {groups} groups, and the stride \
             {stride} above 0"
        );
        let shape = [kernel, cout / groups, cin];
        Self {
            weight: Parameter::new(init.he(&shape, kernel * cin / groups / stride)),
            bias: Some(Parameter::new(Tensor::zeros(&[cout]))),
            spec,
            output_padding: 0,
        }
    }

    /// Without this many positions at both ends of the output.
    pub fn padding(mut self, positions: usize) -> Self {
        self.spec.padding = positions;
        self
    }

    /// With this many further positions at the end, less than the stride.
    pub fn output_padding(self, positions: usize) -> Self {
        Self { output_padding: positions, ..self }
    }

    /// Without bias, for use before a batch norm, which would cancel it.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// With these weights, `[K, Cout/groups, Cin]`.
    ///
    /// # Panics
    /// If they have another shape than the layer's.
    #[track_caller]
    pub fn with_weight(mut self, weight: Tensor<T>) -> Self {
        set_weight("ConvTranspose1d", &mut self.weight, weight);
        self
    }
}

impl<T: Element> Layer<T> for ConvTranspose1d<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let &[n, length, cin] = x.shape() else {
            panic!("ConvTranspose1d: x {:?} must be [N, L, C]", x.shape())
        };
        let &[k, cout_group, channels] = self.weight.value.shape() else { unreachable!("made with three") };
        let products = x.value().len() * k * cout_group;
        let Conv1dSpec { stride, padding, dilation, groups } = self.spec;
        let spec = Conv2dSpec {
            stride: [1, stride],
            padding: Padding { left: padding, right: padding, ..Padding::default() },
            dilation: [1, dilation],
            groups,
        };
        let weight = context.parameter(&self.weight).reshape(&[1, k, cout_group, channels]);
        let rows = x.reshape(&[n, 1, length, cin]).conv_transpose2d(weight, spec, [0, self.output_padding]);
        let &[_, _, length, cout] = rows.shape() else {
            unreachable!("a convolution of images gives images")
        };
        let y = rows.reshape(&[n, length, cout]);
        let y = match &self.bias {
            Some(bias) => y + context.parameter(bias),
            None => y,
        };
        context.count_multiply_adds(products);
        context.layer_done(&self.weight, &y);
        y
    }
}

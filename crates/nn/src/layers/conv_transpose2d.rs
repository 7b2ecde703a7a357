//! The transposed convolution, which enlarges images with learned weights.

use cerberus_autograd::Var;
use cerberus_tensor::conv::{Conv2dSpec, Padding};
use cerberus_tensor::{Element, Tensor};

use super::{Layer, set_weight};
use crate::context::Context;
use crate::init::Init;
use crate::module::Parameter;

/// Transposed convolution of images `[N, H, W, Cin]` to `[N, OH, OW, Cout]` with
/// `OH = (H - 1) stride + dilation (K - 1) + 1 - 2 padding + output_padding`, with optional bias;
/// `weight [KH, KW, Cout/groups, Cin]`, `bias [Cout]` (Zeiler et al., 2010). The forward pass panics if `x` has
/// other channels, or the padding leaves nothing. See [`Var::conv_transpose2d`].
#[derive(Clone, Debug)]
pub struct ConvTranspose2d<T: Element = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
    spec: Conv2dSpec,
    output_padding: [usize; 2],
}

crate::module!(ConvTranspose2d { weight, bias } without { spec, output_padding });

impl<T: Element> ConvTranspose2d<T> {
    /// A square kernel that enlarges by `stride`; He weights, zero bias, no padding.
    ///
    /// # Panics
    /// If the stride is 0.
    #[track_caller]
    pub fn new(cin: usize, cout: usize, kernel: usize, stride: usize, init: &mut Init) -> Self {
        Self::with_spec(cin, cout, kernel, Conv2dSpec { stride: [stride; 2], ..Conv2dSpec::default() }, init)
    }

    /// A square kernel with strides, padding, dilation and groups of choice. The weights' variance counts the
    /// products that are added up in one output, `K² Cin / (groups stride²)` on average.
    ///
    /// # Panics
    /// If the channels are not multiples of the groups, or a stride is 0.
    #[track_caller]
    pub fn with_spec(cin: usize, cout: usize, kernel: usize, spec: Conv2dSpec, init: &mut Init) -> Self {
        let (groups, stride) = (spec.groups, spec.stride[0] * spec.stride[1]);
        assert!(
            groups > 0 && cin.is_multiple_of(groups) && cout.is_multiple_of(groups) && stride > 0,
            "ConvTranspose2d: {cin} and {cout} channels must both be multiples of {groups} groups, and the stride \
             {:?} above 0",
            spec.stride
        );
        let shape = [kernel, kernel, cout / groups, cin];
        Self {
            weight: Parameter::new(init.he(&shape, kernel * kernel * cin / groups / stride)),
            bias: Some(Parameter::new(Tensor::zeros(&[cout]))),
            spec,
            output_padding: [0; 2],
        }
    }

    /// Without this many pixels on every side of the output.
    pub fn padding(mut self, pixels: usize) -> Self {
        self.spec.padding = Padding::all(pixels);
        self
    }

    /// With this many further rows and columns at the bottom and the right, less than the stride each.
    pub fn output_padding(self, pixels: usize) -> Self {
        Self { output_padding: [pixels; 2], ..self }
    }

    /// Without bias, for use before a batch norm, which would cancel it.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// With these weights, `[KH, KW, Cout/groups, Cin]`.
    ///
    /// # Panics
    /// If they have another shape than the layer's.
    #[track_caller]
    pub fn with_weight(mut self, weight: Tensor<T>) -> Self {
        set_weight("ConvTranspose2d", &mut self.weight, weight);
        self
    }
}

impl<T: Element> Layer<T> for ConvTranspose2d<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let products = x.value().len() * self.weight.value.len() / self.weight.value.shape()[3].max(1);
        let y = x.conv_transpose2d(context.parameter(&self.weight), self.spec, self.output_padding);
        let y = match &self.bias {
            Some(bias) => y + context.parameter(bias),
            None => y,
        };
        context.count_multiply_adds(products);
        context.layer_done(&self.weight, &y);
        y
    }
}

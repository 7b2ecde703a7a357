//! The transposed convolution of volumes, which enlarges them with learned weights.

use cerberus_autograd::Var;
use cerberus_autograd::ops::Conv3dSpec;
use cerberus_tensor::{Element, Tensor};

use super::{Layer, set_weight};
use crate::context::Context;
use crate::init::Init;
use crate::module::Parameter;

/// Transposed convolution of volumes `[N, D, H, W, Cin]` to `[N, OD, OH, OW, Cout]` with
/// `OD = (D - 1) stride + dilation (K - 1) + 1 - 2 padding + output_padding`, with optional bias;
/// `weight [KD, KH, KW, Cout/groups, Cin]`, `bias [Cout]`. The forward pass panics if `x` has another rank or other
/// channels, or the padding leaves nothing. See [`Var::conv_transpose3d`].
#[derive(Clone, Debug)]
pub struct ConvTranspose3d<T: Element = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
    spec: Conv3dSpec,
    output_padding: [usize; 3],
}

crate::module!(ConvTranspose3d { weight, bias } without { spec, output_padding });

impl<T: Element> ConvTranspose3d<T> {
    /// A cubic kernel that enlarges by `stride`; He weights, zero bias, no padding.
    ///
    /// # Panics
    /// If the stride is 0.
    #[track_caller]
    pub fn new(cin: usize, cout: usize, kernel: usize, stride: usize, init: &mut Init) -> Self {
        Self::with_spec(cin, cout, kernel, Conv3dSpec { stride: [stride; 3], ..Conv3dSpec::default() }, init)
    }

    /// A cubic kernel with strides, padding, dilation and groups of choice. The weights' variance counts the
    /// products that are added up in one output, `K³ Cin / (groups stride³)` on average.
    ///
    /// # Panics
    /// If the channels are not multiples of the groups, or a stride is 0.
    #[track_caller]
    pub fn with_spec(cin: usize, cout: usize, kernel: usize, spec: Conv3dSpec, init: &mut Init) -> Self {
        let (groups, stride) = (spec.groups, spec.stride.iter().product::<usize>());
        assert!(
            groups > 0 && cin.is_multiple_of(groups) && cout.is_multiple_of(groups) && stride > 0,
            "ConvTranspose3d: {cin} and {cout} channels must both be multiples of {groups} groups, and the stride \
             {:?} above 0",
            spec.stride
        );
        let shape = [kernel, kernel, kernel, cout / groups, cin];
        Self {
            weight: Parameter::new(init.he(&shape, kernel.pow(3) * cin / groups / stride)),
            bias: Some(Parameter::new(Tensor::zeros(&[cout]))),
            spec,
            output_padding: [0; 3],
        }
    }

    /// Without this many positions on every side of the output.
    pub fn padding(mut self, positions: usize) -> Self {
        self.spec.padding = [positions; 3];
        self
    }

    /// With this many further positions at the end of every dimension, less than the stride each.
    pub fn output_padding(self, positions: usize) -> Self {
        Self { output_padding: [positions; 3], ..self }
    }

    /// Without bias, for use before a batch norm, which would cancel it.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// With these weights, `[KD, KH, KW, Cout/groups, Cin]`.
    ///
    /// # Panics
    /// If they have another shape than the layer's.
    #[track_caller]
    pub fn with_weight(mut self, weight: Tensor<T>) -> Self {
        set_weight("ConvTranspose3d", &mut self.weight, weight);
        self
    }
}

impl<T: Element> Layer<T> for ConvTranspose3d<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let products = x.value().len() * self.weight.value.len() / self.weight.value.shape()[4].max(1);
        let y = x.conv_transpose3d(context.parameter(&self.weight), self.spec, self.output_padding);
        let y = match &self.bias {
            Some(bias) => y + context.parameter(bias),
            None => y,
        };
        context.count_multiply_adds(products);
        context.layer_done(&self.weight, &y);
        y
    }
}

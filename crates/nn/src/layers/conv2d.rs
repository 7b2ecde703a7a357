//! The convolution layer.

use cerberus_autograd::Var;
use cerberus_tensor::conv::{Conv2dSpec, Epilogue, Padding};
use cerberus_tensor::{Element, Rectifier, Tensor};

use super::{Joint, Layer, set_weight};
use crate::context::Context;
use crate::init::Init;
use crate::module::Parameter;

/// Convolution of images `[N, H, W, Cin]` to `[N, OH, OW, Cout]`, with optional
/// bias and ReLU; `weight [KH, KW, Cin/groups, Cout]`, `bias [Cout]`.
#[derive(Clone, Debug)]
pub struct Conv2d<T: Element = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
    spec: Conv2dSpec,
    relu: bool,
}

crate::module!(Conv2d { weight, bias } without { spec, relu });

impl<T: Element> Conv2d<T> {
    /// A square kernel with He weights and zero bias; stride 1, no padding.
    pub fn new(cin: usize, cout: usize, kernel: usize, init: &mut Init) -> Self {
        Self::with_spec(cin, cout, kernel, Conv2dSpec::default(), init)
    }

    /// A square kernel with strides, padding, dilation and groups of choice.
    ///
    /// # Panics
    /// If the channels are not multiples of the groups.
    #[track_caller]
    pub fn with_spec(cin: usize, cout: usize, kernel: usize, spec: Conv2dSpec, init: &mut Init) -> Self {
        Self::with_kernel([cin, cout], [kernel; 2], spec, init)
    }

    /// A kernel of `kernel` (height, width) pixels from the first to the second number of `channels`.
    ///
    /// # Panics
    /// If the channels are not multiples of the groups.
    #[track_caller]
    pub fn with_kernel(channels: [usize; 2], kernel: [usize; 2], spec: Conv2dSpec, init: &mut Init) -> Self {
        let ([cin, cout], [kh, kw], groups) = (channels, kernel, spec.groups);
        assert!(
            groups > 0 && cin.is_multiple_of(groups) && cout.is_multiple_of(groups),
            "Conv2d: {cin} and {cout} channels must both be multiples of {groups} groups"
        );
        Self {
            weight: Parameter::new(init.he(&[kh, kw, cin / groups, cout], kh * kw * cin / groups)),
            bias: Some(Parameter::new(Tensor::zeros(&[cout]))),
            spec,
            relu: false,
        }
    }

    /// With the padding that keeps the image's size at stride 1 for odd kernels; call it after
    /// [`dilation`](Self::dilation).
    pub fn same(mut self) -> Self {
        let [down, across] =
            [0, 1].map(|axis| self.weight.value.shape()[axis] / 2 * self.spec.dilation[axis]);
        self.spec.padding = Padding { top: down, bottom: down, left: across, right: across };
        self
    }

    /// With padding by this many pixels on every side.
    pub fn padding(mut self, pixels: usize) -> Self {
        self.spec.padding = Padding::all(pixels);
        self
    }

    /// With this stride in both directions.
    pub fn stride(mut self, stride: usize) -> Self {
        self.spec.stride = [stride; 2];
        self
    }

    /// With this distance between the kernel's taps in both directions.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.spec.dilation = [dilation; 2];
        self
    }

    /// Without bias, for use before a batch norm, which would cancel it.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// With a ReLU, computed together with the convolution.
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// With every bias starting at `value`.
    ///
    /// # Panics
    /// If the layer has no bias.
    #[track_caller]
    pub fn with_bias(mut self, value: f64) -> Self {
        let bias = self.bias.as_mut().expect("Conv2d::with_bias: the layer has no bias");
        bias.value = Tensor::full(T::from_f64(value), bias.value.shape());
        self
    }

    /// With these weights.
    ///
    /// # Panics
    /// If they have another shape than the layer's.
    #[track_caller]
    pub fn with_weight(mut self, weight: Tensor<T>) -> Self {
        set_weight("Conv2d", &mut self.weight, weight);
        self
    }

    /// With weights normally distributed with this standard deviation.
    pub fn with_weight_std(mut self, std: f64, init: &mut Init) -> Self {
        self.weight.value = init.normal(self.weight.value.shape(), std);
        self
    }
}

impl<T: Element> Layer<T> for Conv2d<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let products = self.weight.value.len() / self.weight.value.shape()[3].max(1);
        let done = |context: &mut Context<T>, y: &Var<T>| {
            context.count_multiply_adds(y.value().len() * products);
            context.layer_done(&self.weight, y);
        };
        if !context.is_training() && !x.is_recorded() {
            let epilogue = Epilogue {
                bias: self.bias.as_ref().map(|bias| bias.value.clone()),
                activation: if self.relu { Rectifier::Relu } else { Rectifier::None },
            };
            let prepared = context.prepared(&self.weight, self.spec);
            let y = Var::constant(prepared.forward(x.value(), &epilogue));
            done(context, &y);
            return y;
        }
        let weight = context.parameter(&self.weight);
        let bias = self.bias.as_ref().map(|bias| context.parameter(bias));
        let y = if self.relu {
            x.conv2d_relu(weight, bias, self.spec)
        } else {
            x.conv2d(weight, bias, self.spec)
        };
        done(context, &y);
        y
    }

    fn joint(&self) -> Joint<'_, T> {
        Joint::Conv2d(self)
    }
}

impl<T: Element> Conv2d<T> {
    pub(super) fn has_relu(&self) -> bool {
        self.relu
    }

    pub(crate) fn spec(&self) -> Conv2dSpec {
        self.spec
    }

    pub(crate) fn weight(&self) -> &Parameter<T> {
        &self.weight
    }

    pub(crate) fn bias(&self) -> Option<&Parameter<T>> {
        self.bias.as_ref()
    }
}

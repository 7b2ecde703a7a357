//! Convolutions that treat every channel by itself, and the pair of layers that replaces a
//! full convolution with them.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;

use super::macros::transparent;
use super::{Conv2d, Layer};
use crate::context::Context;
use crate::init::Init;

/// A convolution with as many groups as channels: each channel of `[N, H, W, C]` is convolved with
/// `multiplier` kernels of its own, to `[N, OH, OW, C multiplier]`; `weight [KH, KW, 1, C multiplier]`,
/// `bias [C multiplier]`. Output channel `c multiplier + m` comes from channel `c`. Sifre (2014).
#[derive(Clone, Debug)]
pub struct DepthwiseConv2d<T: Element = f32> {
    inner: Conv2d<T>,
}

transparent!(DepthwiseConv2d);

impl<T: Element> DepthwiseConv2d<T> {
    /// A square kernel for each of `channels` channels with He weights and zero bias; stride 1, no padding.
    pub fn new(channels: usize, kernel: usize, init: &mut Init) -> Self {
        Self::with_multiplier(channels, 1, kernel, init)
    }

    /// `multiplier` square kernels for each of `channels` channels.
    ///
    /// # Panics
    /// If there are no channels.
    #[track_caller]
    pub fn with_multiplier(channels: usize, multiplier: usize, kernel: usize, init: &mut Init) -> Self {
        let spec = Conv2dSpec { groups: channels, ..Conv2dSpec::default() };
        Self { inner: Conv2d::with_spec(channels, channels * multiplier, kernel, spec, init) }
    }

    /// With the padding that keeps the image's size at stride 1 for odd kernels.
    pub fn same(self) -> Self {
        Self { inner: self.inner.same() }
    }

    /// With padding by this many pixels on every side.
    pub fn padding(self, pixels: usize) -> Self {
        Self { inner: self.inner.padding(pixels) }
    }

    /// With this stride in both directions.
    pub fn stride(self, stride: usize) -> Self {
        Self { inner: self.inner.stride(stride) }
    }

    /// With this distance between the kernel's taps in both directions.
    pub fn dilation(self, dilation: usize) -> Self {
        Self { inner: self.inner.dilation(dilation) }
    }

    /// Without bias, for use before a batch norm, which would cancel it.
    pub fn without_bias(self) -> Self {
        Self { inner: self.inner.without_bias() }
    }

    /// With a ReLU, computed together with the convolution.
    pub fn with_relu(self) -> Self {
        Self { inner: self.inner.with_relu() }
    }
}

/// A [`DepthwiseConv2d`] without bias and a 1 × 1 [`Conv2d`] with one: `[N, H, W, Cin]` to
/// `[N, OH, OW, Cout]` with `KH KW Cin + Cin Cout` weights instead of `KH KW Cin Cout` (Chollet, 2017).
#[derive(Clone, Debug)]
pub struct SeparableConv2d<T: Element = f32> {
    depthwise: DepthwiseConv2d<T>,
    pointwise: Conv2d<T>,
}

crate::module!(SeparableConv2d { depthwise, pointwise });

impl<T: Element> SeparableConv2d<T> {
    /// A square depthwise kernel from `cin` to `cout` channels; stride 1, no padding.
    ///
    /// # Panics
    /// If `cin` is 0.
    #[track_caller]
    pub fn new(cin: usize, cout: usize, kernel: usize, init: &mut Init) -> Self {
        Self {
            depthwise: DepthwiseConv2d::new(cin, kernel, init).without_bias(),
            pointwise: Conv2d::new(cin, cout, 1, init),
        }
    }

    /// With the padding that keeps the image's size at stride 1 for odd kernels.
    pub fn same(self) -> Self {
        Self { depthwise: self.depthwise.same(), ..self }
    }

    /// With padding by this many pixels on every side.
    pub fn padding(self, pixels: usize) -> Self {
        Self { depthwise: self.depthwise.padding(pixels), ..self }
    }

    /// With this stride in both directions.
    pub fn stride(self, stride: usize) -> Self {
        Self { depthwise: self.depthwise.stride(stride), ..self }
    }

    /// With this distance between the depthwise kernel's taps in both directions.
    pub fn dilation(self, dilation: usize) -> Self {
        Self { depthwise: self.depthwise.dilation(dilation), ..self }
    }

    /// Without bias, for use before a batch norm, which would cancel it.
    pub fn without_bias(self) -> Self {
        Self { pointwise: self.pointwise.without_bias(), ..self }
    }

    /// With a ReLU after the second convolution.
    pub fn with_relu(self) -> Self {
        Self { pointwise: self.pointwise.with_relu(), ..self }
    }
}

impl<T: Element> Layer<T> for SeparableConv2d<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let x = context.part("depthwise", |context| self.depthwise.forward(x, context));
        context.part("pointwise", |context| self.pointwise.forward(x, context))
    }
}

//! Layers: modules with one input and one output. Images are `[N, H, W, C]`, sequences `[N, L, C]`,
//! volumes `[N, D, H, W, C]`.

mod activations;
mod attention;
mod batch_norm;
mod conv2d;
mod conv_nd;
mod conv_transpose1d;
mod conv_transpose2d;
mod conv_transpose3d;
mod depthwise;
mod drop;
mod embedding;
mod inverted;
pub(crate) mod joint;
mod linear;
mod macros;
mod norms;
mod plain;
mod pools;
mod residual;
mod sequential;
#[cfg(test)]
mod tests;

pub use activations::{
    Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, Identity, LeakyRelu,
    LogSigmoid, LogSoftmax, Mish, PRelu, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softplus, Softshrink,
    Softsign, Tanh, Tanhshrink, Threshold,
};
pub use attention::{MultiHeadSelfAttention, TransformerBlock};
pub use batch_norm::{BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use conv_nd::{Conv1d, Conv3d};
pub use conv_transpose1d::ConvTranspose1d;
pub use conv_transpose2d::ConvTranspose2d;
pub use conv_transpose3d::ConvTranspose3d;
pub use conv2d::Conv2d;
pub use depthwise::{DepthwiseConv2d, SeparableConv2d};
pub use drop::{AlphaDropout, DropPath, Dropout, SpatialDropout};
pub use embedding::Embedding;
pub use inverted::{InvertedResidual, InvertedResidualSpec};
pub use linear::Linear;
pub use norms::{GroupNorm, InstanceNorm, LayerNorm, RmsNorm};
pub use plain::{Flatten, Pad2d, PixelShuffle, PixelUnshuffle, Reshape, Upsample};
pub use pools::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
    AdaptiveMaxPool3d, AvgPool1d, AvgPool2d, AvgPool3d, GlobalAvgPool, GlobalMaxPool, MaxPool1d, MaxPool2d,
    MaxPool3d,
};
pub use residual::{Residual, SqueezeExcitation};
pub use sequential::Sequential;

use cerberus_autograd::Var;
use cerberus_tensor::norm::Rectifier;
use cerberus_tensor::{Element, Tensor};

use crate::context::Context;
use crate::module::{Module, Parameter};

/// A module that maps one variable to one variable.
pub trait Layer<T: Element = f32>: Module<T> + Send + Sync {
    /// The output for `x`. Changes nothing in the layer: buffer updates and
    /// random numbers go through the context.
    ///
    /// # Panics
    /// If `x` does not have the shape the layer is made for.
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T>;

    /// What the layer is to [`Sequential`], which computes some layers together.
    #[doc(hidden)]
    fn joint(&self) -> Joint<'_, T> {
        Joint::Apart
    }
}

/// A layer that may be computed together with the ones after it.
#[doc(hidden)]
pub enum Joint<'a, T: Element> {
    /// None of these.
    Apart,
    /// A convolution.
    Conv2d(&'a Conv2d<T>),
    /// A batch norm.
    BatchNorm2d(&'a BatchNorm2d<T>),
    /// An activation that a batch norm can compute.
    Rectifier(Rectifier),
}

impl<T: Element, L: Layer<T> + ?Sized> Layer<T> for Box<L> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        (**self).forward(x, context)
    }

    fn joint(&self) -> Joint<'_, T> {
        (**self).joint()
    }
}

/// # Panics
/// If the new weights have another shape.
#[track_caller]
fn set_weight<T: Element>(layer: &str, weight: &mut Parameter<T>, value: Tensor<T>) {
    assert!(
        value.shape() == weight.value.shape(),
        "{layer}: weights of shape {:?} for a layer with {:?}",
        value.shape(),
        weight.value.shape()
    );
    weight.value = value;
}

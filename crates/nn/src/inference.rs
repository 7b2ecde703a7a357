//! Running a layer outside training.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use crate::context::Context;
use crate::layers::Layer;

/// The prediction of `layer` for `x`, outside training.
pub fn predict<T: Element>(layer: &(impl Layer<T> + ?Sized), x: Tensor<T>) -> Tensor<T> {
    layer.forward(Var::constant(x), &mut Context::evaluation()).into_value()
}

/// The output shape of `layer` for inputs of shape `x`, found by one forward pass
/// over zeros. The next layer must take this shape.
///
/// # Panics
/// If the layer does not take inputs of that shape.
#[track_caller]
pub fn output_shape<T: Element>(layer: &(impl Layer<T> + ?Sized), x: &[usize]) -> Vec<usize> {
    predict(layer, Tensor::zeros(x)).shape().to_vec()
}

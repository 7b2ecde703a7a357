//! Layers: modules with one input and one output.

mod batch_norm;
mod conv2d;
mod linear;
mod plain;
mod sequential;

pub use batch_norm::BatchNorm2d;
pub use conv2d::Conv2d;
pub use linear::Linear;
pub use plain::{Dropout, Flatten, GlobalAvgPool, MaxPool2d, Relu};
pub use sequential::Sequential;

use cerberus_autograd::Var;
use cerberus_tensor::Element;

use crate::context::Context;
use crate::module::Module;

/// A module that maps one variable to one variable.
pub trait Layer<T: Element = f32>: Module<T> + Send + Sync {
    /// The output for `x`. Changes nothing in the layer: buffer updates and
    /// random numbers go through the context.
    ///
    /// # Panics
    /// If `x` does not have the shape the layer is made for.
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T>;
}

impl<T: Element, L: Layer<T> + ?Sized> Layer<T> for Box<L> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        (**self).forward(x, context)
    }
}

//! Layers without parameters.

use std::marker::PhantomData;

use cerberus_autograd::Var;
use cerberus_tensor::pooling::Pool2dSpec;
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;

use super::Layer;
use crate::context::Context;

/// Declares a layer without parameters: its struct, its module tree (empty).
macro_rules! plain {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<T: Element = f32> {
            $($field: $type,)*
            element: PhantomData<T>,
        }
        crate::module!($name {} without { $($field,)* element });
    };
}

plain! {
    /// The largest value of every window, `[N, H, W, C]` to `[N, OH, OW, C]`,
    /// with an optional ReLU.
    MaxPool2d { spec: Pool2dSpec, relu: bool }
}

impl<T: Element> MaxPool2d<T> {
    /// Square windows of `kernel` pixels, `stride` apart, without padding.
    pub fn new(kernel: usize, stride: usize) -> Self {
        let spec = Pool2dSpec { kernel: [kernel; 2], stride: [stride; 2], padding: Default::default() };
        Self { spec, relu: false, element: PhantomData }
    }

    /// With a ReLU. Before or after max pooling it gives the same values, and
    /// here it needs no extra pass over memory; leave it out of the layer before.
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }
}

impl<T: Element> Layer<T> for MaxPool2d<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        if self.relu { x.max_pool2d_relu(self.spec) } else { x.max_pool2d(self.spec) }
    }
}

plain! {
    /// The mean of every channel over all pixels, `[N, H, W, C]` to `[N, C]`.
    GlobalAvgPool {}
}

impl<T: Element> Default for GlobalAvgPool<T> {
    fn default() -> Self {
        Self { element: PhantomData }
    }
}

impl<T: Element> Layer<T> for GlobalAvgPool<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        x.global_avg_pool()
    }
}

plain! {
    /// Joins all dimensions but the first into one, in H, W, C order for images.
    Flatten {}
}

impl<T: Element> Default for Flatten<T> {
    fn default() -> Self {
        Self { element: PhantomData }
    }
}

impl<T: Element> Layer<T> for Flatten<T> {
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let n = x.shape()[0];
        let features = x.shape()[1..].iter().product();
        x.reshape(&[n, features])
    }
}

plain! {
    /// The rectified linear unit, `max(x, 0)`.
    Relu {}
}

impl<T: Element> Default for Relu<T> {
    fn default() -> Self {
        Self { element: PhantomData }
    }
}

impl<T: Element> Layer<T> for Relu<T> {
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        x.relu()
    }
}

plain! {
    /// In training, zeroes each value with probability `rate` and scales the
    /// others by `1 / (1 - rate)`; otherwise changes nothing (Srivastava et al., 2014).
    Dropout { rate: f64 }
}

impl<T: Element> Dropout<T> {
    /// Drops values with probability `rate`.
    ///
    /// # Panics
    /// Unless `0 <= rate < 1`.
    #[track_caller]
    pub fn new(rate: f64) -> Self {
        assert!((0.0..1.0).contains(&rate), "Dropout: the rate {rate} must be at least 0 and below 1");
        Self { rate, element: PhantomData }
    }
}

impl<T: Element> Layer<T> for Dropout<T> {
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        if !context.is_training() || self.rate == 0.0 {
            return x;
        }
        let mut random = context.random();
        let kept = T::from_f64(1.0 / (1.0 - self.rate));
        let mask =
            Tensor::from_fn(x.shape(), |_| if random.random::<f64>() < self.rate { T::ZERO } else { kept });
        x * Var::constant(mask)
    }
}

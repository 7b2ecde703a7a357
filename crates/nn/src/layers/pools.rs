//! Pooling: the largest value or the mean of windows, per channel.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
use cerberus_tensor::conv::Padding;
use cerberus_tensor::pooling::Pool2dSpec;
use cerberus_tensor::windows::Sliding;
use std::marker::PhantomData;

use super::Layer;
use super::macros::plain;
use crate::context::Context;

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

    /// With this many pixels on every side, which never win.
    pub fn padding(mut self, pixels: usize) -> Self {
        self.spec.padding = Padding::all(pixels);
        self
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

/// Declares a pooling layer with sliding windows over `$rank` dimensions.
macro_rules! pool {
    ($(#[$doc:meta])* $name:ident, $rank:literal, $method:ident) => {
        plain! {
            $(#[$doc])* $name { spec: Sliding<$rank> }
        }

        impl<T: Element> $name<T> {
            /// Windows of `kernel` positions in every dimension, `stride` apart, without padding.
            pub fn new(kernel: usize, stride: usize) -> Self {
                Self::with_spec(Sliding { kernel: [kernel; $rank], stride: [stride; $rank], padding: [0; $rank] })
            }

            /// Windows of choice.
            pub fn with_spec(spec: Sliding<$rank>) -> Self {
                Self { spec, element: PhantomData }
            }

            /// With this many positions before and after every dimension.
            pub fn padding(mut self, positions: usize) -> Self {
                self.spec.padding = [positions; $rank];
                self
            }
        }

        impl<T: Element> Layer<T> for $name<T> {
            #[track_caller]
            fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
                x.$method(self.spec)
            }
        }
    };
}

pool! {
    /// The largest value of every window of a sequence, `[N, L, C]` to `[N, OL, C]`; padding never wins.
    MaxPool1d, 1, max_pool
}

pool! {
    /// The largest value of every window of a volume, `[N, D, H, W, C]` to `[N, OD, OH, OW, C]`; padding never wins.
    MaxPool3d, 3, max_pool
}

pool! {
    /// The mean of every window of a sequence, `[N, L, C]` to `[N, OL, C]`; padding counts as zeros.
    AvgPool1d, 1, avg_pool
}

pool! {
    /// The mean of every window, `[N, H, W, C]` to `[N, OH, OW, C]`; padding counts as zeros.
    AvgPool2d, 2, avg_pool
}

pool! {
    /// The mean of every window of a volume, `[N, D, H, W, C]` to `[N, OD, OH, OW, C]`; padding counts as zeros.
    AvgPool3d, 3, avg_pool
}

/// Declares a pooling layer with as many windows as its output has pixels.
macro_rules! adaptive {
    ($(#[$doc:meta])* $name:ident, $method:ident) => {
        plain! {
            $(#[$doc])* $name { size: [usize; 2] }
        }

        impl<T: Element> $name<T> {
            /// To images of this height and width.
            ///
            /// # Panics
            /// If one of them is 0.
            #[track_caller]
            pub fn new(size: [usize; 2]) -> Self {
                assert!(!size.contains(&0), "{}: no extent of {size:?} may be 0", stringify!($name));
                Self { size, element: PhantomData }
            }
        }

        impl<T: Element> Layer<T> for $name<T> {
            #[track_caller]
            fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
                x.$method(&self.size)
            }
        }
    };
}

adaptive! {
    /// The mean of windows whose number is given, `[N, H, W, C]` to `[N, size[0], size[1], C]`; see
    /// [`Var::adaptive_avg_pool`].
    AdaptiveAvgPool2d, adaptive_avg_pool
}

adaptive! {
    /// The largest value of windows whose number is given, `[N, H, W, C]` to `[N, size[0], size[1], C]`; see
    /// [`Var::adaptive_max_pool`].
    AdaptiveMaxPool2d, adaptive_max_pool
}

plain! {
    /// The mean of every channel over all pixels, `[N, H, W, C]` to `[N, C]`.
    GlobalAvgPool
}

impl<T: Element> Layer<T> for GlobalAvgPool<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        x.global_avg_pool()
    }
}

plain! {
    /// The largest value of every channel over all positions, `[N, image.., C]` to `[N, C]`. The forward pass panics
    /// if there are none.
    GlobalMaxPool
}

impl<T: Element> Layer<T> for GlobalMaxPool<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let (rank, n, c) = (x.shape().len(), x.shape().first().copied(), x.shape().last().copied());
        let (3.., Some(n), Some(c)) = (rank, n, c) else {
            panic!("GlobalMaxPool: x {:?} must be [N, image.., C]", x.shape())
        };
        x.adaptive_max_pool(&vec![1; rank - 2]).reshape(&[n, c])
    }
}

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
    MaxPool2d { spec: Pool2dSpec, relu: bool, ceil_mode: bool }
}

impl<T: Element> MaxPool2d<T> {
    /// Square windows of `kernel` pixels, `stride` apart, without padding.
    pub fn new(kernel: usize, stride: usize) -> Self {
        let spec = Pool2dSpec { kernel: [kernel; 2], stride: [stride; 2], padding: Default::default() };
        Self { spec, relu: false, ceil_mode: false, element: PhantomData }
    }

    /// With this many pixels on every side, which never win.
    pub fn padding(mut self, pixels: usize) -> Self {
        self.spec.padding = Padding::all(pixels);
        self
    }

    /// With smaller windows at the lower and right edge where the stride does not fit, PyTorch's `ceil_mode`; see
    /// [`Pool2dSpec::ceil_mode`].
    pub fn ceil_mode(self) -> Self {
        Self { ceil_mode: true, ..self }
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
        let spec = match *x.shape() {
            [_, h, w, _] if self.ceil_mode => self.spec.ceil_mode([h, w]),
            _ => self.spec,
        };
        if self.relu { x.max_pool2d_relu(spec) } else { x.max_pool2d(spec) }
    }
}

/// Declares a pooling layer with sliding windows over `$rank` dimensions, and with the further fields given, which
/// are false at first.
macro_rules! pool {
    ($(#[$doc:meta])* $name:ident<$rank:literal> { $($flag:ident),* }, |$x:ident, $spec:ident| $y:expr) => {
        plain! {
            $(#[$doc])* $name { spec: Sliding<$rank> $(, $flag: bool)* }
        }

        impl<T: Element> $name<T> {
            /// Windows of `kernel` positions in every dimension, `stride` apart, without padding.
            pub fn new(kernel: usize, stride: usize) -> Self {
                Self::with_spec(Sliding { kernel: [kernel; $rank], stride: [stride; $rank], ..Sliding::square(kernel) })
            }

            /// Windows of choice.
            pub fn with_spec(spec: Sliding<$rank>) -> Self {
                Self { spec, $($flag: false,)* element: PhantomData }
            }

            /// With this many positions of padding before and after every dimension.
            pub fn padding(mut self, positions: usize) -> Self {
                self.spec.padding = [positions; $rank];
                self
            }

            /// With smaller windows at the end where the stride does not fit, PyTorch's `ceil_mode`; see
            /// [`Sliding::ceil_mode`].
            pub fn ceil_mode(mut self) -> Self {
                self.spec.ceil_mode = true;
                self
            }

            $(
                /// With means over the positions of the input alone, without the padding: PyTorch's
                /// `count_include_pad=False`, and what Keras does.
                pub fn $flag(self) -> Self {
                    Self { $flag: true, ..self }
                }
            )*
        }

        impl<T: Element> Layer<T> for $name<T> {
            #[track_caller]
            fn forward(&self, $x: Var<T>, _context: &mut Context<T>) -> Var<T> {
                let $spec = self.spec;
                $(let $flag = self.$flag;)*
                $y
            }
        }
    };
}

pool! {
    /// The largest value of every window of a sequence, `[N, L, C]` to `[N, OL, C]`; padding never wins.
    MaxPool1d<1> {}, |x, spec| x.max_pool(spec)
}

pool! {
    /// The largest value of every window of a volume, `[N, D, H, W, C]` to `[N, OD, OH, OW, C]`; padding never wins.
    MaxPool3d<3> {}, |x, spec| x.max_pool(spec)
}

pool! {
    /// The mean of every window of a sequence, `[N, L, C]` to `[N, OL, C]`; padding counts as zeros.
    AvgPool1d<1> { exclude_padding }, |x, spec| averaged(x, spec, exclude_padding)
}

pool! {
    /// The mean of every window, `[N, H, W, C]` to `[N, OH, OW, C]`; padding counts as zeros.
    AvgPool2d<2> { exclude_padding }, |x, spec| averaged(x, spec, exclude_padding)
}

pool! {
    /// The mean of every window of a volume, `[N, D, H, W, C]` to `[N, OD, OH, OW, C]`; padding counts as zeros.
    AvgPool3d<3> { exclude_padding }, |x, spec| averaged(x, spec, exclude_padding)
}

#[track_caller]
fn averaged<T: Element, const D: usize>(x: Var<T>, spec: Sliding<D>, exclude_padding: bool) -> Var<T> {
    if exclude_padding { x.avg_pool_exclude_padding(spec) } else { x.avg_pool(spec) }
}

/// Declares a pooling layer with as many windows as its output has pixels.
macro_rules! adaptive {
    ($(#[$doc:meta])* $name:ident<$rank:literal>, $method:ident) => {
        plain! {
            $(#[$doc])* $name { size: [usize; $rank] }
        }

        impl<T: Element> $name<T> {
            /// To outputs of these extents.
            ///
            /// # Panics
            /// If one of them is 0.
            #[track_caller]
            pub fn new(size: [usize; $rank]) -> Self {
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
    /// The mean of windows whose number is given, `[N, L, C]` to `[N, size, C]`; see
    /// [`Var::adaptive_avg_pool`].
    AdaptiveAvgPool1d<1>, adaptive_avg_pool
}

adaptive! {
    /// The mean of windows whose number is given, `[N, H, W, C]` to `[N, size.., C]`; see
    /// [`Var::adaptive_avg_pool`].
    AdaptiveAvgPool2d<2>, adaptive_avg_pool
}

adaptive! {
    /// The mean of windows whose number is given, `[N, D, H, W, C]` to `[N, size.., C]`; see
    /// [`Var::adaptive_avg_pool`].
    AdaptiveAvgPool3d<3>, adaptive_avg_pool
}

adaptive! {
    /// The largest value of windows whose number is given, `[N, L, C]` to `[N, size, C]`; see
    /// [`Var::adaptive_max_pool`].
    AdaptiveMaxPool1d<1>, adaptive_max_pool
}

adaptive! {
    /// The largest value of windows whose number is given, `[N, H, W, C]` to `[N, size.., C]`; see
    /// [`Var::adaptive_max_pool`].
    AdaptiveMaxPool2d<2>, adaptive_max_pool
}

adaptive! {
    /// The largest value of windows whose number is given, `[N, D, H, W, C]` to `[N, size.., C]`; see
    /// [`Var::adaptive_max_pool`].
    AdaptiveMaxPool3d<3>, adaptive_max_pool
}

plain! {
    /// The mean of every channel over all positions, `[N, image.., C]` to `[N, C]`. The forward pass panics if `x` has
    /// fewer than three dimensions.
    GlobalAvgPool
}

impl<T: Element> Layer<T> for GlobalAvgPool<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let [n, positions, c] = split("GlobalAvgPool", &x);
        // The operation takes images; a sequence or a volume has the same means as an image of one row.
        let image = if x.shape().len() == 4 { x } else { x.reshape(&[n, 1, positions, c]) };
        image.global_avg_pool()
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
        let [n, positions, c] = split("GlobalMaxPool", &x);
        x.reshape(&[n, positions, c]).adaptive_max_pool(&[1]).reshape(&[n, c])
    }
}

/// Batch, positions and channels.
#[track_caller]
fn split<T: Element>(layer: &str, x: &Var<T>) -> [usize; 3] {
    match x.shape() {
        &[n, ref image @ .., c] if !image.is_empty() => [n, image.iter().product(), c],
        other => panic!("{layer}: x {other:?} must be [N, image.., C]"),
    }
}

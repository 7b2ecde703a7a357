//! Activations: a layer for every element-wise operation that is used as one. The
//! operation's documentation in `cerberus_autograd` has the gradient.

use cerberus_autograd::Var;
use cerberus_tensor::norm::Rectifier;
use cerberus_tensor::{Element, Tensor};
use std::marker::PhantomData;

use super::macros::plain;
use super::{Joint, Layer};
use crate::context::Context;
use crate::module::Parameter;

/// Declares an activation: its name, a number with its usual value if it has one, and its formula.
/// Its output has the shape of its input.
macro_rules! activations {
    () => {};
    ($(#[$doc:meta])* $name:ident, |$x:ident| $y:expr; $($rest:tt)*) => {
        plain! { $(#[$doc])* $name }

        impl<T: Element> Layer<T> for $name<T> {
            #[track_caller]
            fn forward(&self, $x: Var<T>, _context: &mut Context<T>) -> Var<T> {
                $y
            }
        }

        activations! { $($rest)* }
    };
    ($(#[$doc:meta])* $name:ident { $number:ident: $usual:literal }, |$x:ident| $y:expr; $($rest:tt)*) => {
        plain! { $(#[$doc])* $name { $number: f64 } }

        impl<T: Element> $name<T> {
            #[doc = concat!("With this `", stringify!($number), "` (usually ", stringify!($usual), ").")]
            pub fn new($number: f64) -> Self {
                Self { $number, element: PhantomData }
            }
        }

        impl<T: Element> Default for $name<T> {
            fn default() -> Self {
                Self::new($usual)
            }
        }

        impl<T: Element> Layer<T> for $name<T> {
            #[track_caller]
            fn forward(&self, $x: Var<T>, _context: &mut Context<T>) -> Var<T> {
                let $number = self.$number;
                $y
            }
        }

        activations! { $($rest)* }
    };
}

/// The same for those that a batch norm computes in its own pass.
macro_rules! rectifiers {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            plain! { $(#[$doc])* $name }

            impl<T: Element> Layer<T> for $name<T> {
                #[track_caller]
                fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
                    x.rectified(Rectifier::$name)
                }

                fn joint(&self) -> Joint<'_, T> {
                    Joint::Rectifier(Rectifier::$name)
                }
            }
        )*
    };
}

rectifiers! {
    /// The rectified linear unit, `max(x, 0)`.
    Relu;

    /// The rectified linear unit that ends at 6, `min(max(x, 0), 6)` (Krizhevsky, 2010).
    Relu6;
}

activations! {

    /// `x` where it is positive, `slope x` elsewhere (Maas, Hannun and Ng, 2013).
    LeakyRelu { slope: 0.01 }, |x| x.leaky_relu(slope);

    /// `x` where it is positive, `alpha (eˣ - 1)` elsewhere (Clevert, Unterthiner and Hochreiter, 2016).
    Elu { alpha: 1.0 }, |x| x.elu(alpha);

    /// `x` where it is positive, `alpha (e^(x / alpha) - 1)` elsewhere, so that the slope is 1 on both sides of 0
    /// (Barron, 2017, equation 2).
    Celu { alpha: 1.0 }, |x| if alpha == 1.0 { x.elu(1.0) } else { (x / alpha).elu(1.0) * alpha };

    /// The self-normalising unit, `lambda elu(x)` (Klambauer et al., 2017); drop values with
    /// [`AlphaDropout`](super::AlphaDropout).
    Selu, |x| x.selu();

    /// `x Φ(x)` with the normal distribution function, computed exactly (Hendrycks and Gimpel, 2016).
    Gelu, |x| x.gelu();

    /// The approximation of [`Gelu`] with the hyperbolic tangent.
    GeluTanh, |x| x.gelu_tanh();

    /// `x sigmoid(x)`, also called swish (Elfwing, Uchibe and Doya, 2018).
    Silu, |x| x.silu();

    /// `x tanh(ln(1 + eˣ))` (Misra, 2020).
    Mish, |x| x.mish();

    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid, |x| x.sigmoid();

    /// `ln(1 / (1 + e⁻ˣ))`, without overflow.
    LogSigmoid, |x| x.log_sigmoid();

    /// The hyperbolic tangent.
    Tanh, |x| x.tanh();

    /// `x` limited to -1 to 1.
    Hardtanh, |x| x.clamp(-1.0, 1.0);

    /// `x - tanh x`.
    Tanhshrink, |x| x.clone() - x.tanh();

    /// `x / (1 + |x|)` (Turian, Bergstra and Bengio, 2009).
    Softsign, |x| x.clone() / (x.abs() + 1.0);

    /// `x` moved towards 0 by `lambda`, and 0 where it is closer than that.
    Softshrink { lambda: 0.5 }, |x| x.clone() - x.clamp(-lambda, lambda);

    /// `x`, and 0 where `|x| <= lambda`.
    Hardshrink { lambda: 0.5 }, |x| x.clone() * (x.abs() - lambda).sign().relu();

    /// `ln(1 + e^(beta x)) / beta`: the larger `beta`, the closer to a ReLU.
    Softplus { beta: 1.0 }, |x| if beta == 1.0 { x.softplus() } else { (x * beta).softplus() / beta };

    /// `min(max(x + 3, 0), 6) / 6` (Howard et al., 2019).
    Hardsigmoid, |x| x.hardsigmoid();

    /// `x hardsigmoid(x)` (Howard et al., 2019).
    Hardswish, |x| x.hardswish();

    /// `eˣ / Σ eˣ` along the last dimension, the channels. Panics if there is no dimension.
    Softmax, |x| { let axis = last("Softmax", &x); x.softmax(axis) };

    /// `x - ln Σ eˣ` along the last dimension, the channels. Panics if there is no dimension.
    LogSoftmax, |x| { let axis = last("LogSoftmax", &x); x.log_softmax(axis) };

    /// The input itself.
    Identity, |x| x;
}

/// The last axis.
#[track_caller]
fn last<T: Element>(layer: &str, x: &Var<T>) -> usize {
    let axis = x.shape().len().checked_sub(1);
    axis.unwrap_or_else(|| panic!("{layer}: x {:?} has no dimension", x.shape()))
}

plain! {
    /// `x` where it is greater than `threshold`, the number `other` elsewhere. It cannot be exported to ONNX, because
    /// its choice is made outside the tape.
    Threshold { threshold: f64, other: f64 }
}

impl<T: Element> Threshold<T> {
    /// With this threshold and this number.
    pub fn new(threshold: f64, other: f64) -> Self {
        Self { threshold, other, element: PhantomData }
    }
}

impl<T: Element> Layer<T> for Threshold<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let threshold = T::from_f64(self.threshold);
        let kept = x.value().clone().map(|x| if x > threshold { T::ONE } else { T::ZERO });
        Var::where_(&kept, x, Var::constant(Tensor::full(T::from_f64(self.other), &[])))
    }
}

plain! {
    /// The gated linear unit, `a sigmoid(b)` where `a` is the first half of the channels and `b` the second, `[.., 2 C]`
    /// to `[.., C]` (Dauphin et al., 2017, equation 1). The forward pass panics if the number of channels is odd, or
    /// there is no dimension.
    Glu
}

impl<T: Element> Layer<T> for Glu<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let axis = last("Glu", &x);
        let channels = x.shape()[axis];
        assert!(channels.is_multiple_of(2), "Glu: the channels of x {:?} must be an even number", x.shape());
        let half = channels / 2;
        x.clone().narrow(axis, 0, half) * x.narrow(axis, half, half).sigmoid()
    }
}

/// `x` where it is positive, `weight x` elsewhere, with a learned slope: one, or one for every channel, `[.., C]`
/// to `[.., C]` (He et al., 2015, equation 1). The forward pass panics if `x` does not end in `C`. Leave `weight`
/// out of the weight decay, which pulls it to a plain ReLU.
#[derive(Clone, Debug)]
pub struct PRelu<T: Element = f32> {
    weight: Parameter<T>,
}

crate::module!(PRelu { weight });

impl<T: Element> PRelu<T> {
    /// `slopes` slopes, 1 or the number of channels, that start at 0.25.
    pub fn new(slopes: usize) -> Self {
        Self { weight: Parameter::new(Tensor::full(T::from_f64(0.25), &[slopes])) }
    }
}

impl<T: Element> Layer<T> for PRelu<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let y = x.prelu(context.parameter(&self.weight));
        context.layer_done(&self.weight, &y);
        y
    }
}

//! Normalisations that treat every sample by itself: they do the same in training and in
//! evaluation.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use super::Layer;
use crate::context::Context;
use crate::module::Parameter;

/// Declares a norm with a scale and a shift for every channel and the numbers `$number`.
macro_rules! norm {
    ($(#[$doc:meta])* $name:ident { $($number:ident),* }, |$x:ident, $gamma:ident, $beta:ident, $eps:ident| $y:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<T: Element = f32> {
            gamma: Parameter<T>,
            beta: Parameter<T>,
            $($number: usize,)*
            eps: f64,
        }

        crate::module!($name { gamma, beta } without { $($number,)* eps });

        impl<T: Element> $name<T> {
            fn start($($number: usize,)* channels: usize) -> Self {
                Self {
                    gamma: Parameter::new(Tensor::ones(&[channels])),
                    beta: Parameter::new(Tensor::zeros(&[channels])),
                    $($number,)*
                    eps: 1e-5,
                }
            }

            /// With this number added to the variance (1e-5).
            pub fn with_eps(self, eps: f64) -> Self {
                Self { eps, ..self }
            }
        }

        impl<T: Element> Layer<T> for $name<T> {
            #[track_caller]
            fn forward(&self, $x: Var<T>, context: &mut Context<T>) -> Var<T> {
                let ($gamma, $beta) = (context.parameter(&self.gamma), context.parameter(&self.beta));
                $(let $number = self.$number;)*
                let $eps = self.eps;
                let y = $y;
                context.layer_done(&self.gamma, &y);
                y
            }
        }
    };
}

norm! {
    /// `y = gamma (x - mean) / √(variance + eps) + beta` over the last dimension, `[.., C]` to `[.., C]`, with the
    /// biased variance; `gamma [C]`, `beta [C]` (Ba, Kiros and Hinton, 2016). The forward pass panics if `x` does
    /// not end in `C`.
    LayerNorm {}, |x, gamma, beta, eps| x.layer_norm(gamma, beta, eps)
}

impl<T: Element> LayerNorm<T> {
    /// For `channels` channels: scale 1, shift 0.
    pub fn new(channels: usize) -> Self {
        Self::start(channels)
    }
}

norm! {
    /// Normalisation over the pixels and the channels of a group, for every image: `[N, image.., C]` to the same,
    /// then a scale and a shift for every channel, `gamma [C]`, `beta [C]` (Wu and He, 2018). The forward pass
    /// panics if `x` does not end in `C`.
    GroupNorm { groups }, |x, gamma, beta, eps| x.group_norm(groups, gamma, beta, eps)
}

impl<T: Element> GroupNorm<T> {
    /// For `channels` channels in `groups` groups: scale 1, shift 0.
    ///
    /// # Panics
    /// If the channels are not a multiple of the groups.
    #[track_caller]
    pub fn new(groups: usize, channels: usize) -> Self {
        assert!(
            groups > 0 && channels.is_multiple_of(groups),
            "GroupNorm: {channels} channels must be a multiple of {groups} groups"
        );
        Self::start(groups, channels)
    }
}

norm! {
    /// Normalisation over the pixels of every channel, for every image: `[N, image.., C]` to the same, then a scale
    /// and a shift for every channel, `gamma [C]`, `beta [C]` (Ulyanov, Vedaldi and Lempitsky, 2016). PyTorch's
    /// layer has these parameters only with `affine=True`. The forward pass panics if `x` does not end in `C`.
    InstanceNorm {}, |x, gamma, beta, eps| x.instance_norm(gamma, beta, eps)
}

impl<T: Element> InstanceNorm<T> {
    /// For `channels` channels: scale 1, shift 0.
    pub fn new(channels: usize) -> Self {
        Self::start(channels)
    }
}

/// `y = gamma x / √(mean x² + eps)` over the last dimension, `[.., C]` to `[.., C]`; `gamma [C]` (Zhang and
/// Sennrich, 2019, equation 4). The forward pass panics if `x` does not end in `C`.
#[derive(Clone, Debug)]
pub struct RmsNorm<T: Element = f32> {
    gamma: Parameter<T>,
    eps: f64,
}

crate::module!(RmsNorm { gamma } without { eps });

impl<T: Element> RmsNorm<T> {
    /// For `channels` channels: scale 1.
    pub fn new(channels: usize) -> Self {
        Self { gamma: Parameter::new(Tensor::ones(&[channels])), eps: 1e-6 }
    }

    /// With this number added to the mean square (1e-6).
    pub fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }
}

impl<T: Element> Layer<T> for RmsNorm<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let y = x.rms_norm(context.parameter(&self.gamma), self.eps);
        context.layer_done(&self.gamma, &y);
        y
    }
}

//! Batch normalisation: one computation over all dimensions but the channels, and a
//! layer for each number of them, as PyTorch names them.

use cerberus_autograd::{ParamId, Var};
use cerberus_tensor::norm::{self, Rectifier};
use cerberus_tensor::{Element, Tensor};

use super::macros::transparent;
use super::{Joint, Layer};
use crate::context::Context;
use crate::module::{Buffer, Parameter};

/// The computation behind the three layers.
#[derive(Clone, Debug)]
struct BatchNorm<T: Element> {
    gamma: Parameter<T>,
    beta: Parameter<T>,
    running_mean: Buffer<T>,
    running_variance: Buffer<T>,
    momentum: f64,
    eps: f64,
    activation: Rectifier,
    recomputed: bool,
}

crate::module!(BatchNorm { gamma, beta, running_mean, running_variance } without { momentum, eps, activation, recomputed });

/// Declares a batch norm: its name, and the shapes that it takes, as words and by their ranks.
macro_rules! batch_norm {
    ($(#[$doc:meta])* $name:ident, $shapes:literal, $ranks:pat $(, joint |$layer:ident| $joint:expr)?) => {
        $(#[$doc])*
        ///
        /// Training normalises by the batch, `y = gamma (x - mean) / √(variance + eps) + beta` with the biased
        /// variance over all dimensions but the last, and records running averages of the mean and of the
        /// unbiased variance (momentum 0.1); evaluation normalises by those (Ioffe and Szegedy, 2015,
        /// algorithms 1 and 2). `gamma`, `beta`, `running_mean` and `running_variance` are `[C]`. The forward pass
        /// panics if `x` has another rank or other channels.
        #[derive(Clone, Debug)]
        pub struct $name<T: Element = f32> {
            inner: BatchNorm<T>,
        }

        transparent!($name, |x| assert!(
            matches!(x.shape().len(), $ranks),
            "{}: x {:?} must be {}",
            stringify!($name),
            x.shape(),
            $shapes
        ) $(, joint |$layer| $joint)?);

        impl<T: Element> $name<T> {
            /// For `channels` channels: scale 1, shift 0.
            pub fn new(channels: usize) -> Self {
                Self { inner: BatchNorm::new(channels) }
            }

            /// With a ReLU, computed together with the normalisation.
            pub fn with_relu(mut self) -> Self {
                self.inner.activation = Rectifier::Relu;
                self
            }

            /// With a ReLU6, computed together with the normalisation.
            pub fn with_relu6(mut self) -> Self {
                self.inner.activation = Rectifier::Relu6;
                self
            }

            /// With this share of the new batch in the running averages (0.1), as PyTorch counts: Keras'
            /// momentum is 1 minus this.
            pub fn with_momentum(mut self, momentum: f64) -> Self {
                self.inner.momentum = momentum;
                self
            }

            /// With this number added to the variance (1e-5).
            pub fn with_eps(mut self, eps: f64) -> Self {
                self.inner.eps = eps;
                self
            }

            /// Computes the output again in the backward pass instead of keeping it. This
            /// takes one more pass over the input and nearly halves the memory that a
            /// chain of convolutions, each with its norm, keeps.
            pub fn recomputed(mut self) -> Self {
                self.inner.recomputed = true;
                self
            }
        }
    };
}

batch_norm! {
    /// Batch normalisation of `[N, C]` or `[N, L, C]` per channel, optionally followed by a ReLU in the same pass.
    BatchNorm1d, "[N, C] or [N, L, C]", 2 | 3
}

batch_norm! {
    /// Batch normalisation of `[N, H, W, C]` per channel, optionally followed by a ReLU in the same pass.
    BatchNorm2d, "[N, H, W, C]", 4, joint |layer| Joint::BatchNorm2d(layer)
}

batch_norm! {
    /// Batch normalisation of `[N, D, H, W, C]` per channel, optionally followed by a ReLU in the same pass.
    BatchNorm3d, "[N, D, H, W, C]", 5
}

impl<T: Element> BatchNorm<T> {
    fn new(channels: usize) -> Self {
        Self {
            gamma: Parameter::new(Tensor::ones(&[channels])),
            beta: Parameter::new(Tensor::zeros(&[channels])),
            running_mean: Buffer::new(Tensor::zeros(&[channels])),
            running_variance: Buffer::new(Tensor::ones(&[channels])),
            momentum: 0.1,
            eps: 1e-5,
            activation: Rectifier::None,
            recomputed: false,
        }
    }

    /// `(1 - momentum) old + momentum new`.
    fn blend(&self, old: &Tensor<T>, new: Vec<T>) -> Tensor<T> {
        let momentum = T::from_f64(self.momentum);
        let new = Tensor::from_vec(new, old.shape());
        old.clone().zip(new, |old, new| old + momentum * (new - old))
    }
}

impl<T: Element> BatchNorm<T> {
    /// The forward pass with this activation instead of the norm's own.
    #[track_caller]
    fn forward_with(&self, x: Var<T>, activation: Rectifier, context: &mut Context<T>) -> Var<T> {
        let (gamma, beta) = (context.parameter(&self.gamma), context.parameter(&self.beta));
        if context.is_training() {
            let inputs = self.recomputed.then(|| [&x, &gamma, &beta].map(|input| input.value().clone()));
            let (mut y, statistics) =
                x.batch_normalised_among([gamma, beta], self.eps, activation, context.among(&self.gamma));
            if let Some([x, gamma, beta]) = inputs {
                let statistics = statistics.clone();
                y = y.recomputed(move || {
                    let (mean, inv_std) = (&statistics.mean, &statistics.inv_std);
                    norm::normalise(x.clone(), mean, inv_std, &gamma, &beta, activation)
                });
            }
            let unbiased = T::from_f64(statistics.rows / (statistics.rows - 1.0).max(1.0));
            let variance = statistics.variance.iter().map(|&v| v * unbiased).collect();
            context.update(&self.running_mean, self.blend(&self.running_mean.value, statistics.mean));
            context.update(&self.running_variance, self.blend(&self.running_variance.value, variance));
            context.layer_done(&self.gamma, &y);
            return y;
        }
        let inv_std = self.running_inv_std();
        let mean = &self.running_mean.value;
        if x.is_recorded() {
            let scale = gamma * Var::constant(inv_std);
            let y = (x - Var::constant(mean.clone())) * scale + beta;
            let y = y.rectified(activation);
            context.layer_done(&self.gamma, &y);
            return y;
        }
        let (gamma, beta) = (gamma.into_value(), beta.into_value());
        let y = norm::normalise(x.into_value(), mean.data(), inv_std.data(), &gamma, &beta, activation);
        let y = Var::constant(y);
        context.layer_done(&self.gamma, &y);
        y
    }

    fn running_inv_std(&self) -> Tensor<T> {
        self.running_variance.value.clone().map(|v| (v + T::from_f64(self.eps)).sqrt().recip())
    }
}

impl<T: Element> Layer<T> for BatchNorm<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        self.forward_with(x, self.activation, context)
    }
}

impl<T: Element> BatchNorm2d<T> {
    /// The activation that is computed together with the normalisation.
    pub(super) fn activation(&self) -> Rectifier {
        self.inner.activation
    }

    /// The forward pass followed by `activation`, for a norm that has none.
    #[track_caller]
    pub(super) fn forward_rectified(
        &self,
        x: Var<T>,
        activation: Rectifier,
        context: &mut Context<T>,
    ) -> Var<T> {
        self.inner.forward_with(x, activation, context)
    }

    pub(crate) fn gamma_id(&self) -> ParamId {
        self.inner.gamma.id()
    }

    /// What evaluation does before the activation, `y = scale x + shift`, both `[C]`.
    pub(crate) fn running_affine(&self) -> [Tensor<T>; 2] {
        let norm = &self.inner;
        let scale = norm.running_inv_std() * &norm.gamma.value;
        let shift = norm.beta.value.clone() - norm.running_mean.value.clone() * &scale;
        [scale, shift]
    }

    /// The tensors that [`running_affine`](Self::running_affine) is computed from.
    pub(crate) fn running_tensors(&self) -> [Tensor<T>; 4] {
        let BatchNorm { gamma, beta, running_mean, running_variance, .. } = &self.inner;
        [&gamma.value, &beta.value, &running_mean.value, &running_variance.value].map(Tensor::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use crate::layers::{Conv2d, Sequential};
    use cerberus_autograd::backward;

    #[test]
    fn a_norm_that_is_computed_again_gives_the_same_gradients() {
        let gradients = |recomputed: bool| {
            let mut init = Init::new(3);
            let norm = BatchNorm2d::<f32>::new(4).with_relu();
            let net = Sequential::new()
                .add("before", Conv2d::new(2, 4, 3, &mut init))
                .add("norm", if recomputed { norm.recomputed() } else { norm })
                .add("after", Conv2d::new(4, 5, 3, &mut init));
            let x = Var::constant(Tensor::from_fn(&[2, 8, 7, 2], |i| (i as f32 * 0.7).sin()));
            let mut context = Context::training(1, 0);
            let gradients = backward(net.forward(x, &mut context).square().sum_all());
            gradients.parameters().map(|(_, gradient)| gradient.to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(gradients(true), gradients(false));
    }
}

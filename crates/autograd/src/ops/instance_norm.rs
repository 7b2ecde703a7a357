//! Normalisation of every channel of every image (Ulyanov, Vedaldi and Lempitsky, 2016).

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// [`GroupNorm`](super::GroupNorm) with a group for every channel.
pub struct InstanceNorm;

#[cfg(feature = "proofs")]
impl Proof for InstanceNorm {
    fn facts() -> Facts {
        Facts::new(
            "instance_norm",
            Group::Normalisation,
            "y = gamma (x - mean) / √(variance + eps) + beta over the pixels of an image",
            "as layer_norm, over the pixels",
        )
        .shapes("x [N, .., C], gamma [C], beta [C]")
        .torch("F.instance_norm(a, weight=b, bias=c)")
        .composed()
        .linear(&[1, 2])
        .large(&[&[5, 31, 33, 4], &[4], &[4]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize]| {
            // PyTorch fails on an empty batch.
            let torch =
                if x[0] == 0 { "a * b + c" } else { "nhwc(F.instance_norm(nchw(a), weight=b, bias=c))" };
            let c = &x[x.len() - 1..];
            case!(
                format!("instance_norm{kind}"),
                torch,
                [sample(1, x), sample(2, c), sample(3, c)],
                |x, gamma, beta| x.instance_norm(gamma, beta, 1e-5)
            )
        };
        vec![case("", &[2, 3, 2, 3]), case(": empty batch", &[0, 2, 2, 4]).zero_gradient(1).zero_gradient(2)]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "instance_norm: gamma [2] and beta [2] must be the last extent of x [1, 2, 2, 4]",
            || {
                let _ = super::zeros::<f64>(&[1, 2, 2, 4]).instance_norm(
                    super::zeros(&[2]),
                    super::zeros(&[2]),
                    1e-5,
                );
            },
        )]
    }
}

impl<T: Element> Var<T> {
    /// Every channel of an image normalised to mean 0 and variance 1 over its
    /// pixels, then scaled and shifted; see [`InstanceNorm`].
    ///
    /// # Panics
    /// If `gamma` or `beta` is not `[C]`.
    #[track_caller]
    pub fn instance_norm(self, gamma: Var<T>, beta: Var<T>, eps: f64) -> Var<T> {
        super::layer_norm::assert_channels("instance_norm", self.shape(), &gamma, &beta);
        let channels = gamma.shape()[0];
        self.group_norm(channels, gamma, beta, eps)
    }
}

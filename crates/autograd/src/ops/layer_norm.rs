//! Normalisation of every row (Ba, Kiros and Hinton, 2016).

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = gamma x̂ + beta`, `x̂ = (x - mean) / √(variance + eps)` along the last dimension
/// (biased variance); with `g = dy gamma`, `dx = (g - mean g - x̂ mean(g x̂)) / std`,
/// `dgamma = Σ dy x̂`, `dbeta = Σ dy`.
pub struct LayerNorm;

#[cfg(feature = "proofs")]
impl Proof for LayerNorm {
    fn facts() -> Facts {
        Facts::new(
            "layer_norm",
            Group::Normalisation,
            "y = gamma (x - mean) / √(variance + eps) + beta along the last axis",
            "dx = (g - mean g - x̂ mean(g x̂)) / std, g = dy gamma; dgamma = Σ dy x̂; dbeta = Σ dy",
        )
        .shapes("x [.., C], gamma [C], beta [C]")
        .torch("F.layer_norm(a, [C], b, c)")
        .composed()
        .linear(&[1, 2])
        .large(&[&[3001, 11], &[11], &[11]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize]| {
            let c = &x[x.len() - 1..];
            let torch = "F.layer_norm(a, a.shape[-1:], b, c)";
            case!(
                format!("layer_norm{kind}"),
                torch,
                [sample(1, x), sample(2, c), sample(3, c)],
                |x, gamma, beta| x.layer_norm(gamma, beta, 1e-5)
            )
        };
        vec![
            case("", &[3, 5]),
            case(": images", &[2, 2, 3, 4]),
            case(": empty batch", &[0, 5]).zero_gradient(1).zero_gradient(2),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("layer_norm: gamma [2] and beta [3] must be the last extent of x [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).layer_norm(super::zeros(&[2]), super::zeros(&[3]), 1e-5);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Every row normalised to mean 0 and variance 1, then scaled and shifted; see
    /// [`LayerNorm`].
    ///
    /// # Panics
    /// If `gamma` or `beta` is not `[C]`.
    #[track_caller]
    pub fn layer_norm(self, gamma: Var<T>, beta: Var<T>, eps: f64) -> Var<T> {
        assert_channels("layer_norm", self.shape(), &gamma, &beta);
        let last = self.shape().len() - 1;
        self.standardised(&[last], eps) * gamma + beta
    }

    /// Normalised to mean 0 and variance 1 over `axes`.
    pub(super) fn standardised(self, axes: &[usize], eps: f64) -> Var<T> {
        let mean = self.clone().mean_keepdim(axes);
        let centred = self - mean;
        let inv_std = centred.clone().square().mean_keepdim(axes).affine(1.0, eps).rsqrt();
        centred * inv_std
    }
}

/// # Panics
/// If `gamma` or `beta` is not as long as the last dimension of `x`.
#[track_caller]
pub(super) fn assert_channels<T: Element>(operation: &str, x: &[usize], gamma: &Var<T>, beta: &Var<T>) {
    let last = x.len().saturating_sub(1);
    let fits = !x.is_empty() && gamma.shape() == &x[last..] && beta.shape() == &x[last..];
    assert!(
        fits,
        "{operation}: gamma {:?} and beta {:?} must be the last extent of x {x:?}",
        gamma.shape(),
        beta.shape()
    );
}

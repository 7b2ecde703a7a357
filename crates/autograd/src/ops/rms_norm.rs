//! Normalisation of every row by its root mean square (Zhang and Sennrich, 2019).

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = gamma x / r`, `r = √(mean x² + eps)` along the last dimension; with `g = dy gamma`,
/// `dx = (g - x mean(g x) / r²) / r`, `dgamma = Σ dy x / r`.
pub struct RmsNorm;

#[cfg(feature = "proofs")]
impl Proof for RmsNorm {
    fn facts() -> Facts {
        Facts::new(
            "rms_norm",
            Group::Normalisation,
            "y = gamma x / √(mean x² + eps) along the last axis",
            "dx = (g - x mean(g x) / r²) / r, g = dy gamma; dgamma = Σ dy x / r",
        )
        .shapes("x [.., C], gamma [C]")
        .torch("F.rms_norm(a, [C], b, eps)")
        .composed()
        .linear(&[1])
        .large(&[&[3001, 11], &[11]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize]| {
            let torch = "F.rms_norm(a, a.shape[-1:], b, 1e-5)";
            case!(
                format!("rms_norm{kind}"),
                torch,
                [sample(1, x), sample(2, &x[x.len() - 1..])],
                |x, gamma| x.rms_norm(gamma, 1e-5)
            )
        };
        vec![
            case("", &[3, 5]),
            case(": images", &[2, 2, 3, 4]),
            case(": empty batch", &[0, 5]).zero_gradient(1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("rms_norm: gamma [2] and beta [2] must be the last extent of x [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).rms_norm(super::zeros(&[2]), 1e-5);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Every row divided by its root mean square, then scaled; see [`RmsNorm`].
    ///
    /// # Panics
    /// If `gamma` is not `[C]`.
    #[track_caller]
    pub fn rms_norm(self, gamma: Var<T>, eps: f64) -> Var<T> {
        super::layer_norm::assert_channels("rms_norm", self.shape(), &gamma, &gamma);
        let last = self.shape().len() - 1;
        let inverse = self.clone().square().mean_keepdim(&[last]).affine(1.0, eps).rsqrt();
        self * inverse * gamma
    }
}

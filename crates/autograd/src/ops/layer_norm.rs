//! Normalisation of every row (Ba, Kiros and Hinton, 2016).

use cerberus_tensor::{Element, Tensor, norm};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = gamma x̂ + beta`, `x̂ = (x - mean) / √(variance + eps)` along the last dimension
/// (biased variance); with `g = dy gamma`, `dx = (g - mean g - x̂ mean(g x̂)) / std`,
/// `dgamma = Σ dy x̂`, `dbeta = Σ dy`.
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f64,
}

impl<T: Element> Operation<T> for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x, gamma, beta] = inputs.take();
        norm::layer_norm(x, &gamma, &beta, self.eps)
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (x, gamma) = (saved.input(0), saved.input(1));
        let (dx, dgamma, dbeta) = norm::layer_norm_backward(&x, dy, &gamma, self.eps);
        vec![Some(dx.into()), Some(dgamma.into()), Some(dbeta.into())]
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (x, gamma) = (saved.input(0), saved.input(1));
        let axis = x.shape().len() - 1;
        let centred = x.clone() - x.mean_keepdim(&[axis]);
        let inv_std = centred.clone().square().mean_keepdim(&[axis]).affine(1.0, self.eps).rsqrt();
        let normalised = centred * inv_std.clone();
        let g = dy.clone() * gamma;
        let slope = (g.clone() * normalised.clone()).mean_keepdim(&[axis]);
        let dx = (g.clone() - g.mean_keepdim(&[axis]) - normalised.clone() * slope) * inv_std;
        let rows: Vec<usize> = (0..axis).collect();
        Some(vec![Some(dx), Some((dy.clone() * normalised).sum(&rows)), Some(dy.sum(&rows))])
    }
}

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
        Var::record(LayerNorm { eps }, vec![self, gamma, beta])
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

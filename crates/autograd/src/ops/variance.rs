//! Variance and standard deviation: means of squared deviations.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = Σ (x - mean)² / (n - correction)` over axes of `n` elements;
/// `dx = 2 dy (x - mean) / (n - correction)`. The correction is 0 for the variance of
/// the values themselves and 1 for an estimate from a sample (Bessel).
pub struct Variance;

#[cfg(feature = "proofs")]
impl Proof for Variance {
    fn facts() -> Facts {
        Facts::new(
            "var",
            Group::Reduction,
            "y = Σ (x - mean)² / (n - correction) over axes",
            "dx = 2 dy (x - mean) / (n - correction)",
        )
        .shapes("any, and distinct axes of it")
        .torch("torch.var(a, axes, correction)")
        .composed()
        .large(&[&[3001, 11]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("var: biased", "a.var(1, correction=0)", [sample(1, &[2, 5])], |x| x.var(&[1], 0.0)),
            case!(
                "var: corrected, outer axes",
                "a.var((0, 2), correction=1)",
                [sample(2, &[3, 2, 2])],
                |x| x.var(&[0, 2], 1.0)
            ),
            case!("var: empty batch", "a.var(1, correction=0)", [sample(1, &[0, 5])], |x| x.var(&[1], 0.0)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("var: axes [2] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).var(&[2], 0.0);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Variance over `axes`, divided by their elements minus `correction`; see [`Variance`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn var(self, axes: &[usize], correction: f64) -> Var<T> {
        self.var_over(axes, correction, false)
    }

    /// Variance over `axes`, which stay in the shape with extent 1, divided by their elements minus
    /// `correction`; see [`Variance`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn var_keepdim(self, axes: &[usize], correction: f64) -> Var<T> {
        self.var_over(axes, correction, true)
    }

    #[track_caller]
    pub(super) fn var_over(self, axes: &[usize], correction: f64, keep: bool) -> Var<T> {
        super::assert_axes("var", axes, self.shape());
        let count: usize = axes.iter().map(|&axis| self.shape()[axis]).product();
        let centred = self.clone() - self.mean_keepdim(axes);
        centred.square().sum_over(axes, keep).scale(1.0 / (count as f64 - correction))
    }
}

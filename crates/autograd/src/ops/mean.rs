//! Means over chosen dimensions: a scaled sum.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = Σ x / n` over axes of `n` elements; `dx = dy / n`, repeated along them.
/// The mean over nothing is NaN.
pub struct Mean;

#[cfg(feature = "proofs")]
impl Proof for Mean {
    fn facts() -> Facts {
        Facts::new("mean", Group::Reduction, "y = Σ x / n over axes", "dx = dy / n, repeated along the axes")
            .shapes("any, and distinct axes of it")
            .torch("torch.mean(a, axes)")
            .composed()
            .linear(&[0])
            .large(&[&[7, 5001]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("mean: all", "a.mean()", [sample(1, &[2, 3])], |x| x.mean_all()).alike_along(0, &[0, 1]),
            case!("mean: two axes", "a.mean((1, 2))", [sample(4, &[2, 3, 4])], |x| x.mean(&[1, 2]))
                .alike_along(0, &[1, 2]),
            case!("mean: kept", "a.mean(0, keepdim=True)", [sample(4, &[2, 3])], |x| x.mean_keepdim(&[0]))
                .alike_along(0, &[0]),
            case!("mean: rank 0", "a", [sample(4, &[])], |x| x.mean_all()),
            case!("mean: empty batch", "a.mean(1)", [sample(4, &[0, 3])], |x| x.mean(&[1])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("mean: axes [2] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).mean(&[2]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Mean over `axes`, which disappear from the shape; see [`Mean`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn mean(self, axes: &[usize]) -> Var<T> {
        self.mean_over(axes, false)
    }

    /// Mean over `axes`, which stay in the shape with extent 1; see [`Mean`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn mean_keepdim(self, axes: &[usize]) -> Var<T> {
        self.mean_over(axes, true)
    }

    #[track_caller]
    fn mean_over(self, axes: &[usize], keep: bool) -> Var<T> {
        super::assert_axes("mean", axes, self.shape());
        let count: usize = axes.iter().map(|&axis| self.shape()[axis]).product();
        self.sum_over(axes, keep).scale(1.0 / count as f64)
    }

    /// Mean of all elements, of rank 0.
    #[track_caller]
    pub fn mean_all(self) -> Var<T> {
        let axes: Vec<usize> = (0..self.shape().len()).collect();
        self.mean(&axes)
    }
}

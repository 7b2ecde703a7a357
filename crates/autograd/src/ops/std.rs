//! The standard deviation: the root of the variance.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = √var`; `dx = dy (x - mean) / (y (n - correction))`, and 0 where all values are
/// equal, as in PyTorch.
pub struct Std;

#[cfg(feature = "proofs")]
impl Proof for Std {
    fn facts() -> Facts {
        Facts::new("std", Group::Reduction, "y = √var over axes", "dx = dy (x - mean) / (y (n - correction))")
            .shapes("any, and distinct axes of it")
            .torch("torch.std(a, axes, correction)")
            .composed()
            .kinks("0 at y = 0")
            .large(&[&[3001, 11]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("std", "a.std(1, correction=1)", [sample(1, &[2, 5])], |x| x.std(&[1], 1.0)),
            case!("std: kept", "a.std(0, correction=0, keepdim=True)", [sample(1, &[4, 2])], |x| x
                .std_keepdim(&[0], 0.0)),
            case!(
                "std: equal values",
                "a.std(1, correction=0)",
                [Tensor::from_vec(vec![3.0, 3.0, 3.0, 1.0, 2.0, 3.0], &[2, 3])],
                |x| x.std(&[1], 0.0)
            )
            .special(),
            case!("std: empty batch", "a.std(1, correction=0)", [sample(1, &[0, 5])], |x| x.std(&[1], 0.0)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("std: axes [2] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).std(&[2], 0.0);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Standard deviation over `axes`; see [`Std`] and [`var`](Self::var).
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn std(self, axes: &[usize], correction: f64) -> Var<T> {
        self.std_over(axes, correction, false)
    }

    /// Standard deviation over `axes`, which stay in the shape with extent 1; see [`Std`] and [`var`](Self::var).
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn std_keepdim(self, axes: &[usize], correction: f64) -> Var<T> {
        self.std_over(axes, correction, true)
    }

    #[track_caller]
    fn std_over(self, axes: &[usize], correction: f64, keep: bool) -> Var<T> {
        super::assert_axes("std", axes, self.shape());
        let count: usize = axes.iter().map(|&axis| self.shape()[axis]).product();
        let centred = self.clone() - self.mean_keepdim(axes);
        centred.norm_over(axes, keep).scale(1.0 / (count as f64 - correction).sqrt())
    }
}

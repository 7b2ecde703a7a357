//! The smallest value over dimensions.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the smallest of `x` over `axes`, `dx = dy` at its place: the first if
/// several are equal. NaN wins over numbers.
pub struct Min;

#[cfg(feature = "proofs")]
impl Proof for Min {
    fn facts() -> Facts {
        Facts::new("min", Group::Reduction, "y = min x over axes", "dx = dy at the place it came from")
            .shapes("any, and distinct axes of it that are not empty")
            .torch("torch.min(a, axis), torch.amin(a, axes)")
            .kinks("all to the first of equals")
            .large(&[&[20, 400, 5]])
    }

    fn cases() -> Vec<Case> {
        let ties = Tensor::from_vec(vec![0.0, 0.0, 1.0, 2.0, f64::NAN, 2.0], &[2, 3]);
        vec![
            case!("min", "a.min(1).values", [sample(1, &[2, 4, 3])], |x| x.min(&[1])),
            case!("min: last axis, kept", "a.min(1, keepdim=True).values", [sample(1, &[3, 4])], |x| x
                .min_keepdim(&[1])),
            case!("min: first axis", "a.min(0).values", [sample(1, &[3, 4])], |x| x.min(&[0])),
            case!("min: two axes", "a.amin((0, 2))", [sample(1, &[2, 4, 3])], |x| x.min(&[2, 0])),
            case!("min: ties and NaN", "a.min(1).values", [ties], |x| x.min(&[1])).special(),
            case!("min: empty batch", "a.min(1).values", [sample(1, &[0, 4])], |x| x.min(&[1])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("min: axes [1] of shape [2, 0] are empty", || {
            let _ = super::zeros::<f64>(&[2, 0]).min(&[1]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The smallest over `axes`, which disappear from the shape; see [`Min`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions or empty.
    #[track_caller]
    pub fn min(self, axes: &[usize]) -> Var<T> {
        self.min_over(axes, false)
    }

    /// The smallest over `axes`, which stay in the shape with extent 1; see [`Min`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions or empty.
    #[track_caller]
    pub fn min_keepdim(self, axes: &[usize]) -> Var<T> {
        self.min_over(axes, true)
    }

    #[track_caller]
    fn min_over(self, axes: &[usize], keep: bool) -> Var<T> {
        super::extreme::over("min", self, axes, keep, |x, best| x < best)
    }
}

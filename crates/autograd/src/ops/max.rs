//! The largest value over dimensions.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the largest of `x` over `axes`, `dx = dy` at its place: the first if
/// several are equal. NaN wins over numbers.
pub struct Max;

#[cfg(feature = "proofs")]
impl Proof for Max {
    fn facts() -> Facts {
        Facts::new("max", Group::Reduction, "y = max x over axes", "dx = dy at the place it came from")
            .shapes("any, and distinct axes of it that are not empty")
            .torch("torch.max(a, axis), torch.amax(a, axes)")
            .kinks("all to the first of equals")
            .large(&[&[20, 400, 5]])
    }

    fn cases() -> Vec<Case> {
        let ties = Tensor::from_vec(vec![1.0, 1.0, 0.0, 2.0, f64::NAN, 2.0], &[2, 3]);
        vec![
            case!("max", "a.max(1).values", [sample(1, &[2, 4, 3])], |x| x.max(&[1])),
            case!("max: last axis, kept", "a.max(1, keepdim=True).values", [sample(1, &[3, 4])], |x| x
                .max_keepdim(&[1])),
            case!("max: first axis", "a.max(0).values", [sample(1, &[3, 4])], |x| x.max(&[0])),
            case!("max: two axes", "a.amax((0, 2))", [sample(1, &[2, 4, 3])], |x| x.max(&[2, 0])),
            case!("max: ties and NaN", "a.max(1).values", [ties], |x| x.max(&[1])).special(),
            case!("max: empty batch", "a.max(1).values", [sample(1, &[0, 4])], |x| x.max(&[1])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("max: axes [1] of shape [2, 0] are empty", || {
            let _ = super::zeros::<f64>(&[2, 0]).max(&[1]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The largest over `axes`, which disappear from the shape; see [`Max`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions or empty.
    #[track_caller]
    pub fn max(self, axes: &[usize]) -> Var<T> {
        self.max_over(axes, false)
    }

    /// The largest over `axes`, which stay in the shape with extent 1; see [`Max`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions or empty.
    #[track_caller]
    pub fn max_keepdim(self, axes: &[usize]) -> Var<T> {
        self.max_over(axes, true)
    }

    #[track_caller]
    fn max_over(self, axes: &[usize], keep: bool) -> Var<T> {
        super::extreme::over("max", self, axes, keep, |x, best| x > best)
    }
}

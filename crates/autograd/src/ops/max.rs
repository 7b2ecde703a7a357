//! The largest value over dimensions.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the largest of `x` over `axes`, `dx = dy` at the place it came from: the
/// first of equals. NaN wins over numbers.
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
            case!("max", "a.max(1).values", [sample(1, &[2, 4, 3])], |x| x.max(&[1], false)),
            case!("max: last axis, kept", "a.max(1, keepdim=True).values", [sample(1, &[3, 4])], |x| x
                .max(&[1], true)),
            case!("max: first axis", "a.max(0).values", [sample(1, &[3, 4])], |x| x.max(&[0], false)),
            case!("max: two axes", "a.amax((0, 2))", [sample(1, &[2, 4, 3])], |x| x.max(&[2, 0], false)),
            case!("max: ties and NaN", "a.max(1).values", [ties], |x| x.max(&[1], false)).special(),
            case!("max: empty batch", "a.max(1).values", [sample(1, &[0, 4])], |x| x.max(&[1], false)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("max: axes [1] of shape [2, 0] are empty", || {
            let _ = super::zeros::<f64>(&[2, 0]).max(&[1], false);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The largest over `axes`, which stay with extent 1 if `keep`; see [`Max`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions or empty.
    #[track_caller]
    pub fn max(self, axes: &[usize], keep: bool) -> Var<T> {
        super::extreme::over("max", self, axes, keep, |x, best| x > best)
    }
}

//! Positions shifted around a dimension.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[(i + shift) mod n] = x[i]` along `axis`; `dx` is `dy` rolled back.
pub struct Roll;

#[cfg(feature = "proofs")]
impl Proof for Roll {
    fn facts() -> Facts {
        Facts::new(
            "roll",
            Group::Shape,
            "y[(i + shift) mod n] = x[i] along axis",
            "dx[i] = dy[(i + shift) mod n]",
        )
        .shapes("any, and an axis of it")
        .torch("torch.roll(a, shift, axis)")
        .linear(&[0])
        .large(&[&[300, 111]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("roll", "a.roll(2, 1)", [sample(1, &[2, 5])], |x| x.roll(2, 1)),
            case!("roll: backwards, more than once round", "a.roll(-7, 0)", [sample(1, &[3, 2])], |x| x
                .roll(-7, 0)),
            case!("roll: empty batch", "a.roll(1, 0)", [sample(1, &[0, 4])], |x| x.roll(1, 0)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("roll: axes [2] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).roll(1, 2);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Shifted by `shift` along `axis`; what leaves at one end enters at the other. See [`Roll`].
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn roll(self, shift: isize, axis: usize) -> Var<T> {
        super::assert_axes("roll", &[axis], self.shape());
        let extent = self.shape()[axis];
        // How many positions further on the source lies, 1 to `extent`.
        let back = if extent == 0 { 0 } else { extent - shift.rem_euclid(extent as isize) as usize };
        let source = |i: usize| (i + back) % extent;
        self.select_along("roll", axis, (0..extent).map(|i| Some(source(i))))
    }
}

//! Every `step`-th position of a range.

use std::ops::Range;

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = x[start], x[start + step], ..` along `axis`, below `end`; `dx` is `dy` at those
/// positions and 0 elsewhere.
pub struct Slice;

#[cfg(feature = "proofs")]
impl Proof for Slice {
    fn facts() -> Facts {
        Facts::new(
            "slice",
            Group::Shape,
            "y = x[start .. end by step] along axis",
            "dx = dy there, 0 elsewhere",
        )
        .shapes("any, and a range inside one axis")
        .torch("a[start:end:step]")
        .linear(&[0])
        .large(&[&[20, 400, 5]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("slice: every second", "a[:, 1:6:2]", [sample(1, &[2, 7, 3])], |x| x.slice(1, 1..6, 2)),
            case!("slice: a last step cut off", "a[0:5:3]", [sample(1, &[5])], |x| x.slice(0, 0..5, 3)),
            case!("slice: nothing", "a[:, 2:2]", [sample(1, &[2, 3])], |x| x.slice(1, 2..2, 2))
                .zero_gradient(0),
            case!("slice: empty batch", "a[:, 0:3:2]", [sample(1, &[0, 3])], |x| x.slice(1, 0..3, 2)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn misuse(axis: usize, range: Range<usize>, step: usize) {
            let _ = super::zeros::<f64>(&[2, 3]).slice(axis, range, step);
        }
        vec![
            ErrorCase::new("slice: 1..5 by 2 along axis 1 is outside shape [2, 3]", || misuse(1, 1..5, 2)),
            ErrorCase::new("slice: 0..2 by 0 along axis 1 is outside shape [2, 3]", || misuse(1, 0..2, 0)),
            ErrorCase::new("slice: 0..2 by 1 along axis 2 is outside shape [2, 3]", || misuse(2, 0..2, 1)),
        ]
    }
}

impl<T: Element> Var<T> {
    /// The positions `range` of `axis`, by `step`; see [`Slice`].
    ///
    /// # Panics
    /// If the range reaches outside the dimension or the step is 0.
    #[track_caller]
    pub fn slice(self, axis: usize, range: Range<usize>, step: usize) -> Var<T> {
        let inside = axis < self.shape().len()
            && range.end <= self.shape()[axis]
            && range.start <= range.end
            && step > 0;
        assert!(
            inside,
            "slice: {}..{} by {step} along axis {axis} is outside shape {:?}",
            range.start,
            range.end,
            self.shape()
        );
        if step == 1 {
            return self.narrow(axis, range.start, range.len());
        }
        self.select_along("slice", axis, range.step_by(step).map(Some))
    }
}

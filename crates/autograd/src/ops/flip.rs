//! Dimensions in reverse order.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[i] = x[n - 1 - i]` along each of `axes`; `dx` is `dy` flipped in the same
/// way.
pub struct Flip;

#[cfg(feature = "proofs")]
impl Proof for Flip {
    fn facts() -> Facts {
        Facts::new("flip", Group::Shape, "y[i] = x[n - 1 - i] along axes", "dx[i] = dy[n - 1 - i]")
            .shapes("any, and distinct axes of it")
            .torch("torch.flip(a, axes)")
            .linear(&[0])
            .large(&[&[20, 50, 37]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("flip", "a.flip((0, 2))", [sample(1, &[2, 3, 4])], |x| x.flip(&[0, 2])),
            case!("flip: rank 0", "a", [sample(1, &[])], |x| x.flip(&[])),
            case!("flip: empty batch", "a.flip(1)", [sample(1, &[0, 4])], |x| x.flip(&[1])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("flip: axes [1, 1] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).flip(&[1, 1]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The elements in reverse order along `axes`; see [`Flip`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn flip(self, axes: &[usize]) -> Var<T> {
        super::assert_axes("flip", axes, self.shape());
        axes.iter().fold(self, |x, &axis| {
            let extent = x.shape()[axis];
            x.select_along("flip", axis, (0..extent).rev().map(Some))
        })
    }
}

//! All products of two vectors.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[i, j] = a[i] b[j]`; `da = dy b`, `db = dyᵀ a`.
pub struct Outer;

#[cfg(feature = "proofs")]
impl Proof for Outer {
    fn facts() -> Facts {
        Facts::new("outer", Group::Algebra, "y[i, j] = a[i] b[j]", "da = dy b, db = dyᵀ a")
            .shapes("a [M], b [N], y [M, N]")
            .torch("torch.outer(a, b)")
            .composed()
            .linear(&[0, 1])
            .large(&[&[201], &[203]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("outer", "torch.outer(a, b)", [sample(1, &[3]), sample(2, &[4])], |a, b| a.outer(b)),
            case!("outer: empty batch", "torch.outer(a, b)", [sample(1, &[0]), sample(2, &[4])], |a, b| a
                .outer(b))
            .zero_gradient(1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("outer: [2, 3] and [4] must be vectors", || {
            let _ = super::zeros::<f64>(&[2, 3]).outer(super::zeros(&[4]));
        })]
    }
}

impl<T: Element> Var<T> {
    /// All products of two vectors; see [`Outer`].
    ///
    /// # Panics
    /// If either is not a vector.
    #[track_caller]
    pub fn outer(self, other: Var<T>) -> Var<T> {
        let (&[m], &[n]) = (self.shape(), other.shape()) else {
            panic!("outer: {:?} and {:?} must be vectors", self.shape(), other.shape())
        };
        self.reshape(&[m, 1]) * other.reshape(&[1, n])
    }
}

//! Class ids as rows of zeros with a single one.

use cerberus_tensor::{Element, Tensor};

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[i, ids[i]] = 1`, 0 elsewhere. A constant: it comes from integers.
pub struct OneHot;

#[cfg(feature = "proofs")]
impl Proof for OneHot {
    fn facts() -> Facts {
        Facts::new("one_hot", Group::Shape, "y[i, ids[i]] = 1, 0 elsewhere", "none: from integers")
            .shapes("ids [N], y [N, classes]")
            .torch("F.one_hot(ids, classes)")
            .composed()
            .large(&[&[3001, 1, 3]])
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x: &[usize], ids: &'static [usize]| {
            let torch = format!("F.one_hot(torch.tensor({ids:?}, dtype=torch.long), 3) * a");
            case!(name, torch, [sample(1, x)], |x| Var::one_hot(ids, 3) * x)
        };
        vec![case("one_hot: times a row", &[1, 3], &[2, 0, 1, 1]), case("one_hot: empty batch", &[0, 3], &[])]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("one_hot: class 3 is outside [0, 3)", || {
            let _ = Var::<f64>::one_hot(&[0, 3], 3);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Rows of zeros with a one at each id; see [`OneHot`].
    ///
    /// # Panics
    /// If an id is not below `classes`.
    #[track_caller]
    pub fn one_hot(ids: &[usize], classes: usize) -> Var<T> {
        let mut y = Tensor::zeros(&[ids.len(), classes]);
        for (row, &id) in ids.iter().enumerate() {
            assert!(id < classes, "one_hot: class {id} is outside [0, {classes})");
            y.data_mut()[row * classes + id] = T::ONE;
        }
        Var::constant(y)
    }
}

//! Chosen positions along a dimension.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[i] = x[indices[i]]` along `axis`; `dx` adds each `dy` to the position it came from.
pub struct IndexSelect;

#[cfg(feature = "proofs")]
impl Proof for IndexSelect {
    fn facts() -> Facts {
        Facts::new("index_select", Group::Shape, "y[i] = x[indices[i]] along axis", "dx[indices[i]] += dy[i]")
            .shapes("any, an axis of it, and positions in it")
            .torch("torch.index_select(a, axis, indices)")
            .linear(&[0])
            .large(&[&[20, 400, 5]])
    }

    fn cases() -> Vec<Case> {
        let torch = "a.index_select(1, torch.tensor([2, 0, 2]))";
        vec![
            case!("index_select", torch, [sample(1, &[2, 4, 2])], |x| x.index_select(1, &[2, 0, 2])),
            case!("index_select: empty batch", torch, [sample(1, &[0, 4])], |x| x
                .index_select(1, &[2, 0, 2])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("index_select: [0, 3] along axis 1 are not all inside shape [2, 3]", || {
                let _ = super::zeros::<f64>(&[2, 3]).index_select(1, &[0, 3]);
            }),
            ErrorCase::new("index_select: [0] along axis 2 are not all inside shape [2, 3]", || {
                let _ = super::zeros::<f64>(&[2, 3]).index_select(2, &[0]);
            }),
        ]
    }
}

impl<T: Element> Var<T> {
    /// The positions `indices` along `axis`; see [`IndexSelect`].
    ///
    /// # Panics
    /// If there is no such axis or a position is outside it.
    #[track_caller]
    pub fn index_select(self, axis: usize, indices: &[usize]) -> Var<T> {
        let shape = self.shape();
        let inside = axis < shape.len() && indices.iter().all(|&index| index < shape[axis]);
        assert!(inside, "index_select: {indices:?} along axis {axis} are not all inside shape {shape:?}");
        self.select_along("index_select", axis, indices.iter().copied().map(Some))
    }
}

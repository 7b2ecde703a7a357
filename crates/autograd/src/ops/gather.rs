//! Values taken along a dimension, each from a position of its own.

use cerberus_tensor::Element;
use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::shape::product_of;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[.., i, ..] = x[.., index[.., i, ..], ..]` along `axis`; `dx` adds each `dy` to the
/// place it came from, which is [`ScatterAdd`](super::ScatterAdd).
pub struct Gather;

#[cfg(feature = "proofs")]
impl Proof for Gather {
    fn facts() -> Facts {
        Facts::new(
            "gather",
            Group::Shape,
            "y[.., i, ..] = x[.., index[.., i, ..], ..]",
            "dx[.., index[.., i, ..], ..] += dy[.., i, ..]",
        )
        .shapes("x, and an index of its rank and extents but along axis")
        .torch("torch.gather(a, axis, index)")
        .linear(&[0])
        .large(&[&[2, 20_001]])
    }

    fn cases() -> Vec<Case> {
        let torch = "a.gather(1, torch.tensor([[2, 0], [1, 1]]))";
        vec![
            case!("gather", torch, [sample(1, &[2, 3])], |x| x.gather(1, &[2, 0, 1, 1], &[2, 2])),
            case!(
                "gather: first axis",
                "a.gather(0, torch.tensor([[1, 0, 1]]))",
                [sample(1, &[2, 3])],
                |x| x.gather(0, &[1, 0, 1], &[1, 3])
            ),
            case!(
                "gather: empty batch",
                "a.gather(1, torch.zeros((0, 2), dtype=torch.long))",
                [sample(1, &[0, 3])],
                |x| x.gather(1, &[], &[0, 2])
            ),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("gather: an index of shape [2, 1] for axis 1 of x [3, 3]", || {
                let _ = super::zeros::<f64>(&[3, 3]).gather(1, &[0, 0], &[2, 1]);
            }),
            // A position just outside; too few positions; another rank; no such axis.
            ErrorCase::new("gather: an index of shape [1, 1] for axis 1 of x [1, 3]", || {
                let _ = super::zeros::<f64>(&[1, 3]).gather(1, &[3], &[1, 1]);
            }),
            ErrorCase::new("gather: an index of shape [1, 2] for axis 1 of x [1, 3]", || {
                let _ = super::zeros::<f64>(&[1, 3]).gather(1, &[0], &[1, 2]);
            }),
            ErrorCase::new("gather: an index of shape [1] for axis 1 of x [1, 3]", || {
                let _ = super::zeros::<f64>(&[1, 3]).gather(1, &[0], &[1]);
            }),
            ErrorCase::new("gather: an index of shape [1, 1] for axis 2 of x [1, 1]", || {
                let _ = super::zeros::<f64>(&[1, 1]).gather(2, &[0], &[1, 1]);
            }),
        ]
    }
}

impl<T: Element> Var<T> {
    /// The values at `index` (row-major, of shape `shape`) along `axis`; see [`Gather`].
    ///
    /// # Panics
    /// If the index has other extents than this variable, except along `axis`,
    /// or a position is outside it.
    #[track_caller]
    pub fn gather(self, axis: usize, index: &[usize], shape: &[usize]) -> Var<T> {
        let map = index_map("gather", self.shape(), axis, index, shape);
        let rank = shape.len();
        self.linear_map("gather", map, 0..rank, shape)
    }
}

/// From the elements of `x` to those of the index.
///
/// # Panics
/// See [`Var::gather`].
#[track_caller]
pub(super) fn index_map(
    operation: &str,
    x: &[usize],
    axis: usize,
    index: &[usize],
    shape: &[usize],
) -> LinearMap {
    let count = product_of(operation, shape);
    let fits = x.len() == shape.len()
        && axis < x.len()
        && (0..x.len()).all(|a| a == axis || x[a] == shape[a])
        && index.len() == count
        && index.iter().all(|&index| index < x[axis]);
    assert!(
        fits,
        "{operation}: an index of shape {shape:?} for axis {axis} of x {x:?} must have its extents but for the axis, and positions inside it"
    );
    let inner: usize = x[axis + 1..].iter().product();
    let source = |(place, &index): (usize, &usize)| {
        let (block, column) = (place / (inner * shape[axis]), place % inner);
        Some((block * x[axis] + index) * inner + column)
    };
    LinearMap::select(x.iter().product(), index.iter().enumerate().map(source))
}

//! Values added at chosen places along a dimension.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = x`, then `y[.., index[.., i, ..], ..] += source[.., i, ..]` along `axis`;
/// `dx = dy`, `dsource` is `dy` gathered at the index.
pub struct ScatterAdd;

#[cfg(feature = "proofs")]
impl Proof for ScatterAdd {
    fn facts() -> Facts {
        Facts::new(
            "scatter_add",
            Group::Shape,
            "y = x; y[.., index[.., i, ..], ..] += source[.., i, ..]",
            "dx = dy, dsource = dy gathered at the index",
        )
        .shapes("x, source and index of its extents but along axis")
        .torch("torch.scatter_add(a, axis, index, b)")
        .linear(&[0, 1])
        .large(&[&[2, 20_001], &[2, 2]])
    }

    fn cases() -> Vec<Case> {
        let torch = "a.scatter_add(1, torch.tensor([[2, 0], [1, 1]]), b)";
        let empty = "a.scatter_add(1, torch.zeros((0, 2), dtype=torch.long), b)";
        vec![
            case!("scatter_add", torch, [sample(1, &[2, 3]), sample(2, &[2, 2])], |x, source| {
                x.scatter_add(1, &[2, 0, 1, 1], source)
            })
            .alike_along(1, &[]),
            case!(
                "scatter_add: empty batch",
                empty,
                [sample(1, &[0, 3]), sample(2, &[0, 2])],
                |x, source| x.scatter_add(1, &[], source)
            ),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("scatter_add: an index of shape [2, 1] for axis 1 of x [3, 3]", || {
            let _ = super::zeros::<f64>(&[3, 3]).scatter_add(1, &[0, 0], super::zeros(&[2, 1]));
        })]
    }
}

impl<T: Element> Var<T> {
    /// Adds `source` at `index` (of the shape of `source`) along `axis`; see [`ScatterAdd`].
    ///
    /// # Panics
    /// If the source has other extents than this variable, except along `axis`,
    /// or a position is outside it.
    #[track_caller]
    pub fn scatter_add(self, axis: usize, index: &[usize], source: Var<T>) -> Var<T> {
        let shape = self.value().dims();
        let map = super::gather::index_map("scatter_add", &shape, axis, index, source.shape()).adjoint();
        self + source.linear_map("scatter_add", map, 0..shape.len(), &shape)
    }
}

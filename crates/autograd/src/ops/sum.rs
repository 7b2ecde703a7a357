//! Sums over chosen dimensions; the mean is a scaled sum.

use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = sum of x over axes`; `dx = dy`, repeated along the axes.
pub struct Sum {
    /// The dimensions that are summed.
    pub axes: Vec<usize>,
    /// Whether they stay, with extent 1.
    pub keep: bool,
    /// Of `x`; known after the forward pass.
    shape: Shape,
}

impl<T: Element> Operation<T> for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.shape = x.dims();
        if self.keep { x.sum_keepdim(&self.axes) } else { x.sum(&self.axes) }
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let kept = self.axes.iter().fold(self.shape, |shape, &axis| shape.with(axis, 1));
        one(dy.reshape(&kept).broadcast_to(&self.shape).contiguous())
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let kept = self.axes.iter().fold(self.shape, |shape, &axis| shape.with(axis, 1));
        one_var(dy.reshape(&kept).expand(&self.shape))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Sum {
    fn facts() -> Facts {
        Facts::new("sum", Group::Reduction, "y = Σ x over axes", "dx = dy, repeated along the axes")
            .shapes("any, and distinct axes of it")
            .torch("torch.sum(a, axes)")
            .linear(&[0])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("sum: all", "a.sum()", [sample(1, &[2, 3])], |x| x.sum_all()).alike_along(0, &[0, 1]),
            case!("sum: outer axes", "a.sum((0, 2))", [sample(2, &[2, 3, 4])], |x| x.sum(&[0, 2]))
                .alike_along(0, &[0, 2]),
            case!("sum: inner axis, kept", "a.sum(1, keepdim=True)", [sample(3, &[2, 3, 4])], |x| x
                .sum_keepdim(&[1]))
            .alike_along(0, &[1]),
            case!("sum: no axis", "a", [sample(3, &[2, 3])], |x| x.sum(&[])),
            case!("sum: rank 0", "a", [sample(3, &[])], |x| x.sum_all()),
            case!("sum: empty batch", "a.sum(1)", [sample(3, &[0, 2])], |x| x.sum(&[1])),
            case!("sum: over an empty batch", "a.sum(0)", [sample(3, &[0, 2])], |x| x.sum(&[0])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("sum: axes [0, 0] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).sum(&[0, 0]);
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![
            case!("sum: all", "a.sum()", [sample(1, &[3, 20_001])], |x| x.sum_all()),
            case!("sum: rows", "a.sum(0)", [sample(1, &[20_001, 3])], |x| x.sum(&[0])),
        ]
    }
}

impl<T: Element> Var<T> {
    /// Sum over `axes`, which disappear from the shape; see [`Sum`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn sum(self, axes: &[usize]) -> Var<T> {
        self.sum_over(axes, false)
    }

    /// Sum over `axes`, which stay in the shape with extent 1; see [`Sum`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn sum_keepdim(self, axes: &[usize]) -> Var<T> {
        self.sum_over(axes, true)
    }

    #[track_caller]
    pub(super) fn sum_over(self, axes: &[usize], keep: bool) -> Var<T> {
        Var::record(Sum { axes: axes.to_vec(), keep, shape: Shape::new(&[]) }, vec![self])
    }

    /// Sum of all elements, of rank 0.
    #[track_caller]
    pub fn sum_all(self) -> Var<T> {
        let axes: Vec<usize> = (0..self.shape().len()).collect();
        self.sum(&axes)
    }
}

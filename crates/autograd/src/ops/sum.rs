//! Sums over chosen dimensions; the mean is a scaled sum.

use cerberus_tensor::{Element, Shape, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// `y = sum of x over axes`; `dx = dy`, repeated along the axes.
pub struct Sum {
    axes: Vec<usize>,
    keep: bool,
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
        x.sum(&self.axes, self.keep)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let kept = self.axes.iter().fold(self.shape, |shape, &axis| shape.with(axis, 1));
        one(dy.reshape(&kept).broadcast_to(&self.shape).contiguous())
    }

    fn cases() -> Vec<Case> {
        vec![
            Case::unary("sum: all", sample(1, &[2, 3]), Var::sum_all),
            Case::unary("sum: outer axes", sample(2, &[2, 3, 4]), |x| x.sum(&[0, 2], false)),
            Case::unary("sum: inner axis, kept", sample(3, &[2, 3, 4]), |x| x.sum(&[1], true)),
            Case::unary("sum: mean", sample(4, &[2, 3, 4]), |x| x.mean(&[1, 2], false)),
        ]
    }
}

impl<T: Element> Var<T> {
    /// Sum over `axes`, which stay with extent 1 if `keep`; see [`Sum`].
    #[track_caller]
    pub fn sum(self, axes: &[usize], keep: bool) -> Var<T> {
        Var::apply(Sum { axes: axes.to_vec(), keep, shape: Shape::new(&[]) }, vec![self])
    }

    /// Sum of all elements, of rank 0.
    #[track_caller]
    pub fn sum_all(self) -> Var<T> {
        let axes: Vec<usize> = (0..self.shape().len()).collect();
        self.sum(&axes, false)
    }

    /// Mean over `axes`, which stay with extent 1 if `keep`.
    #[track_caller]
    pub fn mean(self, axes: &[usize], keep: bool) -> Var<T> {
        let count: usize = axes.iter().map(|&axis| self.shape()[axis]).product();
        self.sum(axes, keep).scale(1.0 / count as f64)
    }

    /// Mean of all elements, of rank 0.
    #[track_caller]
    pub fn mean_all(self) -> Var<T> {
        let axes: Vec<usize> = (0..self.shape().len()).collect();
        self.mean(&axes, false)
    }
}

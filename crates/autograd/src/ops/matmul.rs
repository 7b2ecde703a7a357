//! The matrix product.

use cerberus_tensor::{Element, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves};
use crate::tape::Var;

/// `y = a b` for `a [M, K]`, `b [K, N]`; `da = dy bᵀ`, `db = aᵀ dy`.
///
/// `db` is answered as its two factors: for a dense layer it is the weight's
/// gradient, which an optimiser may apply without storing it.
pub struct MatMul;

impl<T: Element> Operation<T> for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a.matmul(&b)
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (a, b) = (saved.input(0), saved.input(1));
        let da = wants[0].then(|| dy.matmul(&b.t()).into());
        let db = wants[1].then(|| Gradient::Product { left: a.t(), right: dy });
        vec![da, db]
    }

    fn cases() -> Vec<Case> {
        vec![
            Case::binary("matmul", sample(1, &[3, 4]), sample(2, &[4, 2]), Var::matmul),
            Case::binary("matmul: a transposed view", sample(3, &[4, 3]), sample(4, &[4, 2]), |a, b| {
                a.permute(&[1, 0]).matmul(b)
            }),
            Case::unary("matmul: an input used twice", sample(5, &[3, 3]), |a| a.clone().matmul(a)),
        ]
    }
}

impl<T: Element> Var<T> {
    /// The matrix product `[M, K] x [K, N]`; see [`MatMul`].
    ///
    /// # Panics
    /// If either is not a matrix or the inner extents differ.
    #[track_caller]
    pub fn matmul(self, other: Var<T>) -> Var<T> {
        Var::apply(MatMul, vec![self, other])
    }
}

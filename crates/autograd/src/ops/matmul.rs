//! The matrix product.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = a b` for `a [M, K]`, `b [K, N]`; `da = dy bᵀ`, `db = aᵀ dy`.
///
/// `db` is returned as its two factors: for a dense layer it is the weight's
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

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (a, b) = (saved.input(0), saved.input(1));
        two_vars(wants, || dy.clone().matmul(b.permute(&[1, 0])), || a.permute(&[1, 0]).matmul(dy.clone()))
    }
}

#[cfg(feature = "proofs")]
impl Proof for MatMul {
    fn facts() -> Facts {
        Facts::new("matmul", Group::Algebra, "y = a b", "da = dy bᵀ, db = aᵀ dy")
            .shapes("a [M, K], b [K, N]; stacks of them: see batched_matmul")
            .torch("torch.matmul(a, b)")
            .linear(&[0, 1])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("matmul", "a @ b", [sample(1, &[3, 4]), sample(2, &[4, 2])], |a, b| a.matmul(b)),
            case!(
                "matmul: a transposed view",
                "a.T @ b",
                [sample(3, &[4, 3]), sample(4, &[4, 2])],
                |a, b| a.permute(&[1, 0]).matmul(b)
            ),
            case!("matmul: empty batch", "a @ b", [sample(3, &[0, 3]), sample(4, &[3, 2])], |a, b| a
                .matmul(b))
            .zero_gradient(1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("matmul: [2, 3] x [4, 5]; expected [M, K] x [K, N]", || {
            let _ = super::zeros::<f64>(&[2, 3]).matmul(super::zeros(&[4, 5]));
        })]
    }

    fn large_cases() -> Vec<Case> {
        // Many rows are split into bands of rows, few into bands of columns.
        let case = |a: &[usize], b: &[usize]| {
            case!("matmul", "a @ b", [sample(1, a), sample(2, b)], |a, b| a.matmul(b))
        };
        vec![case(&[97, 80], &[80, 211]), case(&[17, 80], &[80, 1001])]
    }
}

impl<T: Element> Var<T> {
    /// The matrix product `[M, K] x [K, N]`, see [`MatMul`]; with more dimensions,
    /// the products of two stacks of matrices, see [`BatchedMatMul`](super::BatchedMatMul).
    ///
    /// # Panics
    /// If either has fewer than two dimensions, the inner extents differ, or
    /// the leading dimensions do not broadcast.
    #[track_caller]
    pub fn matmul(self, other: Var<T>) -> Var<T> {
        if self.shape().len() > 2 || other.shape().len() > 2 {
            return self.batched_matmul(other);
        }
        Var::record(MatMul, vec![self, other])
    }
}

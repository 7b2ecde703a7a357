//! Products of stacks of matrices.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = a b` for every matrix of a stack; `da = dy bᵀ`, `db = aᵀ dy`, summed over the
/// dimensions that were broadcast.
pub struct BatchedMatMul {}

impl<T: Element> Operation<T> for BatchedMatMul {
    fn name(&self) -> &'static str {
        "batched_matmul"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a.batched_matmul(&b)
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (a, b) = (saved.input(0), saved.input(1));
        two_vars(
            wants,
            || dy.clone().batched_matmul(b.transposed()),
            || a.transposed().batched_matmul(dy.clone()),
        )
    }
}

#[cfg(feature = "proofs")]
impl Proof for BatchedMatMul {
    fn facts() -> Facts {
        Facts::new(
            "batched_matmul",
            Group::Algebra,
            "y = a b for every matrix of a stack",
            "da = dy bᵀ, db = aᵀ dy",
        )
        .shapes("a [.., M, K], b [.., K, N]; leading dimensions broadcast")
        .torch("torch.matmul(a, b)")
        .linear(&[0, 1])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, a: &[usize], b: &[usize]| {
            case!(format!("batched_matmul{kind}"), "a @ b", [sample(1, a), sample(2, b)], |a, b| a.matmul(b))
        };
        vec![
            case("", &[2, 3, 4], &[2, 4, 2]),
            case(": broadcast", &[2, 1, 2, 3], &[3, 3, 2]),
            case(": one matrix for all", &[3, 2, 3], &[3, 2]),
            case(": one matrix on the left", &[2, 3], &[2, 3, 2]),
            case(": empty batch", &[0, 2, 3], &[0, 3, 2]),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("matmul: [2, 3, 4] x [3, 4, 5]; expected [.., M, K] x [.., K, N]", || {
                let _ = super::zeros::<f64>(&[2, 3, 4]).matmul(super::zeros(&[3, 4, 5]));
            }),
            ErrorCase::new("matmul: [4] x [3, 4, 5]; expected [.., M, K] x [.., K, N]", || {
                let _ = super::zeros::<f64>(&[4]).matmul(super::zeros(&[3, 4, 5]));
            }),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let (a, b) = (sample(1, &[40, 20, 21]), sample(2, &[21, 22]));
        vec![case!("batched_matmul", "a @ b", [a, b], |a, b| a.matmul(b))]
    }
}

impl<T: Element> Var<T> {
    /// See [`matmul`](Self::matmul), which calls this for more than two dimensions.
    #[track_caller]
    pub(super) fn batched_matmul(self, other: Var<T>) -> Var<T> {
        Var::record(BatchedMatMul {}, vec![self, other])
    }

    /// The transpose of every matrix of a stack: the last two dimensions swapped.
    fn transposed(self) -> Var<T> {
        let rank = self.shape().len();
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        self.permute(&order)
    }
}

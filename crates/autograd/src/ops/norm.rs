//! The Euclidean norm over chosen dimensions.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = √(Σ x²)` over axes; `dx = dy x / y`, and 0 where `y` is 0.
pub struct Norm {}

impl<T: Element> Operation<T> for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0], output: true }
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        let columns = x.shape()[1];
        let mut y = x.clone().map(|x| x * x).sum(&[1]).map(T::sqrt);
        // If the squares overflow or vanish but their root does not, the row is computed
        // again, scaled.
        let (small, large) = (T::min_positive_value().sqrt() / T::epsilon(), T::max_value().sqrt());
        if columns > 0 && y.data().iter().any(|&y| !(small..large).contains(&y)) {
            let x = x.contiguous();
            for (y, row) in y.data_mut().iter_mut().zip(x.data().chunks_exact(columns)) {
                let most = row.iter().fold(T::ZERO, |most, x| most.max(x.abs()));
                if !(small..large).contains(y) && most > T::ZERO && most.is_finite() {
                    *y = most * row.iter().map(|&x| (x / most) * (x / most)).sum::<T>().sqrt();
                }
            }
        }
        y
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (x, y) = (saved.input(0), saved.output());
        let column = [y.shape()[0], 1];
        // A row of zeros divides by 1 instead of 0.
        let zero = y.value().clone().map(|y| if y.is_zero() { T::ONE } else { T::ZERO });
        one_var(x / (y + zero).reshape(&column) * dy.reshape(&column))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Norm {
    fn facts() -> Facts {
        Facts::new("norm", Group::Reduction, "y = √(Σ x²) over axes", "dx = dy x / y")
            .shapes("any, and distinct axes of it")
            .torch("torch.linalg.vector_norm(a, 2, axes)")
            .kinks("0 at y = 0")
    }

    fn cases() -> Vec<Case> {
        let torch = "torch.linalg.vector_norm";
        let zeros = Tensor::from_vec(vec![0.0, 0.0, 3.0, 4.0], &[2, 2]);
        vec![
            case!("norm", format!("{torch}(a, 2, 1)"), [sample(1, &[3, 5])], |x| x.norm(&[1])),
            case!("norm: all", format!("{torch}(a)"), [sample(1, &[2, 3])], |x| x.norm(&[0, 1])),
            case!("norm: of zeros", format!("{torch}(a, 2, 1)"), [zeros], |x| x.norm(&[1])).special(),
            case!("norm: empty batch", format!("{torch}(a, 2, 1)"), [sample(1, &[0, 3])], |x| x.norm(&[1])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("norm: axes [2] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).norm(&[2]);
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("norm", "a.norm(2, 1)", [sample(1, &[7001, 5])], |x| x.norm(&[1]))]
    }
}

impl<T: Element> Var<T> {
    /// Euclidean norm over `axes`, which disappear from the shape; see [`Norm`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn norm(self, axes: &[usize]) -> Var<T> {
        self.norm_over(axes, false)
    }

    /// Euclidean norm over `axes`, which stay in the shape with extent 1; see [`Norm`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn norm_keepdim(self, axes: &[usize]) -> Var<T> {
        self.norm_over(axes, true)
    }

    #[track_caller]
    pub(super) fn norm_over(self, axes: &[usize], keep: bool) -> Var<T> {
        super::assert_axes("norm", axes, self.shape());
        let (rows, shape) = self.reduced_last(axes, keep);
        Var::record(Norm {}, vec![rows]).reshape(&shape)
    }
}

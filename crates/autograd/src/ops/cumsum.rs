//! Running sums along a dimension.

use cerberus_tensor::parallel::for_each_rows;
use cerberus_tensor::{Element, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[i] = x[0] + .. + x[i]` along `axis`, or from the end if `reverse`; `dx` is the
/// running sum of `dy` from the other end.
pub struct Cumsum {
    axis: usize,
    reverse: bool,
}

impl<T: Element> Operation<T> for Cumsum {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [mut x] = inputs.take();
        let (len, inner) = (x.shape()[self.axis], x.shape()[self.axis + 1..].iter().product::<usize>());
        for_each_rows(x.data_mut(), len * inner, |_, blocks| {
            for block in blocks.chunks_exact_mut(len * inner) {
                for step in 1..len {
                    let (to, from) =
                        if self.reverse { (len - 1 - step, len - step) } else { (step, step - 1) };
                    for i in 0..inner {
                        let sum = block[to * inner + i] + block[from * inner + i];
                        block[to * inner + i] = sum;
                    }
                }
            }
        });
        x
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        one_var(Var::record(Cumsum { axis: self.axis, reverse: !self.reverse }, vec![dy]))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Cumsum {
    fn facts() -> Facts {
        Facts::new("cumsum", Group::Reduction, "y[i] = Σ x[..= i] along axis", "dx[i] = Σ dy[i ..]")
            .shapes("any, and an axis of it")
            .torch("torch.cumsum(a, axis)")
            .linear(&[0])
            .nan("NaN from the first one on")
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("cumsum", "a.cumsum(1)", [sample(1, &[2, 4, 3])], |x| x.cumsum(1)),
            case!("cumsum: last axis", "a.cumsum(1)", [sample(1, &[3, 4])], |x| x.cumsum(1)),
            case!("cumsum: empty batch", "a.cumsum(1)", [sample(1, &[0, 4])], |x| x.cumsum(1)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("cumsum: axes [2] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).cumsum(2);
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("cumsum", "a.cumsum(1)", [sample(1, &[71, 101, 5])], |x| x.cumsum(1))]
    }
}

impl<T: Element> Var<T> {
    /// Running sums along `axis`; see [`Cumsum`].
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn cumsum(self, axis: usize) -> Var<T> {
        super::assert_axes("cumsum", &[axis], self.shape());
        Var::record(Cumsum { axis, reverse: false }, vec![self])
    }
}

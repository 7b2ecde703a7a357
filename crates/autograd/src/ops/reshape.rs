//! Another shape for the same elements.

use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = x` under another shape; `dx = dy` under the old one.
pub struct Reshape {
    to: Shape,
    /// Of `x`; known after the forward pass.
    shape: Shape,
}

impl<T: Element> Operation<T> for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.shape = x.dims();
        x.reshape(&self.to)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(dy.reshape(&self.shape))
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        one_var(dy.reshape(&self.shape))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Reshape {
    fn facts() -> Facts {
        Facts::new("reshape", Group::Shape, "y = x in another shape", "dx = dy in the old shape")
            .shapes("any, to one of as many elements")
            .torch("torch.reshape(a, shape)")
            .linear(&[0])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("reshape", "a.reshape(3, 4)", [sample(1, &[2, 6])], |x| x.reshape(&[3, 4])),
            case!("reshape: to a scalar", "a.reshape(())", [sample(2, &[1, 1])], |x| x.reshape(&[])),
            case!("reshape: rank 0", "a.reshape(1, 1)", [sample(2, &[])], |x| x.reshape(&[1, 1])),
            case!("reshape: empty batch", "a.reshape(0, 2)", [sample(2, &[0, 6])], |x| x.reshape(&[0, 2])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("reshape: [2, 3] does not have the elements of [4]", || {
            let _ = super::zeros::<f64>(&[2, 3]).reshape(&[4]);
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("reshape", "a.reshape(100, 303)", [sample(1, &[300, 101])], |x| x.reshape(&[100, 303]))]
    }
}

impl<T: Element> Var<T> {
    /// The same elements under another shape; see [`Reshape`].
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshape(self, shape: &[usize]) -> Var<T> {
        let to = Shape::new(shape);
        Var::record(Reshape { to, shape: to }, vec![self])
    }
}

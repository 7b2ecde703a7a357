//! Another shape for the same elements.

use cerberus_tensor::{Element, Shape, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
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

    fn cases() -> Vec<Case> {
        vec![
            Case::unary("reshape", sample(1, &[2, 6]), |x| x.reshape(&[3, 4])),
            Case::unary("reshape: to a scalar", sample(2, &[1, 1]), |x| x.reshape(&[])),
        ]
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
        Var::apply(Reshape { to, shape: to }, vec![self])
    }
}

//! Exponentials that sum to one along the last dimension.

use cerberus_tensor::{Element, Tensor, softmax};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// `y = eˣ / sum eˣ` along the last dimension; `dx = y (dy - sum dy y)`.
pub struct Softmax;

impl<T: Element> Operation<T> for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn saves(&self) -> Saves {
        Saves::OUTPUT
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        softmax::softmax(&x)
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(softmax::softmax_backward(&saved.output(), dy))
    }

    fn cases() -> Vec<Case> {
        vec![
            Case::unary("softmax", sample(1, &[3, 5]), Var::softmax),
            Case::unary("softmax: steep", sample(2, &[2, 4]).scale(8.0), Var::softmax),
            Case::unary("softmax: one class", sample(3, &[2, 3, 1]), |x| x.clone().softmax() + x),
        ]
    }
}

impl<T: Element> Var<T> {
    /// `y = eˣ / sum eˣ` along the last dimension; `dx = y (dy - sum dy y)`. See [`Softmax`].
    ///
    /// # Panics
    /// If the variable has rank 0.
    #[track_caller]
    pub fn softmax(self) -> Var<T> {
        Var::apply(Softmax, vec![self])
    }
}

//! The logarithm of the softmax, computed without underflow.

use cerberus_tensor::{Element, Tensor, softmax};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// `y = x - ln sum eˣ` along the last dimension; `dx = dy - eʸ sum dy`.
pub struct LogSoftmax;

impl<T: Element> Operation<T> for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn saves(&self) -> Saves {
        Saves::OUTPUT
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        softmax::log_softmax(&x)
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(softmax::log_softmax_backward(&saved.output(), dy))
    }

    fn cases() -> Vec<Case> {
        vec![
            Case::unary("log_softmax", sample(1, &[3, 5]), Var::log_softmax),
            Case::unary("log_softmax: steep", sample(2, &[2, 4]).scale(8.0), Var::log_softmax),
            Case::unary("log_softmax: one class", sample(3, &[2, 3, 1]), |x| x.clone().log_softmax() + x),
        ]
    }
}

impl<T: Element> Var<T> {
    /// `y = x - ln sum eˣ` along the last dimension; `dx = dy - eʸ sum dy`. See [`LogSoftmax`].
    ///
    /// # Panics
    /// If the variable has rank 0.
    #[track_caller]
    pub fn log_softmax(self) -> Var<T> {
        Var::apply(LogSoftmax, vec![self])
    }
}

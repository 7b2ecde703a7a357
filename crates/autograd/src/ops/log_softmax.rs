//! The logarithm of the softmax, computed without underflow.

use cerberus_tensor::{Element, Tensor, softmax};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = x - ln sum eˣ` along the last dimension; `dx = dy - eʸ sum dy`. [`Var::log_softmax`] moves
/// another dimension there and back.
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

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let y = saved.output();
        let axis = y.shape().len() - 1;
        one_var(dy.clone() - y.exp() * dy.sum_keepdim(&[axis]))
    }
}

#[cfg(feature = "proofs")]
impl Proof for LogSoftmax {
    fn facts() -> Facts {
        Facts::new("log_softmax", Group::Reduction, "y = x - ln Σ eˣ along axis", "dx = dy - eʸ Σ dy")
            .shapes("any, and an axis of it")
            .torch("torch.log_softmax(a, axis)")
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x| {
            case!(format!("log_softmax{kind}"), "torch.log_softmax(a, -1)", [x], |x| x.log_softmax(1))
        };
        vec![
            case("", sample(1, &[3, 5])),
            case(": steep", sample(2, &[2, 4]).scale(8.0)),
            case(": empty batch", sample(1, &[0, 3])),
            case(
                ": infinities",
                Tensor::from_vec(
                    vec![1.0, f64::NEG_INFINITY, 2.0, f64::NAN, 0.0, 1.0, 700.0, -700.0, 0.0],
                    &[3, 3],
                ),
            )
            .special(),
            case!("log_softmax: one class", "torch.log_softmax(a, -1) + a", [sample(3, &[2, 3, 1])], |x| {
                x.clone().log_softmax(2) + x
            }),
            case!("log_softmax: first axis", "torch.log_softmax(a, 0)", [sample(4, &[4, 3])], |x| {
                x.log_softmax(0)
            }),
            case!("log_softmax: middle axis", "torch.log_softmax(a, 1)", [sample(5, &[2, 3, 2, 2])], |x| {
                x.log_softmax(1)
            }),
            case!(
                "log_softmax: the axis is empty",
                "torch.log_softmax(a, 1)",
                [sample(1, &[2, 0, 3])],
                |x| x.log_softmax(1)
            ),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("log_softmax: axes [2] are not distinct dimensions of shape [2, 3]", || {
                let _ = super::zeros::<f64>(&[2, 3]).log_softmax(2);
            }),
            ErrorCase::new("log_softmax: axes [0] are not distinct dimensions of shape []", || {
                let _ = super::zeros::<f64>(&[]).log_softmax(0);
            }),
        ]
    }

    fn large_cases() -> Vec<Case> {
        vec![
            case!("log_softmax", "torch.log_softmax(a, -1)", [sample(1, &[7001, 5])], |x| x.log_softmax(1)),
            case!("log_softmax: middle axis", "torch.log_softmax(a, 1)", [sample(1, &[71, 101, 5])], |x| {
                x.log_softmax(1)
            }),
        ]
    }
}

impl<T: Element> Var<T> {
    /// `y = x - ln sum eˣ` along `axis`; `dx = dy - eʸ sum dy`. Any shape, `y` has the same; the last
    /// axis is the fastest. See [`LogSoftmax`].
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn log_softmax(self, axis: usize) -> Var<T> {
        super::assert_axes("log_softmax", &[axis], self.shape());
        super::along(self, axis, |x| Var::record(LogSoftmax, vec![x]))
    }
}

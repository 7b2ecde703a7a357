//! The logarithm of a sum of exponentials, without overflow.

use cerberus_tensor::{Element, Tensor, softmax};

use crate::operation::{Inputs, Operation, SavedVars, Saves, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = ln Σ eˣ` along the last dimension; `dx = dy e^(x - y)`, the softmax times `dy`.
pub struct LogSumExp {}

impl<T: Element> Operation<T> for LogSumExp {
    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0], output: true }
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        softmax::logsumexp(&x)
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (x, y) = (saved.input(0), saved.output());
        let column = [y.shape()[0], 1];
        one_var(dy.reshape(&column) * (x - y.reshape(&column)).exp())
    }
}

#[cfg(feature = "proofs")]
impl Proof for LogSumExp {
    fn facts() -> Facts {
        Facts::new("logsumexp", Group::Reduction, "y = ln Σ eˣ over axes", "dx = dy e^(x - y)")
            .shapes("any, and distinct axes of it")
            .torch("torch.logsumexp(a, axes)")
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("logsumexp", "a.logsumexp(1)", [sample(1, &[3, 5])], |x| x.logsumexp(&[1])),
            case!(
                "logsumexp: outer axes, kept",
                "a.logsumexp((0, 2), keepdim=True)",
                [sample(1, &[2, 3, 2])],
                |x| x.logsumexp_keepdim(&[0, 2])
            ),
            case!("logsumexp: steep", "a.logsumexp(1)", [sample(1, &[2, 4]).scale(300.0)], |x| x
                .logsumexp(&[1])),
            case!("logsumexp: empty batch", "a.logsumexp(1)", [sample(1, &[0, 4])], |x| x.logsumexp(&[1])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("logsumexp: axes [2] are not distinct dimensions of shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).logsumexp(&[2]);
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("logsumexp", "a.logsumexp(1)", [sample(1, &[7001, 5])], |x| x.logsumexp(&[1]))]
    }
}

impl<T: Element> Var<T> {
    /// `ln Σ eˣ` over `axes`, which disappear from the shape; see [`LogSumExp`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn logsumexp(self, axes: &[usize]) -> Var<T> {
        self.logsumexp_over(axes, false)
    }

    /// `ln Σ eˣ` over `axes`, which stay in the shape with extent 1; see [`LogSumExp`].
    ///
    /// # Panics
    /// If the axes are not distinct dimensions.
    #[track_caller]
    pub fn logsumexp_keepdim(self, axes: &[usize]) -> Var<T> {
        self.logsumexp_over(axes, true)
    }

    #[track_caller]
    fn logsumexp_over(self, axes: &[usize], keep: bool) -> Var<T> {
        super::assert_axes("logsumexp", axes, self.shape());
        let (rows, shape) = self.reduced_last(axes, keep);
        Var::record(LogSumExp {}, vec![rows]).reshape(&shape)
    }
}

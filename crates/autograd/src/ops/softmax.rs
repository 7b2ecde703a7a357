//! Exponentials that sum to one along a dimension.

use cerberus_tensor::{Element, Tensor, softmax};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = eˣ / sum eˣ` along the last dimension; `dx = y (dy - sum dy y)`. [`Var::softmax`] moves another
/// dimension there and back.
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

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let y = saved.output();
        let axis = y.shape().len() - 1;
        let product = dy * y.clone();
        one_var(product.clone() - y * product.sum_keepdim(&[axis]))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Softmax {
    fn facts() -> Facts {
        Facts::new("softmax", Group::Reduction, "y = eˣ / Σ eˣ along axis", "dx = y (dy - Σ dy y)")
            .shapes("any, and an axis of it")
            .torch("torch.softmax(a, axis)")
    }

    fn cases() -> Vec<Case> {
        let case =
            |kind: &str, x| case!(format!("softmax{kind}"), "torch.softmax(a, -1)", [x], |x| x.softmax(1));
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
            case!(
                "softmax: of softmax",
                "torch.softmax(torch.softmax(a, -1), -1)",
                [sample(3, &[2, 3])],
                |x| x.softmax(1).softmax(1)
            ),
            case!("softmax: first axis", "torch.softmax(a, 0)", [sample(4, &[4, 3])], |x| x.softmax(0)),
            case!("softmax: middle axis", "torch.softmax(a, 1)", [sample(5, &[2, 3, 2, 2])], |x| {
                x.softmax(1)
            }),
            case!("softmax: the axis is empty", "torch.softmax(a, 1)", [sample(1, &[2, 0, 3])], |x| {
                x.softmax(1)
            }),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("softmax: axes [2] are not distinct dimensions of shape [2, 3]", || {
                let _ = super::zeros::<f64>(&[2, 3]).softmax(2);
            }),
            ErrorCase::new("softmax: axes [0] are not distinct dimensions of shape []", || {
                let _ = super::zeros::<f64>(&[]).softmax(0);
            }),
        ]
    }

    fn large_cases() -> Vec<Case> {
        vec![
            case!("softmax", "torch.softmax(a, -1)", [sample(1, &[7001, 5])], |x| x.softmax(1)),
            case!("softmax: middle axis", "torch.softmax(a, 1)", [sample(1, &[71, 101, 5])], |x| x
                .softmax(1)),
        ]
    }
}

impl<T: Element> Var<T> {
    /// `y = eˣ / sum eˣ` along `axis`; `dx = y (dy - sum dy y)`. Any shape, `y` has the same; the last
    /// axis is the fastest. See [`Softmax`].
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn softmax(self, axis: usize) -> Var<T> {
        super::assert_axes("softmax", &[axis], self.shape());
        super::along(self, axis, |x| Var::record(Softmax, vec![x]))
    }
}

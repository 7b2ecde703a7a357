//! Exponentials that sum to one along the last dimension.

use cerberus_tensor::{Element, Tensor, softmax};

use crate::case;
use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
use crate::proof::{ErrorCase, Facts, Group, Proof};
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

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let y = saved.output();
        let axis = y.shape().len() - 1;
        let product = dy * y.clone();
        one_var(product.clone() - y * product.sum(&[axis], true))
    }
}

impl Proof for Softmax {
    fn facts() -> Facts {
        Facts::new("softmax", Group::Reduction, "y = eˣ / Σ eˣ along the last axis", "dx = y (dy - Σ dy y)")
            .shapes("rank 1 or more")
            .torch("torch.softmax(a, -1)")
    }

    fn cases() -> Vec<Case> {
        let case =
            |kind: &str, x| case!(format!("softmax{kind}"), "torch.softmax(a, -1)", [x], |x| x.softmax());
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
                |x| x.softmax().softmax()
            ),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("softmax: x of rank 0 has no last dimension", || {
            let _ = super::zeros::<f64>(&[]).softmax();
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("softmax", "torch.softmax(a, -1)", [sample(1, &[7001, 5])], |x| x.softmax())]
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

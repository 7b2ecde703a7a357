//! `y = alpha x + beta` with two fixed numbers.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = alpha x + beta`; `dx = alpha dy`.
pub struct Affine {
    /// The factor.
    pub alpha: f64,
    /// The number that is added.
    pub beta: f64,
}

impl<T: Element> Operation<T> for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        let (alpha, beta) = (T::from_f64(self.alpha), T::from_f64(self.beta));
        x.map(|x| alpha * x + beta)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(dy.scale(T::from_f64(self.alpha)))
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        one_var(dy.scale(self.alpha))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Affine {
    fn facts() -> Facts {
        Facts::new("affine", Group::Elementwise, "y = alpha x + beta", "dx = alpha dy")
            .torch("alpha * a + beta")
            .linear(&[0])
    }

    fn cases() -> Vec<Case> {
        let case =
            |kind: &str, x| case!(format!("affine{kind}"), "a * -1.7 + 0.4", [x], |x| x.affine(-1.7, 0.4));
        vec![
            case("", sample(1, &[2, 3])),
            case(": rank 0", sample(1, &[])),
            case(": empty batch", sample(1, &[0, 3])),
            case(": special values", super::special_values()).special(),
            case!("affine: negation", "-a", [sample(2, &[4])], |x| -x),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        Vec::new()
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("affine", "a * 2 + 1", [sample(1, &[3, 7001])], |x| x.affine(2.0, 1.0))]
    }
}

impl<T: Element> Var<T> {
    /// `alpha x + beta`; see [`Affine`].
    #[track_caller]
    pub fn affine(self, alpha: f64, beta: f64) -> Var<T> {
        Var::record(Affine { alpha, beta }, vec![self])
    }

    /// `alpha x`.
    #[track_caller]
    pub fn scale(self, alpha: f64) -> Var<T> {
        self.affine(alpha, 0.0)
    }
}

impl<T: Element> std::ops::Neg for Var<T> {
    type Output = Var<T>;
    fn neg(self) -> Var<T> {
        self.scale(-1.0)
    }
}

//! A power of two variables.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = aᵇ` for positive `a`; `da = dy b aᵇ⁻¹`, `db = dy y ln a`. A fixed
/// exponent is [`Powf`](super::Powf), which takes any base the exponent allows.
pub struct Pow;

impl<T: Element> Operation<T> for Pow {
    fn name(&self) -> &'static str {
        "pow"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a.zip(b, T::powf)
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (a, b) = (saved.input(0), saved.input(1));
        let less_one = || a.clone().pow(b.clone().affine(1.0, -1.0));
        two_vars(
            wants,
            || dy.clone() * b.clone() * less_one(),
            || dy.clone() * a.clone().pow(b.clone()) * a.clone().log(),
        )
    }
}

#[cfg(feature = "proofs")]
impl Proof for Pow {
    fn facts() -> Facts {
        Facts::new("pow", Group::Elementwise, "y = aᵇ", "da = dy b aᵇ⁻¹, db = dy y ln a")
            .shapes(BROADCAST)
            .torch("torch.pow(a, b)")
    }

    fn cases() -> Vec<Case> {
        broadcast_cases!("pow", "torch.pow(a, b)", positive_sample, sample, |a, b| a.pow(b))
    }

    fn error_cases() -> Vec<ErrorCase> {
        broadcast_errors!("pow", |a, b| a.pow(b))
    }

    fn large_cases() -> Vec<Case> {
        let (a, b) = (positive_sample(1, &[5, 7001]), sample(2, &[7001]));
        vec![case!("pow", "torch.pow(a, b)", [a, b], |a, b| a.pow(b))]
    }
}

impl<T: Element> Var<T> {
    /// `aᵇ`, with broadcasting; see [`Pow`].
    #[track_caller]
    pub fn pow(self, exponent: Var<T>) -> Var<T> {
        super::assert_broadcast("pow", self.shape(), exponent.shape());
        Var::record(Pow, vec![self, exponent])
    }
}

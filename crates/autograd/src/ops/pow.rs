//! A power of two variables.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = aᵇ` for positive `a`; `da = dy b aᵇ⁻¹`, `db = dy y ln a`. At base 0 `db` is 0 for
/// exponents that are not negative, and at exponent 0 `da` is 0, as in PyTorch. A fixed
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
        let one_if = |truth: bool| if truth { T::ONE } else { T::ZERO };
        // Where the exponent is 0 the power is 1, whatever the base: no slope.
        let constant = b.value().clone().map(|b| one_if(b == T::ZERO));
        let less_one = || a.clone().pow(b.clone() - 1.0 + constant);
        // For base 0 and exponents that are not negative the gradient is 0: the logarithm
        // is that of 1.
        let stays = a.value().clone().zip(b.value().clone(), |a, b| one_if(a == T::ZERO && b >= T::ZERO));
        two_vars(
            wants,
            || dy.clone() * b.clone() * less_one(),
            || dy.clone() * a.clone().pow(b.clone()) * (a.clone() + stays).log(),
        )
    }
}

#[cfg(feature = "proofs")]
impl Proof for Pow {
    fn facts() -> Facts {
        Facts::new("pow", Group::Elementwise, "y = aᵇ", "da = dy b aᵇ⁻¹, db = dy y ln a")
            .shapes(BROADCAST)
            .torch("torch.pow(a, b)")
            .kinks("db 0 at a = 0 unless b < 0, da 0 at b = 0")
    }

    fn cases() -> Vec<Case> {
        let mut all = broadcast_cases!("pow", "torch.pow(a, b)", positive_sample, sample, |a, b| a.pow(b));
        let base = Tensor::from_vec(vec![0.0, 0.0, 0.0, 0.0, 0.0, 2.0, f64::INFINITY], &[7]);
        let exponent = Tensor::from_vec(vec![0.0, 0.5, 1.0, 2.0, -1.0, 0.0, 2.0], &[7]);
        all.push(case!("pow: base 0", "torch.pow(a, b)", [base, exponent], |a, b| a.pow(b)).special());
        all
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

//! `y = a b`, element by element.
//!
//! The shapes broadcast as in NumPy; the engine sums the gradients back.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, two, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = a b`; `da = dy b`, `db = dy a`.
pub struct Mul;

impl<T: Element> Operation<T> for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a * b
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (a, b) = (saved.input(0), saved.input(1));
        two(wants, || &dy * &b, || &dy * &a)
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (a, b) = (saved.input(0), saved.input(1));
        two_vars(wants, || dy.clone() * b, || dy.clone() * a)
    }
}

#[cfg(feature = "proofs")]
impl Proof for Mul {
    fn facts() -> Facts {
        Facts::new("mul", Group::Elementwise, "y = a b", "da = dy b, db = dy a")
            .shapes(BROADCAST)
            .torch("a * b")
            .linear(&[0, 1])
    }

    fn cases() -> Vec<Case> {
        let mut all = broadcast_cases!("mul", "a * b", sample, sample, |a, b| a * b);
        all.push(
            case!("mul: an input used twice", "a * a + a * a", [sample(3, &[5])], |x| x.clone() * x.clone()
                + x.clone() * x)
            .composed(),
        );
        all
    }

    fn error_cases() -> Vec<ErrorCase> {
        broadcast_errors!("mul", |a, b| a * b)
    }

    fn large_cases() -> Vec<Case> {
        let (a, b) = (sample(1, &[5, 7001]), sample(2, &[7001]));
        vec![case!("mul", "a * b", [a, b], |a, b| a * b)]
    }
}

impl<T: Element> std::ops::Mul for Var<T> {
    type Output = Var<T>;

    /// `y = a b`, with broadcasting; see [`Mul`].
    #[track_caller]
    fn mul(self, other: Var<T>) -> Var<T> {
        super::assert_broadcast("mul", self.shape(), other.shape());
        Var::record(Mul, vec![self, other])
    }
}

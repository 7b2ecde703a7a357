//! `y = a / b`, element by element.
//!
//! The shapes broadcast as in NumPy; the engine sums the gradients back.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, two, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = a / b`; `da = dy / b`, `db = -dy (a / b) / b`: as PyTorch, in an order in which
/// the square of `b` can neither overflow nor vanish.
pub struct Div;

impl<T: Element> Operation<T> for Div {
    fn name(&self) -> &'static str {
        "div"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a / b
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (a, b) = (saved.input(0), saved.input(1));
        two(wants, || &dy / &b, || a.zip(b.clone(), |a, b| -(a / b) / b) * dy.clone())
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (a, b) = (saved.input(0), saved.input(1));
        two_vars(wants, || dy.clone() / b.clone(), || -dy.clone() * (a / b.clone() / b.clone()))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Div {
    fn facts() -> Facts {
        Facts::new("div", Group::Elementwise, "y = a / b", "da = dy / b, db = -dy a / b²")
            .shapes(BROADCAST)
            .torch("a / b")
            .linear(&[0])
    }

    fn cases() -> Vec<Case> {
        let mut all = broadcast_cases!("div", "a / b", sample, positive_sample, |a, b| a / b);
        all.push(
            case!("div: an input used twice", "a / a + a * a", [positive_sample(3, &[5])], |x| x.clone()
                / x.clone()
                + x.clone() * x)
            .composed(),
        );
        all
    }

    fn error_cases() -> Vec<ErrorCase> {
        broadcast_errors!("div", |a, b| a / b)
    }

    fn large_cases() -> Vec<Case> {
        let (a, b) = (positive_sample(1, &[5, 7001]), positive_sample(2, &[7001]));
        vec![case!("div", "a / b", [a, b], |a, b| a / b)]
    }
}

impl<T: Element> std::ops::Div for Var<T> {
    type Output = Var<T>;

    /// `y = a / b`, with broadcasting; see [`Div`].
    #[track_caller]
    fn div(self, other: Var<T>) -> Var<T> {
        super::assert_broadcast("div", self.shape(), other.shape());
        Var::record(Div, vec![self, other])
    }
}

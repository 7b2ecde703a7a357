//! `y = a - b`, element by element.
//!
//! The shapes broadcast as in NumPy; the engine sums the gradients back.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, two, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = a - b`; `da = dy`, `db = -dy`.
pub struct Sub;

impl<T: Element> Operation<T> for Sub {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a - b
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        two(wants, || dy.clone(), || -dy.clone())
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        two_vars(wants, || dy.clone(), || -dy.clone())
    }
}

#[cfg(feature = "proofs")]
impl Proof for Sub {
    fn facts() -> Facts {
        Facts::new("sub", Group::Elementwise, "y = a - b", "da = dy, db = -dy")
            .shapes(BROADCAST)
            .torch("a - b")
            .linear(&[0, 1])
    }

    fn cases() -> Vec<Case> {
        let mut all = broadcast_cases!("sub", "a - b", sample, sample, |a, b| a - b);
        all.push(
            case!("sub: an input used twice", "a - a + a * a", [sample(3, &[5])], |x| x.clone() - x.clone()
                + x.clone() * x)
            .composed(),
        );
        all
    }

    fn error_cases() -> Vec<ErrorCase> {
        broadcast_errors!("sub", |a, b| a - b)
    }

    fn large_cases() -> Vec<Case> {
        let (a, b) = (sample(1, &[5, 7001]), sample(2, &[7001]));
        vec![case!("sub", "a - b", [a, b], |a, b| a - b)]
    }
}

impl<T: Element> std::ops::Sub for Var<T> {
    type Output = Var<T>;

    /// `y = a - b`, with broadcasting; see [`Sub`].
    #[track_caller]
    fn sub(self, other: Var<T>) -> Var<T> {
        super::assert_broadcast("sub", self.shape(), other.shape());
        Var::record(Sub, vec![self, other])
    }
}

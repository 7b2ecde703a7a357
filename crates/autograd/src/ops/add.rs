//! `y = a + b`, element by element.
//!
//! The shapes broadcast as in NumPy; the engine sums the gradients back.

use cerberus_tensor::{Element, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, two};
use crate::tape::Var;

/// `y = a + b`; `da = dy`, `db = dy`.
pub struct Add;

impl<T: Element> Operation<T> for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a + b
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        two(wants, || dy.clone(), || dy.clone())
    }

    fn cases() -> Vec<Case> {
        let case = |name, a: &[usize], b: &[usize]| Case::binary(name, sample(1, a), sample(2, b), |a, b| a + b);
        vec![
            case("add", &[2, 3], &[2, 3]),
            case("add: both broadcast", &[4, 1, 3], &[2, 1]),
            case("add: a scalar", &[2, 3], &[]),
            Case::unary("add: an input used twice", sample(3, &[5]), |x| x.clone() + x.clone() * x),
        ]
    }
}

impl<T: Element> std::ops::Add for Var<T> {
    type Output = Var<T>;

    /// `y = a + b`, with broadcasting; see [`Add`].
    #[track_caller]
    fn add(self, other: Var<T>) -> Var<T> {
        Var::apply(Add, vec![self, other])
    }
}

//! `y = a b`, element by element.
//!
//! The shapes broadcast as in NumPy; the engine sums the gradients back.

use cerberus_tensor::{Element, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, two};
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

    fn cases() -> Vec<Case> {
        let case = |name, a: &[usize], b: &[usize]| Case::binary(name, sample(1, a), sample(2, b), |a, b| a * b);
        vec![
            case("mul", &[2, 3], &[2, 3]),
            case("mul: both broadcast", &[4, 1, 3], &[2, 1]),
            case("mul: a scalar", &[2, 3], &[]),
            Case::unary("mul: an input used twice", sample(3, &[5]), |x| x.clone() * x.clone() * x),
        ]
    }
}

impl<T: Element> std::ops::Mul for Var<T> {
    type Output = Var<T>;

    /// `y = a b`, with broadcasting; see [`Mul`].
    #[track_caller]
    fn mul(self, other: Var<T>) -> Var<T> {
        Var::apply(Mul, vec![self, other])
    }
}

//! `y = a / b`, element by element.
//!
//! The shapes broadcast as in NumPy; the engine sums the gradients back.

use cerberus_tensor::{Element, Tensor};

use crate::gradcheck::{Case, positive_sample, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, two};
use crate::tape::Var;

/// `y = a / b`; `da = dy / b`, `db = -dy a / b²`.
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
        two(wants, || &dy / &b, || -(&dy * &a) / &b.clone().map(|b| b * b))
    }

    fn cases() -> Vec<Case> {
        let case = |name, a: &[usize], b: &[usize]| Case::binary(name, sample(1, a), positive_sample(2, b), |a, b| a / b);
        vec![
            case("div", &[2, 3], &[2, 3]),
            case("div: both broadcast", &[4, 1, 3], &[2, 1]),
            case("div: a scalar", &[2, 3], &[]),
            Case::unary("div: an input used twice", positive_sample(3, &[5]), |x| x.clone() / x.clone() + x),
        ]
    }
}

impl<T: Element> std::ops::Div for Var<T> {
    type Output = Var<T>;

    /// `y = a / b`, with broadcasting; see [`Div`].
    #[track_caller]
    fn div(self, other: Var<T>) -> Var<T> {
        Var::apply(Div, vec![self, other])
    }
}

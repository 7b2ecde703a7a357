//! The rectified linear unit.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::{Saves, Var};

unary! {
    /// `y = max(x, 0)`; `dx = dy` where `y > 0`, 0 elsewhere, the kink included. NaN stays NaN.
    Relu {}, relu, Saves::OUTPUT, output,
    |x| cerberus_tensor::relu(x),
    |y, dy| if y > T::ZERO { dy } else { T::ZERO },
    graph |y, dy| dy * passes(y),
    facts("y = max(x, 0)", "dx = dy where y > 0", "F.relu(a)").kinks("0 at x = 0"),
    (), [sample(1, &[2, 5]), sample(2, &[3, 1, 4])]
}

/// 1 where `y` is positive and 0 elsewhere, as a constant.
pub(super) fn passes<T: Element>(y: Var<T>) -> Var<T> {
    Var::constant(y.into_value().map(|y| if y > T::ZERO { T::ONE } else { T::ZERO }))
}

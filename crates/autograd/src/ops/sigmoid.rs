//! The logistic function.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = 1 / (1 + e⁻ˣ)`; `dx = dy y (1 - y)`. Does not overflow.
    Sigmoid {}, sigmoid, Saves::OUTPUT, output,
    |x| cerberus_tensor::sigmoid(x),
    |y, dy| dy * y * (T::ONE - y),
    graph |y, dy| dy * y.clone() * y.affine(-1.0, 1.0),
    facts("y = 1 / (1 + e⁻ˣ)", "dx = dy y (1 - y)", "torch.sigmoid(a)"),
    (), [sample(1, &[2, 5]), sample(2, &[7]).scale(20.0)]
}

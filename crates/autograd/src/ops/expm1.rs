//! The exponential function minus one, exact near zero.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = eˣ - 1`, accurate for small `x`; `dx = dy (y + 1)`.
    Expm1 {}, expm1, Saves::OUTPUT, output,
    |x| x.exp_m1(),
    |y, dy| dy * (y + T::ONE),
    graph |y, dy| dy * y.affine(1.0, 1.0),
    facts("y = eˣ - 1", "dx = dy (y + 1)", "torch.expm1(a)"),
    (), [sample(1, &[2, 5])]
}

//! The square root.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = √x`; `dx = dy / 2y`. NaN for negative `x`; the gradient at 0 is infinite.
    Sqrt {}, sqrt, Saves::OUTPUT, output,
    |x| x.sqrt(),
    |y, dy| dy / (y + y),
    graph |y, dy| dy / y.scale(2.0),
    facts("y = √x", "dx = dy / 2y", "torch.sqrt(a)").kinks("infinite at x = 0, NaN for x < 0"),
    (), [positive_sample(1, &[2, 5])]
}

//! The exponential function.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = eˣ`; `dx = dy y`.
    Exp {}, exp, Saves::OUTPUT, output,
    |x| x.exp(),
    |y, dy| dy * y,
    graph |y, dy| dy * y,
    facts("y = eˣ", "dx = dy y", "torch.exp(a)"),
    (), [sample(1, &[2, 5])]
}

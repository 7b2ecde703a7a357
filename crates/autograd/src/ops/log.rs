//! The natural logarithm.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = ln x`; `dx = dy / x`. NaN for negative `x`, -inf at 0.
    Log {}, log, Saves::inputs(&[0]), input,
    |x| x.ln(),
    |x, dy| dy / x,
    graph |x, dy| dy / x,
    facts("y = ln x", "dx = dy / x", "torch.log(a)"),
    (), [positive_sample(1, &[2, 5])]
}

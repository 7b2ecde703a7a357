//! The logarithm of one more, exact near zero.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = ln(1 + x)`, accurate for small `x`; `dx = dy / (1 + x)`. NaN below -1.
    Log1p {}, log1p, Saves::inputs(&[0]), input,
    |x| x.ln_1p(),
    |x, dy| dy / (T::ONE + x),
    graph |x, dy| dy / x.affine(1.0, 1.0),
    facts("y = ln(1 + x)", "dx = dy / (1 + x)", "torch.log1p(a)"),
    (), [positive_sample(1, &[2, 5]), sample(2, &[3, 2]).scale(0.5)]
}

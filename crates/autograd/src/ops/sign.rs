//! The sign.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y` is -1, 0 or 1 as `x` is negative, zero or positive, and NaN for NaN; `dx = 0`.
    Sign {}, sign, Saves::inputs(&[0]), input,
    |x| if x.is_zero() { T::ZERO } else { x.signum() },
    |_x, dy| dy * T::ZERO,
    graph |x, _dy| super::zeros(x.shape()),
    facts("y = sign x", "dx = 0", "torch.sign(a)").kinks("0 at x = 0"),
    (), [sample(1, &[2, 5])]
}

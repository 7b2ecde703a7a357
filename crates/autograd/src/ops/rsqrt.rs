//! One over the square root.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = 1 / √x`; `dx = -dy y³ / 2`. NaN for negative `x`.
    Rsqrt {}, rsqrt, Saves::OUTPUT, output,
    |x| x.sqrt().recip(),
    // Multiplied from the left: the cube alone may overflow where the product
    // does not.
    |y, dy| T::from_f64(-0.5) * dy * y * y * y,
    graph |y, dy| dy.scale(-0.5) * y.clone() * y.clone() * y,
    facts("y = 1 / √x", "dx = -dy y³ / 2", "torch.rsqrt(a)").kinks("-inf at x = 0, NaN for x < 0"),
    (), [positive_sample(1, &[2, 5])]
}

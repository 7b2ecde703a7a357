//! The square.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = x²`; `dx = 2 dy x`.
    Square {}, square, Saves::inputs(&[0]), input,
    |x| x * x,
    |x, dy| dy * (x + x),
    graph |x, dy| dy * x.scale(2.0),
    facts("y = x²", "dx = 2 dy x", "torch.square(a)"),
    (), [sample(1, &[2, 5])]
}

//! The hyperbolic tangent.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = tanh x`; `dx = dy (1 - y²)`.
    Tanh {}, tanh, Saves::OUTPUT, output,
    |x| x.tanh(),
    |y, dy| dy * (T::ONE - y * y),
    graph |y, dy| dy * y.square().affine(-1.0, 1.0),
    facts("y = tanh x", "dx = dy (1 - y²)", "torch.tanh(a)"),
    (), [sample(1, &[2, 5])]
}

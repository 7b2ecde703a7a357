//! The sine.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = sin x`; `dx = dy cos x`.
    Sin {}, sin, Saves::inputs(&[0]), input,
    |x| x.sin(),
    |x, dy| dy * x.cos(),
    graph |x, dy| dy * x.cos(),
    facts("y = sin x", "dx = dy cos x", "torch.sin(a)"),
    (), [sample(1, &[2, 5])]
}

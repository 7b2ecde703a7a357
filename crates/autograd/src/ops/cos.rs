//! The cosine.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = cos x`; `dx = -dy sin x`.
    Cos {}, cos, Saves::inputs(&[0]), input,
    |x| x.cos(),
    |x, dy| -dy * x.sin(),
    graph |x, dy| -dy * x.sin(),
    facts("y = cos x", "dx = -dy sin x", "torch.cos(a)"),
    (), [sample(1, &[2, 5])]
}

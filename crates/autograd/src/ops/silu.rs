//! The sigmoid-weighted linear unit, or Swish (Elfwing, Uchibe and Doya, 2018).

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = x sigmoid(x)`; with `s = sigmoid(x)`, `dx = dy s (1 + x (1 - s))`.
    Silu {}, silu, Saves::inputs(&[0]), input,
    |x| x * cerberus_tensor::sigmoid(x),
    |x, dy| { let s = cerberus_tensor::sigmoid(x); dy * s * (T::ONE + x * (T::ONE - s)) },
    graph |x, dy| {
        let s = x.clone().sigmoid();
        dy * s.clone() * (x * s.affine(-1.0, 1.0)).affine(1.0, 1.0)
    },
    facts("y = x sigmoid(x)", "dx = dy s (1 + x (1 - s)), s = sigmoid(x)", "F.silu(a)"),
    (), [sample(1, &[2, 5])]
}

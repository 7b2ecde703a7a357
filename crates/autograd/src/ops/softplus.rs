//! A smooth form of the ReLU (Dugas et al., 2001).

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = ln(1 + eˣ)`; `dx = dy sigmoid(x)`. Does not overflow.
    Softplus {}, softplus, Saves::inputs(&[0]), input,
    |x| cerberus_tensor::softplus(x),
    |x, dy| dy * cerberus_tensor::sigmoid(x),
    graph |x, dy| dy * x.sigmoid(),
    facts("y = ln(1 + eˣ)", "dx = dy sigmoid(x)", "F.softplus(a, threshold=60)"),
    (), [sample(1, &[2, 5]), sample(2, &[7]).scale(20.0)]
}

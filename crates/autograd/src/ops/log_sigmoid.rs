//! The logarithm of the logistic function.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = -ln(1 + e⁻ˣ)`; `dx = dy sigmoid(-x)`. Does not overflow.
    LogSigmoid {}, log_sigmoid, Saves::inputs(&[0]), input,
    |x| -cerberus_tensor::softplus(-x),
    |x, dy| dy * cerberus_tensor::sigmoid(-x),
    graph |x, dy| dy * x.scale(-1.0).sigmoid(),
    facts("y = -ln(1 + e⁻ˣ)", "dx = dy sigmoid(-x)", "F.logsigmoid(a)"),
    (), [sample(1, &[2, 5]), sample(2, &[7]).scale(20.0)]
}

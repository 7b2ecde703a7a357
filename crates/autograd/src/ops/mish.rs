//! Mish (Misra, 2020).

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = x tanh(softplus(x))`; with `t = tanh(softplus(x))`, `dx = dy (t + x (1 - t²) sigmoid(x))`.
    Mish {}, mish, Saves::inputs(&[0]), input,
    |x| x * cerberus_tensor::softplus(x).tanh(),
    |x, dy| {
        let t = cerberus_tensor::softplus(x).tanh();
        dy * (t + x * (T::ONE - t * t) * cerberus_tensor::sigmoid(x))
    },
    graph |x, dy| {
        let t = x.clone().softplus().tanh();
        let slope = t.clone().square().affine(-1.0, 1.0) * x.clone().sigmoid();
        dy * (t + x * slope)
    },
    facts(
        "y = x tanh(softplus(x))",
        "dx = dy (t + x (1 - t²) sigmoid(x)), t = tanh(softplus(x))",
        "F.mish(a)"
    ),
    (), [sample(1, &[2, 5])]
}

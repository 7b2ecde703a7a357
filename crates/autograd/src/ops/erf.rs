//! The error function.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = 2/√π ∫₀ˣ e^(-t²) dt`; `dx = dy 2/√π e^(-x²)`.
    Erf {}, erf, Saves::inputs(&[0]), input,
    |x| cerberus_tensor::erf(x),
    |x, dy| dy * T::from_f64(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp(),
    graph |x, dy| dy * x.square().scale(-1.0).exp().scale(std::f64::consts::FRAC_2_SQRT_PI),
    facts("y = 2/√π ∫₀ˣ e^(-t²) dt", "dx = dy 2/√π e^(-x²)", "torch.erf(a)"),
    (), [sample(1, &[2, 5])]
}

//! The Gaussian error linear unit (Hendrycks and Gimpel, 2016), by the error function.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = x Φ(x)` with `Φ(x) = (1 + erf(x/√2)) / 2`; `dx = dy (Φ(x) + x e^(-x²/2) / √(2π))`.
    Gelu {}, gelu, Saves::inputs(&[0]), input,
    |x| x * x.normal()[0],
    |x, dy| {
        let [phi, density] = x.normal();
        dy * (phi + x * density * T::from_f64(DENSITY))
    },
    graph |x, dy| {
        let phi = x
            .clone()
            .scale(std::f64::consts::FRAC_1_SQRT_2)
            .erf()
            .affine(0.5, 0.5);
        let density = x.clone().square().scale(-0.5).exp().scale(DENSITY);
        dy * (phi + x * density)
    },
    facts("y = x Φ(x), Φ(x) = (1 + erf(x/√2)) / 2", "dx = dy (Φ(x) + x e^(-x²/2) / √(2π))", "F.gelu(a)"),
    (), [sample(1, &[2, 5])]
}

/// `1 / √(2π)`.
const DENSITY: f64 = 0.398_942_280_401_432_7;

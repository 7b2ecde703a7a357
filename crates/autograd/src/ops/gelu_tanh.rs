//! The Gaussian error linear unit, approximated by a hyperbolic tangent.

use cerberus_tensor::Element;

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = x (1 + tanh u) / 2`, `u = √(2/π) (x + 0.044715 x³)`; `dx = dy ((1 + t) / 2 + x (1 - t²) u' /
    /// 2)` with `t = tanh u`.
    GeluTanh {}, gelu_tanh, Saves::inputs(&[0]), input,
    |x| T::from_f64(0.5) * x * (T::ONE + inner(x).tanh()),
    |x, dy| {
        let t = inner(x).tanh();
        let half = T::from_f64(0.5);
        let bend = T::ONE - t * t;
        // For large `|x|` the curve is straight, but the slope of `u` overflows.
        let bent = if bend == T::ZERO { T::ZERO } else { half * x * bend * inner_slope(x) };
        dy * (half * (T::ONE + t) + bent)
    },
    graph |x, dy| {
        // For large `|x|` the curve is straight: only the sign of `x` matters there.
        let bent = x.value().clone().map(|x| if inner(x).tanh().abs() == T::ONE { T::ZERO } else { T::ONE });
        let side = x.value().clone().map(|x| if inner(x).tanh().abs() == T::ONE { x.signum() } else { T::ZERO });
        let x = x * bent.clone();
        let square = x.clone().square();
        let u = x.clone() * square.clone().affine(ROOT * CUBIC, ROOT);
        let slope = square.affine(3.0 * ROOT * CUBIC, ROOT);
        let t = u.tanh() + side;
        dy * (t.clone().affine(0.5, 0.5) + x.scale(0.5) * t.square().affine(-1.0, 1.0) * slope)
    },
    facts(
        "y = x (1 + tanh u) / 2, u = √(2/π) (x + 0.044715 x³)",
        "dx = dy ((1 + t) / 2 + x (1 - t²) u' / 2), t = tanh u",
        "F.gelu(a, approximate='tanh')"
    ),
    (), [sample(1, &[2, 5])]
}

/// `√(2/π)`.
const ROOT: f64 = 0.797_884_560_802_865_4;
/// The factor of the cube.
const CUBIC: f64 = 0.044715;

/// `√(2/π) (x + 0.044715 x³)`.
fn inner<T: Element>(x: T) -> T {
    T::from_f64(ROOT) * x * (T::ONE + T::from_f64(CUBIC) * x * x)
}

/// The derivative of [`inner`].
fn inner_slope<T: Element>(x: T) -> T {
    T::from_f64(ROOT) * (T::ONE + T::from_f64(3.0 * CUBIC) * x * x)
}

//! Functions of one number that the standard library lacks.

use crate::Element;

/// `max(x, 0)`, where NaN stays NaN.
#[inline(always)]
pub fn relu<T: Element>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

/// `1 / (1 + e⁻ˣ)` without overflow.
#[inline(always)]
pub fn sigmoid<T: Element>(x: T) -> T {
    let e = (-x.abs()).exp_fast();
    let small = e / (T::ONE + e);
    if x < T::ZERO { small } else { T::ONE - small }
}

/// `ln(1 + eˣ)` without overflow.
#[inline(always)]
pub fn softplus<T: Element>(x: T) -> T {
    let positive = if x > T::ZERO { x } else { T::ZERO };
    positive + (-x.abs()).exp().ln_1p()
}

/// The error function `2/√π ∫₀ˣ e^(-t²) dt`.
#[inline]
pub fn erf<T: Element>(x: T) -> T {
    T::from_f64(libm::erf(x.as_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_do_not_overflow() {
        assert_eq!((sigmoid(1000.0f32), sigmoid(-1000.0f32)), (1.0, 0.0));
        assert_eq!((softplus(1000.0f32), softplus(-1000.0f32)), (1000.0, 0.0));
        assert_eq!(sigmoid(0.0f64), 0.5);
        assert!(relu(f32::NAN).is_nan());
    }
}

//! Functions of one number that the standard library lacks.

use crate::Element;

/// `max(x, 0)`, where NaN stays NaN.
#[inline(always)]
pub fn relu<T: Element>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

/// The activation that is computed in the same pass as a convolution or a normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rectifier {
    /// None: the identity.
    #[default]
    None,
    /// `max(y, 0)`.
    Relu,
    /// `min(max(y, 0), 6)`.
    Relu6,
}

/// The largest output of [`Rectifier::Relu6`].
pub(crate) const CEILING: f64 = 6.0;

impl Rectifier {
    /// The largest output, if it is limited.
    pub(crate) fn ceiling<T: Element>(self) -> T {
        if self == Self::Relu6 { T::from_f64(CEILING) } else { T::infinity() }
    }

    /// The activation of one value; NaN stays NaN.
    #[inline(always)]
    pub fn of<T: Element>(self, y: T) -> T {
        match self {
            Self::None => y,
            Self::Relu => relu(y),
            Self::Relu6 => {
                let (y, ceiling) = (relu(y), T::from_f64(CEILING));
                if y > ceiling { ceiling } else { y }
            }
        }
    }
}

/// `1 / (1 + e⁻ˣ)` without overflow.
#[inline(always)]
pub fn sigmoid<T: Element>(x: T) -> T {
    let e = (-x.abs()).exp_negative();
    let above = if x < T::ZERO { e } else { T::ONE };
    above / (T::ONE + e)
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

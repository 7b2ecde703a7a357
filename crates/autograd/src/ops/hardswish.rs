//! Swish with the piecewise linear `hardsigmoid` (Howard et al., 2019).

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::{Saves, Var};

unary! {
    /// `y = x hardsigmoid(x)`; `dx = dy (x/3 + 1/2)` for `|x| < 3`, 0 below and `dy` above; at the kinks 0
    /// and `dy`.
    Hardswish {}, hardswish, Saves::inputs(&[0]), input,
    |x| {
        let y = x / T::from_f64(6.0) + T::from_f64(0.5);
        x * if y < T::ZERO {
            T::ZERO
        } else if y > T::ONE {
            T::ONE
        } else {
            y
        }
    },
    |x, dy| {
        let three = T::from_f64(3.0);
        if x <= -three {
            T::ZERO
        } else if x >= three {
            dy
        } else {
            dy * (x / three + T::from_f64(0.5))
        }
    },
    graph |x, dy| {
        let above = Var::constant(
            x.value()
                .clone()
                .map(|x| if x >= T::from_f64(3.0) { T::ONE } else { T::ZERO }),
        );
        let inside = super::hardsigmoid::inside(x.clone());
        dy.clone() * above + dy * inside * x.affine(1.0 / 3.0, 0.5)
    },
    facts(
        "y = x hardsigmoid(x)",
        "dx = dy (x/3 + 1/2) where |x| < 3, 0 below, dy above",
        "F.hardswish(a)"
    ).kinks("0 at x = -3, dy at x = 3"),
    (), [sample(1, &[2, 5]), sample(2, &[3, 2]).scale(5.0)]
}

//! The logistic function approximated by three straight lines (Howard et al., 2019).

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::{Saves, Var};

unary! {
    /// `y = min(max(x/6 + 1/2, 0), 1)`; `dx = dy / 6` for `|x| < 3`, 0 elsewhere, the kinks included.
    Hardsigmoid {}, hardsigmoid, Saves::inputs(&[0]), input,
    |x| {
        let y = x / T::from_f64(6.0) + T::from_f64(0.5);
        if y < T::ZERO {
            T::ZERO
        } else if y > T::ONE {
            T::ONE
        } else {
            y
        }
    },
    |x, dy| if x.abs() < T::from_f64(3.0) { dy / T::from_f64(6.0) } else { T::ZERO },
    graph |x, dy| dy.scale(1.0 / 6.0) * inside(x),
    facts(
        "y = min(max(x/6 + 1/2, 0), 1)",
        "dx = dy / 6 where |x| < 3",
        "F.hardsigmoid(a)"
    ).kinks("0 at x = ±3"),
    (), [sample(1, &[2, 5]), sample(2, &[3, 2]).scale(5.0)]
}

/// 1 where `|x| < 3` and 0 elsewhere, as a constant.
pub(super) fn inside<T: Element>(x: Var<T>) -> Var<T> {
    Var::constant(x.into_value().map(|x| if x.abs() < T::from_f64(3.0) { T::ONE } else { T::ZERO }))
}

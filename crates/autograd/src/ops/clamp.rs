//! Values limited to a range.

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::{Saves, Var};

unary! {
    /// `y = min(max(x, low), high)`; `dx = dy` inside, the ends included, and 0 outside. NaN stays NaN.
    Clamp { low, high }, clamp, Saves::inputs(&[0]), input,
    // Without branches, so that the loops are vectorised.
    |x| {
        let x = if x < low { low } else { x };
        if x > high { high } else { x }
    },
    |x, dy| if (x < low) | (x > high) { T::ZERO } else { dy },
    graph |x, dy| {
        dy * Var::constant(x.into_value().map(|x| {
            if x < T::from_f64(low) || x > T::from_f64(high) {
                T::ZERO
            } else {
                T::ONE
            }
        }))
    },
    facts(
        "y = min(max(x, low), high)",
        "dx = dy where low ≤ x ≤ high",
        "torch.clamp(a, -1.0, 0.75)"
    ).kinks("dy at both ends"),
    (-1.0, 0.75), [sample(1, &[2, 5])]
}

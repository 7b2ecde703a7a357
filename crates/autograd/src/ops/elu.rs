//! The exponential linear unit (Clevert, Unterthiner and Hochreiter, 2016).

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::{Saves, Var};

unary! {
    /// `y = x` where `x > 0`, `alpha (eˣ - 1)` elsewhere; `dx = dy` or `dy alpha eˣ`.
    Elu { alpha }, elu, Saves::inputs(&[0]), input,
    |x| if x > T::ZERO { x } else { alpha * x.exp_m1() },
    |x, dy| if x > T::ZERO { dy } else { dy * alpha * x.exp() },
    graph |x, dy| {
        let negative = not_positive(&x);
        dy.clone() * super::relu::passes(x.clone())
            + dy * (x * negative.clone()).exp() * negative.scale(alpha)
    },
    facts(
        "y = x where x > 0, alpha (eˣ - 1) elsewhere",
        "dx = dy or dy alpha eˣ",
        "F.elu(a, 0.7)"
    ).kinks("alpha at x = 0"),
    (0.7), [sample(1, &[2, 5])]
}

/// 1 where `x` is not positive and 0 elsewhere, as a constant.
pub(super) fn not_positive<T: Element>(x: &Var<T>) -> Var<T> {
    Var::constant(x.value().clone().map(|x| if x > T::ZERO { T::ZERO } else { T::ONE }))
}

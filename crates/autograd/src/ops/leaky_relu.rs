//! The ReLU with a small slope for negative inputs (Maas et al., 2013).

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::{Saves, Var};

unary! {
    /// `y = x` where `x > 0`, `slope x` elsewhere; `dx` is `dy` or `slope dy` likewise, the latter at the
    /// kink.
    LeakyRelu { slope }, leaky_relu, Saves::inputs(&[0]), input,
    |x| if x > T::ZERO { x } else { slope * x },
    |x, dy| if x > T::ZERO { dy } else { slope * dy },
    graph |x, dy| {
        dy * Var::constant(
            x.into_value()
                .map(|x| if x > T::ZERO { T::ONE } else { T::from_f64(slope) }),
        )
    },
    facts(
        "y = x where x > 0, slope x elsewhere",
        "dx = dy or slope dy",
        "F.leaky_relu(a, 0.1)"
    ).kinks("slope at x = 0"),
    (0.1), [sample(1, &[2, 5])]
}

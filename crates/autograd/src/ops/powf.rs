//! A fixed power.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = xᵖ`; `dx = dy p xᵖ⁻¹`. NaN for negative `x` unless `p` is whole.
    Powf { p }, powf, Saves::inputs(&[0]), input,
    |x| x.powf(p),
    |x, dy| if p.is_zero() { T::ZERO } else { dy * p * x.powf(p - T::ONE) },
    graph |x, dy| if p == 0.0 { super::zeros(x.shape()) } else { dy * x.powf(p - 1.0).scale(p) },
    facts("y = xᵖ", "dx = dy p xᵖ⁻¹", "torch.pow(a, 2.5)").kinks("infinite at x = 0 for p < 1, NaN for x < 0 unless p is whole"),
    (2.5), [positive_sample(1, &[2, 5])]
}

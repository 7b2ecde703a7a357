//! The absolute value.

use crate::Saves;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;

unary! {
    /// `y = |x|`; `dx = dy sign(x)`, and 0 at the kink.
    Abs {}, abs, Saves::inputs(&[0]), input,
    |x| x.abs(),
    |x, dy| if x.is_zero() { x } else { dy * x.signum() },
    graph |x, dy| dy * x.sign().detach(),
    facts("y = |x|", "dx = dy sign(x)", "torch.abs(a)").kinks("0 at x = 0"),
    (), [sample(1, &[2, 5])]
}

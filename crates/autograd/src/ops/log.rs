//! The natural logarithm.

use crate::Saves;
use crate::gradcheck::positive_sample;

unary! {
    /// `y = ln x`; `dx = dy / x`. NaN for negative `x`, -inf at 0.
    Log {}, log, Saves::inputs(&[0]), input,
    |x| x.ln(),
    |x, dy| dy / x,
    graph |x, dy| dy / x,
    facts("y = ln x", "dx = dy / x", "torch.log(a)"),
    (), [positive_sample(1, &[2, 5])]
}

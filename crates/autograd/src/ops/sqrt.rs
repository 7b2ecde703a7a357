//! The square root.

use crate::Saves;
use crate::gradcheck::positive_sample;

unary! {
    /// `y = √x`; `dx = dy / 2y`. NaN for negative `x`; the gradient at 0 is infinite.
    Sqrt, sqrt, Saves::OUTPUT, output,
    |x| x.sqrt(),
    |y, dy| dy / (y + y),
    vec![positive_sample(1, &[2, 5])]
}

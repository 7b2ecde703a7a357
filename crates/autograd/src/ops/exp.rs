//! The exponential function.

use crate::Saves;
use crate::gradcheck::sample;

unary! {
    /// `y = eˣ`; `dx = dy y`.
    Exp, exp, Saves::OUTPUT, output,
    |x| x.exp(),
    |y, dy| dy * y,
    vec![sample(1, &[2, 5])]
}

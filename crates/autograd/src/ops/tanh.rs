//! The hyperbolic tangent.

use crate::Saves;
use crate::gradcheck::sample;

unary! {
    /// `y = tanh x`; `dx = dy (1 - y²)`.
    Tanh, tanh, Saves::OUTPUT, output,
    |x| x.tanh(),
    |y, dy| dy - dy * y * y,
    vec![sample(1, &[2, 5])]
}

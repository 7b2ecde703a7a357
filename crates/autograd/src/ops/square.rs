//! The square.

use crate::Saves;
use crate::gradcheck::sample;

unary! {
    /// `y = x²`; `dx = 2 dy x`.
    Square, square, Saves::inputs(&[0]), input,
    |x| x * x,
    |x, dy| dy * (x + x),
    vec![sample(1, &[2, 5])]
}

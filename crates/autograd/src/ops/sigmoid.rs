//! The logistic function.

use crate::Saves;
use crate::gradcheck::sample;

unary! {
    /// `y = 1 / (1 + e⁻ˣ)`; `dx = dy y (1 - y)`. Does not overflow.
    Sigmoid, sigmoid, Saves::OUTPUT, output,
    |x| cerberus_tensor::sigmoid(x),
    |y, dy| dy * (y - y * y),
    vec![sample(1, &[2, 5])]
}

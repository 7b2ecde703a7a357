//! The rectifier.

use crate::Saves;
use crate::gradcheck::sample;

unary! {
    /// `y = max(x, 0)`; `dx = dy` where `y > 0`, 0 elsewhere, the kink included. NaN stays NaN.
    Relu, relu, Saves::OUTPUT, output,
    |x| cerberus_tensor::relu(x),
    |y, dy| if y > T::ZERO { dy } else { T::ZERO },
    vec![sample(1, &[2, 5]), sample(2, &[3, 1, 4])]
}

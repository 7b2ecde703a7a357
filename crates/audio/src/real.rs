//! The element type of every transform: `f32` for data, `f64` for proofs.

use std::iter::Sum;

use num_traits::Float;
use realfft::FftNum;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`. Filters, windows and weights are computed in `f64` and rounded once.
pub trait Real: FftNum + Float + Sum + sealed::Sealed {
    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// The value in `f64`.
    fn wide(self) -> f64;
}

impl Real for f32 {
    fn of(value: f64) -> f32 {
        value as f32
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> f64 {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}

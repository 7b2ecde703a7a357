//! The element type of every transform, `f32` for data and `f64` for proofs, and the loops that take the time.
//!
//! The loops are written once and compiled here for both types: as generic functions they would be compiled, with the
//! library of transforms, in every crate that calls them, and in some of those for size.

use std::iter::Sum;
use std::sync::Arc;

use num_traits::Float;
use realfft::num_complex::Complex;
use realfft::{FftNum, RealFftPlanner, RealToComplex};

/// `f32` or `f64`. Filters, windows and weights are computed in `f64` and rounded once.
pub trait Real: FftNum + Float + Sum + Loops {
    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// The value in `f64`.
    fn wide(self) -> f64;
}

/// Private, so that there are no other element types.
pub trait Loops: Sized {
    /// The transform of `n` real numbers.
    fn plan(n: usize) -> Arc<dyn RealToComplex<Self>>;

    /// The sum of products.
    fn dot(a: &[Self], b: &[Self]) -> Self;

    /// Products.
    fn multiply(y: &mut [Self], a: &[Self], b: &[Self]);

    /// Squares of magnitudes.
    fn energies(y: &mut [Self], x: &[Complex<Self>]);

    /// `ln(max(x, floor))` in place.
    fn logarithms(x: &mut [Self], floor: Self);
}

macro_rules! real {
    ($type:ident $(, $lazy:meta)?) => {
        impl Real for $type {
            fn of(value: f64) -> $type {
                value as $type
            }

            fn wide(self) -> f64 {
                f64::from(self)
            }
        }

        impl Loops for $type {
            $(#[$lazy])?
            fn plan(n: usize) -> Arc<dyn RealToComplex<$type>> {
                RealFftPlanner::new().plan_fft_forward(n)
            }

            fn dot(a: &[$type], b: &[$type]) -> $type {
                // Eight partial sums, which a vector holds.
                let mut sums = [0.0; 8];
                let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
                let rest = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum::<$type>();
                for (a, b) in a.zip(b) {
                    for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                        *sum += a * b;
                    }
                }
                sums.into_iter().sum::<$type>() + rest
            }

            fn multiply(y: &mut [$type], a: &[$type], b: &[$type]) {
                for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                    *y = a * b;
                }
            }

            fn energies(y: &mut [$type], x: &[Complex<$type>]) {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = x.re * x.re + x.im * x.im;
                }
            }

            fn logarithms(x: &mut [$type], floor: $type) {
                x.iter_mut().for_each(|x| *x = x.max(floor).ln());
            }
        }
    };
}

real!(f32);
// The transforms take seconds to compile: those of `f64` only where they are used, in tests.
real!(f64, inline);

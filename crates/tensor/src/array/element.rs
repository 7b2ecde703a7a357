//! The two element types, `f32` and `f64`, behind one sealed trait.
//!
//! Every kernel is written once, generic over [`Element`]. Training runs in
//! `f32`; the gradient checks run the same source in `f64`, where finite
//! differences are accurate enough to prove a rule. Labels and masks are plain
//! integer slices and never become tensors, so they cannot be differentiated by
//! mistake.

use std::fmt::{Debug, Display};
use std::iter::Sum;

use super::fast;
use wide::f32x8;

use crate::conv::kernels::{self, Kernels};
use crate::pool::Pooled;
use crate::products::matmul;
use crate::products::strided::Strided;
use crate::simd::isa::Isa;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// Something that is made in one way for `f32` and in another for `f64`; see
/// [`Element::choose`].
pub trait PerElement {
    /// What is made for the element type `T`.
    type Output<T: Element>;
    /// For `f32`.
    fn single(self) -> Self::Output<f32>;
    /// For `f64`.
    fn double(self) -> Self::Output<f64>;
}

/// A number a [`Tensor`](crate::Tensor) can hold: `f32` or `f64`.
///
/// Arithmetic and elementary functions come from [`num_traits::Float`].
pub trait Element:
    num_traits::Float
    + num_traits::NumAssign
    + Sum
    + Default
    + Debug
    + Display
    + Send
    + Sync
    + 'static
    + Pooled
    + sealed::Sealed
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Name of the type as files and messages spell it: `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest value to `value`.
    fn from_f64(value: f64) -> Self;
    /// The value as `f64`, exactly.
    fn as_f64(self) -> f64;

    /// Replaces every value by its exponential; vectorised in `f32`.
    ///
    /// The `f32` version differs from the correctly rounded value by at most a
    /// few units in the last place.
    fn exp_slice(values: &mut [Self]);

    /// `eˣ` for `x` up to 0; a loop over `f32` is vectorised by the compiler.
    ///
    /// In `f32` the relative error is below 1.5e-7, and numbers below 1e-37 are 0.
    fn exp_negative(self) -> Self;

    /// The distribution function of the normal distribution, `Φ(x) = (1 + erf(x/√2)) / 2`, and `e^(-x²/2)`; a loop over
    /// `f32` is vectorised by the compiler.
    ///
    /// In `f32` the relative error of both is below 1e-6 where `|x| < 4`, and grows with `x²`.
    fn normal(self) -> [Self; 2];

    /// Calls [`single`](PerElement::single) for `f32` and
    /// [`double`](PerElement::double) for `f64`, from generic code. Both are
    /// compiled once, in the crate that implements `P`; generic functions are
    /// compiled again in every crate that calls them.
    fn choose<P: PerElement>(per_element: P) -> P::Output<Self>;

    /// The instruction set the convolution kernels use in this run:
    /// `"avx512"`, `"avx2"` or `"portable"`.
    fn kernel_name() -> &'static str {
        Self::kernels().isa.name()
    }

    #[doc(hidden)]
    fn kernels() -> &'static Kernels<Self>;
    #[doc(hidden)]
    fn kernels_for(isa: Isa) -> Kernels<Self>;
    /// The matrix product on this thread; see [`Tensor::matmul`](crate::Tensor::matmul).
    #[doc(hidden)]
    fn gemm(size: [usize; 3], a: Strided<'_, Self>, b: Strided<'_, Self>, c: &mut [Self]);
}

macro_rules! element {
    ($type:ident, $name:literal, $choose:ident, $gemm:path, $exp:path) => {
        impl Element for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NAME: &'static str = $name;

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $type
            }

            #[inline(always)]
            fn as_f64(self) -> f64 {
                f64::from(self)
            }

            fn choose<P: PerElement>(per_element: P) -> P::Output<Self> {
                per_element.$choose()
            }

            fn exp_slice(values: &mut [Self]) {
                $exp(values)
            }

            #[inline(always)]
            fn exp_negative(self) -> Self {
                fast::$type::exp_negative(self)
            }

            #[inline(always)]
            fn normal(self) -> [Self; 2] {
                fast::$type::normal(self)
            }

            fn kernels() -> &'static Kernels<Self> {
                static KERNELS: std::sync::LazyLock<Kernels<$type>> =
                    std::sync::LazyLock::new(|| $type::kernels_for(Isa::active()));
                &KERNELS
            }

            fn kernels_for(isa: Isa) -> Kernels<Self> {
                kernels::$type(isa)
            }

            fn gemm(size: [usize; 3], a: Strided<'_, Self>, b: Strided<'_, Self>, c: &mut [Self]) {
                $gemm(size, a, b, c)
            }
        }
    };
}

element!(f32, "f32", single, matmul::kernel::f32, exp_f32);
element!(f64, "f64", double, matmul::kernel::f64, exp_f64);

fn exp_f32(values: &mut [f32]) {
    let mut chunks = values.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let lanes: [f32; 8] = (&*chunk).try_into().expect("chunks of eight");
        chunk.copy_from_slice(&exp_lanes(f32x8::from(lanes)).to_array());
    }
    let tail = chunks.into_remainder();
    // The tail goes through the same lanes, so that a value's exponential does
    // not depend on its place in the slice.
    let mut lanes = [0.0; 8];
    lanes[..tail.len()].copy_from_slice(tail);
    let lanes = exp_lanes(f32x8::from(lanes)).to_array();
    tail.copy_from_slice(&lanes[..tail.len()]);
}

/// `exp(x) = 2^n exp(r)` with `n` whole and `|r| <= ln(2) / 2`, where the series
/// converges fast. The vector library's function is not used: it fuses
/// multiplications with additions where the build allows it, and the result then
/// has other bits.
fn exp_lanes(x: f32x8) -> f32x8 {
    /// Adding it and subtracting it again rounds to the nearest whole number, which
    /// is in the last bits of the sum.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    /// `ln(2)` in two parts, the first short enough that `n` times it is exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    /// `1 / k!` for `k` from 7 down to 0.
    const SERIES: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    // Outside these limits the result is 0 or infinite; NaN passes both comparisons
    // unchanged.
    let (low, high) = (f32x8::splat(-104.0), f32x8::splat(89.0));
    let x = x.simd_lt(low).select(low, x);
    let x = x.simd_gt(high).select(high, x);
    let shifted = x * f32x8::splat(std::f32::consts::LOG2_E) + f32x8::splat(ROUND);
    let n = shifted - f32x8::splat(ROUND);
    let r = x - n * f32x8::splat(LN2[0]) - n * f32x8::splat(LN2[1]);
    let sum = SERIES[1..].iter().fold(f32x8::splat(SERIES[0]), |sum, &term| sum * r + f32x8::splat(term));
    // `2^n` as two factors, because `2^n` itself may be denormal or infinite.
    let n = shifted.to_array().map(|shifted| shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32);
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    let halves = [n.map(|n| power(n >> 1)), n.map(|n| power(n.wrapping_sub(n >> 1)))];
    sum * f32x8::from(halves[0]) * f32x8::from(halves[1])
}

fn exp_f64(values: &mut [f64]) {
    for value in values {
        *value = value.exp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectorised_exponential_is_close_to_the_exact_one_over_its_whole_range() {
        let inputs: Vec<f32> = (0..5000).map(|i| -100.0 + 0.0377 * i as f32).collect();
        let mut outputs = inputs.clone();
        f32::exp_slice(&mut outputs);
        for (x, y) in inputs.iter().zip(&outputs) {
            let exact = f64::from(*x).exp();
            if exact < f64::from(f32::MAX) {
                let error = (f64::from(*y) - exact).abs() / exact.max(1e-37);
                assert!(error < 1e-6, "exp({x}) = {y}, exactly {exact}");
            }
        }
    }

    #[test]
    fn exponentials_have_the_same_bits_in_every_build() {
        let mut values: Vec<f32> = (0..4000).map(|i| -87.0 + 0.0441 * i as f32).collect();
        f32::exp_slice(&mut values);
        // FNV-1a over the bits.
        let hash = values.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, value| {
            (hash ^ u64::from(value.to_bits())).wrapping_mul(0x100_0000_01b3)
        });
        assert_eq!(hash, 0xa476d23a78af3e31, "{hash:#x}");
    }

    #[test]
    fn exponential_of_infinities_and_nan_is_as_in_the_standard_library() {
        let mut values = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0, -200.0];
        f32::exp_slice(&mut values);
        assert_eq!(values[0], 0.0);
        assert_eq!(values[1], f32::INFINITY);
        assert!(values[2].is_nan());
        assert_eq!(values[3], 1.0);
        assert_eq!(values[4], 0.0);
    }
}

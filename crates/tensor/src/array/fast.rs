//! Functions of one number without branches or calls, so that the compiler vectorises loops over them; in `f64`, which
//! serves checks, they are the exact ones.

pub(super) mod f32 {
    use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

    /// `a b + c`, rounded once where the CPU does that in one instruction: elsewhere `mul_add` would call a library.
    #[inline(always)]
    fn fused(a: f32, b: f32, c: f32) -> f32 {
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
    }

    /// A polynomial by its coefficients, that of the highest power first.
    #[inline(always)]
    fn polynomial<const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
        coefficients[1..].iter().fold(coefficients[0], |sum, &term| fused(sum, x, term))
    }

    /// `eˣ` for `x` up to 0; below `10⁻³⁷` it is 0, so that the power of two can be put together in one piece.
    #[inline(always)]
    pub fn exp_negative(x: f32) -> f32 {
        const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
        const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
        const SERIES: [f32; 8] =
            [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
        // The lowest bits of `shifted` are the whole number next to x / ln 2.
        let shifted = fused(x, LOG2_E, ROUND);
        let n = shifted - ROUND;
        let r = fused(n, -LN2[1], fused(n, -LN2[0], x));
        let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        if x < -85.0 { 0.0 } else { polynomial(&SERIES, r) * power }
    }

    /// `Φ(x)` and `e^(-x²/2)`. With `z = |x|/√2`, `erfc(z) e^(z²)` is a polynomial of `t = 1 / (1 + z/2)` without a
    /// constant term, fitted by least relative deviation for `z` up to 10.3, where `e^(-z²)` leaves the numbers.
    #[inline(always)]
    pub fn normal(x: f32) -> [f32; 2] {
        /// Of `t⁹` down to `t`.
        const FIT: [f32; 9] = [
            -0.059_149_36,
            0.284_968_01,
            -0.488_015_52,
            0.279_002_46,
            -0.027_271_612,
            0.202_960_92,
            0.243_034_3,
            0.282_384_9,
            0.282_085_87,
        ];
        let z = x.abs() * FRAC_1_SQRT_2;
        let density = exp_negative(-z * z);
        let t = 1.0 / (1.0 + 0.5 * z);
        let scaled = t * polynomial(&FIT, t);
        let beyond = 0.5 * density * scaled;
        [if x < 0.0 { beyond } else { 1.0 - beyond }, density]
    }
}

pub(super) mod f64 {
    #[inline(always)]
    pub fn exp_negative(x: f64) -> f64 {
        x.exp()
    }

    #[inline(always)]
    pub fn normal(x: f64) -> [f64; 2] {
        [0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)), (-0.5 * x * x).exp()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> impl Iterator<Item = f32> {
        let extremes = [f32::INFINITY, f32::NEG_INFINITY, -200.0, 0.0, -0.0, 1e-30];
        (0..40_000).map(|i| -100.0 + 0.005 * i as f32).chain(extremes)
    }

    #[test]
    fn exponentials_of_negative_numbers_are_as_exact_as_promised() {
        for x in points().filter(|&x| x <= 0.0) {
            let (found, exact) = (f64::from(f32::exp_negative(x)), f64::from(x).exp());
            assert!((found - exact).abs() <= 1.5e-7 * exact + 1.3e-37, "{x}: {found}, {exact}");
        }
        assert_eq!((f32::exp_negative(-0.0), f32::exp_negative(f32::NEG_INFINITY)), (1.0, 0.0));
        assert!(f32::exp_negative(f32::NAN).is_nan());
    }

    #[test]
    fn the_normal_distribution_is_as_exact_as_promised() {
        for x in points().filter(|x| x.abs() < 12.0) {
            let [found, density] = f32::normal(x).map(f64::from);
            let exact = 0.5 * libm::erfc(-f64::from(x) * std::f64::consts::FRAC_1_SQRT_2);
            let allowed = 1e-6 * (1.0 + 0.2 * f64::from(x * x));
            // Numbers below 1e-37 are 0.
            assert!((found - exact).abs() <= allowed * exact + 1.3e-37, "{x}: {found}, {exact}");
            let exact = (-0.5 * f64::from(x) * f64::from(x)).exp();
            assert!((density - exact).abs() <= allowed * exact + 1.3e-37, "{x}: {density}, {exact}");
        }
        assert_eq!(f32::normal(f32::INFINITY), [1.0, 0.0]);
        assert_eq!(f32::normal(f32::NEG_INFINITY), [0.0, 0.0]);
        assert!(f32::normal(f32::NAN)[0].is_nan());
    }
}

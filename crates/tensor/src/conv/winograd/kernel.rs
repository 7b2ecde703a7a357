//! The transforms of Winograd's convolution: small fixed matrices applied from
//! both sides to little squares of pixels, a vector of channels at a time.
//!
//! The convolution computes 4 outputs from 6 inputs and a kernel of 3. It is the
//! transpose of a product of polynomials: `G` evaluates the weights at the
//! points 0, ±a, ±b and infinity, `B^T` is the transposed interpolation and
//! `A^T` the transposed evaluation of the other factor (Winograd, "Arithmetic
//! Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2016). With `a = sqrt(1/2)` and `b = sqrt(2)`
//! the intermediate values grow least: the rounding error is about twice that of
//! the direct sum, while the usual points 1 and 2 lose five times as much.
//!
//! ```text
//!        1   0  -5/2  0   1  0            1    0    0            1  1  1   1    1   0
//!        0 -2a   -2   a   1  0            c   ca   c/2           0  a -a   b   -b   0
//! B^T =  0  2a   -2  -a   1  0       G =  c  -ca   c/2     A^T = 0 1/2 1/2 2    2   0
//!        0 -b/2 -1/2  b   1  0            d   db   2d            0 a/2 -a/2 2b -2b  1
//!        0  b/2 -1/2 -b   1  0            d  -db   2d
//!        0   1   0  -5/2  0  1            0    0    1      c = -2/3, d = 1/6
//! ```
//!
//! Before the products (`B^T x B`, `G w G^T`, and `A dy A^T` for the weight
//! gradient), a square of 6, 3 or 4 becomes one of 6: [`spread`]. After them
//! (`A^T m A`, and `G^T m G` for the weight gradient), a square of 6 becomes one
//! of 4 or 3: [`gather`]. All unsafe code of the algorithm is in this file,
//! behind those two functions, which check every place first.

#![allow(unsafe_code)]

use crate::simd::{Lanes, per_isa, rectify};
use crate::{Element, Rectifier};

/// Side of the squares in which the products happen.
pub(crate) const SIDE: usize = 6;
/// Number of positions in such a square, each with a matrix product of its own.
pub(crate) const POSITIONS: usize = SIDE * SIDE;
/// A pixel outside the image: read as zero, written nowhere.
pub(crate) const OUTSIDE: usize = usize::MAX;

/// Squares of `n x n` pixels to be transformed into squares of 6 x 6.
pub(crate) struct Spread<'a, T> {
    pub source: &'a [T],
    /// Where in `source` each pixel's channels start, square after square.
    pub places: &'a [usize],
    /// Channels to transform.
    pub channels: usize,
    /// As many zeros, for pixels outside.
    pub zeros: &'a [T],
    /// Distance in the result between positions, and between squares.
    pub position: usize,
    pub row: usize,
}

/// Squares of 6 x 6 to be transformed into squares of `n x n` pixels.
pub(crate) struct Gather<'a, T> {
    pub source: &'a [T],
    /// Distance in `source` between positions, and between squares.
    pub position: usize,
    pub row: usize,
    /// Where in the result each pixel's channels start, square after square.
    pub places: &'a [usize],
    /// Channels to store.
    pub channels: usize,
    /// Added to every pixel; whole vectors of at least `channels`.
    pub bias: &'a [T],
    /// What becomes of the results.
    pub activation: Rectifier,
}

pub(crate) type SpreadKernel<T> = unsafe fn(&Spread<T>, *mut T);
pub(crate) type GatherKernel<T> = unsafe fn(&Gather<T>, *mut T);

/// The transforms of one instruction set.
pub(crate) struct WinogradTable<T> {
    /// Elements per vector.
    pub lanes: usize,
    pub input: SpreadKernel<T>,
    pub gradient: SpreadKernel<T>,
    pub weight: SpreadKernel<T>,
    pub output: GatherKernel<T>,
    pub weight_gradient: GatherKernel<T>,
}

/// Which square [`spread`] starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// 6 x 6 pixels of the input: `B^T x B`.
    Input,
    /// 4 x 4 pixels of the output's gradient: `A dy A^T`.
    Gradient,
    /// 3 x 3 weights: `G w G^T`.
    Weight,
}

/// Which square [`gather`] ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// 4 x 4 pixels of the output: `A^T m A`.
    Output,
    /// 3 x 3 of the weights' gradient: `G^T m G`.
    WeightGradient,
}

impl From {
    pub fn side(self) -> usize {
        match self {
            From::Input => 6,
            From::Gradient => 4,
            From::Weight => 3,
        }
    }
}

impl To {
    pub fn side(self) -> usize {
        match self {
            To::Output => 4,
            To::WeightGradient => 3,
        }
    }
}

/// Transforms all squares of `work` into `to`, where channels are padded with
/// zeros to whole vectors.
///
/// # Panics
/// If a square reaches outside a slice.
pub(crate) fn spread<T: Element>(set: &WinogradTable<T>, from: From, work: &Spread<T>, to: &mut [T]) {
    let pixels = from.side() * from.side();
    let rows = work.places.len() / pixels;
    if rows == 0 || work.channels == 0 {
        return;
    }
    let width = work.channels.next_multiple_of(set.lanes);
    let last = work.source.len().checked_sub(work.channels).expect("the source holds a pixel's channels");
    assert!(work.places.len() == rows * pixels && work.zeros.len() >= work.channels);
    assert!(work.places.iter().all(|&place| place <= last || place == OUTSIDE));
    assert!((POSITIONS - 1) * work.position + (rows - 1) * work.row + width <= to.len());
    let kernel = match from {
        From::Input => set.input,
        From::Gradient => set.gradient,
        From::Weight => set.weight,
    };
    // SAFETY: the assertions bound every element that is read or written, and
    // the table's instruction set was detected.
    unsafe { kernel(work, to.as_mut_ptr()) }
}

/// Transforms all squares of `work` back into pixels of `to`.
///
/// # Panics
/// If a square reaches outside a slice.
pub(crate) fn gather<T: Element>(set: &WinogradTable<T>, to: To, work: &Gather<T>, pixels: &mut [T]) {
    let count = to.side() * to.side();
    let rows = work.places.len() / count;
    if rows == 0 || work.channels == 0 {
        return;
    }
    let width = work.channels.next_multiple_of(set.lanes);
    let last = pixels.len().checked_sub(work.channels).expect("the result holds a pixel's channels");
    assert!(work.places.len() == rows * count && work.bias.len() >= width);
    assert!(work.places.iter().all(|&place| place <= last || place == OUTSIDE));
    assert!((POSITIONS - 1) * work.position + (rows - 1) * work.row + width <= work.source.len());
    let kernel = match to {
        To::Output => set.output,
        To::WeightGradient => set.weight_gradient,
    };
    // SAFETY: the assertions bound every element that is read or written, and
    // the table's instruction set was detected.
    unsafe { kernel(work, pixels.as_mut_ptr()) }
}

/// The points.
const A: f64 = std::f64::consts::FRAC_1_SQRT_2;
const B: f64 = std::f64::consts::SQRT_2;
/// The factors of G's rows.
const C: f64 = -2.0 / 3.0;
const D: f64 = 1.0 / 6.0;

/// # Safety
/// The CPU must have `V`'s features.
#[inline(always)]
unsafe fn number<V: Lanes>(value: f64) -> V {
    // SAFETY: the caller's promise.
    unsafe { V::splat(V::Scalar::from_f64(value)) }
}

/// `even + odd` and `even - odd`: the values at a point and at its negative.
///
/// # Safety
/// The CPU must have `V`'s features.
#[inline(always)]
unsafe fn pair<V: Lanes>(even: V, odd: V) -> [V; 2] {
    // SAFETY: the caller's promise.
    unsafe { [even.add(odd), even.sub(odd)] }
}

/// One column into six values: by `B^T`, `A` or `G`, for `N` of 6, 4 or 3.
///
/// # Safety
/// The CPU must have `V`'s features.
#[inline(always)]
unsafe fn widen<V: Lanes, const N: usize>(x: [V; N]) -> [V; SIDE] {
    // SAFETY: the caller's promise.
    unsafe {
        let n = |value: f64| number::<V>(value);
        match N {
            6 => {
                let [m1, m2] = pair(n(-2.0).mul_add(x[2], x[4]), n(A).mul(n(-2.0).mul_add(x[1], x[3])));
                let [m3, m4] = pair(n(-0.5).mul_add(x[2], x[4]), n(B).mul(n(-0.5).mul_add(x[1], x[3])));
                let first = n(-2.5).mul_add(x[2], x[0].add(x[4]));
                let last = n(-2.5).mul_add(x[3], x[1].add(x[5]));
                [first, m1, m2, m3, m4, last]
            }
            4 => {
                let [m1, m2] = pair(n(0.5).mul_add(x[2], x[0]), n(A).mul(n(0.5).mul_add(x[3], x[1])));
                let [m3, m4] = pair(n(2.0).mul_add(x[2], x[0]), n(B).mul(n(2.0).mul_add(x[3], x[1])));
                [x[0], m1, m2, m3, m4, x[3]]
            }
            _ => {
                let [m1, m2] = pair(n(C).mul(n(0.5).mul_add(x[2], x[0])), n(C * A).mul(x[1]));
                let [m3, m4] = pair(n(D).mul(n(2.0).mul_add(x[2], x[0])), n(D * B).mul(x[1]));
                [x[0], m1, m2, m3, m4, x[2]]
            }
        }
    }
}

/// Six values into one column: by `A^T` or `G^T`, for `N` of 4 or 3.
///
/// # Safety
/// The CPU must have `V`'s features.
#[inline(always)]
unsafe fn narrow<V: Lanes, const N: usize>(m: [V; SIDE]) -> [V; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let n = |value: f64| number::<V>(value);
        let ([even1, odd1], [even2, odd2]) = (pair(m[1], m[2]), pair(m[3], m[4]));
        let mut y = [m[0]; N];
        if N == 4 {
            y[0] = m[0].add(even1.add(even2));
            y[1] = n(B).mul_add(odd2, n(A).mul(odd1));
            y[2] = n(2.0).mul_add(even2, n(0.5).mul(even1));
            y[3] = n(2.0 * B).mul_add(odd2, n(0.5 * A).mul_add(odd1, m[5]));
        } else {
            y[0] = n(C).mul_add(even1, n(D).mul_add(even2, m[0]));
            y[1] = n(C * A).mul_add(odd1, n(D * B).mul(odd2));
            y[2] = n(0.5 * C).mul_add(even1, n(2.0 * D).mul_add(even2, m[5]));
        }
        y
    }
}

/// See [`spread`].
///
/// # Safety
/// The places, strides and slices must fit as [`spread`] asserts, and the CPU
/// have `V`'s features.
#[inline(always)]
unsafe fn spread_body<V: Lanes, const N: usize>(work: &Spread<V::Scalar>, to: *mut V::Scalar) {
    for (row, places) in work.places.chunks_exact(N * N).enumerate() {
        let mut pixels = [[work.zeros.as_ptr(); N]; N];
        for (pixel, &place) in pixels.iter_mut().flatten().zip(places) {
            if place != OUTSIDE {
                *pixel = work.source.as_ptr().wrapping_add(place);
            }
        }
        let mut channel = 0;
        while channel < work.channels {
            let count = (work.channels - channel).min(V::LEN);
            // SAFETY: the caller's promise: every pixel has `channels` elements
            // and every position room for whole vectors.
            unsafe {
                let mut columns = [[number::<V>(0.0); SIDE]; N];
                for (x, column) in columns.iter_mut().enumerate() {
                    let mut values = [number::<V>(0.0); N];
                    for (y, value) in values.iter_mut().enumerate() {
                        let pixel = pixels[y][x].add(channel);
                        *value = if count == V::LEN { V::load(pixel) } else { V::load_part(pixel, count) };
                    }
                    *column = widen::<V, N>(values);
                }
                let to = to.add(row * work.row + channel);
                for y in 0..SIDE {
                    let mut values = [number::<V>(0.0); N];
                    for (value, column) in values.iter_mut().zip(&columns) {
                        *value = column[y];
                    }
                    for (x, value) in widen::<V, N>(values).into_iter().enumerate() {
                        value.store(to.add((y * SIDE + x) * work.position));
                    }
                }
            }
            channel += V::LEN;
        }
    }
}

/// See [`gather`].
///
/// # Safety
/// The places, strides and slices must fit as [`gather`] asserts, and the CPU
/// have `V`'s features.
#[inline(always)]
unsafe fn gather_body<V: Lanes, const N: usize>(work: &Gather<V::Scalar>, to: *mut V::Scalar) {
    for (row, places) in work.places.chunks_exact(N * N).enumerate() {
        let mut channel = 0;
        while channel < work.channels {
            let count = (work.channels - channel).min(V::LEN);
            // SAFETY: the caller's promise: every position has whole vectors and
            // every pixel inside room for `channels` elements.
            unsafe {
                let source = work.source.as_ptr().add(row * work.row + channel);
                let mut columns = [[number::<V>(0.0); N]; SIDE];
                for (x, column) in columns.iter_mut().enumerate() {
                    let mut values = [number::<V>(0.0); SIDE];
                    for (y, value) in values.iter_mut().enumerate() {
                        *value = V::load(source.add((y * SIDE + x) * work.position));
                    }
                    *column = narrow::<V, N>(values);
                }
                let bias = V::load(work.bias.as_ptr().add(channel));
                for y in 0..N {
                    let mut values = [number::<V>(0.0); SIDE];
                    for (value, column) in values.iter_mut().zip(&columns) {
                        *value = column[y];
                    }
                    let mut values = [narrow::<V, N>(values).map(|value| value.add(bias))];
                    rectify(&mut values, work.activation);
                    for (x, value) in values[0].into_iter().enumerate() {
                        let place = places[y * N + x];
                        if place == OUTSIDE {
                            continue;
                        }
                        let to = to.add(place + channel);
                        if count == V::LEN { value.store(to) } else { value.store_part(to, count) }
                    }
                }
            }
            channel += V::LEN;
        }
    }
}

per_isa!(spread_kernel, spread_body, <N: usize>, (work: &Spread<V::Scalar>, to: *mut V::Scalar));
per_isa!(gather_kernel, gather_body, <N: usize>, (work: &Gather<V::Scalar>, to: *mut V::Scalar));

/// The table of one instruction set's transforms.
macro_rules! winograd_table {
    ($isa:ident, $vector:ty) => {{
        use $crate::conv::winograd::kernel::{WinogradTable, gather_kernel, spread_kernel};
        WinogradTable {
            lanes: <$vector>::LEN,
            input: spread_kernel::$isa::<$vector, 6>,
            gradient: spread_kernel::$isa::<$vector, 4>,
            weight: spread_kernel::$isa::<$vector, 3>,
            output: gather_kernel::$isa::<$vector, 4>,
            weight_gradient: gather_kernel::$isa::<$vector, 3>,
        }
    }};
}
pub(crate) use winograd_table;

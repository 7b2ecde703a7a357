//! The inner kernel of the implicit convolution: one small tile of output,
//! held in registers while a long sum runs over it.
//!
//! `C[i][j] += sum_s sum_p a[s.a + p*a_step + i*a_row] * b[s.b + p*b_step + j]`
//!
//! for `i` below the tile's rows and `j` below its width (one or two vectors),
//! where either the steps (`a_step` 1, `b` packed: rows are pixels) or the rows
//! (`a_row` 1: rows are channels) lie side by side. Each step loads a short row of `b`, broadcasts one `a` per tile row and does
//! one fused multiply-add per register. The body is written once, generic over
//! the vector type and the tile's size, and inlined into a wrapper per
//! instruction set; which set runs is decided once, from what the CPU has.
//!
//! This file holds all the unsafe code of the convolution. [`TileSet::run`] is
//! safe: it checks the reach of every pointer against its slice first.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use std::mem::MaybeUninit;

use crate::Element;

/// The most rows and columns a tile has with any instruction set.
const MOST_ROWS: usize = 12;
const WIDEST: usize = 32;

/// A stretch of the sum: where it starts in `a` and in `b`, and its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub a: usize,
    pub b: usize,
    pub len: usize,
}

/// What the tile holds before the sum is added.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    /// The same row of at least the tile's width in every tile row.
    Row(&'a [T]),
    /// What `c` holds.
    Stored,
}

/// One tile's work; see the formula at the top of the file.
pub(crate) struct Tile<'a, T> {
    pub a: &'a [T],
    pub a_row: usize,
    pub a_step: usize,
    pub b: &'a [T],
    pub b_step: usize,
    pub segments: &'a [Segment],
    /// Distance between rows in `c`, and how many of the tile's columns are stored there.
    pub c_row: usize,
    pub columns: usize,
    pub start: Start<'a, T>,
    /// Whether negative results become zero.
    pub relu: bool,
}

type Kernel<T> = unsafe fn(&Tile<T>, *mut T);

/// The tile kernels of one instruction set for one element type.
#[doc(hidden)]
pub struct TileSet<T: 'static> {
    /// Name of the instruction set.
    pub name: &'static str,
    /// Elements per vector.
    pub(crate) lanes: usize,
    /// The tallest tile whose accumulators fit the registers.
    pub(crate) rows: usize,
    /// By kind (rows are pixels, rows are channels), vectors (1, 2) and rows (1 ..= MOST_ROWS).
    kernels: [[[Kernel<T>; MOST_ROWS]; 2]; 2],
}

impl<T: Element> TileSet<T> {
    /// Computes one tile of `rows` rows and `vectors` vectors into `c`.
    ///
    /// # Panics
    /// If the tile reaches outside its slices, or is larger than the set has.
    pub(crate) fn run(&self, rows: usize, vectors: usize, tile: &Tile<T>, c: &mut [T]) {
        let width = vectors * self.lanes;
        for s in tile.segments.iter().filter(|s| s.len > 0) {
            assert!(s.a + (s.len - 1) * tile.a_step + (rows - 1) * tile.a_row < tile.a.len());
            assert!(s.b + (s.len - 1) * tile.b_step + width <= tile.b.len());
        }
        assert!(tile.columns <= width && (rows - 1) * tile.c_row + tile.columns <= c.len());
        if let Start::Row(row) = tile.start {
            assert!(row.len() >= width);
        }
        assert!(rows <= self.rows);
        let pixels = tile.a_step == 1 && tile.b_step == width;
        assert!(pixels || tile.a_row == 1, "a tile's rows or its steps must be neighbours");
        // SAFETY: the assertions bound every element that the kernel reads or
        // writes, and `choose` took the set only after detecting its features.
        unsafe { self.kernels[usize::from(!pixels)][vectors - 1][rows - 1](tile, c.as_mut_ptr()) }
    }
}

/// A vector register of `LEN` numbers.
///
/// # Safety
/// `load` and `store` touch `LEN` consecutive elements; every method needs the
/// CPU features of its type and is only called inside wrappers that enable them.
trait Lanes: Copy {
    type Scalar: Element;
    const LEN: usize;
    unsafe fn splat(value: Self::Scalar) -> Self;
    unsafe fn load(from: *const Self::Scalar) -> Self;
    unsafe fn store(self, to: *mut Self::Scalar);
    /// `self * b + c`.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// Zero where negative; NaN stays.
    unsafe fn relu(self) -> Self;
}

/// Adds a stretch of the sum in which `a`'s steps and `b`'s rows follow each other.
///
/// Four steps share their addresses. Rows are reached from every third one, by
/// once and twice the row distance, which x86 adds for free: a pointer for each
/// of the rows would not fit the registers, and computing them one from the
/// other would take as long as the arithmetic.
///
/// # Safety
/// As [`tile_body`], for this stretch.
#[inline(always)]
unsafe fn add_pixels<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    sum: &mut [[V; VECTORS]; ROWS],
    a: *const V::Scalar,
    a_row: usize,
    mut b: *const V::Scalar,
    len: usize,
) {
    let mut bases = [a; MOST_ROWS.div_ceil(3)];
    for (i, base) in bases.iter_mut().enumerate() {
        *base = a.wrapping_add(3 * i * a_row);
    }
    // SAFETY: the caller's promise; pointers that may have left the slice are
    // not read again.
    unsafe {
        for _ in 0..len / 4 {
            for k in 0..4 {
                let row = load_row::<V, VECTORS>(b.add(k * VECTORS * V::LEN));
                for (i, sum) in sum.iter_mut().enumerate() {
                    add_product(sum, *bases[i / 3].add(i % 3 * a_row + k), row);
                }
            }
            for base in &mut bases {
                *base = base.wrapping_add(4);
            }
            b = b.wrapping_add(4 * VECTORS * V::LEN);
        }
        for _ in 0..len % 4 {
            let row = load_row::<V, VECTORS>(b);
            for (i, sum) in sum.iter_mut().enumerate() {
                add_product(sum, *bases[i / 3].add(i % 3 * a_row), row);
            }
            for base in &mut bases {
                *base = base.wrapping_add(1);
            }
            b = b.wrapping_add(VECTORS * V::LEN);
        }
    }
}

/// Adds a stretch of the sum in which the rows of `a` are neighbours.
///
/// # Safety
/// As [`tile_body`], for this stretch.
#[inline(always)]
unsafe fn add_channels<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    sum: &mut [[V; VECTORS]; ROWS],
    mut a: *const V::Scalar,
    a_step: usize,
    mut b: *const V::Scalar,
    b_step: usize,
    len: usize,
) {
    // SAFETY: the caller's promise; pointers that may have left the slice are
    // not read again.
    unsafe {
        for _ in 0..len {
            let row = load_row::<V, VECTORS>(b);
            for (i, sum) in sum.iter_mut().enumerate() {
                add_product(sum, *a.add(i), row);
            }
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(b_step);
        }
    }
}

/// # Safety
/// `VECTORS * V::LEN` elements must be readable, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn load_row<V: Lanes, const VECTORS: usize>(b: *const V::Scalar) -> [V; VECTORS] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut row = [V::splat(V::Scalar::ZERO); VECTORS];
        for (j, row) in row.iter_mut().enumerate() {
            *row = V::load(b.add(j * V::LEN));
        }
        row
    }
}

/// `sum += value * row`.
///
/// # Safety
/// The CPU must have `V`'s features.
#[inline(always)]
unsafe fn add_product<V: Lanes, const VECTORS: usize>(
    sum: &mut [V; VECTORS],
    value: V::Scalar,
    row: [V; VECTORS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let value = V::splat(value);
        for (sum, row) in sum.iter_mut().zip(row) {
            *sum = value.mul_add(row, *sum);
        }
    }
}

/// The one kernel body; `inline(always)` so that it takes on the features of
/// the wrapper it lands in, and the small fixed loops unroll into registers.
#[inline(always)]
unsafe fn tile_body<V: Lanes, const ROWS: usize, const VECTORS: usize, const PIXELS: bool>(
    tile: &Tile<V::Scalar>,
    c: *mut V::Scalar,
) {
    let width = VECTORS * V::LEN;
    // Ragged right edges go through a full-width copy of a row, left unset
    // until then: clearing it for every tile would cost several percent.
    let mut edge = [MaybeUninit::<V::Scalar>::uninit(); WIDEST];
    let edge = edge.as_mut_ptr().cast::<V::Scalar>();
    let whole = tile.columns == width;
    // SAFETY: `TileSet::run` has checked the reach of `a`, `b`, `c` and the
    // start row; `edge` holds the widest row and is set before it is read.
    unsafe {
        let mut sum = [[V::splat(V::Scalar::ZERO); VECTORS]; ROWS];
        match tile.start {
            Start::Row(row) => {
                for sum in &mut sum {
                    for (j, sum) in sum.iter_mut().enumerate() {
                        *sum = V::load(row.as_ptr().add(j * V::LEN));
                    }
                }
            }
            Start::Stored => {
                for (i, sum) in sum.iter_mut().enumerate() {
                    let mut from = c.add(i * tile.c_row).cast_const();
                    if !whole {
                        edge.write_bytes(0, width);
                        std::ptr::copy_nonoverlapping(from, edge, tile.columns);
                        from = edge;
                    }
                    for (j, sum) in sum.iter_mut().enumerate() {
                        *sum = V::load(from.add(j * V::LEN));
                    }
                }
            }
        }
        for segment in tile.segments {
            let a = tile.a.as_ptr().add(segment.a);
            let b = tile.b.as_ptr().add(segment.b);
            if PIXELS {
                add_pixels::<V, ROWS, VECTORS>(&mut sum, a, tile.a_row, b, segment.len);
            } else {
                add_channels::<V, ROWS, VECTORS>(&mut sum, a, tile.a_step, b, tile.b_step, segment.len);
            }
        }
        for (i, sum) in sum.iter().enumerate() {
            let to = if whole { c.add(i * tile.c_row) } else { edge };
            for (j, sum) in sum.iter().enumerate() {
                let value = if tile.relu { sum.relu() } else { *sum };
                value.store(to.add(j * V::LEN));
            }
            if !whole {
                std::ptr::copy_nonoverlapping(edge.cast_const(), c.add(i * tile.c_row), tile.columns);
            }
        }
    }
}

macro_rules! vector {
    ($vector:ident, $scalar:ident, $len:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $max:ident) => {
        #[cfg(target_arch = "x86_64")]
        impl Lanes for $vector {
            type Scalar = $scalar;
            const LEN: usize = $len;
            #[inline(always)]
            unsafe fn splat(value: $scalar) -> Self {
                // SAFETY: the trait's contract: the CPU has this type's features.
                unsafe { $splat(value) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $scalar) -> Self {
                // SAFETY: as above, and `LEN` elements are readable.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $scalar) {
                // SAFETY: as above, and `LEN` elements are writable.
                unsafe { $store(to, self) }
            }
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: as for `splat`.
                unsafe { $fma(self, b, c) }
            }
            #[inline(always)]
            unsafe fn relu(self) -> Self {
                // SAFETY: as for `splat`. The instruction returns its second
                // operand when one is NaN.
                unsafe { $max($splat(0.0), self) }
            }
        }
    };
}

vector!(__m512, f32, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_max_ps);
vector!(__m512d, f64, 8, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd, _mm512_max_pd);
vector!(__m256, f32, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_max_ps);
vector!(__m256d, f64, 4, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd, _mm256_max_pd);

/// Lanes for any CPU, as an array the compiler may vectorise.
#[derive(Clone, Copy)]
struct Portable<T>([T; 4]);

impl<T: Element> Lanes for Portable<T> {
    type Scalar = T;
    const LEN: usize = 4;
    #[inline(always)]
    unsafe fn splat(value: T) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller promises `LEN` readable elements; arrays have no
        // stricter alignment than their elements.
        Self(unsafe { *from.cast() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: as for `load`, writable.
        unsafe { *to.cast() = self.0 }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // Where the CPU has no fused instruction, `mul_add` would call a library.
        let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        let mut out = c;
        for (out, (a, b)) in out.0.iter_mut().zip(self.0.into_iter().zip(b.0)) {
            *out = if fused { a.mul_add(b, *out) } else { a * b + *out };
        }
        out
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(self.0.map(crate::relu))
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<V: Lanes, const ROWS: usize, const VECTORS: usize, const PIXELS: bool>(
    tile: &Tile<V::Scalar>,
    c: *mut V::Scalar,
) {
    // SAFETY: the wrapper enables what the body needs; the rest is the caller's promise.
    unsafe { tile_body::<V, ROWS, VECTORS, PIXELS>(tile, c) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<V: Lanes, const ROWS: usize, const VECTORS: usize, const PIXELS: bool>(
    tile: &Tile<V::Scalar>,
    c: *mut V::Scalar,
) {
    // SAFETY: the wrapper enables what the body needs; the rest is the caller's promise.
    unsafe { tile_body::<V, ROWS, VECTORS, PIXELS>(tile, c) }
}

unsafe fn portable<V: Lanes, const ROWS: usize, const VECTORS: usize, const PIXELS: bool>(
    tile: &Tile<V::Scalar>,
    c: *mut V::Scalar,
) {
    // SAFETY: the caller's promise is the body's.
    unsafe { tile_body::<V, ROWS, VECTORS, PIXELS>(tile, c) }
}

/// Tiles taller than a set's `rows` never run; repeating its tallest kernel
/// keeps the table whole without compiling them.
macro_rules! kernels {
    ($wrapper:ident, $vector:ty, 12) => {
        kernels!(@table $wrapper, $vector, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    ($wrapper:ident, $vector:ty, 6) => {
        kernels!(@table $wrapper, $vector, 1 2 3 4 5 6 6 6 6 6 6 6)
    };
    (@table $wrapper:ident, $vector:ty, $($rows:literal)*) => {
        [
            [[$($wrapper::<$vector, $rows, 1, true>),*], [$($wrapper::<$vector, $rows, 2, true>),*]],
            [[$($wrapper::<$vector, $rows, 1, false>),*], [$($wrapper::<$vector, $rows, 2, false>),*]],
        ]
    };
}

macro_rules! choose {
    ($scalar:ident, $wide:ident, $narrow:ident) => {
        pub(crate) mod $scalar {
            use super::*;

            /// The fastest set of this CPU.
            pub(crate) fn choose() -> TileSet<std::primitive::$scalar> {
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx512f") {
                    return avx512_set();
                }
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    return avx2_set();
                }
                portable_set()
            }

            /// Every set this CPU can run, for tests.
            #[cfg(test)]
            pub(crate) fn all() -> Vec<TileSet<std::primitive::$scalar>> {
                let mut sets = vec![portable_set()];
                #[cfg(target_arch = "x86_64")]
                {
                    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                        sets.push(avx2_set());
                    }
                    if is_x86_feature_detected!("avx512f") {
                        sets.push(avx512_set());
                    }
                }
                sets
            }

            #[cfg(target_arch = "x86_64")]
            fn avx512_set() -> TileSet<std::primitive::$scalar> {
                TileSet { name: "avx512", lanes: $wide::LEN, rows: 12, kernels: kernels!(avx512, $wide, 12) }
            }

            #[cfg(target_arch = "x86_64")]
            fn avx2_set() -> TileSet<std::primitive::$scalar> {
                TileSet { name: "avx2", lanes: $narrow::LEN, rows: 6, kernels: kernels!(avx2, $narrow, 6) }
            }

            fn portable_set() -> TileSet<std::primitive::$scalar> {
                type Vector = Portable<std::primitive::$scalar>;
                TileSet {
                    name: "portable",
                    lanes: Vector::LEN,
                    rows: 6,
                    kernels: kernels!(portable, Vector, 6),
                }
            }
        }
    };
}

choose!(f32, __m512, __m256);
choose!(f64, __m512d, __m256d);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kernel of every set against the formula, ragged edges included.
    fn check<T: Element>(sets: Vec<TileSet<T>>) {
        let value = |i: usize| T::from_f64(((i * 37 % 19) as f64 - 9.0) / 8.0);
        for set in sets {
            for vectors in 1..=2 {
                for rows in 1..=set.rows {
                    let width = vectors * set.lanes;
                    for columns in [1, width - 1, width] {
                        let a: Vec<T> = (0..200).map(value).collect();
                        let b: Vec<T> = (0..40 * width + 60).map(|i| value(i + 5)).collect();
                        let bias: Vec<T> = (0..width).map(|i| value(i + 11)).collect();
                        let c_row = columns + 3;
                        let segments =
                            [Segment { a: 3, b: width, len: 7 }, Segment { a: 40, b: 12 * width, len: 11 }];
                        let kinds = [(5, 1, width), (1, 3, width), (1, 1, width + 2)];
                        let starts = [Start::Row(&bias[..]), Start::Stored];
                        for (start, (a_row, a_step, b_step)) in
                            starts.into_iter().flat_map(|s| kinds.map(|k| (s, k)))
                        {
                            let stored: Vec<T> = (0..rows * c_row).map(|i| value(i + 2)).collect();
                            let mut c = stored.clone();
                            let tile = Tile {
                                a: &a,
                                a_row,
                                a_step,
                                b: &b,
                                b_step,
                                segments: &segments,
                                c_row,
                                columns,
                                start,
                                relu: true,
                            };
                            set.run(rows, vectors, &tile, &mut c);
                            for i in 0..rows * c_row {
                                let (row, column) = (i / c_row, i % c_row);
                                let expected = if column >= columns {
                                    stored[i]
                                } else {
                                    let first = match start {
                                        Start::Row(bias) => bias[column],
                                        Start::Stored => stored[i],
                                    };
                                    let sum = segments.iter().fold(first, |sum, s| {
                                        (0..s.len).fold(sum, |sum, p| {
                                            sum + a[s.a + p * a_step + row * a_row]
                                                * b[s.b + p * b_step + column]
                                        })
                                    });
                                    sum.max(T::ZERO)
                                };
                                // The sample values are eighths, so sums are exact in any order.
                                assert_eq!(
                                    c[i], expected,
                                    "{} {rows}x{vectors}, {columns} columns",
                                    set.name
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_kernel_of_every_instruction_set_equals_the_formula() {
        check(super::f32::all());
        check(super::f64::all());
    }

    #[test]
    #[should_panic]
    fn a_tile_that_reaches_outside_its_slice_is_refused() {
        let set = super::f32::choose();
        let (a, b) = ([0.0; 4], vec![0.0; 2 * set.lanes]);
        let segments = [Segment { a: 0, b: 0, len: 3 }];
        let tile = Tile {
            a: &a,
            a_row: 1,
            a_step: 1,
            b: &b,
            b_step: set.lanes,
            segments: &segments,
            c_row: set.lanes,
            columns: set.lanes,
            start: Start::Stored,
            relu: false,
        };
        set.run(1, 1, &tile, &mut vec![0.0; set.lanes]);
    }
}

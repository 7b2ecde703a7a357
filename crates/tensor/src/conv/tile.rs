//! The inner kernel of the implicit convolution and of the Winograd products:
//! one small tile of output, held in registers while a long sum runs over it.
//!
//! `C[i][j] += sum_s sum_p a[s.a + p*a_step + i*a_row] * b[s.b + p*b_step + j]`
//!
//! for any number of rows `i` and for `j` below the tile's width (one or two
//! vectors), where either the steps (`a_step` 1, `b` packed: rows are pixels) or
//! the rows (`a_row` 1: rows are channels) are contiguous. Each step loads a
//! short row of `b`, broadcasts one `a` per tile row and does one fused
//! multiply-add per register. More rows than the registers hold are cut into
//! tiles of even height. The body is written once, generic over the vector type
//! and the tile's size, and inlined into a wrapper per instruction set.
//!
//! [`TileSet::run`] is safe: it checks the reach of every pointer against its
//! slice first, once for all rows.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use crate::simd::{Lanes, per_isa, rectify};
use crate::{Element, Rectifier};

/// The most rows and columns a tile has with any instruction set.
pub(crate) const MOST_ROWS: usize = 12;
const WIDEST: usize = 32;
/// Steps of the sum in one round of the inner loops.
const STEPS: usize = 4;
/// Cache lines prefetched in a round where a tile's rows are pixels and where they
/// are channels, and a line's bytes.
const AHEAD_OF_PIXELS: usize = STEPS;
const AHEAD_OF_CHANNELS: usize = 1;
const LINE: usize = 64;

/// A segment of the sum: where it starts in `a` and in `b`, and its length.
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
    /// What `c` holds: the sum continues from there.
    Stored,
    /// Nothing: the sum starts at 0 and is added to what `c` holds at the end.
    /// The rounding error of a long sum then grows with the number of its
    /// pieces, not of all its steps.
    Apart,
}

/// The work of one panel of columns; see the formula at the top of the file.
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
    /// What becomes of the results.
    pub activation: Rectifier,
    /// What is needed after this work; it is prefetched into the second-level
    /// cache meanwhile.
    pub ahead: &'a [T],
}

/// Computes a tile with the number of rows it is compiled for, from element `a`
/// of the tile's `a` on, into `c`.
pub(crate) type TileKernel<T> = unsafe fn(&Tile<T>, usize, *mut T);
/// By kind (rows are pixels, rows are channels), vectors (1, 2) and rows (1 ..= MOST_ROWS).
pub(crate) type TileTable<T> = [[[TileKernel<T>; MOST_ROWS]; 2]; 2];

/// Cuts `extent` into pieces of at most `most`, as even as possible: start and length of
/// each.
pub(crate) fn even_pieces(extent: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let count = extent.div_ceil(most).max(1);
    let (size, larger) = (extent / count, extent % count);
    (0..count).map(move |i| (i * size + i.min(larger), size + usize::from(i < larger)))
}

/// The tile kernels of one instruction set.
pub(crate) struct TileSet<T: 'static> {
    /// Elements per vector.
    pub lanes: usize,
    /// The tallest tile whose accumulators fit the registers.
    pub rows: usize,
    pub table: TileTable<T>,
}

impl<T: Element> TileSet<T> {
    /// How many elements of [`Tile::ahead`] a run over `rows` pixels prefetches.
    pub(crate) fn reach(&self, rows: usize, segments: &[Segment]) -> usize {
        rows.div_ceil(self.rows) * Self::ahead(segments, AHEAD_OF_PIXELS)
    }

    /// The same for one piece of the rows, with `lines` prefetched in a round.
    fn ahead(segments: &[Segment], lines: usize) -> usize {
        segments.iter().map(|s| s.len / STEPS * lines).sum::<usize>() * LINE / size_of::<T>()
    }

    /// Computes `rows` rows of `vectors` vectors into `c`.
    ///
    /// # Panics
    /// If the work reaches outside its slices.
    pub(crate) fn run(&self, rows: usize, vectors: usize, tile: &Tile<T>, c: &mut [T]) {
        if rows == 0 {
            return;
        }
        let width = vectors * self.lanes;
        for s in tile.segments.iter().filter(|s| s.len > 0) {
            let last = s.a + (s.len - 1) * tile.a_step + (rows - 1) * tile.a_row;
            assert!(last < tile.a.len(), "a tile reaches outside its slice");
            assert!(
                s.b + (s.len - 1) * tile.b_step + width <= tile.b.len(),
                "a tile reaches outside its slice"
            );
        }
        assert!(tile.columns <= width && (rows - 1) * tile.c_row + tile.columns <= c.len());
        if let Start::Row(row) = tile.start {
            assert!(row.len() >= width);
        }
        let pixels = tile.a_step == 1 && tile.b_step == width;
        assert!(pixels || tile.a_row == 1, "a tile's rows or its steps must be neighbours");
        let kernels = &self.table[usize::from(!pixels)][vectors - 1];
        // What one piece of the rows prefetches, in elements.
        let lines = if pixels { AHEAD_OF_PIXELS } else { AHEAD_OF_CHANNELS };
        let ahead = Self::ahead(tile.segments, lines);
        for (index, (first, height)) in even_pieces(rows, self.rows).enumerate() {
            let tile = Tile { ahead: tile.ahead.get(index * ahead..).unwrap_or(&[]), ..*tile };
            // SAFETY: the assertions bound every element that any of the rows
            // reads or writes, and the table holds only kernels whose
            // instruction set was detected.
            unsafe {
                kernels[height - 1](&tile, first * tile.a_row, c.as_mut_ptr().add(first * tile.c_row));
            }
        }
    }
}

/// Adds a segment of the sum in which `a`'s steps and `b`'s rows are contiguous.
///
/// Four steps share their addresses. Only every third row has a pointer; the two
/// rows after it are addressed by once and twice the row distance, which x86
/// adds for free. A pointer for each row would not fit the registers, and
/// computing each from the one before would take as long as the arithmetic.
///
/// With `FETCH`, a cache line at `ahead` is prefetched at every step. That pays
/// where few pixels share a weight, so that weights come from memory all the time;
/// elsewhere a prefetch would only take the place of a load.
///
/// # Safety
/// As [`tile_body`], for this segment.
#[inline(always)]
unsafe fn add_pixels<V: Lanes, const ROWS: usize, const VECTORS: usize, const FETCH: bool>(
    sum: &mut [[V; VECTORS]; ROWS],
    a: *const V::Scalar,
    a_row: usize,
    mut b: *const V::Scalar,
    len: usize,
    ahead: &mut *const V::Scalar,
) {
    let mut bases = [a; MOST_ROWS.div_ceil(3)];
    for (i, base) in bases.iter_mut().enumerate() {
        *base = a.wrapping_add(3 * i * a_row);
    }
    // SAFETY: the caller's promise; pointers that may have left the slice are
    // not read again.
    unsafe {
        for _ in 0..len / STEPS {
            for k in 0..STEPS {
                if FETCH {
                    V::prefetch_far(*ahead);
                    *ahead = ahead.wrapping_add(LINE / size_of::<V::Scalar>());
                }
                let row = load_row::<V, VECTORS>(b.add(k * VECTORS * V::LEN));
                for (i, sum) in sum.iter_mut().enumerate() {
                    add_product(sum, *bases[i / 3].add(i % 3 * a_row + k), row);
                }
            }
            for base in &mut bases {
                *base = base.wrapping_add(STEPS);
            }
            b = b.wrapping_add(STEPS * VECTORS * V::LEN);
        }
        for _ in 0..len % STEPS {
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

/// Adds a segment of the sum in which the rows of `a` are contiguous, and
/// prefetches a cache line at `ahead` every few steps.
///
/// # Safety
/// As [`tile_body`], for this segment.
#[inline(always)]
unsafe fn add_channels<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    sum: &mut [[V; VECTORS]; ROWS],
    (mut a, a_step): (*const V::Scalar, usize),
    (mut b, b_step): (*const V::Scalar, usize),
    len: usize,
    (ahead, ahead_step): (&mut *const V::Scalar, usize),
) {
    // SAFETY: the caller's promise; pointers that may have left the slice are
    // not read again.
    unsafe {
        for _ in 0..len / STEPS {
            V::prefetch_far(*ahead);
            *ahead = ahead.wrapping_add(ahead_step);
            for _ in 0..STEPS {
                let row = load_row::<V, VECTORS>(b);
                for (i, sum) in sum.iter_mut().enumerate() {
                    add_product(sum, *a.add(i), row);
                }
                a = a.wrapping_add(a_step);
                b = b.wrapping_add(b_step);
            }
        }
        for _ in 0..len % STEPS {
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
/// the wrapper around it, and the small fixed loops unroll into registers.
///
/// # Safety
/// The CPU must have `V`'s features. For every row `i < ROWS` and every step `p` of
/// every segment `s`, the following must lie inside the slices `tile.a` and `tile.b`:
/// `a + s.a + p * tile.a_step + i * tile.a_row` (with `tile.a_step` taken as 1 if
/// `PIXELS`), and the `VECTORS * V::LEN` elements from `s.b + p * tile.b_step` on (with
/// `tile.b_step` taken as `VECTORS * V::LEN` if `PIXELS`). `tile.columns` must be at most
/// `VECTORS * V::LEN`, which must be at most [`WIDEST`]; the `tile.columns` elements from
/// `c + i * tile.c_row` on must be readable and writable and belong to no slice of `tile`;
/// a start row must have `VECTORS * V::LEN` elements. [`TileSet::run`] checks all of it.
#[inline(always)]
unsafe fn tile_body<V: Lanes, const ROWS: usize, const VECTORS: usize, const PIXELS: bool>(
    tile: &Tile<V::Scalar>,
    a: usize,
    c: *mut V::Scalar,
) {
    let width = VECTORS * V::LEN;
    // Rows narrower than the tile go through a full-width copy, uninitialised
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
                for (i, sum) in sum.iter_mut().enumerate() {
                    // The output is first used when the sum is complete; by
                    // then its lines are in the cache.
                    for j in 0..VECTORS {
                        V::prefetch(c.wrapping_add(i * tile.c_row + j * V::LEN));
                    }
                    for (j, sum) in sum.iter_mut().enumerate() {
                        *sum = V::load(row.as_ptr().add(j * V::LEN));
                    }
                }
            }
            Start::Apart => {
                for i in 0..ROWS {
                    for j in 0..VECTORS {
                        V::prefetch(c.wrapping_add(i * tile.c_row + j * V::LEN));
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
        // Without data to prefetch, a line that is in the cache already.
        let (mut ahead, ahead_step) = match tile.ahead {
            [] => (tile.a.as_ptr(), 0),
            ahead => (ahead.as_ptr(), LINE / size_of::<V::Scalar>()),
        };
        for segment in tile.segments {
            let a = tile.a.as_ptr().add(a + segment.a);
            let b = tile.b.as_ptr().add(segment.b);
            if PIXELS {
                let (a_row, len, ahead) = (tile.a_row, segment.len, &mut ahead);
                if tile.ahead.is_empty() {
                    add_pixels::<V, ROWS, VECTORS, false>(&mut sum, a, a_row, b, len, ahead);
                } else {
                    add_pixels::<V, ROWS, VECTORS, true>(&mut sum, a, a_row, b, len, ahead);
                }
            } else {
                let (a, b, ahead) = ((a, tile.a_step), (b, tile.b_step), (&mut ahead, ahead_step));
                add_channels::<V, ROWS, VECTORS>(&mut sum, a, b, segment.len, ahead);
            }
        }
        if let Start::Apart = tile.start {
            for (i, sum) in sum.iter_mut().enumerate() {
                let mut from = c.add(i * tile.c_row).cast_const();
                if !whole {
                    edge.write_bytes(0, width);
                    std::ptr::copy_nonoverlapping(from, edge, tile.columns);
                    from = edge;
                }
                for (j, sum) in sum.iter_mut().enumerate() {
                    *sum = V::load(from.add(j * V::LEN)).add(*sum);
                }
            }
        }
        rectify(&mut sum, tile.activation);
        for (i, sum) in sum.iter().enumerate() {
            let to = if whole { c.add(i * tile.c_row) } else { edge };
            for (j, sum) in sum.iter().enumerate() {
                sum.store(to.add(j * V::LEN));
            }
            if !whole {
                std::ptr::copy_nonoverlapping(edge.cast_const(), c.add(i * tile.c_row), tile.columns);
            }
        }
    }
}

per_isa!(
    tile_kernel,
    tile_body,
    <ROWS: usize, VECTORS: usize, PIXELS: bool>,
    (tile: &Tile<V::Scalar>, a: usize, c: *mut V::Scalar)
);

/// The table of one instruction set's tile kernels. Tiles taller than the set's
/// registers hold never run; repeating its tallest kernel keeps the table whole
/// without compiling them.
macro_rules! tile_table {
    ($isa:ident, $vector:ty, 12) => {
        tile_table!(@table $isa, $vector, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    ($isa:ident, $vector:ty, 6) => {
        tile_table!(@table $isa, $vector, 1 2 3 4 5 6 6 6 6 6 6 6)
    };
    (@table $isa:ident, $vector:ty, $($rows:literal)*) => {
        [
            [
                [$(tile_kernel::$isa::<$vector, $rows, 1, true>),*],
                [$(tile_kernel::$isa::<$vector, $rows, 2, true>),*],
            ],
            [
                [$(tile_kernel::$isa::<$vector, $rows, 1, false>),*],
                [$(tile_kernel::$isa::<$vector, $rows, 2, false>),*],
            ],
        ]
    };
}
pub(crate) use tile_table;

#[cfg(test)]
mod tests;

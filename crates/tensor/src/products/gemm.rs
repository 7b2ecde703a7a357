//! One matrix product, on one thread or on all: this file chooses the code that computes it.
//!
//! Small products and portable runs go to the `matrixmultiply` crate. All others
//! use the tile of the convolutions, in the loops of Goto and van de Geijn
//! ("Anatomy of High-Performance Matrix Multiplication", 2008): a block of `b` is
//! packed into panels that fit the second-level cache, and each panel is
//! multiplied by all rows of `a` while it is in the first. Rows of `a` that are
//! contiguous are read in place; columns are packed.
//!
//! On all threads, `b` is packed once for all of them, and each band of rows is
//! multiplied by all of it. The terms of a sum are added in the same order either way.
//!
//! A flat product with a transposed `b`, such as a dense layer's input gradient
//! `dy weightᵀ`, would have to transpose all of `b` to pack it. It is computed as
//! `weight dyᵀ` instead, which reads the weight in place, and only the small
//! result is transposed.

use crate::conv::kernels::Kernels;
use crate::conv::tile::{MOST_ROWS, Segment, Start, Tile, even_pieces};
use crate::parallel;
use crate::pool::Buffer;
use crate::products::strided::Strided;
use crate::simd::isa::Isa;
use crate::{Element, Rectifier};

/// Depth, columns and rows of a block: a panel of `b` 256 deep is 32 KiB, a
/// block of `b` 512 KiB.
const DEPTH: usize = 256;
const COLUMNS: usize = 512;
const ROWS: usize = 96;
/// Multiply-adds below which packing does not pay.
const SMALL: usize = 32 * 1024;
/// The most rows of a product that counts as flat.
const FLAT: usize = 64;
/// Columns of `b` that all threads work on at a time, and numbers of `b` packed for them: 16 MiB of `f32`.
const SHARED_COLUMNS: usize = 16 * 1024;
const SHARED: usize = DEPTH * SHARED_COLUMNS;
/// The bands of rows that threads share, where there are enough rows.
const BANDS: usize = 16;

/// Writes `a b` to `c: [M, N]`, row-major, `size` being M, K and N.
///
/// # Panics
/// If a matrix reaches outside its slice.
pub(crate) fn multiply<T: Element>(size: [usize; 3], a: Strided<T>, b: Strided<T>, c: &mut [T]) {
    let [m, k, n] = size;
    let set = T::kernels();
    if m == 1 && b.1 == [n, 1] && (1..=2 * set.lanes).contains(&n) && k > 2 * set.lanes {
        return row(set, [k, n], (a.0, a.1[1]), b.0, c);
    }
    if set.isa == Isa::Portable || m.saturating_mul(k).saturating_mul(n) < SMALL || n < 8 || k < 8 {
        return T::gemm(size, a, b, c);
    }
    if m <= set.tiles.rows && b.1[1] == 1 {
        return few(set, size, a, b, c);
    }
    let transposed = b.1[0] == 1 && b.1[1] != 1;
    if transposed && m <= FLAT && n > m {
        return turned(set, size, a, b, c);
    }
    blocked(set, size, a, b, c, n);
}

/// One row times a narrow `b: [K, N]`, which is read in place: the vectors
/// reach beyond its rows, and their results there are discarded. The last rows,
/// where the vectors would reach beyond the slice, are added one by one.
fn row<T: Element>(set: &Kernels<T>, [k, n]: [usize; 2], (a, a_step): (&[T], usize), b: &[T], c: &mut [T]) {
    let vectors = n.div_ceil(set.lanes);
    let whole = k - (vectors * set.lanes - n).div_ceil(n);
    let zeros = vec![T::ZERO; 2 * set.lanes];
    let tile = Tile {
        a,
        a_row: 1,
        a_step,
        b,
        b_step: n,
        segments: &[Segment { a: 0, b: 0, len: whole }],
        c_row: n,
        columns: n,
        start: Start::Row(&zeros),
        activation: Rectifier::None,
        ahead: &[],
    };
    set.tiles.run(1, vectors, &tile, c);
    for p in whole..k {
        let terms = &b[p * n..][..n];
        c.iter_mut().zip(terms).for_each(|(sum, &term)| *sum += a[p * a_step] * term);
    }
}

/// `a b` for no more rows than one tile has: every number of `b` is used once, so packing it would double the work.
/// It is read in place, all but the last columns, which do not fill a panel.
fn few<T: Element>(set: &Kernels<T>, [m, k, n]: [usize; 3], a: Strided<T>, b: Strided<T>, c: &mut [T]) {
    let width = 2 * set.lanes;
    let zeros = vec![T::ZERO; width];
    let mut turned = Buffer::unspecified(k * m);
    pack_columns(a, [0, m], [0, k], &mut turned);
    let whole = n / width * width;
    for first in (0..whole).step_by(width) {
        let tile = Tile {
            a: &turned,
            a_row: 1,
            a_step: m,
            b: &b.0[first..],
            b_step: b.1[0],
            segments: &[Segment { a: 0, b: 0, len: k }],
            c_row: n,
            columns: width,
            start: Start::Row(&zeros),
            activation: Rectifier::None,
            ahead: &[],
        };
        set.tiles.run(m, 2, &tile, &mut c[first..]);
    }
    if whole < n {
        blocked(set, [m, k, n - whole], a, (&b.0[whole..], b.1), &mut c[whole..], n);
    }
}

/// `a b` into rows `c_row` apart.
fn blocked<T: Element>(
    set: &Kernels<T>,
    [m, k, n]: [usize; 3],
    a: Strided<T>,
    b: Strided<T>,
    c: &mut [T],
    c_row: usize,
) {
    let in_place = a.1[1] == 1;
    let start = vec![T::ZERO; columns_of_panels(set, n.min(COLUMNS))];
    let mut packed_b = Buffer::unspecified(DEPTH.min(k) * start.len());
    let mut packed_a = Buffer::unspecified(if in_place { 0 } else { DEPTH.min(k) * ROWS });
    for (column, columns) in even_pieces(n, COLUMNS) {
        for (depth, len) in even_pieces(k, DEPTH) {
            pack_panels(set, b, [depth, len], [column, columns], &mut packed_b);
            for (row, rows) in even_pieces(m, if in_place { m } else { ROWS }) {
                let panels =
                    Panels { packed: &packed_b, len, columns, start: (depth == 0).then_some(&start) };
                let a = Band { a, row, rows, depth };
                multiply_panels(set, a, panels, &mut packed_a, &mut c[row * c_row + column..], c_row);
            }
        }
    }
}

/// Writes `a b` plus `bias` in every row to `c: [M, N]`, row-major, on all threads.
///
/// # Panics
/// If a matrix reaches outside its slice.
pub(crate) fn spread<T: Element>(
    set: &Kernels<T>,
    [m, k, n]: [usize; 3],
    a: Strided<T>,
    b: Strided<T>,
    bias: Option<&[T]>,
    c: &mut [T],
) {
    let band = MOST_ROWS * (m / (BANDS * MOST_ROWS)).clamp(1, ROWS / MOST_ROWS);
    // A panel may reach beyond the last column.
    let mut start = vec![T::ZERO; n + 2 * set.lanes];
    if let Some(bias) = bias {
        start[..n].copy_from_slice(bias);
    }
    for (column, columns) in even_pieces(n, SHARED_COLUMNS) {
        let padded = columns_of_panels(set, columns);
        let deep = (SHARED / padded).max(DEPTH);
        let mut packed = Buffer::unspecified(deep.min(k) * padded);
        for (group, group_len) in even_pieces(k, deep) {
            let blocks: Vec<(usize, usize)> = even_pieces(group_len, DEPTH).collect();
            let mut places = Vec::new();
            let mut rest = &mut packed[..group_len * padded];
            for &(depth, len) in &blocks {
                let (block, after) = rest.split_at_mut(len * padded);
                let pieces = block.chunks_mut(len * COLUMNS).enumerate();
                places.extend(pieces.map(|(index, to)| (depth, len, index * COLUMNS, to)));
                rest = after;
            }
            parallel::for_each(places, |(depth, len, first, to)| {
                let some = [column + first, COLUMNS.min(columns - first)];
                pack_panels(set, b, [group + depth, len], some, to);
            });
            parallel::for_each(c.chunks_mut(band * n).enumerate(), |(index, c)| {
                let rows = c.len() / n;
                let mut packed_a = Buffer::unspecified(if a.1[1] == 1 { 0 } else { DEPTH.min(k) * rows });
                for &(depth, len) in &blocks {
                    let panels = Panels {
                        packed: &packed[depth * padded..],
                        len,
                        columns,
                        start: (group + depth == 0).then_some(&start[column..]),
                    };
                    let a = Band { a, row: index * band, rows, depth: group + depth };
                    multiply_panels(set, a, panels, &mut packed_a, &mut c[column..], n);
                }
            });
        }
    }
}

/// `columns` in whole panels.
fn columns_of_panels<T: Element>(set: &Kernels<T>, columns: usize) -> usize {
    columns.next_multiple_of(2 * set.lanes)
}

/// Some rows of `a`, from the column `depth` on.
struct Band<'a, T> {
    a: Strided<'a, T>,
    row: usize,
    rows: usize,
    depth: usize,
}

/// Rows of `b`, `len` of them, as [`pack_panels`] leaves them.
struct Panels<'a, T> {
    packed: &'a [T],
    len: usize,
    columns: usize,
    /// What the sums start from, for every column; where it lacks, they continue from what is stored.
    start: Option<&'a [T]>,
}

/// A band of `a` times panels of `b`, into rows of `c` that are `c_row` apart.
fn multiply_panels<T: Element>(
    set: &Kernels<T>,
    Band { a, row, rows, depth }: Band<T>,
    Panels { packed, len, columns, start }: Panels<T>,
    packed_a: &mut [T],
    c: &mut [T],
    c_row: usize,
) {
    let (source, a_row, a_step) = if a.1[1] == 1 {
        (&a.0[row * a.1[0] + depth..], a.1[0], 1)
    } else {
        pack_columns(a, [row, rows], [depth, len], packed_a);
        (&*packed_a, 1, rows)
    };
    let width = 2 * set.lanes;
    for first in (0..columns).step_by(width) {
        let here = (columns - first).min(width);
        let vectors = here.div_ceil(set.lanes);
        let tile = Tile {
            a: source,
            a_row,
            a_step,
            b: &packed[first * len..],
            b_step: vectors * set.lanes,
            segments: &[Segment { a: 0, b: 0, len }],
            c_row,
            columns: here,
            start: start.map_or(Start::Stored, |start| Start::Row(&start[first..])),
            activation: Rectifier::None,
            ahead: &[],
        };
        set.tiles.run(rows, vectors, &tile, &mut c[first..]);
    }
}

/// Packs rows `depth..` and columns `column..` of `b` into panels two vectors
/// wide (the last one maybe one), each `[len, width]`.
fn pack_panels<T: Element>(
    set: &Kernels<T>,
    (b, [b_row, b_column]): Strided<T>,
    [depth, len]: [usize; 2],
    [column, columns]: [usize; 2],
    to: &mut [T],
) {
    let widest = 2 * set.lanes;
    for (panel, to) in to.chunks_mut(len * widest).take(columns.div_ceil(widest)).enumerate() {
        let first = panel * widest;
        let here = (columns - first).min(widest);
        let width = here.next_multiple_of(set.lanes);
        let from = &b[depth * b_row + (column + first) * b_column..];
        if b_column == 1 {
            for (p, row) in to.chunks_exact_mut(width).take(len).enumerate() {
                let (filled, empty) = row.split_at_mut(here);
                filled.copy_from_slice(&from[p * b_row..][..here]);
                empty.fill(T::ZERO);
            }
        } else {
            // Along the columns, which may be contiguous; the panel stays in the first-level cache.
            for j in 0..width {
                let column = to[j..].iter_mut().step_by(width).take(len);
                if j < here {
                    column.zip(from[j * b_column..].iter().step_by(b_row)).for_each(|(to, &from)| *to = from);
                } else {
                    column.for_each(|to| *to = T::ZERO);
                }
            }
        }
    }
}

/// Packs rows `row..` and columns `depth..` of `a` as `[len, rows]`.
fn pack_columns<T: Element>(
    (a, [a_row, a_column]): Strided<T>,
    [row, rows]: [usize; 2],
    [depth, len]: [usize; 2],
    to: &mut [T],
) {
    for (p, to) in to.chunks_exact_mut(rows).take(len).enumerate() {
        let from = &a[row * a_row + (depth + p) * a_column..];
        if a_row == 1 {
            to.copy_from_slice(&from[..rows]);
        } else {
            to.iter_mut().zip(from.iter().step_by(a_row)).for_each(|(to, &from)| *to = from);
        }
    }
}

/// `a b` as the transpose of `bᵀ aᵀ`, some columns of the result at a time.
fn turned<T: Element>(set: &Kernels<T>, [m, k, n]: [usize; 3], a: Strided<T>, b: Strided<T>, c: &mut [T]) {
    let (a_turned, b_step) = ((a.0, [a.1[1], a.1[0]]), b.1[1]);
    // Each block packs aᵀ again, so it takes many rows of bᵀ.
    let block = 4 * ROWS;
    let mut result = Buffer::unspecified(block.min(n) * m);
    for (column, columns) in even_pieces(n, block) {
        let rows_of_b = (&b.0[column * b_step..], [b_step, 1]);
        blocked(set, [columns, k, m], rows_of_b, a_turned, &mut result, m);
        for (row, c) in c.chunks_exact_mut(n).enumerate() {
            let from = result[row..].iter().step_by(m);
            c[column..column + columns].iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::testing::noise;
    use proptest::prelude::*;

    /// Both ways against three loops, on views of either orientation.
    fn check<T: Element>([m, k, n]: [usize; 3], views: u8, tolerance: f64) -> Result<(), TestCaseError> {
        let view = |rows: usize, columns: usize, turned: bool, phase: f64| -> Tensor<T> {
            if turned { noise(&[columns, rows], phase).t() } else { noise(&[rows, columns], phase) }
        };
        let (a, b) = (view(m, k, views & 1 == 1, 0.1), view(k, n, views & 2 == 2, 0.2));
        let [a_view, b_view] = [&a, &b].map(|x| (x.origin(), [x.strides()[0], x.strides()[1]]));
        let size = [m, k, n];
        for set in crate::conv::kernels::available::<T>() {
            let mut plain = vec![T::from_f64(7.0); m * n];
            blocked(&set, size, a_view, b_view, &mut plain, n);
            let mut flat = plain.clone();
            if views & 2 == 2 {
                turned(&set, size, a_view, b_view, &mut flat);
            }
            // These add the same terms in the same order.
            let mut same = vec![T::from_f64(7.0); m * n];
            spread(&set, size, a_view, b_view, None, &mut same);
            prop_assert_eq!(&same, &plain);
            if m <= set.tiles.rows && views & 2 == 0 {
                same.fill(T::ONE);
                few(&set, size, a_view, b_view, &mut same);
                prop_assert_eq!(&same, &plain);
            }
            let bias: Vec<T> = (0..n).map(|j| T::from_f64(j as f64)).collect();
            let mut shifted = vec![T::from_f64(7.0); m * n];
            spread(&set, size, a_view, b_view, Some(&bias), &mut shifted);
            for i in 0..m * n {
                let exact: f64 =
                    (0..k).map(|p| a.at(&[i / n, p]).as_f64() * b.at(&[p, i % n]).as_f64()).sum();
                prop_assert!((plain[i].as_f64() - exact).abs() < tolerance, "{m} {k} {n}");
                prop_assert!((flat[i].as_f64() - exact).abs() < tolerance, "{m} {k} {n}");
                let exact = exact + (i % n) as f64;
                prop_assert!((shifted[i].as_f64() - exact).abs() < 10.0 * tolerance, "{m} {k} {n}");
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn products_of_any_shape_and_orientation_equal_three_loops(
            m in 1usize..40, k in 1usize..50, n in 1usize..90, views in 0u8..4,
        ) {
            check::<f64>([m, k, n], views, 1e-12)?;
            check::<f32>([m, k, n], views, 1e-4)?;
        }
    }

    proptest! {
        #[test]
        fn a_row_times_a_narrow_matrix_equals_two_loops(k in 33usize..90, n in 1usize..8, step in 1usize..4) {
            for set in crate::conv::kernels::available::<f64>() {
                let (a, b) = (noise::<f64>(&[k * step], 0.1), noise::<f64>(&[k, n], 0.2));
                let mut c = vec![7.0; n];
                row(&set, [k, n], (a.data(), step), b.data(), &mut c);
                for (j, &found) in c.iter().enumerate() {
                    let exact: f64 = (0..k).map(|p| a.at(&[p * step]) * b.at(&[p, j])).sum();
                    prop_assert!((found - exact).abs() < 1e-12);
                }
            }
        }
    }

    /// As in a slice of a tensor of three dimensions: neither rows nor columns are contiguous.
    #[test]
    fn entries_that_lie_apart_in_both_directions_are_multiplied() {
        let [m, k, n] = [ROWS + 7, 19, 21];
        let (a, b) = (noise::<f64>(&[2 * m * k], 0.1), noise::<f64>(&[2 * k * n], 0.2));
        for set in crate::conv::kernels::available::<f64>() {
            let mut c = vec![7.0; m * n];
            blocked(&set, [m, k, n], (a.data(), [2 * k, 2]), (b.data(), [2 * n, 2]), &mut c, n);
            for (i, found) in c.into_iter().enumerate() {
                let term = |p: usize| a.at(&[i / n * 2 * k + 2 * p]) * b.at(&[p * 2 * n + i % n * 2]);
                assert!((found - (0..k).map(term).sum::<f64>()).abs() < 1e-12, "{i}");
            }
        }
    }

    #[test]
    fn blocks_in_every_direction_are_put_together() {
        for views in 0..4 {
            check::<f64>([ROWS + 30, DEPTH + 9, 40], views, 1e-11).unwrap();
            check::<f64>([9, 40, COLUMNS + 33], views, 1e-11).unwrap();
        }
    }
}

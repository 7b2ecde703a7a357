//! Softmax, its logarithm and log-sum-exp, along the last dimension.
//!
//! The largest value of a row is subtracted before exponentials are taken, so
//! nothing overflows. A row is often short (ten classes per pixel, a quarter of
//! a million pixels), but the exponential is fast only on long runs: a block of
//! many rows is first shifted, then passed to one
//! [`exp_slice`](Element::exp_slice), then summed row by row.
//!
//! A row of nothing but `-inf` (all classes masked) has probabilities 0,
//! logarithms `-inf` and log-sum-exp `-inf`. NaN makes its whole row NaN.

use crate::array::reduce::sum_slice;
use crate::memory::rows::rewrite_rows;
use crate::parallel::{PIECE, for_each_rows};
use crate::{Element, Tensor, parallel};

/// Elements worked on at a time: they stay in the first-level cache.
const BLOCK: usize = 2048;

/// Rows shorter than this are reduced one number after the other (the processor
/// overlaps neighbouring rows); longer ones in interleaved lanes.
const SHORT: usize = 40;

/// `y_i = exp(x_i) / sum_j exp(x_j)` along the last dimension; any shape of rank 1 or more.
///
/// # Panics
/// If `x` has rank 0.
#[track_caller]
pub fn softmax<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    let row = last_extent("softmax", x);
    for_each_block(x, |x, y| {
        shifted(x, y, row);
        T::exp_slice(y);
        for y in y.chunks_exact_mut(row) {
            let sum = row_sum(y);
            // Only a row of -inf sums to zero.
            let factor = if sum == T::ZERO { T::ZERO } else { T::ONE / sum };
            y.iter_mut().for_each(|y| *y *= factor);
        }
    })
}

/// `y_i = x_i - log sum_j exp(x_j)` along the last dimension; any shape of rank 1 or more.
///
/// # Panics
/// If `x` has rank 0.
#[track_caller]
pub fn log_softmax<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    let row = last_extent("log_softmax", x);
    for_each_block(x, |x, y| {
        let mut block = [T::ZERO; BLOCK];
        let mut long = Vec::new();
        let exponentials = scratch(&mut block, &mut long, y.len());
        shifted(x, y, row);
        exponentials.copy_from_slice(y);
        T::exp_slice(exponentials);
        for (y, e) in y.chunks_exact_mut(row).zip(exponentials.chunks_exact(row)) {
            let sum = row_sum(e);
            // Only a row of -inf sums to zero, and it stays as it is.
            let log = if sum == T::ZERO { T::ZERO } else { sum.ln() };
            y.iter_mut().for_each(|y| *y -= log);
        }
    })
}

/// `log sum_i exp(x_i)` along the last dimension: `[.., C]` to `[..]`.
///
/// # Panics
/// If `x` has rank 0.
#[track_caller]
pub fn logsumexp<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    let row = last_extent("logsumexp", x);
    let shape = &x.shape()[..x.rank() - 1];
    if row == 0 {
        return Tensor::full(T::neg_infinity(), shape);
    }
    let source = x.contiguous();
    let rows = (BLOCK / row).max(1);
    let work = |x: &[T], y: &mut [T]| {
        let mut block = [T::ZERO; BLOCK];
        let mut long = Vec::new();
        for (x, y) in x.chunks(rows * row).zip(y.chunks_mut(rows)) {
            let exponentials = scratch(&mut block, &mut long, x.len());
            for ((y, e), x) in y.iter_mut().zip(exponentials.chunks_exact_mut(row)).zip(x.chunks_exact(row)) {
                *y = shift(x);
                subtract(x, *y, e);
            }
            T::exp_slice(exponentials);
            y.iter_mut().zip(exponentials.chunks_exact(row)).for_each(|(y, e)| *y += row_sum(e).ln());
        }
    };
    let piece = (PIECE / row).max(1);
    Tensor::filled_by(shape, |y| {
        let pieces = y.chunks_mut(piece).zip(source.data().chunks(piece * row));
        parallel::for_each(pieces, |(y, x)| work(x, y));
    })
}

/// The vector-Jacobian product of [`softmax`] from its output `y`:
/// `dx_i = y_i (dy_i - sum_j dy_j y_j)`. Overwrites `dy` when it is the only owner.
///
/// # Panics
/// If the shapes differ or have rank 0.
#[track_caller]
pub fn softmax_backward<T: Element>(y: &Tensor<T>, dy: Tensor<T>) -> Tensor<T> {
    let row = backward_row("softmax_backward", y, &dy);
    let source = y.contiguous();
    let y = source.data();
    rewrite_rows(dy, row, |start, dx| {
        for (dx, y) in dx.chunks_exact_mut(row).zip(y[start..].chunks_exact(row)) {
            let sum = row_dot(dx, y);
            dx.iter_mut().zip(y).for_each(|(dx, &y)| *dx = y * (*dx - sum));
        }
    })
}

/// The vector-Jacobian product of [`log_softmax`] from its output `y`:
/// `dx_i = dy_i - exp(y_i) sum_j dy_j`. Overwrites `dy` when it is the only owner.
///
/// # Panics
/// If the shapes differ or have rank 0.
#[track_caller]
pub fn log_softmax_backward<T: Element>(y: &Tensor<T>, dy: Tensor<T>) -> Tensor<T> {
    let row = backward_row("log_softmax_backward", y, &dy);
    let source = y.contiguous();
    let y = source.data();
    rewrite_rows(dy, row, |start, dx| {
        let mut block = [T::ZERO; BLOCK];
        let mut long = Vec::new();
        let size = block_size(row);
        for (dx, y) in dx.chunks_mut(size).zip(y[start..].chunks(size)) {
            let p = scratch(&mut block, &mut long, dx.len());
            p.copy_from_slice(&y[..dx.len()]);
            T::exp_slice(p);
            for (dx, p) in dx.chunks_exact_mut(row).zip(p.chunks_exact(row)) {
                let sum = row_sum(dx);
                dx.iter_mut().zip(p).for_each(|(dx, &p)| *dx -= p * sum);
            }
        }
    })
}

#[track_caller]
fn last_extent<T: Element>(operation: &str, x: &Tensor<T>) -> usize {
    *x.shape().last().unwrap_or_else(|| panic!("{operation}: x of rank 0 has no last dimension"))
}

#[track_caller]
fn backward_row<T: Element>(operation: &str, y: &Tensor<T>, dy: &Tensor<T>) -> usize {
    assert_eq!(y.shape(), dy.shape(), "{operation}: y and dy must have the same shape");
    last_extent(operation, y)
}

/// Elements of a block of whole rows.
fn block_size(row: usize) -> usize {
    (BLOCK / row).max(1) * row
}

/// `len` elements to work in: on the stack, unless a single row is longer than a block.
fn scratch<'a, T: Element>(block: &'a mut [T; BLOCK], long: &'a mut Vec<T>, len: usize) -> &'a mut [T] {
    if len <= BLOCK {
        return &mut block[..len];
    }
    long.resize(len, T::ZERO);
    long
}

/// A tensor like `x`, filled by `work(x, y)` on blocks of whole rows.
fn for_each_block<T: Element>(x: &Tensor<T>, work: impl Fn(&[T], &mut [T]) + Sync) -> Tensor<T> {
    let source = x.contiguous();
    let (data, row) = (source.data(), x.shape()[x.rank() - 1]);
    Tensor::filled_by(x.shape(), |y| {
        for_each_rows(y, row, |first, rows| {
            let size = block_size(row);
            for (y, x) in rows.chunks_mut(size).zip(data[first * row..].chunks(size)) {
                work(&x[..y.len()], y);
            }
        });
    })
}

/// `y = x - shift(x)` for every row.
fn shifted<T: Element>(x: &[T], y: &mut [T], row: usize) {
    for (x, y) in x.chunks_exact(row).zip(y.chunks_exact_mut(row)) {
        subtract(x, shift(x), y);
    }
}

#[inline(always)]
fn subtract<T: Element>(x: &[T], shift: T, y: &mut [T]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = x - shift);
}

/// The value that is subtracted from a row: its largest, or 0 if that is infinite.
#[inline(always)]
fn shift<T: Element>(row: &[T]) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let largest = if row.len() < SHORT {
        row.iter().copied().fold(T::neg_infinity(), larger)
    } else {
        let mut lanes = [T::neg_infinity(); 16];
        for chunk in row.chunks(16) {
            lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane = larger(*lane, x));
        }
        lanes.into_iter().fold(T::neg_infinity(), larger)
    };
    if largest.is_infinite() { T::ZERO } else { largest }
}

#[inline(always)]
fn row_sum<T: Element>(row: &[T]) -> T {
    if row.len() < SHORT { row.iter().fold(T::ZERO, |sum, &x| sum + x) } else { sum_slice(row) }
}

#[inline(always)]
fn row_dot<T: Element>(a: &[T], b: &[T]) -> T {
    if a.len() < SHORT {
        return a.iter().zip(b).fold(T::ZERO, |sum, (&a, &b)| sum + a * b);
    }
    let mut lanes = [T::ZERO; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.into_iter().fold(T::ZERO, |sum, x| sum + x)
}

#[cfg(test)]
mod tests;

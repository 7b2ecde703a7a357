//! Resizing images, and the exact adjoint.
//!
//! Along each axis an output position reads two input positions with weights
//! that add up to 1 (nearest: one position, bicubic: four). These taps depend on the
//! sizes alone, so they are computed once for each axis (`taps.rs`). The adjoint
//! inverts them: for every input position, the outputs that read it. The backward
//! pass therefore gathers like the forward pass, and each row of `dx` is written once
//! by one thread.
//!
//! Both work on one row at a time, first vertically and then horizontally. The
//! vertical part is a loop over the whole row as one long vector. The
//! horizontal part loops over the channels of a pixel, whose number need not be
//! a multiple of the vector length (11 classes, for example): it writes whole
//! vectors, and each pixel overwrites what the pixel before wrote beyond its
//! own end.

mod taps;

pub use taps::Interpolation;

use taps::{Reads, Tap, readers, reads, taps};

use crate::parallel::for_each_rows;
use crate::pool::Buffer;
use crate::shape::product_of;
use crate::{Element, Tensor};

/// Channels are worked on in runs of this many.
const LANES: usize = 8;

/// `x [N, H, W, C]` resized to `[N, OH, OW, C]`.
///
/// Agrees with PyTorch's `interpolate`; no smoothing when shrinking. A pixel with
/// NaN makes the outputs that read it NaN.
///
/// # Panics
/// If `x` is not of rank 4 or a size is zero.
#[track_caller]
pub fn resize<T: Element>(x: &Tensor<T>, [oh, ow]: [usize; 2], mode: Interpolation) -> Tensor<T> {
    let [n, h, w, c] = check("resize", "x", x, [oh, ow]);
    if let Interpolation::Bicubic { .. } = mode {
        return gathered(x, [oh, ow], [reads(h, oh, mode), reads(w, ow, mode)]);
    }
    let (down, across) = (taps::<T>(h, oh, mode), taps::<T>(w, ow, mode));
    let source = x.contiguous();
    let x = source.data();
    Tensor::filled_by(&[n, oh, ow, c], |y| {
        for_each_rows(y, ow * c, |first, rows| {
            // Two rows of x mixed: [W, C], and room to read beyond the end
            let mut mixed = Buffer::filled(w * c + LANES, T::ZERO);
            for (index, row) in rows.chunks_exact_mut(ow * c).enumerate() {
                let (image, tap) = ((first + index) / oh, down[(first + index) % oh]);
                let line = |y: usize| &x[(image * h + y) * w * c..][..w * c];
                if mode == Interpolation::Nearest {
                    copy_pixels(row, line(tap.from), &across, c);
                } else {
                    let rows = line(tap.from).iter().zip(line(tap.to));
                    mixed.iter_mut().zip(rows).for_each(|(m, (&a, &b))| *m = a + tap.weight * (b - a));
                    blend(&mixed, &across, row, c);
                }
            }
        });
    })
}

/// The adjoint of [`resize`]: `dx[i] = sum_o weight(o, i) dy[o]`, from
/// `dy [N, OH, OW, C]` to `[N, H, W, C]` with the input's size `[h, w]`.
///
/// # Panics
/// If `dy` is not of rank 4 or a size is zero.
#[track_caller]
pub fn resize_backward<T: Element>(dy: &Tensor<T>, [h, w]: [usize; 2], mode: Interpolation) -> Tensor<T> {
    let [_, oh, ow, _] = check("resize_backward", "dy", dy, [h, w]);
    gathered(dy, [h, w], [readers(&reads(h, oh, mode), h), readers(&reads(w, ow, mode), w)])
}

/// `x [N, H, W, C]` to `[N, OH, OW, C]`, where rows and columns of the output are these weighted sums of rows and
/// columns of `x`.
fn gathered<T: Element>(
    x: &Tensor<T>,
    [oh, ow]: [usize; 2],
    [down, across]: [Vec<Reads<T>>; 2],
) -> Tensor<T> {
    let [n, h, w, c] = x.extents();
    let source = x.contiguous();
    let x = source.data();
    Tensor::filled_by(&[n, oh, ow, c], |y| {
        for_each_rows(y, ow * c, |first, rows| {
            // The rows of x that this row reads, added up: [W, C], and room to read beyond the end
            let mut line = Buffer::filled(w * c + LANES, T::ZERO);
            for (index, row) in rows.chunks_exact_mut(ow * c).enumerate() {
                let (image, oy) = ((first + index) / oh, (first + index) % oh);
                weighted_sum(&mut line[..w * c], &x[image * h * w * c..], &down[oy]);
                for_each_pixel(row, c, &across, |place, lanes, reads| {
                    gather(lanes, &line[place..], reads, c)
                });
            }
        });
    })
}

#[track_caller]
fn check<T: Element>(operation: &str, name: &str, x: &Tensor<T>, size: [usize; 2]) -> [usize; 4] {
    let fits = x.rank() == 4 && x.shape()[1] > 0 && x.shape()[2] > 0 && !size.contains(&0);
    assert!(
        fits,
        "{operation}: {name} {:?} to {size:?}: {name} must be [N, H, W, C] and both sizes at least 1",
        x.shape()
    );
    let [n, h, w, c] = x.extents();
    product_of(operation, &[n, size[0], size[1], c]);
    [n, h, w, c]
}

fn copy_pixels<T: Element>(y: &mut [T], line: &[T], taps: &[Tap<T>], c: usize) {
    for (y, tap) in y.chunks_exact_mut(c).zip(taps) {
        y.copy_from_slice(&line[tap.from * c..][..c]);
    }
}

/// One output row from an input row `[W, C]` that is followed by [`LANES`] more elements.
fn blend<T: Element>(x: &[T], taps: &[Tap<T>], y: &mut [T], c: usize) {
    for_each_pixel(y, c, taps, |place, lanes, tap| {
        let (a, b) = (&x[tap.from * c + place..], &x[tap.to * c + place..]);
        for ((y, &a), &b) in lanes.iter_mut().zip(&a[..LANES]).zip(&b[..LANES]) {
            *y = a + tap.weight * (b - a);
        }
    });
}

/// Calls `work(place, lanes, item)` for runs of [`LANES`] channels of every
/// pixel of `row [.., C]`; `place` is the run's first channel. A run may reach
/// into the next pixel, which overwrites it.
#[inline(always)]
fn for_each_pixel<T: Element, I>(
    row: &mut [T],
    c: usize,
    items: &[I],
    work: impl Fn(usize, &mut [T; LANES], &I),
) {
    for (pixel, item) in items.iter().enumerate() {
        for place in (0..c).step_by(LANES) {
            let rest = &mut row[pixel * c + place..];
            match rest.first_chunk_mut::<LANES>() {
                Some(lanes) => work(place, lanes, item),
                None => {
                    let mut lanes = [T::ZERO; LANES];
                    work(place, &mut lanes, item);
                    rest.copy_from_slice(&lanes[..rest.len()]);
                }
            }
        }
    }
}

/// `y = sum weight * x[index * c..]` over `(index, weight)`, for a run of channels.
#[inline(always)]
fn gather<T: Element>(y: &mut [T; LANES], x: &[T], reads: &[(usize, T)], c: usize) {
    let mut sum = [T::ZERO; LANES];
    for &(index, weight) in reads {
        sum.iter_mut().zip(&x[index * c..][..LANES]).for_each(|(sum, &x)| *sum += weight * x);
    }
    *y = sum;
}

/// `y = sum weight * rows[index]` over `(index, weight)`, where `rows` is `[.., y.len()]`.
#[inline(always)]
fn weighted_sum<T: Element>(y: &mut [T], rows: &[T], reads: &[(usize, T)]) {
    let len = y.len();
    let row = |index: usize| &rows[index * len..][..len];
    // Two rows at a time halve the passes over y.
    let mut pairs = reads.chunks_exact(2);
    let mut fresh = true;
    for pair in &mut pairs {
        let [(a, v), (b, w)] = [pair[0], pair[1]];
        let terms = y.iter_mut().zip(row(a).iter().zip(row(b)));
        if fresh {
            terms.for_each(|(y, (&a, &b))| *y = v * a + w * b);
        } else {
            terms.for_each(|(y, (&a, &b))| *y += v * a + w * b);
        }
        fresh = false;
    }
    match pairs.remainder() {
        [(a, w)] if fresh => y.iter_mut().zip(row(*a)).for_each(|(y, &a)| *y = *w * a),
        [(a, w)] => y.iter_mut().zip(row(*a)).for_each(|(y, &a)| *y += *w * a),
        _ if fresh => y.fill(T::ZERO),
        _ => {}
    }
}

#[cfg(test)]
mod tests;

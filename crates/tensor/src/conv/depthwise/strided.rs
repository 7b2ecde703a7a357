//! The input gradient of a depthwise convolution of any stride.
//!
//! With a stride, neighbouring input pixels lie under different taps, but pixels a stride apart lie under the same
//! ones, and see neighbouring pixels of `dy`. They are computed together, as neighbouring output pixels are in the
//! forward pass: `dx[iy, ix] = Σ w[ky, kx] dy[oy, ox]` over the taps for which `oy` and `ox` are whole numbers inside
//! the output.

#![allow(unsafe_code)]

use super::{Columns, MOST_TAPS, PIXELS, Rows, RowsKernel, forward_vectors, in_blocks};
use crate::conv::Geometry;
use crate::simd::{Lanes, per_isa};
use crate::{Element, Rectifier, Tensor};

/// The input gradient for a geometry that is [supported](super::supports).
pub(super) fn input_gradient<T: Element>(g: &Geometry, dy: &Tensor<T>, weight: &[T]) -> Tensor<T> {
    let dy = dy.contiguous();
    let start = vec![T::ZERO; g.cin];
    let image = g.output[0] * g.output[1] * g.cin;
    in_blocks(&[g.n, g.input[0], g.input[1], g.cin], |n, first, dx| {
        let work = Rows {
            g,
            x: &dy.data()[n * image..(n + 1) * image],
            zeros: &[],
            first,
            rows: dx.len() / (g.input[1] * g.cin),
            other: weight,
            start: &start,
            activation: Rectifier::None,
        };
        rows_input_gradient(T::kernels().depthwise.input_gradient, &work, dx);
    })
}

/// `dx: [rows, W, C]`, all of it; `work.x` is the image of `dy`.
fn rows_input_gradient<T: Element>(kernel: RowsKernel<T>, work: &Rows<T>, dx: &mut [T]) {
    let g = work.g;
    assert!(super::supports(g) && work.first + work.rows <= g.input[0]);
    assert!(work.x.len() == g.output[0] * g.output[1] * g.cin && work.start.len() >= g.cin);
    assert!(work.other.len() == g.kernel[0] * g.kernel[1] * g.cin);
    assert!(dx.len() == work.rows * g.input[1] * g.cin);
    // SAFETY: the assertions bound every element that is read or written, and
    // the table's instruction set was detected.
    unsafe { kernel(work, dx.as_mut_ptr()) }
}

/// The output row (axis 0) or column (axis 1) for which tap `k` lies on input position `i`, if there is one.
fn target(g: &Geometry, axis: usize, i: usize, k: usize) -> Option<usize> {
    let before = if axis == 0 { g.spec.padding.top } else { g.spec.padding.left };
    let place = (i + before).checked_sub(k * g.spec.dilation[axis])?;
    let stride = g.spec.stride[axis];
    (place.is_multiple_of(stride) && place / stride < g.output[axis]).then_some(place / stride)
}

/// The columns of an input row in runs of [`PIXELS`] that are a stride apart and under the same taps, and single
/// ones: the first of each, and how many.
fn column_runs(g: &Geometry) -> Vec<(usize, usize)> {
    let (stride, width) = (g.spec.stride[1], g.input[1]);
    let taps = |column: usize| -> Vec<usize> {
        (0..g.kernel[1]).filter(|&kx| target(g, 1, column, kx).is_some()).collect()
    };
    let mut runs = Vec::new();
    for phase in 0..stride.min(width) {
        let mut column = phase;
        while column < width {
            // Taps leave the output at one end and enter at the other, so the last column decides.
            let last = column + (PIXELS - 1) * stride;
            let count = if last < width && taps(column) == taps(last) { PIXELS } else { 1 };
            runs.push((column, count));
            column += count * stride;
        }
    }
    runs
}

/// See [`rows_input_gradient`].
///
/// # Safety
/// The slices must fit as asserted there, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn input_gradient_body<V: Lanes>(work: &Rows<V::Scalar>, dx: *mut V::Scalar) {
    let g = work.g;
    let channels = g.cin;
    let mut taps = [(0, std::ptr::null()); MOST_TAPS];
    let runs = column_runs(g);
    for row in 0..work.rows {
        for &(column, count) in &runs {
            let mut inside = 0;
            for ky in 0..g.kernel[0] {
                let Some(oy) = target(g, 0, work.first + row, ky) else { continue };
                for kx in 0..g.kernel[1] {
                    let Some(ox) = target(g, 1, column, kx) else { continue };
                    let pixel = work.x.as_ptr().wrapping_add((oy * g.output[1] + ox) * channels);
                    taps[inside] = ((ky * g.kernel[1] + kx) * channels, pixel);
                    inside += 1;
                }
            }
            let columns = Columns {
                weights: work.other.as_ptr(),
                start: work.start.as_ptr(),
                taps: &taps[..inside],
                activation: Rectifier::None,
                x_step: channels,
                y_step: g.spec.stride[1] * channels,
            };
            // SAFETY: the caller's promise.
            unsafe {
                let to = dx.add((row * g.input[1] + column) * channels);
                match count {
                    PIXELS => all_channels::<V, PIXELS>(&columns, channels, to),
                    _ => all_channels::<V, 1>(&columns, channels, to),
                }
            }
        }
    }
}

/// # Safety
/// As [`forward_vectors`], for all channels.
#[inline(always)]
unsafe fn all_channels<V: Lanes, const N: usize>(
    columns: &Columns<V::Scalar>,
    channels: usize,
    to: *mut V::Scalar,
) {
    // SAFETY: the caller's promise.
    unsafe {
        super::for_each_vector!(forward_vectors, V, N, channels, (columns, channels, to));
    }
}

per_isa!(input_gradient_kernel, input_gradient_body, <>, (work: &Rows<V::Scalar>, dx: *mut V::Scalar));

//! The weight gradient of a depthwise convolution: for every tap, the sum over all pixels of the input under it times the
//! output's gradient.

#![allow(unsafe_code)]

use super::{
    DepthwiseTable, MOST_TAPS, PIXELS, Rows, Tap, check, column_runs, lines, load, square, store, supports,
    taps_inside,
};
use crate::conv::{Conv2dSpec, Geometry};
use crate::parallel::map_ranges;
use crate::simd::{Lanes, per_isa};
use crate::{Element, Rectifier, Tensor};

/// Output elements that one partial weight gradient sums over, at least.
const PARTIAL: usize = 256 * 1024;

/// A row's work with the taps of one run of its columns.
type Run<'a, T> = (&'a Rows<'a, T>, &'a [Tap<T>]);

/// The weight gradient; see [`weight_gradient`](super::weight_gradient).
///
/// # Panics
/// If the geometry is not [supported](supports).
#[track_caller]
pub fn weight_gradient<T: Element>(
    x: &Tensor<T>,
    dy: &Tensor<T>,
    weight_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d weight gradient", x.shape(), weight_shape, spec);
    g.check_dy("conv2d weight gradient", dy.shape());
    assert!(supports(&g), "conv2d weight gradient: {g:?} is not depthwise");
    let (x, dy) = (x.contiguous(), dy.contiguous());
    let (oh, image, row) = (g.output[0], g.input[0] * g.input[1] * g.cin, g.output[1] * g.cin);
    let zeros = vec![T::ZERO; g.input[1] * g.cin];
    let elements = g.kernel[0] * g.kernel[1] * g.cin;
    let images = (PARTIAL / (oh * row).max(1)).max(1);
    let parts = map_ranges(g.n, images, |range| {
        let mut sum = vec![T::ZERO; elements];
        for n in range {
            let work = Rows {
                g: &g,
                x: &x.data()[n * image..(n + 1) * image],
                zeros: &zeros,
                first: 0,
                rows: oh,
                other: &dy.data()[n * oh * row..][..oh * row],
                start: &[],
                activation: Rectifier::None,
            };
            rows_weight_gradient(&T::kernels().depthwise, &work, &mut sum);
        }
        sum
    });
    let mut total = vec![T::ZERO; elements];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    Tensor::from_vec(total, weight_shape)
}

/// Adds the contribution of the rows' pixels to `dweight: [taps, C]`.
fn rows_weight_gradient<T: Element>(set: &DepthwiseTable<T>, work: &Rows<T>, dweight: &mut [T]) {
    check(work);
    let g = work.g;
    assert!(work.other.len() == work.rows * g.output[1] * g.cin);
    assert!(dweight.len() == g.kernel[0] * g.kernel[1] * g.cin);
    let square = square::supports(g);
    let kernel = if square { set.square_gradient } else { set.weight_gradient };
    // SAFETY: the assertions bound every element that is read or written, and
    // the table's instruction set was detected.
    unsafe { kernel(work, dweight.as_mut_ptr()) }
}

/// See [`rows_weight_gradient`].
///
/// # Safety
/// The slices must fit as asserted there, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn weight_gradient_body<V: Lanes>(work: &Rows<V::Scalar>, dweight: *mut V::Scalar) {
    // SAFETY: the caller's promise.
    unsafe {
        super::for_each_run!(weight_gradient_pixels, V, work, dweight);
    }
}

/// Adds the contribution of `N` neighbouring columns, all of which see the same
/// taps, to the weights' gradient.
///
/// # Safety
/// As [`weight_gradient_body`]; `lines` must be those of the row.
#[inline(always)]
unsafe fn weight_gradient_pixels<V: Lanes, const N: usize>(
    work: &Rows<V::Scalar>,
    lines: &[*const V::Scalar],
    taps: &mut [Tap<V::Scalar>; MOST_TAPS],
    [row, column]: [usize; 2],
    dweight: *mut V::Scalar,
) {
    let inside = taps_inside(work.g, lines, column, taps);
    let (taps, channels) = (&taps[..inside], work.g.cin);
    // SAFETY: the caller's promise.
    unsafe {
        let dy = work.other.as_ptr().add((row * work.g.output[1] + column) * channels);
        super::for_each_vector!(weight_gradient_vectors, V, N, channels, ((work, taps), dy, dweight));
    }
}

/// `W` vectors of channels of [`weight_gradient_pixels`]; `dy` points to the first pixel's.
///
/// # Safety
/// As there; `PART` only with one vector.
#[inline(always)]
unsafe fn weight_gradient_vectors<V: Lanes, const N: usize, const W: usize, const PART: bool>(
    channel: usize,
    ((work, taps), dy, dweight): (Run<V::Scalar>, *const V::Scalar, *mut V::Scalar),
) {
    let (channels, step) = (work.g.cin, work.g.spec.stride[1] * work.g.cin);
    let count = channels - channel;
    // SAFETY: the caller's promise.
    unsafe {
        let mut gradients = [[V::splat(V::Scalar::ZERO); W]; N];
        for (j, gradients) in gradients.iter_mut().enumerate() {
            for (k, gradient) in gradients.iter_mut().enumerate() {
                *gradient = load::<V, PART>(dy.add(j * channels + channel + k * V::LEN), count);
            }
        }
        for &(weight, pixel) in taps {
            let place = dweight.add(weight + channel);
            let pixel = pixel.add(channel);
            for k in 0..W {
                let mut sum = load::<V, PART>(place.add(k * V::LEN), count);
                for (j, gradients) in gradients.iter().enumerate() {
                    let x = load::<V, PART>(pixel.add(j * step + k * V::LEN), count);
                    sum = x.mul_add(gradients[k], sum);
                }
                store::<V, PART>(sum, place.add(k * V::LEN), count);
            }
        }
    }
}

per_isa!(weight_gradient_kernel, weight_gradient_body, <>, (work: &Rows<V::Scalar>, dweight: *mut V::Scalar));

//! Depthwise convolution: every channel is convolved with a kernel of its own.
//!
//! There is no sum over channels, so there is no matrix product in it: the work
//! is a multiply-add per tap on whole vectors of channels, and what limits it
//! is memory. A pass holds the taps' weights of one vector of channels in
//! registers and walks along a row of pixels.
//!
//! Forward and input gradient are the same walk (the latter over `dy` with the
//! taps reversed, as in `implicit/input_gradient.rs`); the weight gradient
//! walks with a register of sums per tap instead.

#![allow(unsafe_code)]

use rayon::prelude::*;

use super::implicit::{Block, padded_width};
use super::{Conv2dSpec, Epilogue, Geometry};
use crate::parallel::map_ranges;
use crate::simd::kernels::Kernels;
use crate::simd::{Lanes, per_isa};
use crate::{Element, Tensor};

/// The most taps a kernel may have to be handled here.
const MOST_TAPS: usize = 25;
/// Output elements of one block.
const BLOCK: usize = 32 * 1024;
/// Output elements that one partial weight gradient sums over, at least.
const PARTIAL: usize = 256 * 1024;

/// Rows of a depthwise convolution within one block; see [`rows_forward`] and
/// [`rows_weight_gradient`].
pub(crate) struct Rows<'a, T> {
    /// The padded input.
    x: &'a [T],
    /// Where each tap's pixel starts, seen from the window's.
    taps: &'a [usize],
    /// Distance of neighbouring windows in `x`: down and across.
    step: [usize; 2],
    /// Rows, columns and channels of the output.
    size: [usize; 3],
    /// `[taps, C]`; in the weight gradient the output's gradient instead.
    other: &'a [T],
    /// `[C]`.
    start: &'a [T],
    relu: bool,
}

pub(crate) type RowsKernel<T> = unsafe fn(&Rows<T>, *mut T);

/// The kernels of one instruction set.
pub(crate) struct DepthwiseTable<T> {
    pub forward: RowsKernel<T>,
    pub weight_gradient: RowsKernel<T>,
}

/// Whether this file handles the geometry: one input and one output channel per
/// group, and kernels of ordinary size.
pub fn supports(g: &Geometry) -> bool {
    g.spec.groups == g.cin && g.cin == g.cout && g.cin > 1 && g.kernel[0] * g.kernel[1] <= MOST_TAPS
}

/// Whether [`input_gradient`] does, too: stride 1 and no more padding than the kernel reaches.
pub fn supports_input_gradient(g: &Geometry) -> bool {
    supports(g) && g.adjoint().is_some()
}

/// The forward pass; see [`conv2d`](super::conv2d).
///
/// # Panics
/// If the geometry is not [supported](supports).
#[track_caller]
pub fn conv2d<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    spec: &Conv2dSpec,
    epilogue: &Epilogue<T>,
) -> Tensor<T> {
    let g = Geometry::new("conv2d", x.shape(), weight.shape(), spec);
    assert!(supports(&g), "conv2d: {g:?} is not depthwise");
    let bias = epilogue.checked_bias(&g);
    forward(&g, x, weight.contiguous().data(), bias.as_ref().map(Tensor::data), epilogue.relu)
}

/// The input gradient; see [`input_gradient`](super::input_gradient).
///
/// # Panics
/// If the geometry is not [supported](supports_input_gradient).
#[track_caller]
pub fn input_gradient<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    x_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d input gradient", x_shape, weight.shape(), spec);
    g.check_dy("conv2d input gradient", dy.shape());
    assert!(supports_input_gradient(&g), "conv2d input gradient: {g:?} is not depthwise with stride 1");
    let adjoint = g.adjoint().expect("just asserted");
    let taps: Vec<usize> = (0..g.kernel[0] * g.kernel[1]).rev().collect();
    let flipped = super::exchanged(&g, weight.contiguous().data(), &taps);
    forward(&adjoint, dy, &flipped, None, false)
}

fn forward<T: Element>(
    g: &Geometry,
    x: &Tensor<T>,
    weight: &[T],
    bias: Option<&[T]>,
    relu: bool,
) -> Tensor<T> {
    let source = x.contiguous();
    let ([oh, ow], image) = (g.output, g.input[0] * g.input[1] * g.cin);
    let zeros = vec![T::ZERO; g.cin];
    let taps = taps(g);
    let row = ow * g.cin;
    let rows = (BLOCK / row.max(1)).clamp(1, oh.max(1));
    Tensor::filled_by(&g.y_shape(), |y| {
        if y.is_empty() {
            return;
        }
        y.par_chunks_mut(oh * row).enumerate().for_each(|(n, y)| {
            y.par_chunks_mut(rows * row).enumerate().for_each(|(index, y)| {
                let here = y.len() / row;
                let block = Block::new(g, &source.data()[n * image..(n + 1) * image], index * rows, here);
                let work = Rows {
                    x: block.values(),
                    taps: &taps,
                    step: steps(g),
                    size: [here, ow, g.cin],
                    other: weight,
                    start: bias.unwrap_or(&zeros),
                    relu,
                };
                rows_forward(T::kernels(), &work, y);
            });
        });
    })
}

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
    let ([oh, ow], image, row) = (g.output, g.input[0] * g.input[1] * g.cin, g.output[1] * g.cin);
    let taps = taps(&g);
    let rows = (BLOCK / row.max(1)).clamp(1, oh.max(1));
    let images = (PARTIAL / (oh * row).max(1)).max(1);
    let parts = map_ranges(g.n, images, |range| {
        let mut sum = vec![T::ZERO; taps.len() * g.cin];
        for n in range {
            for oy in (0..oh).step_by(rows) {
                let here = rows.min(oh - oy);
                let block = Block::new(&g, &x.data()[n * image..(n + 1) * image], oy, here);
                let work = Rows {
                    x: block.values(),
                    taps: &taps,
                    step: steps(&g),
                    size: [here, ow, g.cin],
                    other: &dy.data()[(n * oh + oy) * row..][..here * row],
                    start: &[],
                    relu: false,
                };
                rows_weight_gradient(T::kernels(), &work, &mut sum);
            }
        }
        sum
    });
    let mut total = vec![T::ZERO; taps.len() * g.cin];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    Tensor::from_vec(total, weight_shape)
}

/// Where each tap's pixel starts in the padded block, seen from the window's.
fn taps(g: &Geometry) -> Vec<usize> {
    let [dy, dx] = g.spec.dilation;
    (0..g.kernel[0] * g.kernel[1])
        .map(|k| (k / g.kernel[1] * dy * padded_width(g) + k % g.kernel[1] * dx) * g.cin)
        .collect()
}

fn steps(g: &Geometry) -> [usize; 2] {
    [g.spec.stride[0] * padded_width(g) * g.cin, g.spec.stride[1] * g.cin]
}

/// Asserts that every window of `work` lies in its input.
fn check<T: Element>(work: &Rows<T>) {
    let [rows, columns, channels] = work.size;
    let last = (rows - 1) * work.step[0] + (columns - 1) * work.step[1] + channels;
    assert!(work.taps.len() <= MOST_TAPS && work.taps.iter().all(|tap| tap + last <= work.x.len()));
}

/// `y: [rows, columns, C]`, all of it.
fn rows_forward<T: Element>(set: &Kernels<T>, work: &Rows<T>, y: &mut [T]) {
    check(work);
    let [rows, columns, channels] = work.size;
    assert!(y.len() == rows * columns * channels && work.start.len() >= channels);
    assert!(work.other.len() == work.taps.len() * channels);
    // SAFETY: the assertions bound every element that is read or written, and
    // the table's instruction set was detected.
    unsafe { (set.depthwise.forward)(work, y.as_mut_ptr()) }
}

/// Adds to `dweight: [taps, C]` what the block's pixels contribute.
fn rows_weight_gradient<T: Element>(set: &Kernels<T>, work: &Rows<T>, dweight: &mut [T]) {
    check(work);
    let [rows, columns, channels] = work.size;
    assert!(work.other.len() == rows * columns * channels);
    assert!(dweight.len() == work.taps.len() * channels);
    // SAFETY: the assertions bound every element that is read or written, and
    // the table's instruction set was detected.
    unsafe { (set.depthwise.weight_gradient)(work, dweight.as_mut_ptr()) }
}

/// # Safety
/// `count <= V::LEN` elements must be readable, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn load<V: Lanes>(from: *const V::Scalar, count: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if count == V::LEN { V::load(from) } else { V::load_part(from, count) } }
}

/// # Safety
/// `count <= V::LEN` elements must be writable, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn store<V: Lanes>(value: V, to: *mut V::Scalar, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { if count == V::LEN { value.store(to) } else { value.store_part(to, count) } }
}

/// Calls the body with the number of taps as a constant where it is a usual one.
macro_rules! by_taps {
    ($body:ident, $vector:ident, $work:ident, $to:ident) => {
        match $work.taps.len() {
            9 => $body::<$vector, 9>($work, $to, 9),
            taps => $body::<$vector, MOST_TAPS>($work, $to, taps),
        }
    };
}

/// See [`rows_forward`].
///
/// # Safety
/// The slices must fit as asserted there, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn forward_body<V: Lanes>(work: &Rows<V::Scalar>, y: *mut V::Scalar) {
    // SAFETY: the caller's promise.
    unsafe { by_taps!(forward_taps, V, work, y) }
}

/// See [`rows_weight_gradient`].
///
/// # Safety
/// The slices must fit as asserted there, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn weight_gradient_body<V: Lanes>(work: &Rows<V::Scalar>, dweight: *mut V::Scalar) {
    // SAFETY: the caller's promise.
    unsafe { by_taps!(weight_gradient_taps, V, work, dweight) }
}

/// # Safety
/// As [`forward_body`], and `taps` be the number of taps, at most `TAPS`.
#[inline(always)]
unsafe fn forward_taps<V: Lanes, const TAPS: usize>(work: &Rows<V::Scalar>, y: *mut V::Scalar, taps: usize) {
    let [rows, columns, channels] = work.size;
    let mut channel = 0;
    while channel < channels {
        let count = (channels - channel).min(V::LEN);
        // SAFETY: the caller's promise.
        unsafe {
            let start = load::<V>(work.start.as_ptr().add(channel), count);
            let mut weights = [start; TAPS];
            for (tap, weight) in weights.iter_mut().enumerate().take(taps) {
                *weight = load(work.other.as_ptr().add(tap * channels + channel), count);
            }
            for row in 0..rows {
                for column in 0..columns {
                    let x = work.x.as_ptr().add(row * work.step[0] + column * work.step[1] + channel);
                    let mut sum = start;
                    for (weight, &tap) in weights.iter().zip(work.taps).take(taps) {
                        sum = load::<V>(x.add(tap), count).mul_add(*weight, sum);
                    }
                    let sum = if work.relu { sum.relu() } else { sum };
                    store(sum, y.add((row * columns + column) * channels + channel), count);
                }
            }
        }
        channel += V::LEN;
    }
}

/// # Safety
/// As [`weight_gradient_body`], and `taps` be the number of taps, at most `TAPS`.
#[inline(always)]
unsafe fn weight_gradient_taps<V: Lanes, const TAPS: usize>(
    work: &Rows<V::Scalar>,
    dweight: *mut V::Scalar,
    taps: usize,
) {
    let [rows, columns, channels] = work.size;
    let mut channel = 0;
    while channel < channels {
        let count = (channels - channel).min(V::LEN);
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [V::splat(V::Scalar::ZERO); TAPS];
            for (tap, sum) in sums.iter_mut().enumerate().take(taps) {
                *sum = load(dweight.add(tap * channels + channel), count);
            }
            for row in 0..rows {
                for column in 0..columns {
                    let x = work.x.as_ptr().add(row * work.step[0] + column * work.step[1] + channel);
                    let dy = work.other.as_ptr().add((row * columns + column) * channels + channel);
                    let dy = load::<V>(dy, count);
                    for (sum, &tap) in sums.iter_mut().zip(work.taps).take(taps) {
                        *sum = load::<V>(x.add(tap), count).mul_add(dy, *sum);
                    }
                }
            }
            for (tap, sum) in sums.iter().enumerate().take(taps) {
                store(*sum, dweight.add(tap * channels + channel), count);
            }
        }
        channel += V::LEN;
    }
}

per_isa!(forward_kernel, forward_body, <>, (work: &Rows<V::Scalar>, y: *mut V::Scalar));
per_isa!(weight_gradient_kernel, weight_gradient_body, <>, (work: &Rows<V::Scalar>, dweight: *mut V::Scalar));

/// The table of one instruction set's kernels.
macro_rules! depthwise_table {
    ($isa:ident, $vector:ty) => {{
        use $crate::conv::depthwise::{DepthwiseTable, forward_kernel, weight_gradient_kernel};
        DepthwiseTable {
            forward: forward_kernel::$isa::<$vector>,
            weight_gradient: weight_gradient_kernel::$isa::<$vector>,
        }
    }};
}
pub(crate) use depthwise_table;

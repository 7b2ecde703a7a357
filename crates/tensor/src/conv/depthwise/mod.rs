//! Depthwise convolution: every channel is convolved with a kernel of its own.
//!
//! There is no sum over channels, so there is no matrix product in it: the work
//! is a multiply-add per tap on whole vectors of channels, and it is limited by
//! memory. A pass goes along a row a few pixels at a time, through all their
//! channels, so that memory is read in order and a loaded weight is used for
//! several pixels. The image is read in place: rows outside it are one row of
//! zeros, and only the first and last columns check which taps are inside.
//!
//! Forward pass and input gradient share these loops (the latter over `dy` with
//! the taps reversed, as in `implicit/input_gradient.rs`, or with a stride by
//! `strided.rs`); the weight gradient keeps a register of sums per tap instead
//! (`weight_gradient.rs`).

#![allow(unsafe_code)]

mod square;
mod strided;
mod weight_gradient;

pub(crate) use square::{square_gradient_kernel, square_kernel};
pub(crate) use strided::input_gradient_kernel;
pub use weight_gradient::weight_gradient;
pub(crate) use weight_gradient::weight_gradient_kernel;

use super::{Conv2dSpec, Epilogue, Geometry};
use crate::simd::{Lanes, per_isa, rectify};
use crate::{Element, Rectifier, Tensor, parallel};

/// Neighbouring pixels computed together.
const PIXELS: usize = 4;
/// The most taps a kernel may have to be handled here.
const MOST_TAPS: usize = 49;
/// Elements of one block of results.
const BLOCK: usize = 32 * 1024;
/// Some output rows of one image; see [`rows_forward`] and [`rows_weight_gradient`].
pub(crate) struct Rows<'a, T> {
    g: &'a Geometry,
    /// The image, `[H, W, C]`.
    x: &'a [T],
    /// A row of zeros, `[W, C]`, for rows outside the image.
    zeros: &'a [T],
    /// The first output row, and how many.
    first: usize,
    rows: usize,
    /// The weights, `[taps, C]`; for the weight gradient, these rows of the output's gradient.
    other: &'a [T],
    /// `[C]`.
    start: &'a [T],
    activation: Rectifier,
}

pub(crate) type RowsKernel<T> = unsafe fn(&Rows<T>, *mut T);

/// The kernels of one instruction set.
pub(crate) struct DepthwiseTable<T> {
    pub forward: RowsKernel<T>,
    pub input_gradient: RowsKernel<T>,
    pub square: RowsKernel<T>,
    pub square_gradient: RowsKernel<T>,
    pub weight_gradient: RowsKernel<T>,
}

/// Whether this file handles the geometry: one input and one output channel per
/// group, and kernels of ordinary size.
pub fn supports(g: &Geometry) -> bool {
    g.spec.groups == g.cin && g.cin == g.cout && g.cin > 1 && g.kernel[0] * g.kernel[1] <= MOST_TAPS
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
    forward(&g, x, weight.contiguous().data(), bias.as_ref().map(Tensor::data), epilogue.activation)
}

/// The input gradient; see [`input_gradient`](super::input_gradient).
///
/// # Panics
/// If the geometry is not [supported](supports).
#[track_caller]
pub fn input_gradient<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    x_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d input gradient", x_shape, weight.shape(), spec);
    g.check_dy("conv2d input gradient", dy.shape());
    assert!(supports(&g), "conv2d input gradient: {g:?} is not depthwise");
    let Some(adjoint) = g.adjoint() else {
        return strided::input_gradient(&g, dy, weight.contiguous().data());
    };
    let taps: Vec<usize> = (0..g.kernel[0] * g.kernel[1]).rev().collect();
    let flipped = super::exchanged(&g, weight.contiguous().data(), &taps);
    forward(&adjoint, dy, &flipped, None, Rectifier::None)
}

fn forward<T: Element>(
    g: &Geometry,
    x: &Tensor<T>,
    weight: &[T],
    bias: Option<&[T]>,
    activation: Rectifier,
) -> Tensor<T> {
    let source = x.contiguous();
    let zeros = vec![T::ZERO; g.input[1] * g.cin];
    let no_bias = vec![T::ZERO; g.cin];
    let image = g.input[0] * g.input[1] * g.cin;
    in_blocks(&g.y_shape(), |n, first, y| {
        let work = Rows {
            g,
            x: &source.data()[n * image..(n + 1) * image],
            zeros: &zeros,
            first,
            rows: y.len() / (g.output[1] * g.cin),
            other: weight,
            start: bias.unwrap_or(&no_bias),
            activation,
        };
        rows_forward(&T::kernels().depthwise, &work, y);
    })
}

/// A tensor `[N, H, W, C]` made by `write(image, first row, rows)`, some rows at a time.
fn in_blocks<T: Element>(shape: &[usize; 4], write: impl Fn(usize, usize, &mut [T]) + Sync) -> Tensor<T> {
    let &[_, h, w, c] = shape;
    let row = w * c;
    let rows = (BLOCK / row.max(1)).clamp(1, h.max(1));
    Tensor::filled_by(shape, |y| {
        if y.is_empty() {
            return;
        }
        parallel::for_each(y.chunks_mut(h * row).enumerate(), |(n, y)| {
            let blocks = y.chunks_mut(rows * row).enumerate();
            parallel::for_each(blocks, |(index, y)| write(n, index * rows, y));
        });
    })
}

/// Asserts that the rows lie in the output and the slices have the geometry's sizes.
fn check<T: Element>(work: &Rows<T>) {
    let g = work.g;
    assert!(supports(g) && work.first + work.rows <= g.output[0]);
    assert!(work.x.len() == g.input[0] * g.input[1] * g.cin && work.zeros.len() >= g.input[1] * g.cin);
}

/// `y: [rows, OW, C]`, all of it.
fn rows_forward<T: Element>(set: &DepthwiseTable<T>, work: &Rows<T>, y: &mut [T]) {
    check(work);
    let g = work.g;
    assert!(y.len() == work.rows * g.output[1] * g.cin && work.start.len() >= g.cin);
    assert!(work.other.len() == g.kernel[0] * g.kernel[1] * g.cin);
    let kernel = if square::supports(g) { set.square } else { set.forward };
    // SAFETY: the assertions bound every element that is read or written, and
    // the table's instruction set was detected.
    unsafe { kernel(work, y.as_mut_ptr()) }
}

/// The output columns whose taps all lie inside the image.
fn interior(g: &Geometry) -> std::ops::Range<usize> {
    let (left, stride) = (g.spec.padding.left, g.spec.stride[1]);
    let reach = g.spec.dilation[1] * (g.kernel[1] - 1) + 1;
    let first = left.div_ceil(stride).min(g.output[1]);
    let last = (g.input[1] + left).checked_sub(reach).map_or(0, |room| room / stride + 1);
    first..last.clamp(first, g.output[1])
}

/// Loads a vector, or with `PART` its first `count` elements.
///
/// # Safety
/// They must be readable, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn load<V: Lanes, const PART: bool>(from: *const V::Scalar, count: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if PART { V::load_part(from, count) } else { V::load(from) } }
}

/// Stores a vector, or with `PART` its first `count` elements.
///
/// # Safety
/// They must be writable, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn store<V: Lanes, const PART: bool>(value: V, to: *mut V::Scalar, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { if PART { value.store_part(to, count) } else { value.store(to) } }
}

/// The start of the input row under every kernel row of output row `oy`, or of
/// the zeros if that row is outside the image. Column `ix` of it starts at
/// element `ix * C`.
fn lines<T: Element>(work: &Rows<T>, oy: usize) -> [*const T; MOST_TAPS] {
    let g = work.g;
    let mut lines = [work.zeros.as_ptr(); MOST_TAPS];
    for (ky, line) in lines.iter_mut().enumerate().take(g.kernel[0]) {
        if let Some(iy) = g.source(0, oy, ky) {
            *line = work.x.as_ptr().wrapping_add(iy * g.input[1] * g.cin);
        }
    }
    lines
}

/// Cuts the columns of an output row into runs of [`PIXELS`] inside the image
/// and single ones: the first of each, and how many.
fn column_runs(g: &Geometry) -> Vec<(usize, usize)> {
    let inside = interior(g);
    let mut runs = Vec::new();
    let mut column = 0;
    while column < g.output[1] {
        let whole = inside.contains(&column) && column + PIXELS <= inside.end;
        runs.push((column, if whole { PIXELS } else { 1 }));
        column += if whole { PIXELS } else { 1 };
    }
    runs
}

/// Calls the body with the number of columns as a constant.
macro_rules! for_each_run {
    ($body:ident, $vector:ident, $work:ident, $to:expr) => {
        let runs = column_runs($work.g);
        let mut taps = [(0, std::ptr::null()); MOST_TAPS];
        for row in 0..$work.rows {
            let lines = lines($work, $work.first + row);
            for &(column, count) in &runs {
                let at = [row, column];
                match count {
                    PIXELS => $body::<$vector, PIXELS>($work, &lines, &mut taps, at, $to),
                    _ => $body::<$vector, 1>($work, &lines, &mut taps, at, $to),
                }
            }
        }
    };
}

/// Calls the body on all channels: two vectors at a time, then one, then the
/// rest.
macro_rules! for_each_vector {
    ($body:ident, $vector:ident, $columns:ident, $channels:ident, $work:expr) => {
        let mut channel = 0;
        while channel + 2 * $vector::LEN <= $channels {
            $body::<$vector, $columns, 2, false>(channel, $work);
            channel += 2 * $vector::LEN;
        }
        if channel + $vector::LEN <= $channels {
            $body::<$vector, $columns, 1, false>(channel, $work);
            channel += $vector::LEN;
        }
        if channel < $channels {
            $body::<$vector, $columns, 1, true>(channel, $work);
        }
    };
}
use {for_each_run, for_each_vector};

/// See [`rows_forward`].
///
/// # Safety
/// The slices must fit as asserted there, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn forward_body<V: Lanes>(work: &Rows<V::Scalar>, y: *mut V::Scalar) {
    // SAFETY: the caller's promise.
    unsafe {
        for_each_run!(forward_pixels, V, work, y);
    }
}

/// A tap that lies inside the image: where its weights start, and its pixel.
type Tap<T> = (usize, *const T);

/// Results in one row that are sums over the same taps.
struct Columns<'a, T> {
    /// `[taps, C]`.
    weights: *const T,
    /// What the sums start from, `[C]`.
    start: *const T,
    taps: &'a [Tap<T>],
    activation: Rectifier,
    /// From one result to the next, in the source and in the results.
    x_step: usize,
    y_step: usize,
}

/// The taps of `column` that lie inside the image.
fn taps_inside<T: Element>(
    g: &Geometry,
    lines: &[*const T],
    column: usize,
    taps: &mut [Tap<T>; MOST_TAPS],
) -> usize {
    let mut count = 0;
    for kx in 0..g.kernel[1] {
        let Some(ix) = g.source(1, column, kx) else { continue };
        for (ky, line) in lines.iter().enumerate().take(g.kernel[0]) {
            taps[count] = ((ky * g.kernel[1] + kx) * g.cin, line.wrapping_add(ix * g.cin));
            count += 1;
        }
    }
    count
}

/// The output at `N` neighbouring columns, all of which see the same taps.
///
/// # Safety
/// As [`forward_body`]; `lines` must be those of the row.
#[inline(always)]
unsafe fn forward_pixels<V: Lanes, const N: usize>(
    work: &Rows<V::Scalar>,
    lines: &[*const V::Scalar],
    taps: &mut [Tap<V::Scalar>; MOST_TAPS],
    [row, column]: [usize; 2],
    y: *mut V::Scalar,
) {
    let inside = taps_inside(work.g, lines, column, taps);
    let channels = work.g.cin;
    let columns = Columns {
        weights: work.other.as_ptr(),
        start: work.start.as_ptr(),
        taps: &taps[..inside],
        activation: work.activation,
        x_step: work.g.spec.stride[1] * channels,
        y_step: channels,
    };
    // SAFETY: the caller's promise.
    unsafe {
        let y = y.add((row * work.g.output[1] + column) * channels);
        for_each_vector!(forward_vectors, V, N, channels, (&columns, channels, y));
    }
}

/// `W` vectors of channels of `N` results; `y` points to the first result's.
///
/// # Safety
/// `taps` must point to pixels of `channels` elements, `N` of them `x_step` apart, and to as many weights; the results
/// must be writable. `PART` only with one vector.
#[inline(always)]
unsafe fn forward_vectors<V: Lanes, const N: usize, const W: usize, const PART: bool>(
    channel: usize,
    (columns, channels, y): (&Columns<V::Scalar>, usize, *mut V::Scalar),
) {
    let &Columns { weights, start, taps, activation, x_step, y_step } = columns;
    let count = channels - channel;
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[V::splat(V::Scalar::ZERO); W]; N];
        for (k, start) in (0..W).map(|k| (k, start.add(channel + k * V::LEN))) {
            let start = load::<V, PART>(start, count);
            sums.iter_mut().for_each(|sums| sums[k] = start);
        }
        for &(weight, pixel) in taps {
            let weight = weights.add(weight + channel);
            let pixel = pixel.add(channel);
            for k in 0..W {
                let weight = load::<V, PART>(weight.add(k * V::LEN), count);
                for (j, sums) in sums.iter_mut().enumerate() {
                    let x = load::<V, PART>(pixel.add(j * x_step + k * V::LEN), count);
                    sums[k] = x.mul_add(weight, sums[k]);
                }
            }
        }
        rectify(&mut sums, activation);
        for (j, sums) in sums.iter().enumerate() {
            for (k, &sum) in sums.iter().enumerate() {
                store::<V, PART>(sum, y.add(j * y_step + channel + k * V::LEN), count);
            }
        }
    }
}

per_isa!(forward_kernel, forward_body, <>, (work: &Rows<V::Scalar>, y: *mut V::Scalar));

/// The table of one instruction set's kernels.
macro_rules! depthwise_table {
    ($isa:ident, $vector:ty) => {{
        use $crate::conv::depthwise::{
            DepthwiseTable, forward_kernel, input_gradient_kernel, square_gradient_kernel, square_kernel,
            weight_gradient_kernel,
        };
        DepthwiseTable {
            forward: forward_kernel::$isa::<$vector>,
            input_gradient: input_gradient_kernel::$isa::<$vector>,
            square: square_kernel::$isa::<$vector>,
            square_gradient: square_gradient_kernel::$isa::<$vector>,
            weight_gradient: weight_gradient_kernel::$isa::<$vector>,
        }
    }};
}
pub(crate) use depthwise_table;

//! Convolution as a matrix product whose patch matrix is never stored.
//!
//! In NHWC the `KW*Cin` inputs that one output pixel takes from one kernel row
//! lie side by side in memory, and the next pixel's start `stride*Cin` further
//! on. The product's inner kernel (`tile.rs`) therefore reads the "patch
//! matrix" straight from the image: a tile is a few neighbouring output pixels
//! times a panel of output channels, and its sum runs over one contiguous
//! segment per kernel row.
//!
//! All three passes use that kernel:
//! - forward: `a` is the input, `b` the weights, packed into panels;
//! - input gradient (stride 1): the same on the output gradient, with the
//!   weights flipped and their channels exchanged;
//! - weight gradient: `a` is the input with the *channels* as tile rows, `b`
//!   the output gradient, and the sum runs over pixels.
//!
//! Work is cut into blocks of a few image rows. A block's input is copied once
//! into a small buffer with its padding, so the kernel never meets an edge and
//! the values stay in cache.

use rayon::prelude::*;

use super::tile::{Segment, Start, Tile, even_pieces};
use super::{Conv2dSpec, Epilogue, Geometry, Padding};
use crate::pool::Buffer;
use crate::simd::kernels::Kernels;
use crate::{Element, Tensor};

/// Length of a sum before it is stored and taken up again: a panel of weights
/// this deep (32 KiB of `f32`) stays in the first-level cache.
pub(super) const DEPTH: usize = 256;
/// Output pixels of one forward block.
const FORWARD_PIXELS: usize = 512;
/// Output pixels of one weight-gradient block: its rows of `dy` play the panel's part.
const GRADIENT_PIXELS: usize = 256;
/// Partial weight gradients kept at once, and the elements all of them may have.
pub(super) const PARTIALS: usize = 16;
pub(super) const PARTIAL_ELEMENTS: usize = 8 << 20;

/// Output channels `start .. start + columns` of a group, computed together in `vectors` vectors.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub start: usize,
    pub columns: usize,
    pub vectors: usize,
}

impl Panel {
    /// The panels that cover `channels` channels.
    pub fn cover(channels: usize, lanes: usize) -> Vec<Panel> {
        let mut panels = Vec::new();
        let mut start = 0;
        while start < channels {
            let columns = (channels - start).min(2 * lanes);
            panels.push(Panel { start, columns, vectors: columns.div_ceil(lanes) });
            start += columns;
        }
        panels
    }
}

/// A 1x1 kernel that takes every pixel as it is sees the image as one long row.
fn flatten_rows(g: Geometry) -> Geometry {
    let plain = Conv2dSpec { groups: g.spec.groups, ..Conv2dSpec::default() };
    if g.kernel == [1, 1] && (Conv2dSpec { dilation: [1, 1], ..g.spec }) == plain {
        let row = [1, g.input[0] * g.input[1]];
        return Geometry { input: row, output: row, ..g };
    }
    g
}

/// The rows of the padded input that output rows `oy .. oy + rows` need.
struct Block<'a, T: Element> {
    image: &'a [T],
    padded: Option<Buffer<T>>,
}

impl<'a, T: Element> Block<'a, T> {
    /// `image: [H, W, Cin]`.
    fn new(g: &Geometry, image: &'a [T], oy: usize, rows: usize) -> Self {
        let p = g.spec.padding;
        let first = oy * g.spec.stride[0];
        let count = (rows - 1) * g.spec.stride[0] + g.spec.dilation[0] * (g.kernel[0] - 1) + 1;
        let source_row = g.input[1] * g.cin;
        if p == Padding::default() {
            return Self { image: &image[first * source_row..(first + count) * source_row], padded: None };
        }
        let row = padded_width(g) * g.cin;
        let (left, right) = (p.left * g.cin, p.right * g.cin);
        let mut padded = Buffer::unspecified(count * row);
        for (index, out) in padded.chunks_exact_mut(row).enumerate() {
            match (first + index).checked_sub(p.top).filter(|&y| y < g.input[0]) {
                Some(y) => {
                    out[..left].fill(T::ZERO);
                    out[left..row - right].copy_from_slice(&image[y * source_row..(y + 1) * source_row]);
                    out[row - right..].fill(T::ZERO);
                }
                None => out.fill(T::ZERO),
            }
        }
        Self { image, padded: Some(padded) }
    }

    /// `[rows of the block, padded width, Cin]`.
    fn values(&self) -> &[T] {
        self.padded.as_deref().unwrap_or(self.image)
    }
}

fn padded_width(g: &Geometry) -> usize {
    g.input[1] + g.spec.padding.left + g.spec.padding.right
}

/// The contiguous stretches a pixel's window is made of, as (place in the
/// padded block, place in the kernel, length): one per kernel row, or one per
/// tap when dilation or groups break the row up.
fn window_runs(g: &Geometry) -> Vec<(usize, usize, usize)> {
    let [kh, kw] = g.kernel;
    let row = padded_width(g) * g.cin;
    let whole_rows = g.spec.dilation[1] == 1 && g.spec.groups == 1;
    let taps = if whole_rows { 1 } else { kw };
    let len = if whole_rows { kw * g.cin } else { g.cin_group() };
    (0..kh * taps)
        .map(|i| {
            let (ky, kx) = (i / taps, i % taps);
            (ky * g.spec.dilation[0] * row + kx * g.spec.dilation[1] * g.cin, i * len, len)
        })
        .collect()
}

/// Cuts a window's runs into sums of at most [`DEPTH`] values each.
fn depth_blocks(runs: &[(usize, usize, usize)], width: usize) -> Vec<Vec<Segment>> {
    let pieces = runs.iter().flat_map(|&(a, k, len)| {
        even_pieces(len, DEPTH).map(move |(start, len)| Segment { a: a + start, b: (k + start) * width, len })
    });
    let mut blocks: Vec<Vec<Segment>> = Vec::new();
    let mut depth = DEPTH;
    for piece in pieces {
        if depth + piece.len > DEPTH {
            blocks.push(Vec::new());
            depth = 0;
        }
        depth += piece.len;
        blocks.last_mut().expect("just pushed").push(piece);
    }
    blocks
}

/// Weights in the order the kernel reads them: for every group and panel,
/// `[KH*KW*Cin/groups, panel width]`, zeros beyond the last channel.
struct Packed<T: Element> {
    values: Buffer<T>,
    /// Bias in the same panels, zeros where there is none.
    bias: Buffer<T>,
}

/// Packs `value(depth, output channel of all groups)`.
fn pack<T: Element>(
    g: &Geometry,
    panels: &[Panel],
    lanes: usize,
    bias: Option<&[T]>,
    value: impl Fn(usize, usize) -> T + Sync,
) -> Packed<T> {
    let depth = g.kernel[0] * g.kernel[1] * g.cin_group();
    let width: usize = panels.iter().map(|p| p.vectors * lanes).sum();
    let mut values = Buffer::unspecified(g.spec.groups * depth * width);
    let mut bias_panels = Buffer::filled(g.spec.groups * width, T::ZERO);
    let (mut rest, mut bias_rest) = (&mut values[..], &mut bias_panels[..]);
    let mut jobs = Vec::new();
    for group in 0..g.spec.groups {
        for panel in panels {
            let width = panel.vectors * lanes;
            let (chunk, tail) = rest.split_at_mut(depth * width);
            let (bias_chunk, bias_tail) = bias_rest.split_at_mut(width);
            (rest, bias_rest) = (tail, bias_tail);
            let first = group * g.cout_group() + panel.start;
            if let Some(bias) = bias {
                bias_chunk[..panel.columns].copy_from_slice(&bias[first..first + panel.columns]);
            }
            jobs.push((chunk, first, panel.columns, width));
        }
    }
    jobs.into_par_iter().for_each(|(chunk, first, columns, width)| {
        for (p, row) in chunk.chunks_exact_mut(width).enumerate() {
            let (filled, empty) = row.split_at_mut(columns);
            filled.iter_mut().enumerate().for_each(|(j, v)| *v = value(p, first + j));
            empty.fill(T::ZERO);
        }
    });
    Packed { values, bias: bias_panels }
}

/// The forward pass; see [`conv2d`](super::conv2d).
#[track_caller]
pub fn conv2d<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    spec: &Conv2dSpec,
    epilogue: &Epilogue<T>,
) -> Tensor<T> {
    let g = Geometry::new("conv2d", x.shape(), weight.shape(), spec);
    let (x, weight) = (x.contiguous(), weight.contiguous());
    let bias = epilogue.checked_bias(&g);
    let w = weight.data();
    let set = T::kernels();
    let panels = Panel::cover(g.cout_group(), set.lanes);
    let packed = pack(&g, &panels, set.lanes, bias.as_ref().map(Tensor::data), |p, co| w[p * g.cout + co]);
    forward(&flatten_rows(g), set, &panels, x.data(), &packed, epilogue.relu).reshape(&g.y_shape())
}

fn forward<T: Element>(
    g: &Geometry,
    set: &Kernels<T>,
    panels: &[Panel],
    x: &[T],
    packed: &Packed<T>,
    relu: bool,
) -> Tensor<T> {
    let [oh, ow] = g.output;
    let rows = (FORWARD_PIXELS / ow.max(1)).clamp(1, oh.max(1));
    let (image, y_image, y_rows) = (g.input[0] * g.input[1] * g.cin, oh * ow * g.cout, rows * ow * g.cout);
    let runs = window_runs(g);
    Tensor::filled_by(&g.y_shape(), |y| {
        if y.is_empty() {
            return;
        }
        y.par_chunks_mut(y_image).enumerate().for_each(|(n, y)| {
            y.par_chunks_mut(y_rows).enumerate().for_each(|(block, y)| {
                let here = y.len() / (ow * g.cout);
                let block = Block::new(g, &x[n * image..(n + 1) * image], block * rows, here);
                forward_block(g, set, panels, &runs, block.values(), packed, relu, y);
            });
        });
    })
}

/// Fills `y: [rows, OW, Cout]` from the padded input rows below it.
#[allow(clippy::too_many_arguments)] // The innermost driver; a struct would only rename these.
fn forward_block<T: Element>(
    g: &Geometry,
    set: &Kernels<T>,
    panels: &[Panel],
    runs: &[(usize, usize, usize)],
    x: &[T],
    packed: &Packed<T>,
    relu: bool,
    y: &mut [T],
) {
    let ow = g.output[1];
    let depth = g.kernel[0] * g.kernel[1] * g.cin_group();
    let x_row = g.spec.stride[0] * padded_width(g) * g.cin;
    let x_pixel = g.spec.stride[1] * g.cin;
    let (mut weights, mut bias) = (&packed.values[..], &packed.bias[..]);
    for group in 0..g.spec.groups {
        for panel in panels {
            let width = panel.vectors * set.lanes;
            let (b, rest) = weights.split_at(depth * width);
            let (start_row, bias_rest) = bias.split_at(width);
            (weights, bias) = (rest, bias_rest);
            let blocks = depth_blocks(runs, width);
            for (index, segments) in blocks.iter().enumerate() {
                let start = if index == 0 { Start::Row(start_row) } else { Start::Stored };
                let relu = relu && index + 1 == blocks.len();
                for (oy, y) in y.chunks_exact_mut(ow * g.cout).enumerate() {
                    let tile = Tile {
                        a: &x[oy * x_row + group * g.cin_group()..],
                        a_row: x_pixel,
                        a_step: 1,
                        b,
                        b_step: width,
                        segments,
                        c_row: g.cout,
                        columns: panel.columns,
                        start,
                        relu,
                    };
                    let c = &mut y[group * g.cout_group() + panel.start..];
                    set.run(ow, panel.vectors, &tile, c);
                }
            }
        }
    }
}

/// The input gradient as a forward convolution of `dy`; see [`input_gradient`](super::input_gradient).
///
/// `dx = conv(dy, weight flipped in both axes, Cin and Cout exchanged)`, padded
/// by what the kernel reaches beyond the forward pass's padding.
///
/// # Panics
/// If the geometry has no [adjoint](Geometry::adjoint).
#[track_caller]
pub fn input_gradient<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    x_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d input gradient", x_shape, weight.shape(), spec);
    g.check_dy("conv2d input gradient", dy.shape());
    let Some(adjoint) = g.adjoint() else {
        panic!(
            "conv2d input gradient: {spec:?} is not of the implicit kind: stride 1, padding within the kernel's reach"
        )
    };
    let (dy, weight) = (dy.contiguous(), weight.contiguous());
    let flipped = super::flipped(&g, weight.data());
    let set = T::kernels();
    let panels = Panel::cover(g.cin_group(), set.lanes);
    let packed = pack(&adjoint, &panels, set.lanes, None, |p, ci| flipped[p * g.cin + ci]);
    forward(&flatten_rows(adjoint), set, &panels, dy.data(), &packed, false).reshape(x_shape)
}

/// The weight gradient, summed over blocks of rows; see [`weight_gradient`](super::weight_gradient).
///
/// The blocks are dealt to a fixed number of partial sums in contiguous runs,
/// and the partial sums are added in order.
#[track_caller]
pub fn weight_gradient<T: Element>(
    x: &Tensor<T>,
    dy: &Tensor<T>,
    weight_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let whole = Geometry::new("conv2d weight gradient", x.shape(), weight_shape, spec);
    whole.check_dy("conv2d weight gradient", dy.shape());
    let g = flatten_rows(whole);
    let (x, dy) = (x.contiguous(), dy.contiguous());
    let [oh, ow] = g.output;
    let elements: usize = weight_shape.iter().product();
    let rows = (GRADIENT_PIXELS / ow.max(1)).clamp(1, oh.max(1));
    let per_image = oh.div_ceil(rows);
    let blocks = g.n * per_image;
    let partials = (PARTIAL_ELEMENTS / elements.max(1)).clamp(1, PARTIALS).min(blocks).max(1);
    let image = g.input[0] * g.input[1] * g.cin;
    let mut sums: Vec<Buffer<T>> = (0..partials)
        .into_par_iter()
        .map(|part| {
            let mut sum = Buffer::filled(elements, T::ZERO);
            for index in part * blocks / partials..(part + 1) * blocks / partials {
                let (n, oy) = (index / per_image, index % per_image * rows);
                let here = rows.min(oh - oy);
                let block = Block::new(&g, &x.data()[n * image..(n + 1) * image], oy, here);
                let dy = &dy.data()[(n * oh + oy) * ow * g.cout..][..here * ow * g.cout];
                add_weight_gradient(&g, block.values(), dy, &mut sum);
            }
            sum
        })
        .collect();
    let mut total = sums.remove(0);
    crate::parallel::for_each_piece(&mut total, |start, piece| {
        for sum in &sums {
            piece.iter_mut().zip(&sum[start..]).for_each(|(total, &part)| *total += part);
        }
    });
    Tensor::from_buffer(total, crate::Shape::new(weight_shape))
}

/// Adds one block's part of the weight gradient: `x` the padded input rows,
/// `dy: [rows, OW, Cout]`.
fn add_weight_gradient<T: Element>(g: &Geometry, x: &[T], dy: &[T], dweight: &mut [T]) {
    let set = T::kernels();
    let ow = g.output[1];
    let rows = dy.len() / (ow * g.cout);
    let x_row = g.spec.stride[0] * padded_width(g) * g.cin;
    for group in 0..g.spec.groups {
        for panel in Panel::cover(g.cout_group(), set.lanes) {
            let width = panel.vectors * set.lanes;
            let first = group * g.cout_group() + panel.start;
            // The panel's columns are copied out, so that whole vectors can be
            // read and its rows follow each other: 512 bytes apart, they would
            // compete for a few lines of the cache.
            let panelled = (panel.columns < width || g.cout != width).then(|| {
                let mut columns = Buffer::filled(rows * ow * width, T::ZERO);
                for (to, from) in columns.chunks_exact_mut(width).zip(dy.chunks_exact(g.cout)) {
                    to[..panel.columns].copy_from_slice(&from[first..first + panel.columns]);
                }
                columns
            });
            let (b, b_step) = match &panelled {
                Some(columns) => (&columns[..], width),
                None => (&dy[first..], g.cout),
            };
            let segments: Vec<Segment> =
                (0..rows).map(|oy| Segment { a: oy * x_row, b: oy * ow * b_step, len: ow }).collect();
            for (place, depth, len) in window_runs(g) {
                let tile = Tile {
                    a: &x[place + group * g.cin_group()..],
                    a_row: 1,
                    a_step: g.spec.stride[1] * g.cin,
                    b,
                    b_step,
                    segments: &segments,
                    c_row: g.cout,
                    columns: panel.columns,
                    start: Start::Stored,
                    relu: false,
                };
                set.run(len, panel.vectors, &tile, &mut dweight[depth * g.cout + first..]);
            }
        }
    }
}

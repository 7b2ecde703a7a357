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
//! - input gradient: the same on the output gradient, with the weights flipped and
//!   their channels exchanged; with stride `s`, `s*s` times, each for the input
//!   pixels of one phase and the taps that reach them (`input_gradient.rs`);
//! - weight gradient: `a` is the input with the *channels* as tile rows, `b`
//!   the output gradient, and the sum runs over pixels (`weight_gradient.rs`).
//!
//! Work is cut into blocks of a few image rows. A block's input is copied once
//! into a small buffer with its padding, so the kernel has no edges to handle
//! and the values stay in cache. Of a single image the blocks are smaller; if
//! there are too few of them still, the panels of each block are computed
//! separately.

mod input_gradient;
mod weight_gradient;
mod window;

pub use input_gradient::{input_gradient, supports_input_gradient};
pub use weight_gradient::weight_gradient;
pub(crate) use window::{Block, Packed, Panel, padded_width, window_runs};

use self::window::{Run, depth_blocks};
use super::tile::{MOST_ROWS, Start, Tile};
use super::{Conv2dSpec, Epilogue, Geometry};
use crate::conv::kernels::Kernels;
use crate::pool::Buffer;
use crate::{Element, Rectifier, Tensor, parallel};

/// Length of a sum before it is stored and later continued. A panel of weights this
/// deep (96 KiB of `f32`) comes from the second-level cache, which is fast enough
/// because a whole tile uses every value; shorter sums would move the output more
/// often.
const DEPTH: usize = 768;
/// Output pixels of one forward block: as many as read about this many bytes,
/// within these limits. With few channels a small block is computed so fast that
/// copying its input would take a noticeable part of the time.
const FORWARD_BYTES: usize = 64 << 10;
const FORWARD_PIXELS: [usize; 2] = [512, 2048];
/// If there are fewer blocks than this, as for a single image, about so many smaller ones are made, of a whole tile at
/// least; if there are too few still, they are split into their panels, whose results must then be copied together.
const FEW_BLOCKS: usize = 8;
const SMALL_BLOCKS: usize = 16;
/// Up to this number of output pixels, reading weights takes most of a pass's time.
const FEW_PIXELS: usize = 128;
/// Partial weight gradients kept at once, and the most elements of all of them together.
pub(super) const PARTIALS: usize = 8;
pub(super) const PARTIAL_ELEMENTS: usize = 8 << 20;

/// The forward pass; see [`conv2d`](super::conv2d).
#[track_caller]
pub fn conv2d<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    spec: &Conv2dSpec,
    epilogue: &Epilogue<T>,
) -> Tensor<T> {
    let g = Geometry::new("conv2d", x.shape(), weight.shape(), spec);
    let packed = Packed::new(T::kernels(), weight.contiguous().data(), g.cout, g.spec.groups);
    forward(&g, x, &packed, epilogue)
}

/// The forward pass with weights that are packed already.
#[track_caller]
pub(super) fn forward<T: Element>(
    g: &Geometry,
    x: &Tensor<T>,
    packed: &Packed<T>,
    epilogue: &Epilogue<T>,
) -> Tensor<T> {
    let source = x.contiguous();
    let bias = epilogue.checked_bias(g);
    let pass = Pass::new(g, packed, bias.as_ref().map(Tensor::data), epilogue.activation);
    let [oh, ow] = g.output;
    let rows = forward_rows(g, block_rows::<T>(g.cin, oh, ow));
    let blocks = oh.div_ceil(rows.max(1));
    let (image, y_row) = (g.input[0] * g.input[1] * g.cin, ow * g.cout);
    let block = |n: usize, index: usize| {
        let here = rows.min(oh - index * rows);
        Block::new(g, &source.data()[n * image..(n + 1) * image], index * rows, here)
    };
    Tensor::filled_by(&g.y_shape(), |y| {
        if y.is_empty() {
            return;
        }
        if g.n * blocks < FEW_BLOCKS && packed.panels.len() > 1 {
            return pass.by_panels(y, &|n, index| block(n, index), [blocks, rows]);
        }
        let cost = g.multiply_adds() / g.n;
        let images = y.chunks_mut(oh * y_row).enumerate();
        parallel::for_each_at_least(parallel::together(cost), images, |(n, y)| {
            let pieces = y.chunks_mut(rows * y_row).enumerate();
            parallel::for_each_at_least(parallel::together(cost / blocks), pieces, |(index, y)| {
                let block = block(n, index);
                let rows = y.len() / y_row;
                for panel in 0..packed.panels.len() {
                    let c = &mut y[packed.panels[panel].start..];
                    pass.panel(block.values(), panel, rows, Output { c, pixel: g.cout, row: y_row });
                }
            });
        });
    })
}

/// Output rows of one block, for an input of `cin` channels.
fn block_rows<T>(cin: usize, oh: usize, ow: usize) -> usize {
    let [least, most] = FORWARD_PIXELS;
    let pixels = (FORWARD_BYTES / (cin * size_of::<T>()).max(1)).clamp(least, most);
    (pixels / ow.max(1)).clamp(1, oh.max(1))
}

/// The rows of a block of a forward pass, fewer than `rows` if that gives few blocks.
fn forward_rows(g: &Geometry, rows: usize) -> usize {
    let [oh, ow] = g.output;
    if g.n * oh.div_ceil(rows) >= FEW_BLOCKS || g.n * oh * ow <= FEW_PIXELS {
        return rows;
    }
    (g.n * oh / SMALL_BLOCKS).max(MOST_ROWS.div_ceil(ow)).min(rows)
}

/// Where a panel's results go: its first element, and the distances between
/// neighbouring pixels and between rows.
struct Output<'a, T> {
    c: &'a mut [T],
    pixel: usize,
    row: usize,
}

/// One forward pass: the data that all its blocks share.
struct Pass<'a, T: Element> {
    g: &'a Geometry,
    set: &'static Kernels<T>,
    packed: &'a Packed<T>,
    runs: Vec<Run>,
    /// What each panel's sums start from: its bias, or zeros.
    starts: Vec<Vec<T>>,
    activation: Rectifier,
}

impl<'a, T: Element> Pass<'a, T> {
    fn new(g: &'a Geometry, packed: &'a Packed<T>, bias: Option<&[T]>, activation: Rectifier) -> Self {
        let set = T::kernels();
        let start = |panel: &Panel| {
            let mut row = vec![T::ZERO; panel.vectors * set.lanes];
            if let Some(bias) = bias {
                row[..panel.columns].copy_from_slice(&bias[panel.start..][..panel.columns]);
            }
            row
        };
        let starts = packed.panels.iter().map(start).collect();
        Self { g, set, packed, runs: window_runs(g), starts, activation }
    }

    /// Computes one panel of `rows` output rows from the padded input rows `x` below them.
    fn panel(&self, x: &[T], index: usize, rows: usize, out: Output<'_, T>) {
        let g = self.g;
        let panel = &self.packed.panels[index];
        let width = panel.vectors * self.set.lanes;
        let x_pixel = g.spec.stride[1] * g.cin;
        let x_row = g.spec.stride[0] * padded_width(g) * g.cin;
        // Rows without gaps between them are one long row.
        let merged = x_row == g.output[1] * x_pixel && out.row == g.output[1] * out.pixel;
        let (rows, ow) = if merged { (1, rows * g.output[1]) } else { (rows, g.output[1]) };
        let blocks = depth_blocks(&self.runs, width);
        let few = g.n * g.output[0] * g.output[1] <= FEW_PIXELS;
        for (number, segments) in blocks.iter().enumerate() {
            let end = segments.last().map_or(0, |last| last.b + last.len * width);
            let following = if few { &self.packed.weights(index)[end..] } else { &[] };
            for oy in 0..rows {
                let tile = Tile {
                    a: &x[oy * x_row + panel.group * g.cin_group()..],
                    a_row: x_pixel,
                    a_step: 1,
                    b: self.packed.weights(index),
                    b_step: width,
                    segments,
                    c_row: out.pixel,
                    columns: panel.columns,
                    start: if number == 0 { Start::Row(&self.starts[index]) } else { Start::Apart },
                    activation: if number + 1 == blocks.len() { self.activation } else { Rectifier::None },
                    ahead: following.get(oy * self.set.tiles.reach(ow, segments)..).unwrap_or(&[]),
                };
                self.set.tiles.run(ow, panel.vectors, &tile, &mut out.c[oy * out.row..]);
            }
        }
    }

    /// Fills `y` from panels computed separately, each in a buffer of its own.
    fn by_panels<'x>(
        &self,
        y: &mut [T],
        block: &(dyn Fn(usize, usize) -> Block<'x, T> + Sync),
        [blocks, rows]: [usize; 2],
    ) {
        let [oh, ow] = self.g.output;
        let panels = self.packed.panels.len();
        let inputs: Vec<Block<T>> = (0..self.g.n * blocks).map(|i| block(i / blocks, i % blocks)).collect();
        // results: for every block and panel [rows * OW, columns]
        let least = parallel::together(self.g.multiply_adds() / (inputs.len() * panels));
        let results: Vec<Buffer<T>> = parallel::map(least, 0..inputs.len() * panels, |i| {
            let (number, panel) = (i / panels, i % panels);
            let here = rows.min(oh - number % blocks * rows);
            let pixel = self.packed.panels[panel].columns;
            let mut c = Buffer::unspecified(here * ow * pixel);
            self.panel(inputs[number].values(), panel, here, Output { c: &mut c, pixel, row: ow * pixel });
            c
        });
        parallel::for_each_rows(y, self.g.cout, |first, pixels| {
            for (index, pixel) in pixels.chunks_exact_mut(self.g.cout).enumerate() {
                let (n, place) = ((first + index) / (oh * ow), (first + index) % (oh * ow));
                let number = n * blocks + place / (rows * ow);
                let place = place % (rows * ow);
                for (panel, result) in self.packed.panels.iter().zip(&results[number * panels..]) {
                    let values = &result[place * panel.columns..][..panel.columns];
                    pixel[panel.start..][..panel.columns].copy_from_slice(values);
                }
            }
        });
    }
}

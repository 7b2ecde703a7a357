//! Convolution with fewer multiplications: Winograd's algorithm F(4x4, 3x3).
//!
//! A 3x3 convolution multiplies nine times for every output. Two polynomials
//! can also be multiplied by evaluating both at enough points, multiplying the
//! values there, and interpolating; done in both directions, a square of 4x4
//! outputs takes 6x6 = 36 multiplications instead of 144. For many channels the
//! multiplications at each of the 36 positions form a matrix product:
//!
//! ```text
//!  image ──B^T x B──► 36 x [tiles, Cin]                               (spread)
//!                             x                = 36 x [tiles, Cout] ──A^T m A──► output
//!  weight ─G w G^T──► 36 x [Cin, Cout]                                (gather)
//! ```
//!
//! The transforms cost a few additions for every value and run over vectors of
//! channels (`kernel.rs`); the products use the tile of the implicit
//! convolution. The input gradient is the same with flipped weights, and the
//! weight gradient is the algorithm's exact adjoint (`weight_gradient.rs`). The
//! rounding error is about twice that of the direct sum.
//!
//! A block of tiles is transformed, multiplied and transformed back while it is
//! in the second-level cache. [`supports`] says for which geometries all this
//! is less work than multiplying directly.

pub(crate) mod kernel;
mod weight_gradient;

pub use weight_gradient::weight_gradient;

use std::ops::Range;

use rayon::prelude::*;

use self::kernel::{From, Gather, OUTSIDE, POSITIONS, SIDE, Spread, To, gather, spread};
use super::implicit::{DEPTH, Panel};
use super::tile::{Segment, Start, Tile, even_pieces};
use super::{Epilogue, Geometry, Padding};
use crate::pool::{Buffer, Parts};
use crate::simd::kernels::Kernels;
use crate::{Element, Tensor, parallel};

/// Outputs per tile along an axis.
const TILE: usize = 4;
/// Elements of a block's transformed input: about half of a second-level cache.
const BLOCK_ELEMENTS: usize = 320 * 1024;

/// Blocks from this number on are even enough as they come.
const FEW_BLOCKS: usize = 16;
/// Weights up to this number, transformed, are in the second-level cache or close to it.
const NEAR_WEIGHTS: usize = 128 * 128;

/// How the output is cut into tiles.
#[derive(Clone, Copy)]
struct Tiling {
    /// Tiles per image: down, across.
    tiles: [usize; 2],
    /// Rows of tiles in the whole batch.
    rows: usize,
    /// Rows of tiles in one block.
    block: usize,
}

impl Tiling {
    fn new(g: &Geometry) -> Self {
        let tiles = g.output.map(|extent| extent.div_ceil(TILE));
        let rows = g.n * tiles[0];
        let per_block = (BLOCK_ELEMENTS / (POSITIONS * g.cin.max(1))).clamp(48, 128);
        // Small batches are cut finer, so that several threads find work, but not
        // where every block would have to fetch a large weight from afar.
        let least = if g.cin * g.cout <= NEAR_WEIGHTS { 8 } else { 24 };
        let per_block = per_block.min((rows * tiles[1] / 8).max(least));
        let block = (per_block / tiles[1].max(1)).max(1);
        // A few blocks are shared out evenly only if their number is even all the way down.
        let count = rows.div_ceil(block);
        let count = if count < FEW_BLOCKS { (count * 3 / 4).next_power_of_two() } else { count };
        Self { tiles, rows, block: rows.div_ceil(count.max(1)).max(1) }
    }

    fn blocks(&self) -> usize {
        self.rows.div_ceil(self.block)
    }

    /// The rows of tiles of a block.
    fn rows_of(&self, block: usize) -> Range<usize> {
        block * self.block..((block + 1) * self.block).min(self.rows)
    }

    /// The output rows, counted through the batch, that lie above row `row` of tiles.
    fn pixel_row(&self, g: &Geometry, row: usize) -> usize {
        row / self.tiles[0].max(1) * g.output[0] + row % self.tiles[0].max(1) * TILE
    }
}

/// What it costs to transform a value, and a weight, in multiplications: the
/// transforms pass through memory rather than compute.
const TRANSFORM: usize = 6;
const WEIGHT_TRANSFORM: usize = 8;
/// What it costs to read a weight that is transformed already, four times the
/// size of the weight itself.
const TRANSFORMED_WEIGHT: usize = 12;

/// Whether the algorithm applies to this geometry and is less work than the
/// direct sum: 3x3 kernels with stride 1 over enough channels and pixels.
pub fn supports(g: &Geometry) -> bool {
    is_worthwhile(g, WEIGHT_TRANSFORM)
}

/// The same for weights that are transformed already. They are still four times
/// as many to read, which decides for a few pixels.
pub(super) fn supports_prepared(g: &Geometry) -> bool {
    is_worthwhile(g, TRANSFORMED_WEIGHT)
}

fn is_worthwhile(g: &Geometry, weight_transform: usize) -> bool {
    let s = &g.spec;
    if g.kernel != [3, 3] || s.stride != [1, 1] || s.dilation != [1, 1] || s.groups != 1 {
        return false;
    }
    if g.cin < 16 || g.cout < 16 {
        return false;
    }
    let tiles = g.n * g.output[0].div_ceil(TILE) * g.output[1].div_ceil(TILE);
    let pixels = g.n * g.output[0] * g.output[1];
    let products = tiles * g.cin * g.cout;
    let transforms = TRANSFORM * tiles * (g.cin + g.cout) + weight_transform * g.cin * g.cout;
    POSITIONS * (products + transforms) * 10 < 9 * pixels * g.cin * g.cout * 9
}

/// Transformed weights in panels: for every panel `[36, depth, panel width]`.
pub(super) struct Weights<T: Element> {
    panels: Vec<Panel>,
    values: Parts<T>,
}

impl<T: Element> Weights<T> {
    /// Transforms `weight: [3, 3, depth, channels]`.
    pub fn new(set: &Kernels<T>, weight: &[T], depth: usize, channels: usize) -> Self {
        let panels = Panel::cover(1, channels, set.lanes);
        let zeros = vec![T::ZERO; 2 * set.lanes];
        let mut values = Parts::unspecified(panels.iter().map(|p| POSITIONS * depth * p.vectors * set.lanes));
        values.parts_mut().into_par_iter().zip(&panels).for_each(|(values, panel)| {
            let width = panel.vectors * set.lanes;
            let places: Vec<usize> = (0..depth)
                .flat_map(|p| (0..9).map(move |tap| (tap * depth + p) * channels + panel.start))
                .collect();
            let work = Spread {
                source: weight,
                places: &places,
                channels: panel.columns,
                zeros: &zeros,
                position: depth * width,
                row: width,
            };
            spread(set, From::Weight, &work, values);
        });
        Self { panels, values }
    }
}

/// The places of the 6x6 input pixels under the tiles of `rows`.
fn input_places(g: &Geometry, tiling: &Tiling, rows: Range<usize>) -> Vec<usize> {
    let [h, w] = g.input;
    let Padding { top, left, .. } = g.spec.padding;
    let mut places = Vec::with_capacity(rows.len() * tiling.tiles[1] * POSITIONS);
    for row in rows {
        let (image, ty) = (row / tiling.tiles[0], row % tiling.tiles[0]);
        for tx in 0..tiling.tiles[1] {
            for i in 0..SIDE {
                let y = (ty * TILE + i).checked_sub(top).filter(|&y| y < h);
                places.extend((0..SIDE).map(|j| {
                    let x = (tx * TILE + j).checked_sub(left).filter(|&x| x < w);
                    y.zip(x).map_or(OUTSIDE, |(y, x)| ((image * h + y) * w + x) * g.cin)
                }));
            }
        }
    }
    places
}

/// The places of the 4x4 output pixels under the tiles of `rows`, counted from
/// the first of them.
fn output_places(g: &Geometry, tiling: &Tiling, rows: Range<usize>) -> Vec<usize> {
    let [oh, ow] = g.output;
    let origin = tiling.pixel_row(g, rows.start);
    let mut places = Vec::with_capacity(rows.len() * tiling.tiles[1] * TILE * TILE);
    for row in rows {
        let (first, ty) = (tiling.pixel_row(g, row) - origin, row % tiling.tiles[0]);
        for tx in 0..tiling.tiles[1] {
            for i in 0..TILE {
                places.extend((0..TILE).map(|j| {
                    let inside = ty * TILE + i < oh && tx * TILE + j < ow;
                    if inside { ((first + i) * ow + tx * TILE + j) * g.cout } else { OUTSIDE }
                }));
            }
        }
    }
    places
}

/// How a block's transformed values lie: 36 matrices `[tiles, width]`.
#[derive(Clone, Copy)]
struct Layout {
    tiles: usize,
    /// Row length: the channels, padded to whole vectors.
    width: usize,
    /// Distance between the matrices.
    position: usize,
}

impl Layout {
    fn new<T: Element>(set: &Kernels<T>, tiles: usize, channels: usize) -> Self {
        let width = channels.next_multiple_of(set.lanes);
        // Matrices a power of two apart would compete for the same cache lines.
        Self { tiles, width, position: tiles * width + set.lanes }
    }

    /// Elements of all of it.
    fn size(&self) -> usize {
        POSITIONS * self.position
    }

    /// Transforms the pixels at `places` into `values`.
    fn fill<T: Element>(
        &self,
        set: &Kernels<T>,
        from: From,
        (source, places, channels): (&[T], &[usize], usize),
        values: &mut [T],
    ) {
        let zeros = vec![T::ZERO; channels];
        let work =
            Spread { source, places, channels, zeros: &zeros, position: self.position, row: self.width };
        spread(set, from, &work, values);
    }

    /// One of the 36.
    fn matrix<'a, T>(&self, values: &'a [T], position: usize) -> &'a [T] {
        &values[position * self.position..][..self.tiles * self.width]
    }
}

/// The forward pass; see [`conv2d`](super::conv2d).
///
/// # Panics
/// If the geometry is not of the supported kind (a 3x3 kernel, stride and
/// dilation 1, one group).
#[track_caller]
pub fn conv2d<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    spec: &super::Conv2dSpec,
    epilogue: &Epilogue<T>,
) -> Tensor<T> {
    let g = Geometry::new("conv2d", x.shape(), weight.shape(), spec);
    assert_applies("conv2d", &g);
    let weights = Weights::new(T::kernels(), weight.contiguous().data(), g.cin, g.cout);
    forward(&g, x, &weights, epilogue)
}

/// The input gradient as a forward pass over `dy`; see
/// [`input_gradient`](super::input_gradient).
///
/// # Panics
/// As [`conv2d`], and if the padding is more than 2.
#[track_caller]
pub fn input_gradient<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    x_shape: &[usize],
    spec: &super::Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d input gradient", x_shape, weight.shape(), spec);
    g.check_dy("conv2d input gradient", dy.shape());
    let adjoint = g.adjoint().expect("conv2d input gradient: stride 1 and at most 2 of padding");
    assert_applies("conv2d input gradient", &adjoint);
    let weight = weight.contiguous();
    let taps: Vec<usize> = (0..9).rev().collect();
    let flipped = super::exchanged(&g, weight.data(), &taps);
    let weights = Weights::new(T::kernels(), &flipped, g.cout, g.cin);
    forward(&adjoint, dy, &weights, &Epilogue::default())
}

#[track_caller]
fn assert_applies(operation: &str, g: &Geometry) {
    let s = &g.spec;
    assert!(
        g.kernel == [3, 3] && s.stride == [1, 1] && s.dilation == [1, 1] && s.groups == 1,
        "{operation}: Winograd's algorithm takes 3x3 kernels with stride 1, dilation 1 and one group, not {g:?}"
    );
}

/// The forward pass with weights that are transformed already.
#[track_caller]
pub(super) fn forward<T: Element>(
    g: &Geometry,
    x: &Tensor<T>,
    weights: &Weights<T>,
    epilogue: &Epilogue<T>,
) -> Tensor<T> {
    let set = T::kernels();
    let (x, bias) = (x.contiguous(), epilogue.checked_bias(g));
    let (x, bias, relu) = (x.data(), bias.as_ref().map(Tensor::data), epilogue.relu);
    let tiling = Tiling::new(g);
    let row = g.output[1] * g.cout;
    Tensor::filled_by(&g.y_shape(), |y| {
        let mut jobs = Vec::with_capacity(tiling.blocks());
        let mut rest = y;
        for block in 0..tiling.blocks() {
            let rows = tiling.rows_of(block);
            let pixel_rows = match rows.end == tiling.rows {
                true => rest.len() / row.max(1),
                false => tiling.pixel_row(g, rows.end) - tiling.pixel_row(g, rows.start),
            };
            let (here, tail) = rest.split_at_mut(pixel_rows * row);
            rest = tail;
            jobs.push((rows, here));
        }
        let cost = g.multiply_adds() / tiling.blocks().max(1);
        jobs.into_par_iter().with_min_len(parallel::together(cost)).for_each(|(rows, y)| {
            if !y.is_empty() {
                forward_block(g, set, &tiling, rows, x, weights, bias, relu, y);
            }
        });
    })
}

/// Fills the output under some rows of tiles.
#[allow(clippy::too_many_arguments)] // The innermost driver; a struct would only rename these.
fn forward_block<T: Element>(
    g: &Geometry,
    set: &Kernels<T>,
    tiling: &Tiling,
    rows: Range<usize>,
    x: &[T],
    weights: &Weights<T>,
    bias: Option<&[T]>,
    relu: bool,
    y: &mut [T],
) {
    let input = Layout::new(set, rows.len() * tiling.tiles[1], g.cin);
    let mut values = Buffer::unspecified(input.size());
    let places = input_places(g, tiling, rows.clone());
    input.fill(set, From::Input, (x, &places, g.cin), &mut values);
    let places = output_places(g, tiling, rows);
    let widest = 2 * set.lanes;
    let zeros = vec![T::ZERO; widest];
    let mut sums = Buffer::unspecified(POSITIONS * (input.tiles * widest + set.lanes));
    for (number, panel) in weights.panels.iter().enumerate() {
        let weights = weights.values.part(number);
        let width = panel.vectors * set.lanes;
        let position = input.tiles * width + set.lanes;
        for index in 0..POSITIONS {
            let b = &weights[index * g.cin * width..][..g.cin * width];
            let sums = &mut sums[index * position..][..input.tiles * width];
            for (start, len) in even_pieces(g.cin, DEPTH) {
                let tile = Tile {
                    a: input.matrix(&values, index),
                    a_row: input.width,
                    a_step: 1,
                    b,
                    b_step: width,
                    segments: &[Segment { a: start, b: start * width, len }],
                    c_row: width,
                    columns: width,
                    start: if start == 0 { Start::Row(&zeros) } else { Start::Stored },
                    relu: false,
                    ahead: &[],
                };
                set.run(input.tiles, panel.vectors, &tile, sums);
            }
        }
        let mut row = vec![T::ZERO; width];
        if let Some(bias) = bias {
            row[..panel.columns].copy_from_slice(&bias[panel.start..][..panel.columns]);
        }
        let shifted: Vec<usize> =
            places.iter().map(|&p| if p == OUTSIDE { OUTSIDE } else { p + panel.start }).collect();
        let work = Gather {
            source: &sums,
            position,
            row: width,
            places: &shifted,
            channels: panel.columns,
            bias: &row,
            relu,
        };
        gather(set, To::Output, &work, y);
    }
}

//! Convolution with fewer multiplications: Winograd's algorithm F(4x4, 3x3).
//!
//! A 3x3 convolution needs nine multiplications for every output. In one
//! dimension, 4 outputs of a kernel of 3 are the transpose of a product of two
//! polynomials of 4 and 3 coefficients, and such a product takes 6
//! multiplications: both factors are evaluated at 6 points, and the result is
//! interpolated. In the transpose, the weights are still evaluated at the points,
//! and the image goes through the transposed interpolation. In two dimensions, a
//! square of 4x4 outputs takes 6x6 = 36 multiplications instead of 144. For many
//! channels the multiplications at each of the 36 positions form a matrix
//! product:
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

use self::kernel::{From, Gather, OUTSIDE, POSITIONS, SIDE, Spread, To, gather, spread};
use super::implicit::Panel;
use super::tile::{Segment, Start, Tile, even_pieces};
use super::{Epilogue, Geometry, Padding};
use crate::conv::kernels::Kernels;
use crate::pool::{Buffer, Parts};
use crate::{Element, Rectifier, Tensor, parallel};

/// Outputs per tile along an axis.
const TILE: usize = 4;
/// Length of a sum before it is stored and later continued: a panel of weights this
/// deep (32 KiB of `f32`) stays in the first-level cache, together with the few
/// tiles of a block that it is multiplied by.
const DEPTH: usize = 256;
/// Elements of a block's transformed input: about half of a second-level cache.
const BLOCK_ELEMENTS: usize = 320 * 1024;

/// From this number of blocks on, the threads get equal work without adjusting it.
const FEW_BLOCKS: usize = 16;
/// Weights up to this number, transformed, are in the second-level cache or close to it.
const NEAR_WEIGHTS: usize = 128 * 128;
/// With no more tiles than this and at least so many weights, reading weights
/// takes most of a pass's time.
const FEW_TILES: usize = 32;
const MANY_WEIGHTS: usize = 64 * 128;

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
        // Small batches are cut finer, so that several threads have work, but not
        // where every block would have to read many weights from outside the
        // cache.
        let least = if g.cin * g.cout <= NEAR_WEIGHTS { 8 } else { 24 };
        let per_block = per_block.min((rows * tiles[1] / 8).max(least));
        let block = (per_block / tiles[1].max(1)).max(1);
        // Few blocks are shared evenly by repeated halving only if their number is a power
        // of two.
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

/// The cost of transforming a value, and a weight, in multiplications: the
/// transforms are limited by memory, not by arithmetic.
const TRANSFORM: usize = 6;
const WEIGHT_TRANSFORM: usize = 8;
/// The cost of reading a weight that is transformed already, four times the
/// size of the weight itself.
const TRANSFORMED_WEIGHT: usize = 12;

/// Whether the algorithm applies to this geometry and is less work than the
/// direct sum: 3x3 kernels with stride 1 over enough channels and pixels.
pub fn supports(g: &Geometry) -> bool {
    is_worthwhile(g, WEIGHT_TRANSFORM)
}

/// The same for weights that are transformed already. There are still four times
/// as many to read, which matters when there are few pixels.
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
        parallel::for_each(values.parts_mut().into_iter().zip(&panels), |(values, panel)| {
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
            spread(&set.winograd, From::Weight, &work, values);
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
        spread(&set.winograd, from, &work, values);
    }

    /// One of the 36 matrices.
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
    let (x, bias) = (x.contiguous(), epilogue.checked_bias(g));
    let pass = Pass {
        g,
        set: T::kernels(),
        tiling: Tiling::new(g),
        weights,
        bias: bias.as_ref().map(Tensor::data),
        activation: epilogue.activation,
    };
    Tensor::filled_by(&g.y_shape(), |y| {
        if y.is_empty() {
            return;
        }
        let blocks = pass.blocks(y);
        if pass.reads_weights() && weights.panels.len() > 1 {
            return pass.by_panels(x.data(), blocks);
        }
        let cost = g.multiply_adds() / blocks.len();
        parallel::for_each_at_least(parallel::together(cost), blocks, |(rows, y)| {
            pass.block(rows, x.data(), y);
        });
    })
}

/// One forward pass: the data that all its blocks share.
struct Pass<'a, T: Element> {
    g: &'a Geometry,
    set: &'static Kernels<T>,
    tiling: Tiling,
    weights: &'a Weights<T>,
    bias: Option<&'a [T]>,
    activation: Rectifier,
}

/// The transformed input of some tiles, or their products with one panel of weights.
struct Transformed<T: Element> {
    layout: Layout,
    values: Buffer<T>,
}

impl<T: Element> Pass<'_, T> {
    /// Whether reading weights takes most of the time.
    fn reads_weights(&self) -> bool {
        self.tiling.rows * self.tiling.tiles[1] <= FEW_TILES && self.g.cin * self.g.cout >= MANY_WEIGHTS
    }

    /// The rows of tiles of every block, and the output under them.
    fn blocks<'y>(&self, mut y: &'y mut [T]) -> Vec<(Range<usize>, &'y mut [T])> {
        let row = self.g.output[1] * self.g.cout;
        let mut blocks = Vec::with_capacity(self.tiling.blocks());
        for block in 0..self.tiling.blocks() {
            let rows = self.tiling.rows_of(block);
            let pixel_rows = match rows.end == self.tiling.rows {
                true => y.len() / row,
                false => self.tiling.pixel_row(self.g, rows.end) - self.tiling.pixel_row(self.g, rows.start),
            };
            let (here, rest) = y.split_at_mut(pixel_rows * row);
            y = rest;
            blocks.push((rows, here));
        }
        blocks
    }

    /// One block from beginning to end, in the second-level cache.
    fn block(&self, rows: Range<usize>, x: &[T], y: &mut [T]) {
        let values = [self.spread(rows.clone(), x)];
        let places = output_places(self.g, &self.tiling, rows);
        let mut sums = self.sums(values[0].layout.tiles);
        for panel in 0..self.weights.panels.len() {
            self.multiply(&values, panel, &mut sums);
            self.gather(panel, &sums, 0, &places, y);
        }
    }

    /// All blocks together: every thread multiplies all of them by the panels it
    /// takes. With so few tiles, reading the weights is most of the work, and
    /// every weight is read by one thread only.
    fn by_panels(&self, x: &[T], blocks: Vec<(Range<usize>, &mut [T])>) {
        let values = parallel::map(1, &blocks, |(rows, _)| self.spread(rows.clone(), x));
        let tiles = values.iter().map(|values| values.layout.tiles).sum();
        let multiplied = parallel::map(1, 0..self.weights.panels.len(), |panel| {
            let mut sums = self.sums(tiles);
            self.multiply(&values, panel, &mut sums);
            sums
        });
        parallel::for_each(blocks, |(rows, y)| {
            let first = rows.start * self.tiling.tiles[1];
            let places = output_places(self.g, &self.tiling, rows);
            for (panel, sums) in multiplied.iter().enumerate() {
                self.gather(panel, sums, first, &places, y);
            }
        });
    }

    /// The transformed input under some rows of tiles.
    fn spread(&self, rows: Range<usize>, x: &[T]) -> Transformed<T> {
        let layout = Layout::new(self.set, rows.len() * self.tiling.tiles[1], self.g.cin);
        let mut values = Buffer::unspecified(layout.size());
        let places = input_places(self.g, &self.tiling, rows);
        layout.fill(self.set, From::Input, (x, &places, self.g.cin), &mut values);
        Transformed { layout, values }
    }

    /// Room for the products of `tiles` with any panel.
    fn sums(&self, tiles: usize) -> Transformed<T> {
        let layout = Layout::new(self.set, tiles, 2 * self.set.lanes);
        Transformed { layout, values: Buffer::unspecified(layout.size()) }
    }

    /// Multiplies `inputs`, one after the other, by a panel of weights.
    fn multiply(&self, inputs: &[Transformed<T>], panel: usize, sums: &mut Transformed<T>) {
        let (depth, weights) = (self.g.cin, self.weights.values.part(panel));
        let vectors = self.weights.panels[panel].vectors;
        let width = vectors * self.set.lanes;
        let row = sums.layout.width;
        let zeros = vec![T::ZERO; width];
        for index in 0..POSITIONS {
            let (b, following) = weights[index * depth * width..].split_at(depth * width);
            let following = if self.reads_weights() { following } else { &[] };
            let mut sums = &mut sums.values[index * sums.layout.position..][..sums.layout.tiles * row];
            let mut asked = 0;
            for input in inputs {
                let (here, rest) = sums.split_at_mut(input.layout.tiles * row);
                sums = rest;
                for (start, len) in even_pieces(depth, DEPTH) {
                    let segments = [Segment { a: start, b: start * width, len }];
                    let tile = Tile {
                        a: input.layout.matrix(&input.values, index),
                        a_row: input.layout.width,
                        a_step: 1,
                        b,
                        b_step: width,
                        segments: &segments,
                        c_row: row,
                        columns: width,
                        start: if start == 0 { Start::Row(&zeros) } else { Start::Stored },
                        activation: Rectifier::None,
                        ahead: following.get(asked..).unwrap_or(&[]),
                    };
                    self.set.tiles.run(input.layout.tiles, vectors, &tile, here);
                    asked += self.set.tiles.reach(input.layout.tiles, &segments);
                }
            }
        }
    }

    /// Transforms a panel's products back, from tile `first` on, into the output
    /// at `places`.
    fn gather(&self, panel: usize, sums: &Transformed<T>, first: usize, places: &[usize], y: &mut [T]) {
        let panel = &self.weights.panels[panel];
        let mut bias = vec![T::ZERO; panel.vectors * self.set.lanes];
        if let Some(values) = self.bias {
            bias[..panel.columns].copy_from_slice(&values[panel.start..][..panel.columns]);
        }
        let places: Vec<usize> =
            places.iter().map(|&p| if p == OUTSIDE { OUTSIDE } else { p + panel.start }).collect();
        let work = Gather {
            source: &sums.values[first * sums.layout.width..],
            position: sums.layout.position,
            row: sums.layout.width,
            places: &places,
            channels: panel.columns,
            bias: &bias,
            activation: self.activation,
        };
        gather(&self.set.winograd, To::Output, &work, y);
    }
}

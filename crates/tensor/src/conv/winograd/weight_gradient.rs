//! The weight gradient of Winograd's convolution: the exact adjoint of its
//! forward pass. With `u = G w G^T`, `v = B^T x B` and `m = v u` at each of the
//! 36 positions,
//!
//! ```text
//! dm = A dy A^T,    du = sum over tiles of v^T dm,    dw = G^T du G
//! ```
//!
//! The sum over tiles is cut in one of two ways, by shape alone. Few channels
//! and many tiles: the blocks are dealt to a fixed number of partial sums, each
//! filled on one thread while its blocks are in the cache. Many channels and
//! few tiles, where 36 matrices per partial sum would fill the memory: the
//! blocks are transformed first, and the sum is split over the weights.

use rayon::prelude::*;

use super::kernel::{From, Gather, POSITIONS, To, gather};
use super::{Block, Tiling, assert_applies, input_places, output_places};
use crate::conv::implicit::{PARTIAL_ELEMENTS, PARTIALS, Panel};
use crate::conv::tile::{Segment, Start, Tile, even_pieces};
use crate::conv::{Conv2dSpec, Geometry};
use crate::pool::Buffer;
use crate::simd::kernels::Kernels;
use crate::{Element, Tensor};

/// Input channels of one job when the sum is split over the weights.
const CHANNELS: usize = 96;
/// Elements of transformed blocks that are kept at once then.
const KEPT_ELEMENTS: usize = 8 << 20;
/// Fewer partial sums than this keep too few threads busy.
const FEWEST_PARTIALS: usize = 8;

/// `du` for some input channels and one panel of output channels: `[36, channels, width]`.
struct Sum<T: Element> {
    panel: Panel,
    first: usize,
    channels: usize,
    values: Buffer<T>,
}

impl<T: Element> Sum<T> {
    fn new(set: &Kernels<T>, panel: Panel, first: usize, channels: usize) -> Self {
        let values = Buffer::filled(POSITIONS * channels * panel.vectors * set.lanes, T::ZERO);
        Self { panel, first, channels, values }
    }

    /// Adds the tiles of one block: `input` has all input channels, `gradient` this panel's.
    fn add(&mut self, set: &Kernels<T>, input: &Block<T>, gradient: &Block<T>, position: usize) {
        let width = self.panel.vectors * set.lanes;
        let size = self.channels * width;
        let tile = Tile {
            a: &input.matrix(position)[self.first..],
            a_row: 1,
            a_step: input.width,
            b: gradient.matrix(position),
            b_step: width,
            segments: &[Segment { a: 0, b: 0, len: input.tiles }],
            c_row: width,
            columns: width,
            start: Start::Stored,
            relu: false,
        };
        set.run(self.channels, self.panel.vectors, &tile, &mut self.values[position * size..][..size]);
    }

    /// `G^T du G`: `[3, 3, channels, columns]`.
    fn finish(&self, set: &Kernels<T>) -> Buffer<T> {
        let (width, columns) = (self.panel.vectors * set.lanes, self.panel.columns);
        let mut weights = Buffer::unspecified(9 * self.channels * columns);
        let channels = self.channels;
        let places: Vec<usize> =
            (0..channels).flat_map(|c| (0..9).map(move |tap| (tap * channels + c) * columns)).collect();
        let work = Gather {
            source: &self.values,
            position: channels * width,
            row: width,
            places: &places,
            channels: columns,
            bias: &vec![T::ZERO; width],
            relu: false,
        };
        gather(set, To::WeightGradient, &work, &mut weights);
        weights
    }
}

/// The weight gradient; see [`weight_gradient`](crate::conv::weight_gradient).
///
/// # Panics
/// As [`conv2d`](super::conv2d).
#[track_caller]
pub fn weight_gradient<T: Element>(
    x: &Tensor<T>,
    dy: &Tensor<T>,
    weight_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d weight gradient", x.shape(), weight_shape, spec);
    g.check_dy("conv2d weight gradient", dy.shape());
    assert_applies("conv2d weight gradient", &g);
    let set = T::kernels();
    let (x, dy) = (x.contiguous(), dy.contiguous());
    let work = Work { g, set, tiling: Tiling::new(&g), x: x.data(), dy: dy.data() };
    let panels = Panel::cover(1, g.cout, set.lanes);
    let elements: usize = POSITIONS * g.cin * panels.iter().map(|p| p.vectors * set.lanes).sum::<usize>();
    let blocks = work.tiling.blocks();
    let partials = (PARTIAL_ELEMENTS / elements.max(1)).clamp(1, PARTIALS).min(blocks.max(1));
    let sums = if partials >= FEWEST_PARTIALS.min(blocks) {
        work.by_blocks(&panels, partials)
    } else {
        work.by_weights(&panels)
    };
    assemble(&g, set, &sums)
}

struct Work<'a, T: Element> {
    g: Geometry,
    set: &'static Kernels<T>,
    tiling: Tiling,
    x: &'a [T],
    dy: &'a [T],
}

impl<T: Element> Work<'_, T> {
    fn input(&self, block: usize) -> Block<T> {
        let places = input_places(&self.g, &self.tiling, self.tiling.rows_of(block));
        Block::new(self.set, From::Input, self.x, &places, self.g.cin)
    }

    /// The places of a block's output pixels in all of `dy`.
    fn gradient_places(&self, block: usize) -> Vec<usize> {
        let rows = self.tiling.rows_of(block);
        let origin = self.tiling.pixel_row(&self.g, rows.start) * self.g.output[1] * self.g.cout;
        let mut places = output_places(&self.g, &self.tiling, rows);
        places.iter_mut().filter(|p| **p != super::OUTSIDE).for_each(|p| *p += origin);
        places
    }

    fn gradient(&self, places: &[usize], panel: &Panel) -> Block<T> {
        // A place points to channel 0; the panel's channels start further on.
        Block::new(self.set, From::Gradient, &self.dy[panel.start..], places, panel.columns)
    }

    /// Partial sums over blocks, each on one thread, added in order.
    fn by_blocks(&self, panels: &[Panel], partials: usize) -> Vec<Sum<T>> {
        let blocks = self.tiling.blocks();
        let mut parts: Vec<Vec<Sum<T>>> = (0..partials)
            .into_par_iter()
            .map(|part| {
                let mut sums: Vec<Sum<T>> =
                    panels.iter().map(|&panel| Sum::new(self.set, panel, 0, self.g.cin)).collect();
                for block in part * blocks / partials..(part + 1) * blocks / partials {
                    let (input, places) = (self.input(block), self.gradient_places(block));
                    for sum in &mut sums {
                        let gradient = self.gradient(&places, &sum.panel);
                        (0..POSITIONS).for_each(|p| sum.add(self.set, &input, &gradient, p));
                    }
                }
                sums
            })
            .collect();
        let mut total = parts.remove(0);
        for (index, sum) in total.iter_mut().enumerate() {
            crate::parallel::for_each_piece(&mut sum.values, |start, piece| {
                for part in &parts {
                    let values = &part[index].values[start..];
                    piece.iter_mut().zip(values).for_each(|(total, &part)| *total += part);
                }
            });
        }
        total
    }

    /// One sum, split over the weights; blocks are transformed a few at a time.
    fn by_weights(&self, panels: &[Panel]) -> Vec<Sum<T>> {
        let mut sums: Vec<Sum<T>> = panels
            .iter()
            .flat_map(|&panel| {
                even_pieces(self.g.cin, CHANNELS).map(move |(first, channels)| (panel, first, channels))
            })
            .map(|(panel, first, channels)| Sum::new(self.set, panel, first, channels))
            .collect();
        let per_block = POSITIONS * self.tiling.block * self.tiling.tiles[1] * (self.g.cin + self.g.cout);
        let at_once = (KEPT_ELEMENTS / per_block.max(1)).max(1);
        let blocks = self.tiling.blocks();
        for first in (0..blocks).step_by(at_once) {
            let range = first..(first + at_once).min(blocks);
            let transformed: Vec<(Block<T>, Vec<Block<T>>)> = range
                .into_par_iter()
                .map(|block| {
                    let places = self.gradient_places(block);
                    let gradients = panels.par_iter().map(|panel| self.gradient(&places, panel)).collect();
                    (self.input(block), gradients)
                })
                .collect();
            sums.par_iter_mut().for_each(|sum| {
                let panel = sum.panel.start / (2 * self.set.lanes);
                for position in 0..POSITIONS {
                    for (input, gradients) in &transformed {
                        sum.add(self.set, input, &gradients[panel], position);
                    }
                }
            });
        }
        sums
    }
}

/// Puts the finished pieces together: `[3, 3, Cin, Cout]`.
fn assemble<T: Element>(g: &Geometry, set: &Kernels<T>, sums: &[Sum<T>]) -> Tensor<T> {
    let pieces: Vec<Buffer<T>> = sums.par_iter().map(|sum| sum.finish(set)).collect();
    Tensor::filled_by(&g.weight_shape(), |weights| {
        crate::parallel::for_each_rows(weights, g.cout, |start, rows| {
            for (index, row) in rows.chunks_exact_mut(g.cout).enumerate() {
                let (tap, channel) = ((start + index) / g.cin, (start + index) % g.cin);
                for (sum, piece) in sums.iter().zip(&pieces) {
                    let Some(c) = channel.checked_sub(sum.first).filter(|&c| c < sum.channels) else {
                        continue;
                    };
                    let columns = sum.panel.columns;
                    let values = &piece[(tap * sum.channels + c) * columns..][..columns];
                    row[sum.panel.start..][..columns].copy_from_slice(values);
                }
            }
        });
    })
}

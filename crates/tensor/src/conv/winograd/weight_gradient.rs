//! The weight gradient of Winograd's convolution: the exact adjoint of its
//! forward pass. With `u = G w G^T`, `v = B^T x B` and `m = v u` at each of the
//! 36 positions,
//!
//! ```text
//! dm = A dy A^T,    du = sum over tiles of v^T dm,    dw = G^T du G
//! ```
//!
//! The sum over tiles is cut in one of two ways, by shape alone. With few
//! channels and many tiles, the blocks are distributed over a fixed number of
//! partial sums, each computed on one thread while its blocks are in the cache.
//! With many channels and few tiles, 36 matrices per partial sum would fill the
//! memory: the blocks are transformed first, and the sum is split over the
//! weights.

use super::kernel::{From, Gather, POSITIONS, To, gather};
use super::{Layout, Tiling, assert_applies, input_places, output_places};
use crate::conv::implicit::{PARTIAL_ELEMENTS, PARTIALS, Panel};
use crate::conv::kernels::Kernels;
use crate::conv::tile::{Segment, Start, Tile, even_pieces};
use crate::conv::{Conv2dSpec, Geometry};
use crate::pool::{Buffer, Parts};
use crate::{Element, Rectifier, Tensor, parallel};

/// Input channels of one job when the sum is split over the weights.
const CHANNELS: usize = 96;
/// Elements of transformed blocks that are kept at once in that case.
const KEPT_ELEMENTS: usize = 8 << 20;
/// Fewer partial sums than this keep too few threads busy.
const FEWEST_PARTIALS: usize = 8;

/// A share of `du`: some input channels and one panel of output channels,
/// `[36, channels, width]`.
#[derive(Clone, Copy)]
struct Share {
    panel: Panel,
    first: usize,
    channels: usize,
}

/// A block's values, transformed.
#[derive(Clone, Copy)]
struct Block<'a, T> {
    layout: Layout,
    values: &'a [T],
}

impl Share {
    fn size<T: Element>(&self, set: &Kernels<T>) -> usize {
        POSITIONS * self.channels * self.panel.vectors * set.lanes
    }

    /// Adds the tiles of one block to `sum`: `input` has all input channels,
    /// `gradient` this panel's.
    fn add<T: Element>(
        &self,
        set: &Kernels<T>,
        [input, gradient]: [Block<T>; 2],
        position: usize,
        sum: &mut [T],
    ) {
        let width = self.panel.vectors * set.lanes;
        let size = self.channels * width;
        let tile = Tile {
            a: &input.layout.matrix(input.values, position)[self.first..],
            a_row: 1,
            a_step: input.layout.width,
            b: gradient.layout.matrix(gradient.values, position),
            b_step: width,
            segments: &[Segment { a: 0, b: 0, len: input.layout.tiles }],
            c_row: width,
            columns: width,
            start: Start::Stored,
            activation: Rectifier::None,
            ahead: &[],
        };
        set.tiles.run(self.channels, self.panel.vectors, &tile, &mut sum[position * size..][..size]);
    }

    /// `G^T du G`: `[3, 3, channels, columns]`.
    fn finish<T: Element>(&self, set: &Kernels<T>, sum: &[T], weights: &mut [T]) {
        let (width, columns) = (self.panel.vectors * set.lanes, self.panel.columns);
        let channels = self.channels;
        let places: Vec<usize> =
            (0..channels).flat_map(|c| (0..9).map(move |tap| (tap * channels + c) * columns)).collect();
        let work = Gather {
            source: sum,
            position: channels * width,
            row: width,
            places: &places,
            channels: columns,
            bias: &vec![T::ZERO; width],
            activation: Rectifier::None,
        };
        gather(&set.winograd, To::WeightGradient, &work, weights);
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
    match work.partial_sums(&panels) {
        Some(partials) => work.by_blocks(&panels, partials),
        None => work.by_weights(&panels),
    }
}

struct Work<'a, T: Element> {
    g: Geometry,
    set: &'static Kernels<T>,
    tiling: Tiling,
    x: &'a [T],
    dy: &'a [T],
}

impl<T: Element> Work<'_, T> {
    /// The number of partial sums over blocks, or `None` if there would be too few.
    fn partial_sums(&self, panels: &[Panel]) -> Option<usize> {
        let width: usize = panels.iter().map(|panel| panel.vectors * self.set.lanes).sum();
        let elements = POSITIONS * self.g.cin * width;
        let blocks = self.tiling.blocks();
        let partials = (PARTIAL_ELEMENTS / elements.max(1)).clamp(1, PARTIALS).min(blocks.max(1));
        (partials >= FEWEST_PARTIALS.min(blocks)).then_some(partials)
    }

    /// The layout of a block's input, or of its gradient with the channels of one panel.
    fn layout(&self, block: usize, channels: usize) -> Layout {
        Layout::new(self.set, self.tiling.rows_of(block).len() * self.tiling.tiles[1], channels)
    }

    fn input<'a>(&self, block: usize, values: &'a mut [T]) -> Block<'a, T> {
        let layout = self.layout(block, self.g.cin);
        let places = input_places(&self.g, &self.tiling, self.tiling.rows_of(block));
        layout.fill(self.set, From::Input, (self.x, &places, self.g.cin), values);
        Block { layout, values }
    }

    /// The places of a block's output pixels in all of `dy`.
    fn gradient_places(&self, block: usize) -> Vec<usize> {
        let rows = self.tiling.rows_of(block);
        let origin = self.tiling.pixel_row(&self.g, rows.start) * self.g.output[1] * self.g.cout;
        let mut places = output_places(&self.g, &self.tiling, rows);
        places.iter_mut().filter(|p| **p != super::OUTSIDE).for_each(|p| *p += origin);
        places
    }

    /// `places` are the block's [`gradient_places`](Self::gradient_places).
    fn gradient<'a>(
        &self,
        block: usize,
        places: &[usize],
        panel: &Panel,
        values: &'a mut [T],
    ) -> Block<'a, T> {
        let layout = self.layout(block, panel.columns);
        // A place points to channel 0; the panel's channels start further on.
        layout.fill(self.set, From::Gradient, (&self.dy[panel.start..], places, panel.columns), values);
        Block { layout, values }
    }

    /// Partial sums over blocks, each on one thread, added in order.
    fn by_blocks(&self, panels: &[Panel], partials: usize) -> Tensor<T> {
        let blocks = self.tiling.blocks();
        let share = |&panel: &Panel| Share { panel, first: 0, channels: self.g.cin };
        let shares: Vec<Share> = panels.iter().map(share).collect();
        let lengths = shares.iter().map(|share| share.size(self.set));
        let mut sums = Parts::unspecified((0..partials).flat_map(|_| lengths.clone()));
        // The shares of every partial sum.
        let per_part = shares.len().max(1);
        parallel::for_each(sums.parts_mut().chunks_mut(per_part).enumerate(), |(part, sums)| {
            sums.iter_mut().for_each(|sum| sum.fill(T::ZERO));
            // The first block is as large as any.
            let most = |channels| self.layout(0, channels).size();
            let widest = panels.first().map_or(0, |panel| panel.columns);
            let mut values = [self.g.cin, widest].map(|channels| Buffer::unspecified(most(channels)));
            for block in part * blocks / partials..(part + 1) * blocks / partials {
                let [input, gradient] = &mut values;
                let (input, places) = (self.input(block, input), self.gradient_places(block));
                for (share, sum) in shares.iter().zip(&mut *sums) {
                    let gradient = self.gradient(block, &places, &share.panel, gradient);
                    (0..POSITIONS).for_each(|p| share.add(self.set, [input, gradient], p, sum));
                }
            }
        });
        let mut parts = sums.parts_mut();
        let (total, parts) = parts.split_at_mut(shares.len());
        for (index, sum) in total.iter_mut().enumerate() {
            parallel::for_each_piece(sum, |start, piece| {
                for part in parts.chunks(per_part) {
                    piece.iter_mut().zip(&part[index][start..]).for_each(|(total, &part)| *total += part);
                }
            });
        }
        let sums: Vec<&[T]> = (0..shares.len()).map(|index| sums.part(index)).collect();
        assemble(&self.g, self.set, &shares, &sums)
    }

    /// One sum, split over the weights; blocks are transformed a few at a time.
    fn by_weights(&self, panels: &[Panel]) -> Tensor<T> {
        let share = |panel: &Panel| {
            let panel = *panel;
            even_pieces(self.g.cin, CHANNELS).map(move |(first, channels)| Share { panel, first, channels })
        };
        let shares: Vec<Share> = panels.iter().flat_map(share).collect();
        let mut sums = Parts::unspecified(shares.iter().map(|share| share.size(self.set)));
        parallel::for_each(sums.parts_mut(), |sum| sum.fill(T::ZERO));
        let per_block = POSITIONS * self.tiling.block * self.tiling.tiles[1] * (self.g.cin + self.g.cout);
        let at_once = (KEPT_ELEMENTS / per_block.max(1)).max(1);
        let blocks = self.tiling.blocks();
        let gradients = |block| panels.iter().map(move |panel| self.layout(block, panel.columns).size());
        for first in (0..blocks).step_by(at_once) {
            let range = first..(first + at_once).min(blocks);
            // For every block: its input, and its gradient by panels.
            let lengths = range
                .clone()
                .map(|block| std::iter::once(self.layout(block, self.g.cin).size()).chain(gradients(block)));
            let mut values = Parts::unspecified(lengths.flatten());
            let mut parts = values.parts_mut();
            let values = parts.chunks_mut(1 + panels.len()).zip(range);
            let transformed = parallel::map(1, values, |(values, block)| {
                let places = self.gradient_places(block);
                let (input, gradients) = values.split_first_mut().expect("the input is there");
                let gradients = gradients.iter_mut().zip(panels);
                let mut all: Vec<Block<T>> = parallel::map(1, gradients, |(values, panel)| {
                    self.gradient(block, &places, panel, values)
                });
                all.insert(0, self.input(block, input));
                all
            });
            parallel::for_each(sums.parts_mut().into_iter().zip(&shares), |(sum, share)| {
                let panel = share.panel.start / (2 * self.set.lanes);
                for position in 0..POSITIONS {
                    for blocks in &transformed {
                        share.add(self.set, [blocks[0], blocks[1 + panel]], position, sum);
                    }
                }
            });
        }
        let sums: Vec<&[T]> = (0..sums.count()).map(|index| sums.part(index)).collect();
        assemble(&self.g, self.set, &shares, &sums)
    }
}

/// Puts the finished shares together: `[3, 3, Cin, Cout]`.
fn assemble<T: Element>(g: &Geometry, set: &Kernels<T>, shares: &[Share], sums: &[&[T]]) -> Tensor<T> {
    let mut pieces = Parts::unspecified(shares.iter().map(|s| 9 * s.channels * s.panel.columns));
    let finish = |((share, sum), piece): ((&Share, &&[T]), &mut [T])| share.finish(set, sum, piece);
    parallel::for_each(shares.iter().zip(sums).zip(pieces.parts_mut()), finish);
    Tensor::filled_by(&g.weight_shape(), |weights| {
        parallel::for_each_rows(weights, g.cout, |start, rows| {
            for (index, row) in rows.chunks_exact_mut(g.cout).enumerate() {
                let (tap, channel) = ((start + index) / g.cin, (start + index) % g.cin);
                for (number, share) in shares.iter().enumerate() {
                    let Some(c) = channel.checked_sub(share.first).filter(|&c| c < share.channels) else {
                        continue;
                    };
                    let columns = share.panel.columns;
                    let values = &pieces.part(number)[(tap * share.channels + c) * columns..][..columns];
                    row[share.panel.start..][..columns].copy_from_slice(values);
                }
            }
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::plain;

    /// The gradient of weights `[3, 3, cin, cout]` for images `[n, size, size, cin]`, summed over
    /// the weights or over blocks.
    fn check([n, size, cin, cout]: [usize; 4], over_weights: bool) {
        let spec = Conv2dSpec::same(3);
        let values = |shape: &[usize], phase: f64| Tensor::from_fn(shape, |i| (i as f64 * 1.7 + phase).sin());
        let (x, dy) = (values(&[n, size, size, cin], 0.2), values(&[n, size, size, cout], 0.4));
        let shape = [3, 3, cin, cout];
        let g = Geometry::new("test", x.shape(), &shape, &spec);
        let set = f64::kernels();
        let work = Work { g, set, tiling: Tiling::new(&g), x: x.data(), dy: dy.data() };
        // This geometry is meant to take the given path; the cache sizes above decide.
        assert_eq!(work.partial_sums(&Panel::cover(1, cout, set.lanes)).is_none(), over_weights);
        let exact = plain::weight_gradient(&x, &dy, &shape, &spec);
        let size = exact.clone().map(f64::abs).to_vec().into_iter().fold(1.0, f64::max);
        let error = (weight_gradient(&x, &dy, &shape, &spec) - exact).map(f64::abs);
        assert!(error.to_vec().into_iter().all(|error| error < 1e-11 * size));
    }

    #[test]
    fn sums_are_cut_over_blocks_of_tiles_where_weights_are_few() {
        check([3, 37, 20, 40], false);
    }

    #[test]
    fn sums_are_cut_over_weights_where_they_are_many() {
        check([25, 8, 300, 200], true);
    }
}

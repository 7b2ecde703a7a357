//! The weight gradient: input channels as tile rows, output channels as
//! columns, and a sum over pixels.
//!
//! The sum over blocks of rows is cut into a fixed number of partial sums,
//! which are added in order. If there are few of them, because there are many
//! weights, each is split over its panels as well.

use super::{Block, PARTIAL_ELEMENTS, PARTIALS, Panel, padded_width, window_runs};
use crate::conv::tile::{Segment, Start, Tile};
use crate::conv::{Conv2dSpec, Geometry};
use crate::pool::{Buffer, Parts};
use crate::{Element, Rectifier, Tensor, parallel};

/// Output pixels of one block: its rows of `dy` take the place of the weights
/// and should stay in the first-level cache.
const PIXELS: usize = 256;
/// The smallest number of jobs, if the work can be cut into so many.
const JOBS: usize = 16;
/// Pixels whose channels lie a multiple of this many bytes apart compete for a
/// few lines of the first-level cache.
const ALIASED: usize = 512;

/// The weight gradient; see [`weight_gradient`](crate::conv::weight_gradient).
#[track_caller]
pub fn weight_gradient<T: Element>(
    x: &Tensor<T>,
    dy: &Tensor<T>,
    weight_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d weight gradient", x.shape(), weight_shape, spec);
    g.check_dy("conv2d weight gradient", dy.shape());
    let (x, dy) = (x.contiguous(), dy.contiguous());
    let set = T::kernels();
    let work = Work::new(&g, x.data(), dy.data());
    let depth: usize = weight_shape[..3].iter().product();
    let panels = Panel::cover(g.spec.groups, g.cout_group(), set.lanes);
    let elements = depth * panels.iter().map(|p| p.vectors * set.lanes).sum::<usize>();
    let blocks = work.blocks();
    let partials = (PARTIAL_ELEMENTS / elements.max(1)).clamp(1, PARTIALS).min(blocks).max(1);
    let shares = JOBS.div_ceil(partials).min(panels.len());
    // sums: for every partial sum and panel [KH*KW*Cin/groups, panel width]
    let lengths = panels.iter().map(|panel| depth * panel.vectors * set.lanes);
    let mut sums = Parts::unspecified((0..partials).flat_map(|_| lengths.clone()));
    let mut jobs = Vec::with_capacity(partials * shares);
    let mut rest = sums.parts_mut().into_iter();
    for part in 0..partials {
        for share in 0..shares {
            let panels = &panels[share * panels.len() / shares..(share + 1) * panels.len() / shares];
            jobs.push((part, panels, rest.by_ref().take(panels.len()).collect::<Vec<_>>()));
        }
    }
    parallel::for_each(jobs, |(part, panels, mut sums)| {
        let blocks = part * blocks / partials..(part + 1) * blocks / partials;
        if blocks.is_empty() {
            sums.iter_mut().for_each(|sum| sum.fill(T::ZERO));
        }
        for index in blocks.clone() {
            let next = Some(index + 1).filter(|next| blocks.contains(next));
            work.add_block(index, next, index == blocks.start, panels, &mut sums);
        }
    });
    Tensor::filled_by(weight_shape, |weights| {
        parallel::for_each_rows(weights, g.cout, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(g.cout).enumerate() {
                for (number, panel) in panels.iter().enumerate() {
                    let place = (first + index) * panel.vectors * set.lanes;
                    let total = &mut row[panel.start..][..panel.columns];
                    total.copy_from_slice(&sums.part(number)[place..][..panel.columns]);
                    for part in 1..partials {
                        let values = &sums.part(part * panels.len() + number)[place..];
                        total.iter_mut().zip(values).for_each(|(total, &part)| *total += part);
                    }
                }
            }
        });
    })
}

/// The sum over all output pixels, in blocks of a few rows of one image.
struct Work<'a, T: Element> {
    g: &'a Geometry,
    /// `[N, H, W, Cin]` and `[N, OH, OW, Cout]`.
    x: &'a [T],
    dy: &'a [T],
    /// Output rows of a block.
    rows: usize,
    /// Blocks of an image.
    per_image: usize,
}

impl<'a, T: Element> Work<'a, T> {
    fn new(g: &'a Geometry, x: &'a [T], dy: &'a [T]) -> Self {
        let [oh, ow] = g.output;
        let rows = (PIXELS / ow.max(1)).clamp(1, oh.max(1));
        Self { g, x, dy, rows, per_image: oh.div_ceil(rows) }
    }

    fn blocks(&self) -> usize {
        self.g.n * self.per_image
    }

    /// A block's image, its first output row and their number.
    fn place(&self, index: usize) -> [usize; 3] {
        let first = index % self.per_image * self.rows;
        [index / self.per_image, first, self.rows.min(self.g.output[0] - first)]
    }

    fn image(&self, n: usize) -> &'a [T] {
        let size = self.g.input[0] * self.g.input[1] * self.g.cin;
        &self.x[n * size..(n + 1) * size]
    }

    /// A block's rows of the output gradient.
    fn gradient(&self, index: usize) -> &'a [T] {
        let [n, first, rows] = self.place(index);
        let row = self.g.output[1] * self.g.cout;
        &self.dy[(n * self.g.output[0] + first) * row..][..rows * row]
    }

    /// The input rows that no earlier block reads, except for a few at the block's
    /// edges.
    fn input(&self, index: usize) -> &'a [T] {
        let [n, first, rows] = self.place(index);
        let (stride, row) = (self.g.spec.stride[0], self.g.input[1] * self.g.cin);
        let inside = |y: usize| y.min(self.g.input[0]) * row;
        &self.image(n)[inside(first * stride)..inside((first + rows) * stride)]
    }

    /// Adds a block's part to the sums of some panels, or writes it there if it
    /// is the first; meanwhile the data of the `next` block is prefetched.
    fn add_block(
        &self,
        index: usize,
        next: Option<usize>,
        is_first: bool,
        panels: &[Panel],
        sums: &mut [&mut [T]],
    ) {
        let (g, set, ow) = (self.g, T::kernels(), self.g.output[1]);
        let [n, first, rows] = self.place(index);
        let (block, dy) = (Block::new(g, self.image(n), first, rows), self.gradient(index));
        let spaced = spaced(g, block.values(), set.lanes);
        let (x, cin) = spaced.as_ref().map_or((block.values(), g.cin), |spaced| (spaced, g.cin + set.lanes));
        let x_row = g.spec.stride[0] * padded_width(g) * cin;
        let x_pixel = g.spec.stride[1] * cin;
        let runs = window_runs(g);
        let mut ahead = Ahead {
            slices: next.map_or([&[]; 2], |next| [self.input(next), self.gradient(next)]),
            taken: 0,
            pieces: panels.len() * runs.len(),
        };
        let zeros = vec![T::ZERO; 2 * set.lanes];
        for (panel, sum) in panels.iter().zip(sums) {
            let width = panel.vectors * set.lanes;
            let panelled =
                (panel.columns < width || g.cout != width).then(|| columns(dy, g.cout, panel, width));
            let b = panelled.as_deref().unwrap_or(dy);
            let segments: Vec<Segment> = if x_row == ow * x_pixel {
                vec![Segment { a: 0, b: 0, len: rows * ow }]
            } else {
                (0..rows).map(|oy| Segment { a: oy * x_row, b: oy * ow * width, len: ow }).collect()
            };
            for run in &runs {
                let tile = Tile {
                    a: &x[run.place / g.cin * cin + run.place % g.cin + panel.group * g.cin_group()..],
                    a_row: 1,
                    a_step: x_pixel,
                    b,
                    b_step: width,
                    segments: &segments,
                    c_row: width,
                    columns: width,
                    start: if is_first { Start::Row(&zeros) } else { Start::Stored },
                    activation: Rectifier::None,
                    ahead: ahead.piece(),
                };
                set.tiles.run(run.len, panel.vectors, &tile, &mut sum[run.depth * width..]);
            }
        }
    }
}

/// The data of the next block, distributed over the products of this one, which
/// prefetch it: the first slice over the first half of them, the second over
/// the others.
struct Ahead<'a, T> {
    slices: [&'a [T]; 2],
    taken: usize,
    pieces: usize,
}

impl<'a, T> Ahead<'a, T> {
    /// The share of the next product.
    fn piece(&mut self) -> &'a [T] {
        let (slice, place) = (self.taken * 2 / self.pieces, self.taken * 2 % self.pieces);
        self.taken += 1;
        let slice = self.slices[slice];
        &slice[place * slice.len() / self.pieces..((place + 2) * slice.len() / self.pieces).min(slice.len())]
    }
}

/// A copy of a panel's columns of `dy`, so that whole vectors can be read and
/// the rows are contiguous: 512 bytes apart, they would compete for a few lines
/// of the cache.
fn columns<T: Element>(dy: &[T], cout: usize, panel: &Panel, width: usize) -> Buffer<T> {
    /// The width of a full panel of `f32` with 512-bit vectors; copies of known
    /// length are faster.
    const WIDE: usize = 32;
    let mut columns = Buffer::unspecified(dy.len() / cout * width);
    for (to, from) in columns.chunks_exact_mut(width).zip(dy.chunks_exact(cout)) {
        let from = &from[panel.start..][..panel.columns];
        if let (Ok(to), Ok(from)) = (<&mut [T; WIDE]>::try_from(&mut *to), <&[T; WIDE]>::try_from(from)) {
            *to = *from;
        } else {
            to[..panel.columns].copy_from_slice(from);
            to[panel.columns..].fill(T::ZERO);
        }
    }
    columns
}

/// The block with its pixels one vector further apart, where they would
/// otherwise compete for the cache. Only for kernels of width 1: wider windows
/// need their pixels side by side.
fn spaced<T: Element>(g: &Geometry, x: &[T], lanes: usize) -> Option<Buffer<T>> {
    let bytes = g.spec.stride[1] * g.cin * size_of::<T>();
    (g.kernel[1] == 1 && bytes.is_multiple_of(ALIASED)).then(|| {
        let pixel = g.cin + lanes;
        let mut spaced = Buffer::unspecified(x.len() / g.cin * pixel);
        for (to, from) in spaced.chunks_exact_mut(pixel).zip(x.chunks_exact(g.cin)) {
            to[..g.cin].copy_from_slice(from);
        }
        spaced
    })
}

//! The weight gradient: input channels as tile rows, output channels as
//! columns, and a sum over pixels.
//!
//! The sum over blocks of rows is cut into a fixed number of partial sums,
//! which are added in order. Where there are few of them, because the weights
//! are many, each is split over its panels as well.

use rayon::prelude::*;

use super::{Block, PARTIAL_ELEMENTS, PARTIALS, Panel, padded_width, window_runs};
use crate::conv::tile::{Segment, Start, Tile};
use crate::conv::{Conv2dSpec, Geometry};
use crate::pool::{Buffer, Parts};
use crate::{Element, Tensor};

/// Output pixels of one block: its rows of `dy` play the weights' part and
/// should stay in the first-level cache.
const PIXELS: usize = 256;
/// Jobs there should be at least, if the work can be cut so.
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
    let [oh, ow] = g.output;
    let depth: usize = weight_shape[..3].iter().product();
    let panels = Panel::cover(g.spec.groups, g.cout_group(), set.lanes);
    let elements = depth * panels.iter().map(|p| p.vectors * set.lanes).sum::<usize>();
    let rows = (PIXELS / ow.max(1)).clamp(1, oh.max(1));
    let per_image = oh.div_ceil(rows);
    let blocks = g.n * per_image;
    let partials = (PARTIAL_ELEMENTS / elements.max(1)).clamp(1, PARTIALS).min(blocks).max(1);
    let shares = JOBS.div_ceil(partials).min(panels.len());
    let image = g.input[0] * g.input[1] * g.cin;
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
    jobs.into_par_iter().for_each(|(part, panels, mut sums)| {
        sums.iter_mut().for_each(|sum| sum.fill(T::ZERO));
        for index in part * blocks / partials..(part + 1) * blocks / partials {
            let (n, oy) = (index / per_image, index % per_image * rows);
            let here = rows.min(oh - oy);
            let block = Block::new(&g, &x.data()[n * image..(n + 1) * image], oy, here);
            let dy = &dy.data()[(n * oh + oy) * ow * g.cout..][..here * ow * g.cout];
            add_block(&g, block.values(), dy, panels, &mut sums);
        }
    });
    Tensor::filled_by(weight_shape, |weights| {
        crate::parallel::for_each_rows(weights, g.cout, |first, rows| {
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

/// Adds one block's part: `x` the padded input rows, `dy: [rows, OW, Cout]`.
fn add_block<T: Element>(g: &Geometry, x: &[T], dy: &[T], panels: &[Panel], sums: &mut [&mut [T]]) {
    let set = T::kernels();
    let ow = g.output[1];
    let rows = dy.len() / (ow * g.cout);
    let spaced = spaced(g, x, set.lanes);
    let (x, cin) = spaced.as_ref().map_or((x, g.cin), |spaced| (spaced, g.cin + set.lanes));
    let x_row = g.spec.stride[0] * padded_width(g) * cin;
    let x_pixel = g.spec.stride[1] * cin;
    for (panel, sum) in panels.iter().zip(sums) {
        let width = panel.vectors * set.lanes;
        // The panel's columns are copied out, so that whole vectors can be
        // read and its rows follow each other: 512 bytes apart, they would
        // compete for a few lines of the cache.
        let panelled = (panel.columns < width || g.cout != width).then(|| {
            let mut columns = Buffer::unspecified(rows * ow * width);
            for (to, from) in columns.chunks_exact_mut(width).zip(dy.chunks_exact(g.cout)) {
                to[..panel.columns].copy_from_slice(&from[panel.start..][..panel.columns]);
                to[panel.columns..].fill(T::ZERO);
            }
            columns
        });
        let b = panelled.as_deref().unwrap_or(dy);
        let segments: Vec<Segment> = if x_row == ow * x_pixel {
            vec![Segment { a: 0, b: 0, len: rows * ow }]
        } else {
            (0..rows).map(|oy| Segment { a: oy * x_row, b: oy * ow * width, len: ow }).collect()
        };
        for run in window_runs(g) {
            let tile = Tile {
                a: &x[run.place / g.cin * cin + run.place % g.cin + panel.group * g.cin_group()..],
                a_row: 1,
                a_step: x_pixel,
                b,
                b_step: width,
                segments: &segments,
                c_row: width,
                columns: width,
                start: Start::Stored,
                relu: false,
            };
            set.run(run.len, panel.vectors, &tile, &mut sum[run.depth * width..]);
        }
    }
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

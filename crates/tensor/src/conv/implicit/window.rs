//! What the implicit convolution reads: blocks of padded input rows, the
//! contiguous runs of a window, and weights packed into panels.

use super::DEPTH;
use crate::conv::kernels::Kernels;
use crate::conv::tile::{Segment, even_pieces};
use crate::conv::{Geometry, Padding};
use crate::pool::{Buffer, Parts};
use crate::{Element, parallel};

/// Output channels `start .. start + columns`, all of one group, computed
/// together in `vectors` vectors.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub group: usize,
    pub start: usize,
    pub columns: usize,
    pub vectors: usize,
}

impl Panel {
    /// The panels that cover `groups` times `channels` channels, in order.
    pub fn cover(groups: usize, channels: usize, lanes: usize) -> Vec<Panel> {
        let mut panels = Vec::new();
        for group in 0..groups {
            let mut start = 0;
            while start < channels {
                let columns = (channels - start).min(2 * lanes);
                let vectors = columns.div_ceil(lanes);
                panels.push(Panel { group, start: group * channels + start, columns, vectors });
                start += columns;
            }
        }
        panels
    }
}

/// The rows of the padded input that output rows `oy .. oy + rows` need.
pub(crate) struct Block<'a, T: Element> {
    image: &'a [T],
    padded: Option<Buffer<T>>,
}

impl<'a, T: Element> Block<'a, T> {
    /// `image: [H, W, Cin]`.
    pub fn new(g: &Geometry, image: &'a [T], oy: usize, rows: usize) -> Self {
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
    pub fn values(&self) -> &[T] {
        self.padded.as_deref().unwrap_or(self.image)
    }
}

pub(crate) fn padded_width(g: &Geometry) -> usize {
    g.input[1] + g.spec.padding.left + g.spec.padding.right
}

/// A contiguous stretch of a pixel's window.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Where it starts in the padded block.
    pub place: usize,
    /// Where it starts in the kernel's `KH*KW*Cin/groups` values.
    pub depth: usize,
    pub len: usize,
}

/// The runs a window is made of: one per kernel row, or one per tap when
/// dilation or groups break the row up.
pub(crate) fn window_runs(g: &Geometry) -> Vec<Run> {
    let [kh, kw] = g.kernel;
    let row = padded_width(g) * g.cin;
    let whole_rows = g.spec.dilation[1] == 1 && g.spec.groups == 1;
    let taps = if whole_rows { 1 } else { kw };
    let len = if whole_rows { kw * g.cin } else { g.cin_group() };
    (0..kh * taps)
        .map(|i| {
            let (ky, kx) = (i / taps, i % taps);
            let place = ky * g.spec.dilation[0] * row + kx * g.spec.dilation[1] * g.cin;
            Run { place, depth: i * len, len }
        })
        .collect()
}

/// Cuts a window's runs into sums of at most [`DEPTH`] values each.
pub(crate) fn depth_blocks(runs: &[Run], width: usize) -> Vec<Vec<Segment>> {
    let pieces = runs.iter().flat_map(|&Run { place, depth, len }| {
        even_pieces(len, DEPTH).map(move |(start, len)| Segment {
            a: place + start,
            b: (depth + start) * width,
            len,
        })
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

/// Weights in the order the kernel reads them: for every panel
/// `[KH*KW*Cin/groups, panel width]`, zeros beyond the last channel.
pub(crate) struct Packed<T: Element> {
    pub panels: Vec<Panel>,
    values: Parts<T>,
}

impl<T: Element> Packed<T> {
    /// Packs `weight: [depth, Cout]`, with `groups` groups contiguous in `Cout`.
    pub fn new(set: &Kernels<T>, weight: &[T], cout: usize, groups: usize) -> Self {
        let panels = Panel::cover(groups, cout / groups, set.lanes);
        let depth = weight.len() / cout.max(1);
        let mut values = Parts::unspecified(panels.iter().map(|panel| depth * panel.vectors * set.lanes));
        parallel::for_each(values.parts_mut().into_iter().zip(&panels), |(values, panel)| {
            let width = panel.vectors * set.lanes;
            for (to, from) in values.chunks_exact_mut(width).zip(weight.chunks_exact(cout)) {
                let (filled, empty) = to.split_at_mut(panel.columns);
                filled.copy_from_slice(&from[panel.start..][..panel.columns]);
                empty.fill(T::ZERO);
            }
        });
        Self { panels, values }
    }

    /// The weights of one panel.
    pub fn weights(&self, panel: usize) -> &[T] {
        self.values.part(panel)
    }
}

//! Max pooling over windows, and average pooling over whole images.
//!
//! The winner of every window is kept as its position inside the window, one
//! byte, so the backward pass needs neither input nor output. Both passes loop
//! over channels without a branch: comparisons select values. The backward pass
//! gathers: a row of `dx` collects from the output rows whose windows cover it,
//! so it is written once, by one thread, however the windows overlap.
//!
//! NaN wins its window (the last one if there are several), so the output shows
//! it. Padding never wins.
//!
//! A ReLU before the pooling and a ReLU after it give the same result. After
//! the pooling it has a quarter of the values and costs nothing: a window whose
//! largest value is not above 0 gives 0 and has no winner. The convolution
//! before the pooling then needs no pass over its gradient, and its output need
//! not be kept.

mod average;

pub use average::{global_avg_pool, global_avg_pool_backward};

use crate::conv::Padding;
use crate::parallel::{PIECE, for_each_rows};
use crate::pool::Buffer;
use crate::shape::sum_of;
use crate::{Element, Tensor, parallel};

/// The winner of a window that has none; larger than any position.
const NO_WINNER: u8 = u8::MAX;

/// Window, stride and padding of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dSpec {
    /// Height and width of the window; at most 255 positions.
    pub kernel: [usize; 2],
    /// Step between windows: down, across.
    pub stride: [usize; 2],
    /// Positions around the input that never win; less than the window on each side.
    pub padding: Padding,
}

impl Pool2dSpec {
    /// Square windows side by side, without padding: `size` 2 halves an image.
    pub const fn square(size: usize) -> Self {
        Self { kernel: [size; 2], stride: [size; 2], padding: Padding::all(0) }
    }

    /// With as much padding below and on the right as lets the last windows that begin in images of these extents
    /// or before them reach beyond the end: PyTorch's `ceil_mode`, and
    /// [`Sliding::ceil_mode`](crate::windows::Sliding::ceil_mode).
    ///
    /// # Panics
    /// If the padded image has more positions than memory can address.
    #[track_caller]
    pub fn ceil_mode(mut self, [height, width]: [usize; 2]) -> Self {
        let Padding { top, bottom, left, right } = self.padding;
        let after = |axis: usize, extent: usize, [before, after]: [usize; 2]| {
            let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
            let room = sum_of("max_pool2d", &[extent, before, after, stride.saturating_sub(1)]);
            // Where there is no window, the pooling says why.
            let Some(last) = room.checked_sub(kernel).and_then(|room| room.checked_div(stride)) else {
                return after;
            };
            let last = if last * stride < extent + before { last } else { last.saturating_sub(1) };
            (last * stride + kernel).saturating_sub(extent + before)
        };
        let padding = [after(0, height, [top, bottom]), after(1, width, [left, right])];
        [self.padding.bottom, self.padding.right] = padding;
        self
    }

    /// Whether this is the case that has kernels of its own.
    fn halves(&self) -> bool {
        *self == Self::square(2)
    }
}

/// Every extent of one pooling, checked to fit together.
struct Geometry {
    n: usize,
    input: [usize; 2],
    output: [usize; 2],
    c: usize,
    spec: Pool2dSpec,
}

impl Geometry {
    #[track_caller]
    fn new(operation: &str, x: &[usize], spec: &Pool2dSpec) -> Self {
        let fail = |rule: &str| -> ! { panic!("{operation}: x {x:?} (N, H, W, C) with {spec:?}: {rule}") };
        let &[n, h, w, c] = x else { fail("x must have four dimensions") };
        let ([kh, kw], p) = (spec.kernel, spec.padding);
        if spec.stride.contains(&0) || kh == 0 || kw == 0 || kh.saturating_mul(kw) > usize::from(NO_WINNER) {
            fail("the stride must be at least 1 and the window have 1 to 255 positions");
        }
        if p.top.max(p.bottom) >= kh || p.left.max(p.right) >= kw {
            fail("the padding must be less than the window, which could otherwise lie all in it");
        }
        let extent = |size: usize, kernel: usize, stride: usize| match size.checked_sub(kernel) {
            Some(room) => room / stride + 1,
            None => fail("the window must fit into the padded image"),
        };
        if h == 0 || w == 0 {
            fail("the image must have pixels");
        }
        let output = [
            extent(h + p.top + p.bottom, kh, spec.stride[0]),
            extent(w + p.left + p.right, kw, spec.stride[1]),
        ];
        Self { n, input: [h, w], output, c, spec: *spec }
    }

    /// `[N, OH, OW, C]`.
    fn y_shape(&self) -> [usize; 4] {
        [self.n, self.output[0], self.output[1], self.c]
    }

    fn before(&self, axis: usize) -> usize {
        if axis == 0 { self.spec.padding.top } else { self.spec.padding.left }
    }

    /// The taps of output `o` that lie in the image, as `(k, input position)`.
    fn taps(&self, axis: usize, o: usize) -> impl Iterator<Item = (usize, usize)> {
        let (start, before) = (o * self.spec.stride[axis], self.before(axis));
        let first = before.saturating_sub(start);
        let last = self.spec.kernel[axis].min(self.input[axis] + before - start);
        (first..last).map(move |k| (k, start + k - before))
    }

    /// The outputs whose window covers input `i`, as `(output position, k)`.
    fn readers(&self, axis: usize, i: usize) -> impl Iterator<Item = (usize, usize)> {
        let (place, stride) = (i + self.before(axis), self.spec.stride[axis]);
        let first = (place + 1).saturating_sub(self.spec.kernel[axis]).div_ceil(stride);
        let last = (place / stride + 1).min(self.output[axis]);
        (first..last).map(move |o| (o, place - o * stride))
    }
}

/// `y[n,oy,ox,c] = max x[n, oy*sy + ky - top, ox*sx + kx - left, c]` over the
/// window, and of every window the winner's position `ky*KW + kx`; the first of
/// equals wins.
///
/// Shapes: `x [N, H, W, C]` to `y [N, OH, OW, C]`, winners in the order of `y`.
///
/// # Panics
/// If `x` is not of rank 4, has no pixels or is smaller than the window, the
/// window has more than 255 positions, or the padding is not less than it.
#[track_caller]
pub fn max_pool2d<T: Element>(x: &Tensor<T>, spec: &Pool2dSpec) -> (Tensor<T>, Buffer<u8>) {
    pool::<T, false>(x, spec)
}

/// [`max_pool2d`] with a ReLU before or after it: `max(y, 0)`, and no winner
/// for windows without a value above 0. The backward pass is the same.
///
/// # Panics
/// As [`max_pool2d`].
#[track_caller]
pub fn max_pool2d_relu<T: Element>(x: &Tensor<T>, spec: &Pool2dSpec) -> (Tensor<T>, Buffer<u8>) {
    pool::<T, true>(x, spec)
}

#[track_caller]
fn pool<T: Element, const RELU: bool>(x: &Tensor<T>, spec: &Pool2dSpec) -> (Tensor<T>, Buffer<u8>) {
    let g = Geometry::new("max_pool2d", x.shape(), spec);
    let source = x.contiguous();
    let x = source.data();
    let ([h, w], [oh, ow], c) = (g.input, g.output, g.c);
    let mut winners = Buffer::unspecified(g.n * oh * ow * c);
    let rows = (PIECE / (ow * c).max(1)).max(1);
    let y = Tensor::filled_by(&g.y_shape(), |y| {
        if y.is_empty() {
            return;
        }
        let pieces = y.chunks_mut(rows * ow * c).zip(winners.chunks_mut(rows * ow * c));
        parallel::for_each(pieces.enumerate(), |(piece, (y, winners))| {
            let lines = y.chunks_exact_mut(ow * c).zip(winners.chunks_exact_mut(ow * c));
            for (index, (y, winners)) in lines.enumerate() {
                let (image, oy) = ((piece * rows + index) / oh, (piece * rows + index) % oh);
                let image = &x[image * h * w * c..][..h * w * c];
                if spec.halves() {
                    let (above, below) = image[2 * oy * w * c..][..2 * w * c].split_at(w * c);
                    halve::<T, RELU>([above, below], c, y, winners);
                } else {
                    pool_row(&g, image, oy, y, winners);
                    if RELU {
                        y.iter_mut().zip(winners).for_each(|(y, winner)| (*y, *winner) = held(*y, *winner));
                    }
                }
            }
        });
    });
    (y, winners)
}

/// The vector-Jacobian product of [`max_pool2d`]: every window's gradient goes
/// to its winner, `dx[winner of (oy, ox)] += dy[oy, ox]` per channel.
///
/// Shapes: `dy [N, OH, OW, C]` and its winners to `dx [N, H, W, C] = x_shape`.
///
/// # Panics
/// If the shapes do not fit each other by the rule of [`max_pool2d`].
#[track_caller]
pub fn max_pool2d_backward<T: Element>(
    dy: &Tensor<T>,
    winners: &[u8],
    x_shape: &[usize],
    spec: &Pool2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("max_pool2d_backward", x_shape, spec);
    assert!(
        dy.shape() == g.y_shape() && winners.len() == dy.len(),
        "max_pool2d_backward: dy {:?} must have the output's shape {:?} and one winner for each of its elements, not {}",
        dy.shape(),
        g.y_shape(),
        winners.len()
    );
    let source = dy.contiguous();
    let dy = source.data();
    let ([h, w], [oh, ow], c) = (g.input, g.output, g.c);
    Tensor::filled_by(x_shape, |dx| {
        for_each_rows(dx, w * c, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(w * c).enumerate() {
                let (image, iy) = ((first + index) / h, (first + index) % h);
                let line = |oy: usize| (image * oh + oy) * ow * c..(image * oh + oy + 1) * ow * c;
                if spec.halves() {
                    // A last row without a partner belongs to no window.
                    let pair = if iy / 2 < oh { line(iy / 2) } else { 0..0 };
                    double(&dy[pair.clone()], &winners[pair], (iy % 2) as u8, c, row);
                    continue;
                }
                row.fill(T::ZERO);
                for (oy, ky) in g.readers(0, iy) {
                    unpool_row(&g, &dy[line(oy)], &winners[line(oy)], ky, row);
                }
            }
        });
    })
}

/// Whether `x` replaces the window's best value so far.
#[inline(always)]
fn wins<T: Element>(x: T, best: T) -> bool {
    (x > best) | x.is_nan()
}

/// Applies the ReLU to a window's largest value and its winner.
#[inline(always)]
fn held<T: Element>(best: T, winner: u8) -> (T, u8) {
    if best <= T::ZERO { (T::ZERO, NO_WINNER) } else { (best, winner) }
}

/// One output row of 2x2 windows with stride 2, from two input rows `[W, C]`.
fn halve<T: Element, const RELU: bool>([above, below]: [&[T]; 2], c: usize, y: &mut [T], winners: &mut [u8]) {
    let sources = above.chunks_exact(2 * c).zip(below.chunks_exact(2 * c));
    for ((y, winners), (above, below)) in y.chunks_exact_mut(c).zip(winners.chunks_exact_mut(c)).zip(sources)
    {
        let ((x0, x1), (x2, x3)) = (above.split_at(c), below.split_at(c));
        let sources = x0.iter().zip(x1).zip(x2.iter().zip(x3));
        for ((y, winner), ((&x0, &x1), (&x2, &x3))) in y.iter_mut().zip(winners).zip(sources) {
            let (mut best, mut place) = (x0, 0);
            for (k, x) in [(1, x1), (2, x2), (3, x3)] {
                let take = wins(x, best);
                best = if take { x } else { best };
                place = if take { k } else { place };
            }
            (*y, *winner) = if RELU { held(best, place) } else { (best, place) };
        }
    }
}

/// Row number `ky` of the two input rows under one output row of [`halve`]'s windows.
fn double<T: Element>(dy: &[T], winners: &[u8], ky: u8, c: usize, dx: &mut [T]) {
    let (covered, rest) = dx.split_at_mut(2 * dy.len());
    rest.fill(T::ZERO);
    let sources = dy.chunks_exact(c).zip(winners.chunks_exact(c));
    for (dx, (dy, winners)) in covered.chunks_exact_mut(2 * c).zip(sources) {
        let (left, right) = dx.split_at_mut(c);
        for ((left, right), (&dy, &winner)) in left.iter_mut().zip(right).zip(dy.iter().zip(winners)) {
            *left = if winner == 2 * ky { dy } else { T::ZERO };
            *right = if winner == 2 * ky + 1 { dy } else { T::ZERO };
        }
    }
}

/// One output row `[OW, C]` of any windows.
fn pool_row<T: Element>(g: &Geometry, image: &[T], oy: usize, y: &mut [T], winners: &mut [u8]) {
    let (w, c, kw) = (g.input[1], g.c, g.spec.kernel[1]);
    for (ox, (y, winners)) in y.chunks_exact_mut(c).zip(winners.chunks_exact_mut(c)).enumerate() {
        let mut fresh = true;
        for (ky, iy) in g.taps(0, oy) {
            for (kx, ix) in g.taps(1, ox) {
                let x = &image[(iy * w + ix) * c..][..c];
                let k = (ky * kw + kx) as u8;
                if std::mem::take(&mut fresh) {
                    y.copy_from_slice(x);
                    winners.fill(k);
                    continue;
                }
                for ((y, winner), &x) in y.iter_mut().zip(&mut *winners).zip(x) {
                    let take = wins(x, *y);
                    *y = if take { x } else { *y };
                    *winner = if take { k } else { *winner };
                }
            }
        }
    }
}

/// Adds to an input row `dx [W, C]` the gradient from row `ky` of the windows of one output
/// row.
fn unpool_row<T: Element>(g: &Geometry, dy: &[T], winners: &[u8], ky: usize, dx: &mut [T]) {
    let (c, kw) = (g.c, g.spec.kernel[1]);
    for (ox, (dy, winners)) in dy.chunks_exact(c).zip(winners.chunks_exact(c)).enumerate() {
        for (kx, ix) in g.taps(1, ox) {
            let k = (ky * kw + kx) as u8;
            for ((dx, &dy), &winner) in dx[ix * c..][..c].iter_mut().zip(dy).zip(winners) {
                *dx += if winner == k { dy } else { T::ZERO };
            }
        }
    }
}

#[cfg(test)]
mod tests;

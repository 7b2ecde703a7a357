//! The most common depthwise convolution, 3x3 with stride 1, in all three passes.
//! It computes two rows of four outputs at a time, so that every loaded input is
//! used for up to six of them. The rest of the time is waiting for memory, above
//! all for the lines that are written, which a CPU reads before it overwrites
//! them.

use super::{PIXELS, Rows, lines, load, store};
use crate::Element;
use crate::conv::{Geometry, Padding};
use crate::simd::{Lanes, per_isa, rectify};

/// Whether this file handles the geometry: a 3x3 kernel with stride and dilation 1,
/// at most a column of padding, and rows so long that a run touches only one edge.
pub(super) fn supports(g: &Geometry) -> bool {
    let Padding { left, right, .. } = g.spec.padding;
    g.kernel == [3, 3]
        && g.spec.stride == [1, 1]
        && g.spec.dilation == [1, 1]
        && left <= 1
        && right <= 1
        && g.output[1] > PIXELS
}

/// The rows' work, the input rows under a run of columns, and for that run: the
/// output's gradient, how many of its columns an earlier run covered, and the
/// weights' gradient.
type Gradients<'a, T> = (&'a Rows<'a, T>, [*const T; ROWS + 2], (*const T, usize, *mut T));

/// Output rows computed together.
const ROWS: usize = 2;
/// Where a run of columns touches the border of the image.
const INSIDE: u8 = 0;
const LEFT: u8 = 1;
const RIGHT: u8 = 2;

/// Calls the body on all channels, a vector at a time.
macro_rules! for_each_vector {
    ($body:ident, $vector:ident, $rows:ident, $edge:ident, $channels:expr, $work:expr) => {{
        let mut channel = 0;
        while channel + $vector::LEN <= $channels {
            $body::<$vector, $rows, $edge, false>(channel, $work);
            channel += $vector::LEN;
        }
        if channel < $channels {
            $body::<$vector, $rows, $edge, true>(channel, $work);
        }
    }};
}

/// Calls the body on all rows, [`ROWS`] at a time, then the others one by one.
macro_rules! for_each_rows {
    ($body:ident, $vector:ident, $work:ident, $to:ident) => {
        let mut row = 0;
        // SAFETY: the caller's promise.
        unsafe {
            while row + ROWS <= $work.rows {
                $body::<$vector, ROWS>($work, row, $to);
                row += ROWS;
            }
            while row < $work.rows {
                $body::<$vector, 1>($work, row, $to);
                row += 1;
            }
        }
    };
}

/// Calls the body on the runs of columns of `R` rows.
macro_rules! for_each_run {
    ($body:ident, $vector:ident, $rows:ident, $work:ident, $row:ident, $to:expr) => {
        let g = $work.g;
        let last = g.output[1] - PIXELS;
        let Padding { left, right, .. } = g.spec.padding;
        let mut under = [std::ptr::null(); ROWS + 2];
        for i in 0..$rows {
            under[i..i + 3].copy_from_slice(&lines($work, $work.first + $row + i)[..3]);
        }
        let mut column = 0;
        // SAFETY: the caller's promise.
        unsafe {
            while column < g.output[1] {
                let start = column.min(last);
                let x = under.map(|line| line.wrapping_add(start * g.cin).wrapping_sub(left * g.cin));
                let place = ($row * g.output[1] + start) * g.cin;
                let work = ($work, x, $to(place, column - start));
                match (start == 0 && left == 1, start == last && right == 1) {
                    (true, _) => for_each_vector!($body, $vector, $rows, LEFT, g.cin, work),
                    (_, true) => for_each_vector!($body, $vector, $rows, RIGHT, g.cin, work),
                    _ => for_each_vector!($body, $vector, $rows, INSIDE, g.cin, work),
                }
                column = start + PIXELS;
            }
        }
    };
}

/// See [`rows_forward`](super::rows_forward).
///
/// # Safety
/// The slices must fit as asserted there, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn square_body<V: Lanes>(work: &Rows<V::Scalar>, y: *mut V::Scalar) {
    for_each_rows!(forward_rows, V, work, y);
}

/// See [`rows_weight_gradient`](super::rows_weight_gradient).
///
/// # Safety
/// The slices must fit as asserted there, and the CPU have `V`'s features.
#[inline(always)]
unsafe fn square_gradient_body<V: Lanes>(work: &Rows<V::Scalar>, dweight: *mut V::Scalar) {
    for_each_rows!(gradient_rows, V, work, dweight);
}

/// `R` output rows of the work, from `row` on.
///
/// # Safety
/// As [`square_body`].
#[inline(always)]
unsafe fn forward_rows<V: Lanes, const R: usize>(work: &Rows<V::Scalar>, row: usize, y: *mut V::Scalar) {
    // The last run may begin at columns that are computed already.
    for_each_run!(square_vector, V, R, work, row, |place, _done| y.add(place));
}

/// Adds the contribution of `R` output rows of the work, from `row` on, to the
/// weights' gradient.
///
/// # Safety
/// As [`square_gradient_body`].
#[inline(always)]
unsafe fn gradient_rows<V: Lanes, const R: usize>(
    work: &Rows<V::Scalar>,
    row: usize,
    dweight: *mut V::Scalar,
) {
    let dy = work.other.as_ptr();
    for_each_run!(gradient_vector, V, R, work, row, |place, done| (dy.add(place), done, dweight));
}

/// The places to prefetch, in [`PIXELS`] neighbouring pixels, while the vectors of
/// `channel` are computed. All channels together prefetch each vector once, in
/// order.
#[inline(always)]
fn next_run(lanes: usize, channel: usize) -> impl Iterator<Item = usize> {
    (0..PIXELS).map(move |j| channel * PIXELS + j * lanes)
}

/// One vector of channels of `R` rows of [`PIXELS`] neighbouring outputs of a
/// 3x3 kernel, from the `R + 2` rows of input under them; `x` and `y` point to
/// the first pixels.
///
/// # Safety
/// As [`square_body`].
#[inline(always)]
unsafe fn square_vector<V: Lanes, const R: usize, const EDGE: u8, const PART: bool>(
    channel: usize,
    (work, x, y): (&Rows<V::Scalar>, [*const V::Scalar; ROWS + 2], *mut V::Scalar),
) {
    let channels = work.g.cin;
    let count = channels - channel;
    // SAFETY: the caller's promise.
    unsafe {
        // A store to a line that is not in the cache waits for it. The next run's
        // lines are therefore prefetched in memory order, as many as are stored
        // here, together with the input's lines that no run above has read.
        for i in 0..R {
            for line in next_run(V::LEN, channel) {
                V::prefetch_to_write(y.wrapping_add((i * work.g.output[1] + PIXELS) * channels + line));
                V::prefetch(x[i + 2].wrapping_add((PIXELS + 2) * channels + line));
            }
        }
        let mut sums = [[load::<V, PART>(work.start.as_ptr().add(channel), count); PIXELS]; R];
        let mut weights = [[V::splat(V::Scalar::ZERO); 3]; 3];
        for (tap, weight) in weights.iter_mut().flatten().enumerate() {
            *weight = load::<V, PART>(work.other.as_ptr().add(tap * channels + channel), count);
        }
        for (r, line) in x.iter().enumerate().take(R + 2) {
            let mut pixels = [V::splat(V::Scalar::ZERO); PIXELS + 2];
            let (from, to) = (usize::from(EDGE == LEFT), PIXELS + 2 - usize::from(EDGE == RIGHT));
            for (c, pixel) in pixels.iter_mut().enumerate().take(to).skip(from) {
                *pixel = load::<V, PART>(line.add(c * channels + channel), count);
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                if r < i || r > i + 2 {
                    continue;
                }
                for kx in 0..3 {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        *sum = pixels[j + kx].mul_add(weights[r - i][kx], *sum);
                    }
                }
            }
        }
        rectify(&mut sums, work.activation);
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                store::<V, PART>(sum, y.add((i * work.g.output[1] + j) * channels + channel), count);
            }
        }
    }
}

/// Adds the contribution of one vector of channels of `R` rows of [`PIXELS`]
/// neighbouring outputs, except the first `done` of a row, to the gradient of
/// the nine weights; `x` and `dy` point to the first pixels.
///
/// # Safety
/// As [`square_gradient_body`].
#[inline(always)]
unsafe fn gradient_vector<V: Lanes, const R: usize, const EDGE: u8, const PART: bool>(
    channel: usize,
    (work, x, (dy, done, dweight)): Gradients<V::Scalar>,
) {
    let channels = work.g.cin;
    let count = channels - channel;
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..R {
            for line in next_run(V::LEN, channel) {
                V::prefetch(dy.wrapping_add((i * work.g.output[1] + PIXELS) * channels + line));
                V::prefetch(x[i + 2].wrapping_add((PIXELS + 2) * channels + line));
            }
        }
        let mut gradients = [[V::splat(V::Scalar::ZERO); PIXELS]; R];
        for (i, gradients) in gradients.iter_mut().enumerate() {
            for (j, gradient) in gradients.iter_mut().enumerate() {
                if j >= done {
                    let place = dy.add((i * work.g.output[1] + j) * channels + channel);
                    *gradient = load::<V, PART>(place, count);
                }
            }
        }
        let mut sums = [[V::splat(V::Scalar::ZERO); 3]; 3];
        for (tap, sum) in sums.iter_mut().flatten().enumerate() {
            *sum = load::<V, PART>(dweight.add(tap * channels + channel), count);
        }
        for (r, line) in x.iter().enumerate().take(R + 2) {
            let mut pixels = [V::splat(V::Scalar::ZERO); PIXELS + 2];
            let (from, to) = (usize::from(EDGE == LEFT), PIXELS + 2 - usize::from(EDGE == RIGHT));
            for (c, pixel) in pixels.iter_mut().enumerate().take(to).skip(from) {
                *pixel = load::<V, PART>(line.add(c * channels + channel), count);
            }
            for (i, gradients) in gradients.iter().enumerate() {
                if r < i || r > i + 2 {
                    continue;
                }
                for (j, &gradient) in gradients.iter().enumerate() {
                    for (kx, sum) in sums[r - i].iter_mut().enumerate() {
                        *sum = pixels[j + kx].mul_add(gradient, *sum);
                    }
                }
            }
        }
        for (tap, sum) in sums.iter().flatten().enumerate() {
            store::<V, PART>(*sum, dweight.add(tap * channels + channel), count);
        }
    }
}

per_isa!(square_kernel, square_body, <>, (work: &Rows<V::Scalar>, y: *mut V::Scalar));
per_isa!(square_gradient_kernel, square_gradient_body, <>, (work: &Rows<V::Scalar>, dweight: *mut V::Scalar));

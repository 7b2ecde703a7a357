//! Resizing images, and the exact adjoint.
//!
//! Along each axis an output position reads two input positions with weights
//! that add up to 1 (nearest: one position). These taps depend on the sizes
//! alone, so they are computed once for each axis. The adjoint inverts them: for
//! every input position, the outputs that read it. The backward pass therefore
//! gathers like the forward pass, and each row of `dx` is written once by one
//! thread.
//!
//! Both work on one row at a time, first vertically and then horizontally. The
//! vertical part is a loop over the whole row as one long vector. The
//! horizontal part loops over the channels of a pixel, whose number need not be
//! a multiple of the vector length (11 classes, for example): it writes whole
//! vectors, and each pixel overwrites what the pixel before wrote beyond its
//! own end.

use crate::parallel::for_each_rows;
use crate::pool::Buffer;
use crate::shape::product_of;
use crate::{Element, Tensor};

/// Channels are worked on in runs of this many.
const LANES: usize = 8;

/// How values between pixel centres are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// The pixel at `floor(o * in / out)`.
    Nearest,
    /// The weighted mean of the two nearest pixels along each axis. Pixel
    /// centres lie at half-integers: output `o` reads position
    /// `(o + 0.5) * in / out - 0.5`, clamped to the image.
    Bilinear,
}

/// What one output position reads along one axis: `(1 - w) x[from] + w x[to]`.
#[derive(Clone, Copy)]
struct Tap<T> {
    from: usize,
    to: usize,
    weight: T,
}

fn taps<T: Element>(input: usize, output: usize, mode: Interpolation) -> Vec<Tap<T>> {
    let tap = |o: usize| match mode {
        Interpolation::Nearest => {
            let from = o * input / output;
            Tap { from, to: from, weight: T::ZERO }
        }
        Interpolation::Bilinear => {
            let place = ((o as f64 + 0.5) * input as f64 / output as f64 - 0.5).max(0.0);
            let from = (place as usize).min(input - 1);
            let to = (from + 1).min(input - 1);
            Tap { from, to, weight: if to == from { T::ZERO } else { T::from_f64(place - from as f64) } }
        }
    };
    (0..output).map(tap).collect()
}

/// For every input position, the outputs that read it, with their weights.
fn readers<T: Element>(taps: &[Tap<T>], input: usize) -> Vec<Vec<(usize, T)>> {
    let mut readers = vec![Vec::new(); input];
    for (o, tap) in taps.iter().enumerate() {
        readers[tap.from].push((o, T::ONE - tap.weight));
        if tap.weight != T::ZERO {
            readers[tap.to].push((o, tap.weight));
        }
    }
    readers
}

/// `x [N, H, W, C]` resized to `[N, OH, OW, C]`.
///
/// Agrees with PyTorch's `interpolate(align_corners=False)`; no smoothing when
/// shrinking. A pixel with NaN makes the outputs that read it NaN.
///
/// # Panics
/// If `x` is not of rank 4 or a size is zero.
#[track_caller]
pub fn resize<T: Element>(x: &Tensor<T>, [oh, ow]: [usize; 2], mode: Interpolation) -> Tensor<T> {
    let [n, h, w, c] = check("resize", "x", x, [oh, ow]);
    let (down, across) = (taps::<T>(h, oh, mode), taps::<T>(w, ow, mode));
    let source = x.contiguous();
    let x = source.data();
    Tensor::filled_by(&[n, oh, ow, c], |y| {
        for_each_rows(y, ow * c, |first, rows| {
            // Two rows of x mixed: [W, C], and room to read beyond the end
            let mut mixed = Buffer::filled(w * c + LANES, T::ZERO);
            for (index, row) in rows.chunks_exact_mut(ow * c).enumerate() {
                let (image, tap) = ((first + index) / oh, down[(first + index) % oh]);
                let line = |y: usize| &x[(image * h + y) * w * c..][..w * c];
                match mode {
                    Interpolation::Nearest => copy_pixels(row, line(tap.from), &across, c),
                    Interpolation::Bilinear => {
                        let rows = line(tap.from).iter().zip(line(tap.to));
                        mixed.iter_mut().zip(rows).for_each(|(m, (&a, &b))| *m = a + tap.weight * (b - a));
                        blend(&mixed, &across, row, c);
                    }
                }
            }
        });
    })
}

/// The adjoint of [`resize`]: `dx[i] = sum_o weight(o, i) dy[o]`, from
/// `dy [N, OH, OW, C]` to `[N, H, W, C]` with the input's size `[h, w]`.
///
/// # Panics
/// If `dy` is not of rank 4 or a size is zero.
#[track_caller]
pub fn resize_backward<T: Element>(dy: &Tensor<T>, [h, w]: [usize; 2], mode: Interpolation) -> Tensor<T> {
    let [n, oh, ow, c] = check("resize_backward", "dy", dy, [h, w]);
    let (down, across) = (readers(&taps::<T>(h, oh, mode), h), readers(&taps::<T>(w, ow, mode), w));
    let source = dy.contiguous();
    let dy = source.data();
    Tensor::filled_by(&[n, h, w, c], |dx| {
        for_each_rows(dx, w * c, |first, rows| {
            // The rows of dy that read this row of x, added up: [OW, C], and room to read beyond the end
            let mut line = Buffer::filled(ow * c + LANES, T::ZERO);
            for (index, row) in rows.chunks_exact_mut(w * c).enumerate() {
                let (image, y) = ((first + index) / h, (first + index) % h);
                weighted_sum(&mut line[..ow * c], &dy[image * oh * ow * c..], &down[y]);
                for_each_pixel(row, c, &across, |place, lanes, readers| {
                    gather(lanes, &line[place..], readers, c)
                });
            }
        });
    })
}

#[track_caller]
fn check<T: Element>(operation: &str, name: &str, x: &Tensor<T>, size: [usize; 2]) -> [usize; 4] {
    let fits = x.rank() == 4 && x.shape()[1] > 0 && x.shape()[2] > 0 && !size.contains(&0);
    assert!(
        fits,
        "{operation}: {name} {:?} to {size:?}: {name} must be [N, H, W, C] and both sizes at least 1",
        x.shape()
    );
    let [n, h, w, c] = x.extents();
    product_of(operation, &[n, size[0], size[1], c]);
    [n, h, w, c]
}

fn copy_pixels<T: Element>(y: &mut [T], line: &[T], taps: &[Tap<T>], c: usize) {
    for (y, tap) in y.chunks_exact_mut(c).zip(taps) {
        y.copy_from_slice(&line[tap.from * c..][..c]);
    }
}

/// One output row from an input row `[W, C]` that is followed by [`LANES`] more elements.
fn blend<T: Element>(x: &[T], taps: &[Tap<T>], y: &mut [T], c: usize) {
    for_each_pixel(y, c, taps, |place, lanes, tap| {
        let (a, b) = (&x[tap.from * c + place..], &x[tap.to * c + place..]);
        for ((y, &a), &b) in lanes.iter_mut().zip(&a[..LANES]).zip(&b[..LANES]) {
            *y = a + tap.weight * (b - a);
        }
    });
}

/// Calls `work(place, lanes, item)` for runs of [`LANES`] channels of every
/// pixel of `row [.., C]`; `place` is the run's first channel. A run may reach
/// into the next pixel, which overwrites it.
#[inline(always)]
fn for_each_pixel<T: Element, I>(
    row: &mut [T],
    c: usize,
    items: &[I],
    work: impl Fn(usize, &mut [T; LANES], &I),
) {
    for (pixel, item) in items.iter().enumerate() {
        for place in (0..c).step_by(LANES) {
            let rest = &mut row[pixel * c + place..];
            match rest.first_chunk_mut::<LANES>() {
                Some(lanes) => work(place, lanes, item),
                None => {
                    let mut lanes = [T::ZERO; LANES];
                    work(place, &mut lanes, item);
                    rest.copy_from_slice(&lanes[..rest.len()]);
                }
            }
        }
    }
}

/// `y = sum weight * x[index * c..]` over `(index, weight)`, for a run of channels.
#[inline(always)]
fn gather<T: Element>(y: &mut [T; LANES], x: &[T], readers: &[(usize, T)], c: usize) {
    let mut sum = [T::ZERO; LANES];
    for &(index, weight) in readers {
        sum.iter_mut().zip(&x[index * c..][..LANES]).for_each(|(sum, &x)| *sum += weight * x);
    }
    *y = sum;
}

/// `y = sum weight * rows[index]` over `(index, weight)`, where `rows` is `[.., y.len()]`.
#[inline(always)]
fn weighted_sum<T: Element>(y: &mut [T], rows: &[T], readers: &[(usize, T)]) {
    let len = y.len();
    let row = |index: usize| &rows[index * len..][..len];
    // Two readers at a time halve the passes over y.
    let mut pairs = readers.chunks_exact(2);
    let mut fresh = true;
    for pair in &mut pairs {
        let [(a, v), (b, w)] = [pair[0], pair[1]];
        let terms = y.iter_mut().zip(row(a).iter().zip(row(b)));
        if fresh {
            terms.for_each(|(y, (&a, &b))| *y = v * a + w * b);
        } else {
            terms.for_each(|(y, (&a, &b))| *y += v * a + w * b);
        }
        fresh = false;
    }
    match pairs.remainder() {
        [(a, w)] if fresh => y.iter_mut().zip(row(*a)).for_each(|(y, &a)| *y = *w * a),
        [(a, w)] => y.iter_mut().zip(row(*a)).for_each(|(y, &a)| *y += *w * a),
        _ if fresh => y.fill(T::ZERO),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{distance, dot, noise, same_bits_for_any_threads};
    use proptest::prelude::*;

    const MODES: [Interpolation; 2] = [Interpolation::Nearest, Interpolation::Bilinear];

    /// The definition, position by position.
    fn naive(x: &Tensor<f64>, [oh, ow]: [usize; 2], mode: Interpolation) -> Tensor<f64> {
        let [n, h, w, c] = x.extents();
        let place = |o: usize, input: usize, output: usize| {
            ((o as f64 + 0.5) * input as f64 / output as f64 - 0.5).clamp(0.0, (input - 1) as f64)
        };
        Tensor::from_fn(&[n, oh, ow, c], |i| {
            let [image, oy, ox, channel] = [i / (oh * ow * c), i / (ow * c) % oh, i / c % ow, i % c];
            if mode == Interpolation::Nearest {
                return x.at(&[image, oy * h / oh, ox * w / ow, channel]);
            }
            let (py, px) = (place(oy, h, oh), place(ox, w, ow));
            let mut sum = 0.0;
            for iy in 0..h {
                for ix in 0..w {
                    let weight =
                        (1.0 - (py - iy as f64).abs()).max(0.0) * (1.0 - (px - ix as f64).abs()).max(0.0);
                    sum += weight * x.at(&[image, iy, ix, channel]);
                }
            }
            sum
        })
    }

    proptest! {
        #[test]
        fn resize_equals_the_definition_and_backward_is_its_adjoint(
            n in 0usize..3, size in [1usize..12, 1usize..12], out in [1usize..24, 1usize..24], c in 0usize..20,
        ) {
            let x = noise::<f64>(&[n, size[0], size[1], c], 0.3);
            let dy = noise::<f64>(&[n, out[0], out[1], c], 0.8);
            for mode in MODES {
                let y = resize(&x, out, mode);
                prop_assert!(distance(&y, &naive(&x, out, mode)) < 1e-12);
                prop_assert!((dot(&y, &dy) - dot(&x, &resize_backward(&dy, size, mode))).abs() < 1e-10);
                let y = resize(&x.cast::<f32>(), out, mode);
                prop_assert!(distance(&y.cast(), &naive(&x, out, mode)) < 1e-5);
            }
        }
    }

    #[test]
    fn doubling_a_row_gives_the_known_quarters() {
        let x = Tensor::from_vec(vec![0.0, 4.0, 8.0], &[1, 1, 3, 1]);
        assert_eq!(resize(&x, [1, 6], Interpolation::Bilinear).to_vec(), [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
        assert_eq!(resize(&x, [1, 5], Interpolation::Nearest).to_vec(), [0.0, 0.0, 4.0, 4.0, 8.0]);
    }

    #[test]
    fn a_constant_image_stays_exactly_constant() {
        let x = Tensor::full(0.1f32, &[1, 7, 5, 3]);
        assert!(resize(&x, [23, 31], Interpolation::Bilinear).to_vec().iter().all(|&y| y == 0.1));
    }

    #[test]
    fn both_passes_have_the_same_bits_for_any_number_of_threads() {
        let x = noise::<f32>(&[5, 33, 31, 17], 0.2);
        assert!(same_bits_for_any_threads(|| {
            let y = resize(&x, [50, 70], Interpolation::Bilinear);
            vec![resize_backward(&y, [33, 31], Interpolation::Bilinear), y]
        }));
        assert!(x.len() > 2 * crate::parallel::PIECE);
    }

    #[test]
    #[should_panic(
        expected = "resize: x [1, 0, 3, 1] to [2, 2]: x must be [N, H, W, C] and both sizes at least 1"
    )]
    fn an_image_without_pixels_is_refused_with_the_rule() {
        resize(&Tensor::<f32>::zeros(&[1, 0, 3, 1]), [2, 2], Interpolation::Nearest);
    }
}

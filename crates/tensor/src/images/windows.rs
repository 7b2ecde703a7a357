//! Windows over any number of dimensions: for every output position, the input
//! positions it looks at.
//!
//! Every pooling is a set of windows and a function of their contents: the mean
//! is a [`LinearMap`], the maximum a choice of positions. This code is simple
//! and general, for the shapes that have no kernel in
//! [`pooling`](crate::pooling).

use crate::linear_map::LinearMap;
use crate::shape::{product_of, sum_of};
use crate::{Element, Tensor, parallel};

/// For each axis, for each output position, the input positions of its window.
#[derive(Clone, Debug)]
pub struct Windows {
    input: Vec<usize>,
    taps: Vec<Vec<Vec<usize>>>,
    /// For each axis, for each window, its positions in the image and in the padding.
    padded: Vec<Vec<usize>>,
}

/// Kernel, stride and zeros on both sides of every axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding<const D: usize> {
    /// Positions of a window.
    pub kernel: [usize; D],
    /// Step between windows.
    pub stride: [usize; D],
    /// Positions added before the first and after the last; windows leave them out.
    pub padding: [usize; D],
    /// Whether windows count that reach beyond the padded image, if they begin before the image's end: PyTorch's
    /// `ceil_mode`. What lies beyond is no padding: a mean does not count it.
    pub ceil_mode: bool,
}

impl<const D: usize> Sliding<D> {
    /// Windows side by side, without padding.
    pub const fn square(size: usize) -> Self {
        Self { kernel: [size; D], stride: [size; D], padding: [0; D], ceil_mode: false }
    }
}

impl Windows {
    /// Windows of a fixed size at a fixed stride over an image of extents `input`.
    ///
    /// # Panics
    /// If a window does not fit, with a message that starts with `operation`.
    #[track_caller]
    pub fn sliding<const D: usize>(operation: &str, input: &[usize], spec: &Sliding<D>) -> Self {
        // How far windows may reach, from the beginning of the padding.
        let room = |a: usize| {
            let beyond = if spec.ceil_mode { spec.stride[a] - 1 } else { 0 };
            sum_of(operation, &[input[a], spec.padding[a], spec.padding[a], beyond])
        };
        let fits = input.len() == D
            && (0..D).all(|a| {
                spec.stride[a] > 0
                    && spec.padding[a] < spec.kernel[a]
                    && spec.kernel[a] <= room(a)
                    && input[a] > 0
            });
        assert!(
            fits,
            "{operation}: image {input:?} with {spec:?}: strides must be at least 1, padding less than the window, and the window fit into the padded image"
        );
        let count = |a: usize| {
            let last = (room(a) - spec.kernel[a]) / spec.stride[a];
            if last * spec.stride[a] < input[a] + spec.padding[a] { last + 1 } else { last }
        };
        product_of(operation, &std::array::from_fn::<_, D, _>(count));
        product_of(operation, &spec.kernel);
        let axis = |a: usize| -> Vec<Vec<usize>> {
            let (kernel, stride, padding) = (spec.kernel[a], spec.stride[a], spec.padding[a]);
            // The window without the part of it that lies in the padding.
            let window = |o: usize| {
                let start = o * stride;
                (start.max(padding)..(start + kernel).min(padding + input[a])).map(|i| i - padding).collect()
            };
            (0..count(a)).map(window).collect()
        };
        let padded = |a: usize| -> Vec<usize> {
            let end = input[a] + 2 * spec.padding[a];
            (0..count(a)).map(|o| spec.kernel[a].min(end - o * spec.stride[a])).collect()
        };
        Self { input: input.to_vec(), taps: (0..D).map(axis).collect(), padded: (0..D).map(padded).collect() }
    }

    /// `output` windows along each axis; output `o` of `out` covers
    /// `floor(o in / out) .. ceil((o + 1) in / out)`.
    ///
    /// # Panics
    /// If an extent is 0, with a message that starts with `operation`.
    #[track_caller]
    pub fn adaptive(operation: &str, input: &[usize], output: &[usize]) -> Self {
        let fits = input.len() == output.len() && input.iter().chain(output).all(|&extent| extent > 0);
        assert!(fits, "{operation}: image {input:?} to {output:?}: as many extents, all at least 1");
        product_of(operation, output);
        input.iter().zip(output).for_each(|(&input, &output)| {
            product_of(operation, &[input, output]);
        });
        let axis = |(&input, &output): (&usize, &usize)| -> Vec<Vec<usize>> {
            (0..output).map(|o| (o * input / output..((o + 1) * input).div_ceil(output)).collect()).collect()
        };
        let taps: Vec<Vec<Vec<usize>>> = input.iter().zip(output).map(axis).collect();
        let padded = taps.iter().map(|taps| taps.iter().map(Vec::len).collect()).collect();
        Self { input: input.to_vec(), taps, padded }
    }

    /// The extents of the output.
    pub fn output(&self) -> Vec<usize> {
        self.taps.iter().map(Vec::len).collect()
    }

    /// For each axis, for each output position, the input positions of its window.
    pub fn taps(&self) -> &[Vec<Vec<usize>>] {
        &self.taps
    }

    /// The flat input positions of flat output position `output`, in order.
    fn positions(&self, mut output: usize) -> Vec<usize> {
        let mut of_axis = vec![&[][..]; self.taps.len()];
        for (slot, taps) in of_axis.iter_mut().zip(&self.taps).rev() {
            *slot = &taps[output % taps.len()];
            output /= taps.len();
        }
        let extend = |base: Vec<usize>, (taps, extent): (&&[usize], &usize)| -> Vec<usize> {
            base.iter().flat_map(|&b| taps.iter().map(move |&tap| b * extent + tap)).collect()
        };
        of_axis.iter().zip(&self.input).fold(vec![0], extend)
    }

    /// How many positions the window of flat output position `output` has in the image and in the padding.
    fn padded_size(&self, mut output: usize) -> usize {
        let mut size = 1;
        for sizes in self.padded.iter().rev() {
            size *= sizes[output % sizes.len()];
            output /= sizes.len();
        }
        size
    }

    /// The mean of every window, as a map over the flat positions of the image.
    /// Padding counts as zeros if `count_padding`, else only positions in the image do.
    pub fn mean(&self, count_padding: bool) -> LinearMap {
        let outputs: usize = self.output().iter().product();
        LinearMap::new(
            self.input.iter().product(),
            (0..outputs).map(|output| {
                let positions = self.positions(output);
                let count = if count_padding { self.padded_size(output) } else { positions.len() };
                let weight = 1.0 / count as f64;
                positions.into_iter().map(move |position| (position, weight)).collect::<Vec<_>>()
            }),
        )
    }

    /// Where the largest value of every window lies: for `x [N, image.., C]`,
    /// flat positions in `x`, in the order of the output `[N, output.., C]`.
    /// The first of equals wins; NaN wins over numbers.
    ///
    /// # Panics
    /// If `x` has another number of positions than these windows.
    #[track_caller]
    pub fn winners<T: Element>(&self, x: &Tensor<T>) -> Vec<usize> {
        let (n, c) = (x.shape()[0], x.shape()[x.rank() - 1]);
        let pixels: usize = self.input.iter().product();
        assert_eq!(x.len(), n * pixels * c, "windows over {:?} do not fit x {:?}", self.input, x.shape());
        let source = x.contiguous();
        let x = source.data();
        let windows: Vec<Vec<usize>> =
            (0..self.output().iter().product()).map(|output| self.positions(output)).collect();
        let of_image = |image: usize| -> Vec<usize> {
            let places = windows.iter().flat_map(|positions| {
                (0..c).map(move |channel| {
                    let places = positions.iter().map(|position| (image * pixels + position) * c + channel);
                    let better = |best: usize, place: usize| {
                        if x[place] > x[best] || (x[place].is_nan() && !x[best].is_nan()) {
                            place
                        } else {
                            best
                        }
                    };
                    places.reduce(better).expect("a window has a position in the image")
                })
            });
            places.collect()
        };
        parallel::map(1, 0..n, of_image).concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::Padding;
    use crate::pooling::{Pool2dSpec, max_pool2d};
    use crate::testing::noise;
    use proptest::prelude::*;

    fn sliding<const D: usize>(kernel: usize, stride: usize, padding: usize) -> Sliding<D> {
        Sliding { kernel: [kernel; D], stride: [stride; D], padding: [padding; D], ceil_mode: false }
    }

    /// The number of windows as PyTorch computes it (`pooling_output_shape`).
    fn windows_in_ceil_mode(input: usize, kernel: usize, stride: usize, padding: usize) -> usize {
        let steps = (input + 2 * padding - kernel).div_ceil(stride);
        if steps * stride >= input + padding { steps } else { steps + 1 }
    }

    proptest! {
        #[test]
        fn the_winners_of_windows_over_images_hold_what_the_pooling_kernel_finds(
            n in 0usize..3, h in 1usize..7, w in 1usize..7, c in 1usize..3, k in 1usize..4, stride in 1usize..4,
            pad in 0usize..2, ceil_mode: bool,
        ) {
            let pad = pad.min(k - 1);
            prop_assume!(k <= h + 2 * pad && k <= w + 2 * pad);
            let x = noise::<f64>(&[n, h, w, c], 0.7);
            let spec = Pool2dSpec { kernel: [k; 2], stride: [stride; 2], padding: Padding::all(pad) };
            let spec = if ceil_mode { spec.ceil_mode([h, w]) } else { spec };
            let (y, _) = max_pool2d(&x, &spec);
            let windows = Windows::sliding("max_pool", &[h, w], &Sliding { ceil_mode, ..sliding::<2>(k, stride, pad) });
            prop_assert_eq!(&windows.output(), &y.shape()[1..3]);
            if ceil_mode {
                let counts = [h, w].map(|extent| windows_in_ceil_mode(extent, k, stride, pad));
                prop_assert_eq!(windows.output(), counts);
            }
            let found: Vec<f64> = windows.winners(&x).into_iter().map(|place| x.data()[place]).collect();
            prop_assert_eq!(found, y.to_vec());
        }
    }

    #[test]
    fn adaptive_windows_cover_the_image_and_overlap_where_it_does_not_divide() {
        let windows = Windows::adaptive("pool", &[5], &[3]);
        assert_eq!(windows.taps[0], [vec![0, 1], vec![1, 2, 3], vec![3, 4]]);
    }

    #[test]
    fn a_window_may_be_as_large_as_the_padded_image_and_no_larger() {
        let windows = |kernel| Windows::sliding("pool", &[2], &sliding::<1>(kernel, 1, 3));
        assert_eq!(windows(8).taps[0], [vec![0, 1]]);
        assert!(std::panic::catch_unwind(|| windows(9)).is_err());
        let bare = |kernel| Windows::sliding("pool", &[2], &sliding::<1>(kernel, 1, 0));
        assert_eq!(bare(2).taps[0], [vec![0, 1]]);
        let refused = std::panic::catch_unwind(|| bare(3)).err().and_then(|e| e.downcast::<String>().ok());
        assert!(refused.is_some_and(|message| message.starts_with("pool: image [2]")));
    }

    #[test]
    fn the_mean_counts_only_positions_in_the_image_unless_told_otherwise() {
        let windows = Windows::sliding("avg_pool", &[3], &sliding::<1>(2, 2, 1));
        let x = Tensor::from_vec(vec![1.0, 2.0, 4.0], &[1, 3, 1]);
        assert_eq!(windows.mean(false).apply(&x).to_vec(), [1.0, 3.0]);
        assert_eq!(windows.mean(true).apply(&x).to_vec(), [0.5, 3.0]);
    }

    #[test]
    fn in_ceil_mode_the_last_window_begins_before_the_images_end_and_counts_nothing_beyond_the_padding() {
        let windows = |len: usize, spec: Sliding<1>| {
            Windows::sliding("pool", &[len], &Sliding { ceil_mode: true, ..spec })
        };
        // Two positions are left for the third window.
        assert_eq!(windows(6, sliding(3, 2, 0)).taps[0], [vec![0, 1, 2], vec![2, 3, 4], vec![4, 5]]);
        assert_eq!(windows(6, sliding(3, 2, 0)).padded[0], [3, 3, 2]);
        // The second window has one position of the padding, and would have one beyond.
        assert_eq!(windows(4, sliding(4, 3, 1)).taps[0], [vec![0, 1, 2], vec![2, 3]]);
        assert_eq!(windows(4, sliding(4, 3, 1)).padded[0], [4, 3]);
        // A third window would begin in the padding behind the image.
        assert_eq!(windows(3, sliding(2, 2, 1)).taps[0], [vec![0], vec![1, 2]]);
        // One window that is larger than the image, by less than the stride.
        assert_eq!(windows(2, sliding(3, 2, 0)).taps[0], [vec![0, 1]]);
        assert!(std::panic::catch_unwind(|| windows(2, sliding(4, 2, 0))).is_err());
    }
}

//! Named schemes of initial values, by the shape of a weight.
//!
//! A weight is `[K.., Cin, Cout]`, or `[in, out]` for a dense layer: each output adds up `fan_in = K.. Cin`
//! products, each input is in `fan_out = K.. Cout`. A scheme chooses the variance so that values (fan in) or
//! gradients (fan out) neither grow nor shrink from layer to layer. All draw from one stream per weight and
//! give the same values for any number of threads.

use cerberus_tensor::{Element, Tensor, symmetric_eigen};

use super::{Init, standard_normals};

/// Whose variance a layer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// That of the values in the forward pass.
    In,
    /// That of the gradients in the backward pass.
    Out,
}

/// `[fan_in, fan_out]` of a weight `[K.., Cin, Cout]`; of a weight with groups, `[K.., Cin/groups, Cout]`, the
/// second is PyTorch's, which counts the outputs of all groups.
///
/// # Panics
/// If the shape has fewer than two dimensions.
#[track_caller]
pub fn fans(shape: &[usize]) -> [usize; 2] {
    let [kernel @ .., cin, cout] = shape else {
        panic!("fans: a weight of shape {shape:?} has no inputs and outputs: it must be [K.., Cin, Cout]")
    };
    let positions: usize = kernel.iter().product();
    [positions * cin, positions * cout]
}

impl Init {
    /// Kaiming's scheme for layers followed by a ReLU with this slope below 0 (0 for a plain ReLU): normal with
    /// variance `2 / ((1 + slope²) fan)` (He et al., 2015, equations 10, 14 and 15).
    ///
    /// # Panics
    /// If the shape has fewer than two dimensions.
    #[track_caller]
    pub fn kaiming_normal<T: Element>(&mut self, shape: &[usize], fan: Fan, slope: f64) -> Tensor<T> {
        self.normal(shape, kaiming(shape, fan, slope).sqrt())
    }

    /// [`kaiming_normal`](Self::kaiming_normal)'s variance, uniformly distributed.
    ///
    /// # Panics
    /// If the shape has fewer than two dimensions.
    #[track_caller]
    pub fn kaiming_uniform<T: Element>(&mut self, shape: &[usize], fan: Fan, slope: f64) -> Tensor<T> {
        self.uniform(shape, (3.0 * kaiming(shape, fan, slope)).sqrt())
    }

    /// Xavier's (Glorot's) scheme for layers without a ReLU: normal with variance `2 / (fan_in + fan_out)` (Glorot
    /// and Bengio, 2010, equation 12).
    ///
    /// # Panics
    /// If the shape has fewer than two dimensions.
    #[track_caller]
    pub fn xavier_normal<T: Element>(&mut self, shape: &[usize]) -> Tensor<T> {
        let [fan_in, fan_out] = fans(shape);
        self.normal(shape, (2.0 / (fan_in + fan_out).max(1) as f64).sqrt())
    }

    /// [`xavier_normal`](Self::xavier_normal)'s variance, uniformly distributed: Glorot and Bengio's equation 16,
    /// which is [`glorot`](Self::glorot).
    ///
    /// # Panics
    /// If the shape has fewer than two dimensions.
    #[track_caller]
    pub fn xavier_uniform<T: Element>(&mut self, shape: &[usize]) -> Tensor<T> {
        let [fan_in, fan_out] = fans(shape);
        self.glorot(shape, fan_in, fan_out)
    }

    /// LeCun's scheme, also for SELU: normal with variance `1 / fan_in` (LeCun et al., "Efficient BackProp", 1998,
    /// equation 16).
    ///
    /// # Panics
    /// If the shape has fewer than two dimensions.
    #[track_caller]
    pub fn lecun_normal<T: Element>(&mut self, shape: &[usize]) -> Tensor<T> {
        self.normal(shape, lecun(shape).sqrt())
    }

    /// [`lecun_normal`](Self::lecun_normal)'s variance, uniformly distributed.
    ///
    /// # Panics
    /// If the shape has fewer than two dimensions.
    #[track_caller]
    pub fn lecun_uniform<T: Element>(&mut self, shape: &[usize]) -> Tensor<T> {
        self.uniform(shape, (3.0 * lecun(shape)).sqrt())
    }

    /// Normal with mean 0 and standard deviation `std`, but without values beyond `2 std`, which are drawn again: the
    /// scheme of vision transformers. What is left has the standard deviation `0.8796 std`; Keras divides by
    /// that number, PyTorch does not.
    pub fn truncated_normal<T: Element>(&mut self, shape: &[usize], std: f64) -> Tensor<T> {
        let mut random = self.next();
        let draws = std::iter::repeat_with(|| standard_normals(&mut random)).flatten();
        let mut kept = draws.filter(|value| value.abs() <= 2.0);
        // Each value depends on how many were left out before it, so this is one loop in one thread.
        Tensor::from_fn(shape, |_| T::from_f64(std * kept.next().expect("the draws do not end")))
    }

    /// `gain` times a random orthogonal matrix, the weight taken as `[K.. Cin, Cout]`: its columns, or its rows if they
    /// are fewer, are orthogonal and of length `gain`, so the layer keeps lengths in one direction (Saxe, McClelland and
    /// Ganguli, 2014). Gram and Schmidt's process on a normal matrix, twice for each vector against
    /// rounding; in one thread, `4 K.. Cin Cout min(K.. Cin, Cout)` multiply-adds.
    ///
    /// # Panics
    /// If the shape has fewer than two dimensions.
    #[track_caller]
    pub fn orthogonal<T: Element>(&mut self, shape: &[usize], gain: f64) -> Tensor<T> {
        let [rows, columns] = [fans(shape)[0], shape[shape.len() - 1]];
        let (count, len) = (rows.min(columns), rows.max(columns));
        let normal = self.normal::<f64>(&[count, len], 1.0).to_vec();
        let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
        for start in normal.chunks_exact(len.max(1)) {
            let mut vector = start.to_vec();
            for _ in 0..2 {
                for other in &vectors {
                    let along = dot(&vector, other);
                    vector.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
                }
            }
            let length = dot(&vector, &vector).sqrt();
            vector.iter_mut().for_each(|value| *value /= length);
            vectors.push(vector);
        }
        Tensor::from_fn(shape, |place| {
            let (row, column) = (place / columns, place % columns);
            let value = if rows >= columns { vectors[column][row] } else { vectors[row][column] };
            T::from_f64(gain * value)
        })
    }

    /// The weight that passes its input on: 1 where an input meets the output of the same number, at the kernel's
    /// centre, and 0 elsewhere; for layers of one group (Le, Jaitly and Hinton, 2015; for convolutions, Zagoruyko and
    /// Komodakis, 2017).
    ///
    /// # Panics
    /// If the shape has fewer than two dimensions.
    #[track_caller]
    pub fn identity<T: Element>(shape: &[usize]) -> Tensor<T> {
        let [kernel @ .., cin, cout] = shape else {
            panic!("identity: a weight of shape {shape:?} must be [K.., Cin, Cout]")
        };
        let centre = kernel.iter().fold(0, |place, extent| place * extent + extent / 2);
        Tensor::from_fn(shape, |place| {
            let (position, pair) = (place / (cin * cout), place % (cin * cout));
            if position == centre && pair / cout == pair % cout { T::ONE } else { T::ZERO }
        })
    }
}

/// Kaiming's variance.
#[track_caller]
fn kaiming(shape: &[usize], fan: Fan, slope: f64) -> f64 {
    let [fan_in, fan_out] = fans(shape);
    let fan = if fan == Fan::In { fan_in } else { fan_out };
    2.0 / ((1.0 + slope * slope) * fan.max(1) as f64)
}

/// LeCun's variance.
#[track_caller]
fn lecun(shape: &[usize]) -> f64 {
    1.0 / fans(shape)[0].max(1) as f64
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The weight of a first convolution that whitens: `[rows, columns, Cin, 2 rows columns Cin]`, for images
/// `[N, H, W, Cin]`.
///
/// Its outputs are the principal components of the images' patches, each divided by its standard deviation, and then
/// the same with the other sign: with covariance `Σ = Σ_k λ_k v_k v_kᵀ` of the patches, the kernels are
/// `± v_k / √(λ_k + eps)`, from the largest eigenvalue down (Page, "How to train your ResNet 8: bag of tricks", 2019;
/// both signs: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, section 3.2). The mean is not taken
/// off; a bias does that. A few thousand images are enough.
///
/// # Panics
/// If the images have another rank or are smaller than the kernel, or if there is none.
#[track_caller]
pub fn whitening<T: Element>(images: &Tensor<T>, [rows, columns]: [usize; 2], eps: f64) -> Tensor<T> {
    let &[count, height, width, channels] = images.shape() else {
        panic!("whitening: images {:?} must be [N, H, W, Cin]", images.shape())
    };
    assert!(
        count > 0 && rows > 0 && columns > 0 && height >= rows && width >= columns,
        "whitening: images {:?} have no patch of {rows} x {columns} pixels",
        images.shape()
    );
    let size = rows * columns * channels;
    let images = images.contiguous();
    let (mut sums, mut products) = (vec![0.0; size], vec![0.0; size * size]);
    let mut patch = vec![0.0; size];
    for image in images.data().chunks(height * width * channels) {
        for (y, x) in (0..=height - rows).flat_map(|y| (0..=width - columns).map(move |x| (y, x))) {
            for (row, part) in patch.chunks_mut(columns * channels).enumerate() {
                let start = ((y + row) * width + x) * channels;
                part.iter_mut().zip(&image[start..]).for_each(|(to, from)| *to = from.as_f64());
            }
            for (i, a) in patch.iter().enumerate() {
                sums[i] += a;
                products[i * size..][..size].iter_mut().zip(&patch).for_each(|(sum, b)| *sum += a * b);
            }
        }
    }
    let patches = (count * (height - rows + 1) * (width - columns + 1)) as f64;
    let covariance = |i: usize| products[i] / patches - sums[i / size] * sums[i % size] / (patches * patches);
    let (values, vectors) = symmetric_eigen(&(0..size * size).map(covariance).collect::<Vec<_>>(), size);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    Tensor::from_fn(&[rows, columns, channels, 2 * size], |i| {
        let (input, output) = (i / (2 * size), i % (2 * size));
        let component = order[output % size];
        let sign = if output < size { 1.0 } else { -1.0 };
        // An eigenvalue of zero may be a little less by rounding.
        T::from_f64(sign * vectors[component][input] / (values[component].max(0.0) + eps).sqrt())
    })
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;
    use cerberus_tensor::parallel::pool;

    /// Many weights, with different fans.
    const SHAPE: [usize; 4] = [3, 5, 40, 100];

    /// Mean, variance, and the fourth moment over the squared variance: 3 for normal, 1.8 for uniform values.
    fn moments(x: &Tensor<f64>) -> [f64; 3] {
        let values = x.to_vec();
        let mean_of =
            |f: &dyn Fn(f64) -> f64| values.iter().map(|&x| f(x)).sum::<f64>() / values.len() as f64;
        let mean = mean_of(&|x| x);
        let variance = mean_of(&|x| (x - mean).powi(2));
        [mean, variance, mean_of(&|x| (x - mean).powi(4)) / (variance * variance)]
    }

    #[track_caller]
    fn check(x: Tensor<f64>, variance: f64, fourth: f64) {
        let found = moments(&x);
        // 60,000 values: their mean, variance and fourth moment are off by 0.4, 0.6 and 4 % or less.
        assert!(found[0].abs() < 0.015 * variance.sqrt(), "mean {}", found[0]);
        assert!((found[1] / variance - 1.0).abs() < 0.025, "variance {} instead of {variance}", found[1]);
        assert!((found[2] - fourth).abs() < 0.15, "fourth moment {} instead of {fourth}", found[2]);
    }

    #[test]
    fn every_scheme_has_the_moments_of_its_equation() {
        let (fan_in, fan_out) = (600.0, 1500.0);
        assert_eq!(fans(&SHAPE), [600, 1500]);
        let mut init = Init::new(11);
        check(init.kaiming_normal(&SHAPE, Fan::In, 0.0), 2.0 / fan_in, 3.0);
        check(init.kaiming_normal(&SHAPE, Fan::Out, 0.5), 2.0 / (1.25 * fan_out), 3.0);
        check(init.kaiming_uniform(&SHAPE, Fan::In, 0.5), 2.0 / (1.25 * fan_in), 1.8);
        check(init.kaiming_uniform(&SHAPE, Fan::Out, 0.0), 2.0 / fan_out, 1.8);
        check(init.xavier_normal(&SHAPE), 2.0 / (fan_in + fan_out), 3.0);
        check(init.xavier_uniform(&SHAPE), 2.0 / (fan_in + fan_out), 1.8);
        check(init.lecun_normal(&SHAPE), 1.0 / fan_in, 3.0);
        check(init.lecun_uniform(&SHAPE), 1.0 / fan_in, 1.8);
        // A matrix with independent directions looks normal from near by.
        check(init.orthogonal(&SHAPE, 2.0), 4.0 / fan_in, 3.0);
    }

    #[test]
    fn a_truncated_normal_has_no_tails_and_the_spread_of_what_is_left() {
        let x = Init::new(5).truncated_normal::<f64>(&SHAPE, 0.5);
        assert!(x.to_vec().iter().all(|x| x.abs() <= 1.0));
        assert!(x.to_vec().iter().any(|x| x.abs() > 0.98));
        // 1 - 4 φ(2) / (2 Φ(2) - 1), and the fourth moment by the same recursion.
        check(x, 0.25 * 0.773_741, 2.366);
    }

    #[test]
    fn the_shorter_side_of_an_orthogonal_matrix_is_orthogonal() {
        for shape in [&[3, 2, 4, 7][..], &[2, 3, 11], &[5, 5], &[1, 3]] {
            let weight = Init::new(3).orthogonal::<f64>(shape, 1.5);
            let columns = shape[shape.len() - 1];
            let rows = weight.len() / columns;
            let weight = weight.reshape(&[rows, columns]).to_vec();
            let at = |vector: usize, place: usize| {
                if rows >= columns {
                    weight[place * columns + vector]
                } else {
                    weight[vector * columns + place]
                }
            };
            for a in 0..rows.min(columns) {
                for b in 0..rows.min(columns) {
                    let product: f64 = (0..rows.max(columns)).map(|place| at(a, place) * at(b, place)).sum();
                    let expected = if a == b { 2.25 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-12, "{shape:?}: {a} {b}: {product}");
                }
            }
        }
    }

    #[test]
    fn an_identity_passes_images_and_vectors_on() {
        let x = Tensor::<f64>::from_fn(&[2, 5, 4, 3], |i| (i as f64).sin());
        let conv =
            crate::Conv2d::new(3, 3, 3, &mut Init::new(1)).same().with_weight(Init::identity(&[3, 3, 3, 3]));
        assert_eq!(crate::predict(&conv, x.clone()).to_vec(), x.to_vec());
        let rows = x.reshape(&[40, 3]);
        let wider = crate::Linear::new(3, 4, &mut Init::new(1)).with_weight(Init::identity(&[3, 4]));
        let y = crate::predict(&wider, rows.clone());
        let expected =
            rows.to_vec().chunks(3).flat_map(|row| [row[0], row[1], row[2], 0.0]).collect::<Vec<_>>();
        assert_eq!(y.to_vec(), expected);
    }

    #[test]
    fn every_scheme_gives_the_same_values_for_any_number_of_threads() {
        let all = || {
            let mut init = Init::new(8);
            let mut values = init.kaiming_normal::<f32>(&SHAPE, Fan::In, 0.0).to_vec();
            values.extend(init.lecun_uniform::<f32>(&SHAPE).to_vec());
            values.extend(init.truncated_normal::<f32>(&SHAPE, 0.02).to_vec());
            values.extend(init.orthogonal::<f32>(&[3, 40, 100], 1.0).to_vec());
            values
        };
        let with = |threads| pool(threads).expect("threads").install(all);
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn the_layers_start_with_these_schemes() {
        let (shape, fan_in) = ([3, 3, 4, 6], 36);
        let same = |a: Tensor<f32>, b: Tensor<f32>| assert_eq!(a.to_vec(), b.to_vec());
        same(Init::new(2).he(&shape, fan_in), Init::new(2).kaiming_normal(&shape, Fan::In, 0.0));
        same(Init::new(2).glorot(&[5, 7], 5, 7), Init::new(2).xavier_uniform(&[5, 7]));
    }

    #[test]
    #[should_panic(expected = "fans: a weight of shape [4] has no inputs and outputs")]
    fn a_shape_without_fans_is_refused() {
        let _ = Init::new(1).lecun_normal::<f32>(&[4]);
    }

    #[test]
    fn whitened_patches_have_unit_covariance_and_both_signs() {
        let images = Tensor::<f64>::from_fn(&[40, 6, 5, 2], |i| {
            let noise = ((i * i) as f64 * 0.37).sin();
            noise + 0.8 * ((i / 2) as f64 * 0.4).sin() + 3.0
        });
        let weight = whitening(&images, [2, 2], 0.0);
        assert_eq!(weight.shape(), [2, 2, 2, 16]);
        let conv = crate::Conv2d::with_spec(2, 16, 2, Default::default(), &mut Init::new(1)).without_bias();
        let y = crate::predict(&conv.with_weight(weight), images).reshape(&[40 * 5 * 4, 16]);
        let centred = y.clone() - y.mean(&[0]);
        let covariance = centred.t().matmul(&centred).scale(1.0 / (40.0 * 5.0 * 4.0));
        for (i, value) in covariance.to_vec().into_iter().enumerate() {
            let (a, b) = (i / 16, i % 16);
            let expected = if a == b {
                1.0
            } else if a % 8 == b % 8 {
                -1.0
            } else {
                0.0
            };
            assert_abs_diff_eq!(value, expected, epsilon = 1e-9);
        }
    }

    #[test]
    #[should_panic(expected = "have no patch of 3 x 3 pixels")]
    fn images_smaller_than_the_kernel_cannot_be_whitened() {
        whitening(&Tensor::<f64>::zeros(&[1, 2, 5, 1]), [3, 3], 0.0);
    }
}

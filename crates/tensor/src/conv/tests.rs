//! The convolutions against each other, over random geometry.

use proptest::prelude::*;

use super::*;
use crate::testing::same_bits_for_any_threads;

#[derive(Clone, Debug)]
struct Case {
    x: [usize; 4],
    weight: [usize; 4],
    spec: Conv2dSpec,
}

prop_compose! {
    fn case()(
        n in 0usize..3, h in 1usize..10, w in 1usize..28, groups in 1usize..4,
        cin in 1usize..6, cout in 1usize..40, kernel in [1usize..4, 1usize..4],
        stride in [1usize..4, 1usize..4], dilation in [1usize..3, 1usize..3],
        pad in [0usize..5, 0usize..5, 0usize..5, 0usize..5],
    ) -> Case {
        let padding = Padding { top: pad[0], bottom: pad[1], left: pad[2], right: pad[3] };
        // Grow the image until the kernel fits.
        let fit = |size: usize, k: usize, d: usize, p: usize| size.max((d * (k - 1) + 1).saturating_sub(p)).max(1);
        let h = fit(h, kernel[0], dilation[0], pad[0] + pad[1]);
        let w = fit(w, kernel[1], dilation[1], pad[2] + pad[3]);
        Case {
            x: [n, h, w, cin * groups],
            weight: [kernel[0], kernel[1], cin, cout * groups],
            spec: Conv2dSpec { stride, padding, dilation, groups },
        }
    }
}

fn noise<T: Element>(shape: &[usize], phase: f64) -> Tensor<T> {
    Tensor::from_fn(shape, |i| T::from_f64((i as f64 * 1.7 + phase).sin()))
}

/// Biases that take some sums below 0 and some above 6, and an activation.
fn epilogue<T: Element>(channels: usize) -> Epilogue<T> {
    let bias = noise::<T>(&[channels], 0.1).map(|bias| bias * T::from_f64(8.0));
    let activation = [Rectifier::None, Rectifier::Relu, Rectifier::Relu6][channels % 3];
    Epilogue { bias: Some(bias), activation }
}

/// The largest size of an entry, or 1.
fn largest<T: Element>(x: &Tensor<T>) -> f64 {
    x.to_vec().iter().fold(1.0, |m: f64, v| m.max(v.as_f64().abs()))
}

/// The largest difference of two entries.
fn apart<T: Element>(a: &Tensor<T>, b: &Tensor<T>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.to_vec().iter().zip(b.to_vec()).fold(0.0, |m: f64, (a, b)| m.max((a.as_f64() - b.as_f64()).abs()))
}

fn worst<T: Element>(a: &Tensor<T>, b: &Tensor<T>) -> f64 {
    apart(a, b) / largest(b)
}

fn check<T: Element>(case: &Case, tolerance: f64) -> Result<(), TestCaseError> {
    let Case { x, weight, spec } = case;
    let (x_values, w_values) = (noise::<T>(x, 0.3), noise::<T>(weight, 0.9));
    let epilogue = epilogue(weight[3]);
    let y = plain::conv2d(&x_values, &w_values, spec, &epilogue);
    let dy = noise::<T>(y.shape(), 0.5);
    let dx = plain::input_gradient(&dy, &w_values, x, spec);
    let dw = plain::weight_gradient(&x_values, &dy, weight, spec);

    // The rounding error of a sum that cancels depends on the size of its terms, in any order of addition.
    let [x_sizes, w_sizes, dy_sizes] =
        [&x_values, &w_values, &dy].map(|values| values.clone().map(|v| v.abs()));

    let bound = tolerance * largest(&plain::conv2d(&x_sizes, &w_sizes, spec, &Epilogue::default()));
    prop_assert!(apart(&im2col::conv2d(&x_values, &w_values, spec, &epilogue), &y) < bound);
    prop_assert!(apart(&implicit::conv2d(&x_values, &w_values, spec, &epilogue), &y) < bound);

    let bound = tolerance * largest(&plain::input_gradient(&dy_sizes, &w_sizes, x, spec));
    prop_assert!(apart(&im2col::input_gradient(&dy, &w_values, x, spec), &dx) < bound);
    prop_assert!(apart(&input_gradient(&dy, &w_values, x, spec), &dx) < bound);

    let bound = tolerance * largest(&plain::weight_gradient(&x_sizes, &dy_sizes, weight, spec));
    prop_assert!(apart(&im2col::weight_gradient(&x_values, &dy, weight, spec), &dw) < bound);
    prop_assert!(apart(&implicit::weight_gradient(&x_values, &dy, weight, spec), &dw) < bound);
    Ok(())
}

proptest! {
    #[test]
    fn fast_convolutions_equal_the_definition_in_f64(case in case()) {
        check::<f64>(&case, 1e-14)?;
    }

    #[test]
    fn fast_convolutions_equal_the_definition_in_f32(case in case()) {
        check::<f32>(&case, 5e-6)?;
    }
}

/// One or two images of more output channels than a panel has: cut into small blocks of rows, the last one shorter; and
/// of too few rows for that, so that every panel of every block is computed separately.
#[test]
fn an_image_of_few_blocks_is_cut_into_smaller_ones_or_panels() {
    for [n, h, w] in [[1, 41, 61], [2, 41, 61], [1, 2, 900], [2, 2, 900], [1, 3, 7]] {
        let spec = Conv2dSpec::same(3);
        let case = Case { x: [n, h, w, 2], weight: [3, 3, 2, 150], spec };
        check::<f64>(&case, 1e-14).expect("equal to the definition");
        check::<f32>(&case, 5e-6).expect("equal to the definition");
    }
}

fn check_winograd<T: Element>(case: &Case, tolerance: f64) -> Result<(), TestCaseError> {
    let Case { x, weight, spec } = case;
    let (x_values, w_values) = (noise::<T>(x, 0.3), noise::<T>(weight, 0.9));
    let epilogue = epilogue(weight[3]);
    let y = plain::conv2d(&x_values, &w_values, spec, &epilogue);
    prop_assert!(worst(&winograd::conv2d(&x_values, &w_values, spec, &epilogue), &y) < tolerance);
    let dy = noise::<T>(y.shape(), 0.5);
    if Geometry::new("test", x, weight, spec).adjoint().is_some() {
        let dx = plain::input_gradient(&dy, &w_values, x, spec);
        prop_assert!(worst(&winograd::input_gradient(&dy, &w_values, x, spec), &dx) < tolerance);
    }
    let dw = plain::weight_gradient(&x_values, &dy, weight, spec);
    prop_assert!(worst(&winograd::weight_gradient(&x_values, &dy, weight, spec), &dw) < tolerance);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn winograd_equals_the_definition(
        n in 0usize..4, h in 1usize..15, w in 1usize..15, cin in 1usize..40, cout in 1usize..70,
        pad in [0usize..4, 0usize..4, 0usize..4, 0usize..4],
    ) {
        let padding = Padding { top: pad[0], bottom: pad[1], left: pad[2], right: pad[3] };
        let fit = |size: usize, pad: usize| size.max(3usize.saturating_sub(pad)).max(1);
        let x = [n, fit(h, pad[0] + pad[1]), fit(w, pad[2] + pad[3]), cin];
        let case = Case { x, weight: [3, 3, cin, cout], spec: Conv2dSpec { padding, ..Conv2dSpec::default() } };
        check_winograd::<f64>(&case, 1e-12)?;
        // Waves like the test's are the worst case: their sum cancels, but its intermediate values do not.
        check_winograd::<f32>(&case, 1e-4)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn winograd_with_more_weights_than_pixels_equals_the_definition(
        n in 1usize..3, h in 1usize..13, w in 1usize..13, cin in 100usize..140, cout in 82usize..100,
    ) {
        let spec = Conv2dSpec { padding: Padding::all(1), ..Conv2dSpec::default() };
        let case = Case { x: [n, h, w, cin], weight: [3, 3, cin, cout], spec };
        check_winograd::<f64>(&case, 1e-12)?;
        check_winograd::<f32>(&case, 1e-4)?;
    }
}

proptest! {
    #[test]
    fn depthwise_convolutions_equal_the_definition(
        n in 0usize..4, h in 1usize..12, w in 1usize..12, channels in 2usize..40,
        kernel in [1usize..8, 1usize..8], stride in [1usize..4, 1usize..4], dilation in [1usize..3, 1usize..3],
        pad in [0usize..5, 0usize..5],
    ) {
        let fit = |size: usize, k: usize, d: usize, p: usize| size.max((d * (k - 1) + 1).saturating_sub(2 * p)).max(1);
        let x = [n, fit(h, kernel[0], dilation[0], pad[0]), fit(w, kernel[1], dilation[1], pad[1]), channels];
        let padding = Padding { top: pad[0], bottom: pad[0], left: pad[1], right: pad[1] };
        let spec = Conv2dSpec { stride, padding, dilation, groups: channels };
        let case = Case { x, weight: [kernel[0], kernel[1], 1, channels], spec };
        let g = Geometry::new("test", &case.x, &case.weight, &spec);
        prop_assert!(depthwise::supports(&g));
        check_dispatched::<f64>(&case, 1e-12)?;
        check_dispatched::<f32>(&case, 2e-5)?;
    }
}

proptest! {
    #[test]
    fn plain_depthwise_convolutions_equal_the_definition(
        n in 0usize..3, h in 1usize..10, w in 3usize..20, channels in 2usize..40, pad in [0usize..4, 0usize..4, 0usize..2, 0usize..2],
    ) {
        let padding = Padding { top: pad[0], bottom: pad[1], left: pad[2], right: pad[3] };
        let x = [n, h.max(3usize.saturating_sub(pad[0] + pad[1])).max(1), w, channels];
        let spec = Conv2dSpec { padding, groups: channels, ..Conv2dSpec::default() };
        let case = Case { x, weight: [3, 3, 1, channels], spec };
        check_dispatched::<f64>(&case, 1e-12)?;
        check_dispatched::<f32>(&case, 2e-5)?;
    }
}

/// Rows long enough for the passes that are made for a dilation of 1.
#[test]
fn wide_depthwise_convolutions_may_be_dilated_and_strided() {
    for (stride, dilation) in [([1, 1], [2, 2]), ([1, 1], [1, 2]), ([2, 1], [1, 1]), ([1, 2], [2, 1])] {
        let spec = Conv2dSpec { stride, dilation, groups: 9, ..Conv2dSpec::same(3) };
        let case = Case { x: [2, 11, 45, 9], weight: [3, 3, 1, 9], spec };
        check_dispatched::<f64>(&case, 1e-12).unwrap();
        check_dispatched::<f32>(&case, 2e-5).unwrap();
    }
}

#[test]
fn kernels_of_one_pixel_equal_the_definition() {
    for (pixels, cin, cout) in
        [([3, 7, 7], 40, 300), ([2, 9, 5], 33, 32), ([5, 30, 31], 64, 48), ([6, 29, 31], 128, 144)]
    {
        let [n, h, w] = pixels;
        let case = Case { x: [n, h, w, cin], weight: [1, 1, cin, cout], spec: Conv2dSpec::default() };
        check_dispatched::<f64>(&case, 1e-12).unwrap();
        check_dispatched::<f32>(&case, 2e-4).unwrap();
    }
}

/// The three functions that choose an algorithm, against the definition.
fn check_dispatched<T: Element>(case: &Case, tolerance: f64) -> Result<(), TestCaseError> {
    let Case { x, weight, spec } = case;
    let (x_values, w_values) = (noise::<T>(x, 0.3), noise::<T>(weight, 0.9));
    let epilogue = epilogue(weight[3]);
    let y = plain::conv2d(&x_values, &w_values, spec, &epilogue);
    prop_assert!(worst(&conv2d(&x_values, &w_values, spec, &epilogue), &y) < tolerance);
    let dy = noise::<T>(y.shape(), 0.5);
    let dx = plain::input_gradient(&dy, &w_values, x, spec);
    prop_assert!(worst(&input_gradient(&dy, &w_values, x, spec), &dx) < tolerance);
    let dw = plain::weight_gradient(&x_values, &dy, weight, spec);
    prop_assert!(worst(&weight_gradient(&x_values, &dy, weight, spec), &dw) < tolerance);
    Ok(())
}

#[test]
fn every_algorithm_is_chosen_for_the_geometry_it_is_made_for() {
    let algorithms = |x: [usize; 4], weight: [usize; 4], spec: Conv2dSpec| {
        let g = Geometry::new("test", &x, &weight, &spec);
        assert!(is_dense(&g) || Algorithm::of_weight_gradient(&g) == Algorithm::of_forward(&g));
        (Algorithm::of_forward(&g), Algorithm::of_input_gradient(&g))
    };
    let same = Conv2dSpec::same(3);
    let far = Conv2dSpec { stride: [2, 2], dilation: [2, 2], ..same };
    use Algorithm::{Depthwise, Im2col, Implicit, Product, Winograd};
    let long = Geometry::new("test", &[8, 32, 32, 64], &[1, 1, 64, 64], &Conv2dSpec::default());
    assert_eq!(Algorithm::of_weight_gradient(&long), Implicit);
    let dense = Geometry::new("test", &[2, 7, 7, 256], &[1, 1, 256, 64], &Conv2dSpec::default());
    assert_eq!(Algorithm::of_weight_gradient(&dense), Product);
    assert_eq!(Algorithm::of_input_gradient(&dense), Product);
    assert_eq!(algorithms([2, 22, 23, 40], [3, 3, 40, 48], same), (Winograd, Winograd));
    assert_eq!(algorithms([2, 22, 23, 3], [3, 3, 3, 48], same), (Implicit, Im2col));
    assert_eq!(algorithms([2, 22, 23, 8], [3, 3, 8, 12], same), (Implicit, Implicit));
    assert_eq!(
        algorithms([2, 9, 9, 8], [3, 3, 1, 8], Conv2dSpec { groups: 8, ..same }),
        (Depthwise, Depthwise)
    );
    assert_eq!(algorithms([2, 9, 9, 8], [3, 3, 8, 8], far), (Implicit, Im2col));
}

#[test]
fn multiply_adds_are_those_of_the_definition() {
    let spec = Conv2dSpec { stride: [2, 1], groups: 2, ..Conv2dSpec::same(3) };
    let g = Geometry::new("test", &[3, 7, 5, 4], &[3, 3, 2, 6], &spec);
    // 4 by 5 positions of 3 images and 6 channels, each a sum over 3 by 3 by 2.
    assert_eq!(g.multiply_adds(), 3 * (4 * 5) * 6 * (3 * 3 * 2));
}

#[test]
fn a_stride_or_a_single_image_is_cut_up_without_loss() {
    let strided = |stride| Conv2dSpec { stride: [stride; 2], ..Conv2dSpec::same(3) };
    for (x, weight, spec) in [
        ([2, 22, 23, 40], [3, 3, 40, 48], strided(1)),
        ([2, 40, 44, 20], [3, 3, 20, 40], strided(2)),
        ([1, 41, 43, 5], [3, 3, 5, 70], strided(3)),
        // Several blocks of rows in an image, the last one shorter.
        ([2, 71, 80, 5], [3, 3, 5, 33], strided(2)),
        ([1, 66, 82, 3], [1, 1, 3, 33], strided(2)),
        ([1, 6, 6, 300], [3, 3, 300, 130], strided(1)),
        ([1, 7, 7, 40], [1, 1, 40, 100], strided(2)),
        ([3, 9, 9, 128], [1, 1, 128, 70], Conv2dSpec::default()),
        ([2, 9, 9, 12], [7, 7, 12, 33], Conv2dSpec { stride: [2, 2], ..Conv2dSpec::same(7) }),
    ] {
        check_dispatched::<f64>(&Case { x, weight, spec }, 1e-11).unwrap();
        check::<f32>(&Case { x, weight, spec }, 5e-6).unwrap();
    }
}

/// Root mean square of the difference to the exact values.
fn rounding(found: &Tensor<f32>, exact: &Tensor<f64>) -> f64 {
    let squares = found.to_vec().into_iter().zip(exact.to_vec()).map(|(a, b)| (f64::from(a) - b).powi(2));
    (squares.sum::<f64>() / exact.len() as f64).sqrt()
}

#[test]
fn winograds_rounding_error_is_about_twice_that_of_the_direct_sum() {
    use rand::RngExt;
    let mut random = crate::random::stream(1, "rounding", 0, 0);
    let mut uniform = |shape: &[usize]| Tensor::<f32>::from_fn(shape, |_| random.random_range(-1.0..1.0));
    let (x, w) = (uniform(&[2, 12, 12, 64]), uniform(&[3, 3, 64, 64]));
    let (spec, none) = (Conv2dSpec::same(3), Epilogue::default());
    let (x64, w64) = (x.cast::<f64>(), w.cast::<f64>());
    let dy = uniform(&[2, 12, 12, 64]);
    let dy64 = dy.cast::<f64>();
    let passes: [(Tensor<f64>, Tensor<f32>, Tensor<f32>); 3] = [
        (
            im2col::conv2d(&x64, &w64, &spec, &Epilogue::default()),
            implicit::conv2d(&x, &w, &spec, &none),
            winograd::conv2d(&x, &w, &spec, &none),
        ),
        (
            im2col::input_gradient(&dy64, &w64, x.shape(), &spec),
            implicit::input_gradient(&dy, &w, x.shape(), &spec),
            winograd::input_gradient(&dy, &w, x.shape(), &spec),
        ),
        (
            im2col::weight_gradient(&x64, &dy64, w.shape(), &spec),
            implicit::weight_gradient(&x, &dy, w.shape(), &spec),
            winograd::weight_gradient(&x, &dy, w.shape(), &spec),
        ),
    ];
    for (exact, direct, fast) in passes {
        let (direct, fast) = (rounding(&direct, &exact), rounding(&fast, &exact));
        println!("root mean square error: direct {direct:.2e}, Winograd {fast:.2e}");
        assert!(fast < 3.0 * direct, "{fast:.2e} against {direct:.2e}");
    }
}

#[test]
fn prepared_weights_give_the_same_result_for_every_batch() {
    let spec = Conv2dSpec::same(3);
    for [channels, groups] in [[48, 1], [6, 1], [6, 6]] {
        let weight = noise::<f64>(&[3, 3, channels / groups, channels], 0.2);
        let spec = Conv2dSpec { groups, ..spec };
        let prepared = PreparedConv2d::new(&weight, spec);
        let epilogue = epilogue(channels);
        // From one small image, where packing counts for most, to many.
        for n in [1, 20, 1] {
            let x = noise(&[n, 7, 9, channels], 0.3);
            let y = plain::conv2d(&x, &weight, &spec, &epilogue);
            assert!(worst(&prepared.forward(&x, &epilogue), &y) < 1e-12);
        }
    }
}

#[test]
fn deep_sums_and_wide_outputs_are_cut_up_without_loss() {
    let spec = Conv2dSpec::same(3);
    check::<f64>(&Case { x: [2, 9, 30, 100], weight: [3, 3, 100, 70], spec }, 1e-14).unwrap();
    check::<f32>(&Case { x: [1, 40, 40, 3], weight: [3, 3, 3, 32], spec }, 5e-6).unwrap();
    check::<f32>(&Case { x: [3, 20, 20, 64], weight: [1, 1, 64, 11], spec: Conv2dSpec::default() }, 5e-6)
        .unwrap();
}

#[test]
fn all_passes_have_the_same_bits_for_any_number_of_threads() {
    let spec = Conv2dSpec::same(3);
    for [n, size, cin, cout] in [[5, 33, 17, 45], [30, 6, 260, 200]] {
        let (x, w) = (noise::<f32>(&[n, size, size, cin], 0.2), noise::<f32>(&[3, 3, cin, cout], 0.4));
        assert!(same_bits_for_any_threads(|| {
            let y = implicit::conv2d(&x, &w, &spec, &Epilogue::default());
            let dx = implicit::input_gradient(&y, &w, x.shape(), &spec);
            let dw = implicit::weight_gradient(&x, &y, w.shape(), &spec);
            let fast = winograd::conv2d(&x, &w, &spec, &Epilogue::default());
            let fast_dx = winograd::input_gradient(&y, &w, x.shape(), &spec);
            let fast_dw = winograd::weight_gradient(&x, &y, w.shape(), &spec);
            vec![y, dx, dw, fast, fast_dx, fast_dw]
        }));
    }
}

#[test]
#[should_panic(expected = "the kernel reaches over 3 of 2 padded positions")]
fn an_image_smaller_than_the_kernel_is_refused_with_the_reason() {
    conv2d(
        &noise::<f32>(&[1, 2, 8, 1], 0.0),
        &noise::<f32>(&[3, 3, 1, 1], 0.0),
        &Conv2dSpec::default(),
        &Epilogue::default(),
    );
}

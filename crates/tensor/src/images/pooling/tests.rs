//! Pooling against its definition and its adjoint, over random geometry.

use proptest::prelude::*;

use super::*;
use crate::testing::{distance, dot, noise, same_bits_for_any_threads};

/// The definition: every window searched element by element.
fn naive(x: &Tensor<f64>, spec: &Pool2dSpec) -> (Tensor<f64>, Vec<u8>) {
    let [n, h, w, c] = x.extents();
    let ([kh, kw], p) = (spec.kernel, spec.padding);
    let oh = (h + p.top + p.bottom - kh) / spec.stride[0] + 1;
    let ow = (w + p.left + p.right - kw) / spec.stride[1] + 1;
    let mut winners = Vec::new();
    let y = Tensor::from_fn(&[n, oh, ow, c], |i| {
        let [image, oy, ox, channel] = [i / (oh * ow * c), i / (ow * c) % oh, i / c % ow, i % c];
        let mut best: Option<(f64, usize)> = None;
        for k in 0..kh * kw {
            let row = (oy * spec.stride[0] + k / kw).checked_sub(p.top).filter(|&row| row < h);
            let column = (ox * spec.stride[1] + k % kw).checked_sub(p.left).filter(|&column| column < w);
            let (Some(row), Some(column)) = (row, column) else { continue };
            let x = x.at(&[image, row, column, channel]);
            if best.is_none_or(|(best, _)| x > best || x.is_nan()) {
                best = Some((x, k));
            }
        }
        let (best, k) = best.expect("every window touches the image");
        winners.push(k as u8);
        best
    });
    (y, winners)
}

/// The definition of the backward pass: scatter to the winners.
fn naive_backward(dy: &Tensor<f64>, winners: &[u8], x_shape: &[usize], spec: &Pool2dSpec) -> Tensor<f64> {
    let [_, oh, ow, c] = dy.extents();
    let (h, w, kw) = (x_shape[1], x_shape[2], spec.kernel[1]);
    let mut dx = vec![0.0; x_shape.iter().product()];
    for (i, (dy, &winner)) in dy.to_vec().into_iter().zip(winners).enumerate() {
        let k = usize::from(winner);
        let row = i / (ow * c) % oh * spec.stride[0] + k / kw - spec.padding.top;
        let column = i / c % ow * spec.stride[1] + k % kw - spec.padding.left;
        dx[((i / (oh * ow * c) * h + row) * w + column) * c + i % c] += dy;
    }
    Tensor::from_vec(dx, x_shape)
}

prop_compose! {
    fn case()(
        n in 0usize..3, size in [1usize..12, 1usize..12], c in 0usize..40,
        kernel in [1usize..5, 1usize..5], stride in [1usize..4, 1usize..4], pad in [0usize..4, 0usize..4, 0usize..4, 0usize..4],
    ) -> ([usize; 4], Pool2dSpec) {
        let pad = [pad[0] % kernel[0], pad[1] % kernel[0], pad[2] % kernel[1], pad[3] % kernel[1]];
        let padding = Padding { top: pad[0], bottom: pad[1], left: pad[2], right: pad[3] };
        ([n, size[0].max(kernel[0]), size[1].max(kernel[1]), c], Pool2dSpec { kernel, stride, padding })
    }
}

/// Values many of which are equal, and some NaN.
fn coarse(shape: &[usize], nan: bool) -> Tensor<f64> {
    let value = |x: f64| if nan && x > 0.98 { f64::NAN } else { (3.0 * x).round() };
    noise::<f64>(shape, 0.3).map(value)
}

fn check(x_shape: [usize; 4], spec: &Pool2dSpec) -> Result<(), TestCaseError> {
    for nan in [false, true] {
        let x = coarse(&x_shape, nan);
        let (expected, expected_winners) = naive(&x, spec);
        let (y, winners) = max_pool2d(&x, spec);
        let bits = |y: &Tensor<f64>| y.to_vec().iter().map(|y| y.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(y.shape(), expected.shape());
        prop_assert_eq!(bits(&y), bits(&expected));
        prop_assert_eq!(&winners[..], &expected_winners[..]);
        let (y, winners) = max_pool2d(&x.cast::<f32>(), spec);
        prop_assert_eq!(bits(&y.cast()), bits(&expected));
        prop_assert_eq!(&winners[..], &expected_winners[..]);

        let dy = noise::<f64>(expected.shape(), 0.7);
        let dx = max_pool2d_backward(&dy, &winners, &x_shape, spec);
        prop_assert!(distance(&dx, &naive_backward(&dy, &winners, &x_shape, spec)) < 1e-12);

        let (rectified, winners) = max_pool2d_relu(&x, spec);
        prop_assert_eq!(bits(&rectified), bits(&expected.clone().map(|y| if y <= 0.0 { 0.0 } else { y })));
        let live = dy.zip(rectified, |dy, y| if y <= 0.0 { 0.0 } else { dy });
        let dx = max_pool2d_backward(&live.clone().map(|_| 1.0), &winners, &x_shape, spec);
        let expected_dx = live.clone().map(|dy| if dy == 0.0 { 0.0 } else { 1.0 });
        prop_assert!(distance(&dx, &naive_backward(&expected_dx, &expected_winners, &x_shape, spec)) < 1e-12);
    }
    Ok(())
}

proptest! {
    #[test]
    fn max_pool_and_its_backward_equal_the_definition((x_shape, spec) in case()) {
        check(x_shape, &spec)?;
    }

    #[test]
    fn halving_equals_the_definition_for_odd_and_even_sizes(n in 0usize..3, h in 2usize..12, w in 2usize..12, c in 0usize..70) {
        check([n, h, w, c], &Pool2dSpec::square(2))?;
    }

    #[test]
    fn average_pool_is_the_mean_and_backward_its_adjoint(n in 0usize..5, h in 1usize..40, w in 1usize..40, c in 0usize..40) {
        let x = noise::<f64>(&[n, h, w, c], 0.3);
        let y = global_avg_pool(&x);
        prop_assert!(distance(&y, &x.mean(&[1, 2])) < 1e-12);
        let dy = noise::<f64>(&[n, c], 0.8);
        prop_assert!((dot(&y, &dy) - dot(&x, &global_avg_pool_backward(&dy, x.shape()))).abs() < 1e-10);
    }
}

/// More rows of outputs than one thread takes at a time, and a last share that is smaller.
#[test]
fn images_of_many_pieces_equal_the_definition() {
    check([3, 71, 67, 9], &Pool2dSpec::square(2)).unwrap();
    let padded =
        Pool2dSpec { kernel: [3, 2], stride: [1, 2], padding: Padding { top: 1, ..Padding::default() } };
    check([3, 41, 67, 9], &padded).unwrap();
}

#[test]
fn a_strided_view_is_pooled_like_its_copy() {
    let x = noise::<f32>(&[2, 5, 6, 7], 0.1).permute(&[0, 3, 2, 1]);
    let spec = Pool2dSpec::square(2);
    assert_eq!(max_pool2d(&x, &spec).0.to_vec(), max_pool2d(&x.contiguous(), &spec).0.to_vec());
    assert_eq!(global_avg_pool(&x).to_vec(), global_avg_pool(&x.contiguous()).to_vec());
}

#[test]
fn all_passes_have_the_same_bits_for_any_number_of_threads() {
    let x = noise::<f32>(&[5, 40, 42, 17], 0.2);
    let overlapping = Pool2dSpec { kernel: [3, 3], stride: [2, 2], padding: Padding::all(1) };
    for spec in [Pool2dSpec::square(2), overlapping] {
        assert!(same_bits_for_any_threads(|| {
            let (y, winners) = max_pool2d(&x, &spec);
            let mean = global_avg_pool(&x);
            let spread = global_avg_pool_backward(&mean, x.shape());
            let (rectified, _) = max_pool2d_relu(&x, &spec);
            vec![max_pool2d_backward(&y, &winners, x.shape(), &spec), y, rectified, mean, spread]
        }));
    }
}

#[test]
#[should_panic(expected = "the window must fit into the padded image")]
fn an_image_smaller_than_the_window_is_refused_with_the_rule() {
    max_pool2d(&noise::<f32>(&[1, 1, 8, 1], 0.0), &Pool2dSpec::square(2));
}

#[test]
#[should_panic(expected = "the padding must be less than the window")]
fn padding_as_large_as_the_window_is_refused_with_the_rule() {
    max_pool2d(
        &noise::<f32>(&[1, 8, 8, 1], 0.0),
        &Pool2dSpec { padding: Padding::all(2), ..Pool2dSpec::square(2) },
    );
}

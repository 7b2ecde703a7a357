//! Softmax against its definition, finite differences and its limits.

use approx::assert_abs_diff_eq;

use super::*;
use crate::testing::{distance, gradient_error, noise, same_bits_for_any_threads};
use proptest::prelude::*;

const INF: f64 = f64::INFINITY;

/// The definition, without a shift: `(softmax, log_softmax, logsumexp)`.
fn naive(x: &Tensor<f64>) -> [Tensor<f64>; 3] {
    let axis = x.rank() - 1;
    let e = x.clone().map(f64::exp);
    let sum = e.sum_keepdim(&[axis]);
    let log = sum.clone().map(f64::ln);
    [&e / &sum, x - &log, log.reshape(&x.shape()[..axis])]
}

proptest! {
    #[test]
    fn all_three_equal_the_definition(rows in 0usize..40, row in 1usize..100, scale in 0.1f64..20.0) {
        let x = noise::<f64>(&[rows, row], scale).map(|x| x * scale);
        let expected = naive(&x);
        let found = [softmax(&x), log_softmax(&x), logsumexp(&x)];
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!(distance(found, expected) < 1e-12);
        }
        let x = x.cast::<f32>();
        let found = [softmax(&x), log_softmax(&x), logsumexp(&x)];
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!(distance(&found.cast(), expected) < 1e-5);
        }
    }

    #[test]
    fn backward_passes_match_finite_differences(rows in 0usize..4, row in 1usize..90) {
        let (x, dy) = (noise::<f64>(&[rows, row], 0.2).map(|x| 2.0 * x), noise::<f64>(&[rows, row], 0.7));
        let dx = softmax_backward(&softmax(&x), dy.clone());
        prop_assert!(gradient_error(softmax, &x, &dy, &dx) < 1e-7);
        let dx = log_softmax_backward(&log_softmax(&x), dy.clone());
        prop_assert!(gradient_error(log_softmax, &x, &dy, &dx) < 1e-7);
    }
}

#[test]
fn rows_longer_than_a_block_are_one_row() {
    let x = noise::<f64>(&[3, BLOCK + 77], 0.4);
    let [p, log_p, log_sum] = naive(&x);
    assert!(distance(&softmax(&x), &p) < 1e-12);
    assert!(distance(&log_softmax(&x), &log_p) < 1e-12);
    assert!(distance(&logsumexp(&x), &log_sum) < 1e-12);
    let dy = noise::<f64>(x.shape(), 0.9);
    let expected = &dy - &(&p * &dy.sum_keepdim(&[1]));
    assert!(distance(&log_softmax_backward(&log_p, dy), &expected) < 1e-12);
}

#[test]
fn more_rows_than_one_thread_takes_equal_the_definition() {
    let x = noise::<f64>(&[1201, 31], 0.4);
    let [p, log_p, log_sum] = naive(&x);
    assert!(distance(&softmax(&x), &p) < 1e-12);
    assert!(distance(&log_softmax(&x), &log_p) < 1e-12);
    assert!(distance(&logsumexp(&x), &log_sum) < 1e-12);
    let dy = noise::<f64>(x.shape(), 0.9);
    let expected = &p * &(&dy - &(&dy * &p).sum_keepdim(&[1]));
    assert!(distance(&softmax_backward(&p, dy.clone()), &expected) < 1e-12);
    let expected = &dy - &(&p * &dy.sum_keepdim(&[1]));
    assert!(distance(&log_softmax_backward(&log_p, dy), &expected) < 1e-12);
}

#[test]
fn large_values_neither_overflow_nor_lose_their_differences() {
    let x = Tensor::from_vec(vec![1e4f32, 1e4 - 1.0, -1e30, 3e38, 3e38, -3e38], &[2, 3]);
    let y = log_softmax(&x).to_vec();
    assert_abs_diff_eq!(y[..2], [-0.313_261_7, -1.313_261_7], epsilon = 1e-6);
    assert_eq!(softmax(&x).to_vec()[2..], [0.0, 0.5, 0.5, 0.0]);
}

#[test]
fn masked_rows_are_zero_and_nan_fills_its_row_alone() {
    let x = Tensor::from_vec(vec![-INF, -INF, 1.0, -INF, f64::NAN, 2.0], &[3, 2]);
    assert_eq!(softmax(&x).to_vec()[..4], [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(log_softmax(&x).to_vec()[..4], [-INF, -INF, 0.0, -INF]);
    assert_eq!(logsumexp(&x).to_vec()[..2], [-INF, 1.0]);
    for y in [softmax(&x), log_softmax(&x), logsumexp(&x)] {
        assert!(y.to_vec().iter().skip(y.len() / 3 * 2).all(|y| y.is_nan()));
    }
    let y = softmax(&x);
    assert_eq!(softmax_backward(&y, Tensor::ones(&[3, 2])).to_vec()[..2], [0.0, 0.0]);
    assert_eq!(logsumexp(&Tensor::from_vec(vec![INF, 0.0], &[2])).item(), INF);
}

#[test]
fn empty_rows_and_batches_are_ordinary() {
    assert_eq!(softmax(&Tensor::<f32>::zeros(&[3, 0])).shape(), [3, 0]);
    assert_eq!(logsumexp(&Tensor::<f64>::zeros(&[2, 0])).to_vec(), [-INF, -INF]);
    let none = Tensor::<f32>::zeros(&[0, 5]);
    assert_eq!(log_softmax_backward(&log_softmax(&none), none).shape(), [0, 5]);
}

#[test]
fn all_passes_have_the_same_bits_for_any_number_of_threads() {
    let x = noise::<f32>(&[5000, 11], 0.3);
    assert!(same_bits_for_any_threads(|| {
        let (p, log_p) = (softmax(&x), log_softmax(&x));
        vec![
            softmax_backward(&p, x.clone()),
            log_softmax_backward(&log_p, x.clone()),
            logsumexp(&x),
            p,
            log_p,
        ]
    }));
}

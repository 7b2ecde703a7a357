//! Batch normalisation against its definition and finite differences.

use proptest::prelude::*;

use super::*;
use crate::testing::{distance, gradient_error, noise, same_bits_for_any_threads};

const EPS: f64 = 1e-5;

/// The definition: two plain passes and no merging.
fn naive_statistics(x: &Tensor<f64>) -> (Tensor<f64>, Tensor<f64>) {
    let channels = *x.shape().last().unwrap();
    let rows = x.reshape(&[x.len() / channels, channels]);
    let mean = rows.mean(&[0]);
    let variance = (&rows - &mean).map(|d| d * d).mean(&[0]);
    (mean, variance)
}

fn naive(x: &Tensor<f64>, gamma: &Tensor<f64>, beta: &Tensor<f64>, activation: Rectifier) -> Tensor<f64> {
    let (mean, variance) = naive_statistics(x);
    let y = &(&(x - &mean) / &variance.map(|v| (v + EPS).sqrt())) * gamma + beta;
    match activation {
        Rectifier::None => y,
        Rectifier::Relu => y.map(|y| y.max(0.0)),
        Rectifier::Relu6 => y.map(|y| y.clamp(0.0, 6.0)),
    }
}

fn forward<T: Element>(
    x: &Tensor<T>,
    gamma: &Tensor<T>,
    beta: &Tensor<T>,
    activation: Rectifier,
) -> Tensor<T> {
    let s = batch_statistics(x, EPS);
    normalise(x.clone(), &s.mean, &s.inv_std, gamma, beta, activation)
}

fn activation() -> impl Strategy<Value = Rectifier> {
    prop::sample::select(vec![Rectifier::None, Rectifier::Relu, Rectifier::Relu6])
}

proptest! {
    #[test]
    fn training_forward_equals_the_definition(rows in 1usize..3000, channels in 1usize..100, activation in activation(), offset in -5.0f64..5.0) {
        let x = noise::<f64>(&[rows, 1, channels], 0.3).map(|x| 2.0 * x + offset);
        let (gamma, beta) = (noise(&[channels], 0.5), noise(&[channels], 0.8));
        let (mean, variance) = naive_statistics(&x);
        let s = batch_statistics(&x, EPS);
        prop_assert!(distance(&Tensor::from_vec(s.mean, &[channels]), &mean) < 1e-12);
        prop_assert!(distance(&Tensor::from_vec(s.variance, &[channels]), &variance) < 1e-11);
        // A single row has variance 0: its rounding error is divided by `sqrt(eps)`
        // alone.
        prop_assume!(rows > 1);
        let y = naive(&x, &gamma, &beta, activation);
        prop_assert!(distance(&forward(&x, &gamma, &beta, activation), &y) < 1e-9);
        // Rounding the inputs to `f32` costs the more, the smaller the variance.
        let y32 = forward(&x.cast::<f32>(), &gamma.cast(), &beta.cast(), activation);
        let least = variance.to_vec().into_iter().fold(f64::INFINITY, f64::min) + EPS;
        prop_assert!(distance(&y32.cast(), &y) < 1e-5 / least.sqrt());
    }

    #[test]
    fn backward_matches_finite_differences(rows in 3usize..8, channels in 1usize..5, activation in activation()) {
        let (x, dy) = (noise::<f64>(&[rows, 2, channels], 0.3), noise::<f64>(&[rows, 2, channels], 0.6));
        // Large enough for some outputs above 6.
        let (gamma, beta) = (noise::<f64>(&[channels], 1.1).scale(5.0), noise(&[channels], 0.2));
        // No finite difference across the kinks of the activation.
        let is_smooth = |y: &f64| y.abs() > 1e-3 && (y - 6.0).abs() > 1e-3;
        prop_assume!(naive(&x, &gamma, &beta, Rectifier::None).to_vec().iter().all(is_smooth));
        let (dx, dgamma, dbeta) = batch_norm_backward(&x, dy.clone(), &gamma, &beta, &batch_statistics(&x, EPS), activation);
        prop_assert!(gradient_error(|x| naive(x, &gamma, &beta, activation), &x, &dy, &dx) < 1e-6);
        prop_assert!(gradient_error(|gamma| naive(&x, gamma, &beta, activation), &gamma, &dy, &dgamma) < 1e-6);
        prop_assert!(gradient_error(|beta| naive(&x, &gamma, beta, activation), &beta, &dy, &dbeta) < 1e-6);
    }
}

#[test]
fn gradients_of_many_pieces_equal_the_formula() {
    let (x, dy) = (noise::<f64>(&[4000, 13], 0.3), noise::<f64>(&[4000, 13], 0.6));
    let (gamma, beta) = (noise::<f64>(&[13], 1.1), Tensor::zeros(&[13]));
    let s = batch_statistics(&x, EPS);
    let mask = forward(&x, &gamma, &beta, Rectifier::Relu).map(|y| f64::from(y > 0.0));
    let (dx, dgamma, dbeta) = batch_norm_backward(&x, dy.clone(), &gamma, &beta, &s, Rectifier::Relu);
    let inv_std = Tensor::from_vec(s.inv_std, &[13]);
    let n = &(&x - &Tensor::from_vec(s.mean, &[13])) * &inv_std;
    let dy = dy * mask;
    assert!(distance(&dbeta, &dy.sum(&[0])) < 1e-9);
    assert!(distance(&dgamma, &(&dy * &n).sum(&[0])) < 1e-9);
    let centred = &dy - &dbeta.scale(1.0 / 4000.0) - &(&n * &dgamma.scale(1.0 / 4000.0));
    assert!(distance(&dx, &(&centred * &(&gamma * &inv_std))) < 1e-12);
}

#[test]
fn variance_survives_a_mean_a_thousand_times_larger() {
    let x = noise::<f64>(&[100_000, 3], 0.3).map(|x| x + 1000.0);
    let variance = batch_statistics(&x.cast::<f32>(), EPS).variance;
    for (found, exact) in variance.iter().zip(naive_statistics(&x).1.to_vec()) {
        assert!((f64::from(*found) - exact).abs() < 1e-4 * exact, "{found} for {exact}");
    }
}

#[test]
fn values_owned_alone_are_overwritten_and_shared_ones_are_not() {
    let (x, ones) = (noise::<f32>(&[50, 4], 0.3), Tensor::ones(&[4]));
    let s = batch_statistics(&x, EPS);
    let y = normalise(x.clone(), &s.mean, &s.inv_std, &ones, &ones, Rectifier::None);
    assert_eq!(x.to_vec(), noise::<f32>(&[50, 4], 0.3).to_vec());
    let address = y.data().as_ptr();
    let (dx, ..) = batch_norm_backward(&x, y, &ones, &ones, &s, Rectifier::None);
    assert_eq!(dx.data().as_ptr(), address);
}

#[test]
fn no_gradient_passes_the_activation_where_it_is_at_its_kink() {
    let (x, zeros) = (noise::<f64>(&[50, 40], 0.3), Tensor::zeros(&[40]));
    let s = batch_statistics(&x, EPS);
    // With gamma and beta zero every value lies at the kink.
    let (dx, dgamma, dbeta) =
        batch_norm_backward(&x, Tensor::ones(&[50, 40]), &zeros, &zeros, &s, Rectifier::Relu);
    for gradient in [dx, dgamma, dbeta] {
        assert!(gradient.to_vec().iter().all(|&g| g == 0.0));
    }
}

#[test]
fn nan_stays_in_its_channel_and_survives_the_activation() {
    let x = Tensor::from_vec(vec![1.0, f64::NAN, 2.0, 3.0], &[2, 2]);
    let y = forward(&x, &Tensor::ones(&[2]), &Tensor::zeros(&[2]), Rectifier::Relu).to_vec();
    assert!(y[0] == 0.0 && y[2] > 0.9 && y[1].is_nan() && y[3].is_nan());
}

#[test]
fn an_empty_batch_has_zero_statistics_and_gradients() {
    let (x, ones) = (Tensor::<f32>::zeros(&[0, 4, 4, 3]), Tensor::ones(&[3]));
    let s = batch_statistics(&x, EPS);
    assert_eq!((&s.mean[..], &s.variance[..]), (&[0.0; 3][..], &[0.0; 3][..]));
    assert_eq!(forward(&x, &ones, &ones, Rectifier::Relu).shape(), x.shape());
    let (dx, dgamma, dbeta) = batch_norm_backward(&x, x.clone(), &ones, &ones, &s, Rectifier::Relu);
    assert_eq!((dx.shape(), dgamma.to_vec(), dbeta.to_vec()), (x.shape(), vec![0.0; 3], vec![0.0; 3]));
}

#[test]
fn all_passes_have_the_same_bits_for_any_number_of_threads() {
    let (x, gamma, beta) = (noise::<f32>(&[9, 40, 40, 7], 0.3), noise(&[7], 0.5), noise(&[7], 0.8));
    assert!(same_bits_for_any_threads(|| {
        let s = batch_statistics(&x, EPS);
        let y = normalise(x.clone(), &s.mean, &s.inv_std, &gamma, &beta, Rectifier::Relu);
        let (dx, dgamma, dbeta) = batch_norm_backward(&x, y.clone(), &gamma, &beta, &s, Rectifier::Relu);
        vec![Tensor::from_vec(s.variance, &[7]), y, dx, dgamma, dbeta]
    }));
}

#[test]
#[should_panic(
    expected = "mean [3], inv_std [3], gamma [2] and beta [3] must have one value for each of the 3 channels"
)]
fn a_gamma_of_another_length_is_refused_with_the_rule() {
    let x = noise::<f32>(&[2, 3], 0.0);
    normalise(x, &[0.0; 3], &[1.0; 3], &Tensor::ones(&[2]), &Tensor::ones(&[3]), Rectifier::None);
}

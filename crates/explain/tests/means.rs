//! Methods that draw samples, against the means that they estimate: for functions whose means are known, by many samples
//! from fixed seeds.

use cerberus_autograd::Var;
use cerberus_explain::{Averaging, Baseline, ExpectedGradients, Explainer, Rise, SmoothGrad};
use cerberus_nn::Context;
use cerberus_tensor::Tensor;
use cerberus_tensor::resize::{Interpolation, resize};

const SHAPE: [usize; 4] = [1, 3, 4, 1];

fn weights() -> Tensor<f64> {
    Tensor::from_fn(&SHAPE, |i| 0.5 + (i as f64 * 0.9).sin())
}

fn picture() -> Tensor<f64> {
    Tensor::from_fn(&SHAPE, |i| (i as f64 * 1.3).cos())
}

/// `Σ w x² / 2` of each picture: the gradient is `w x`.
fn quadratic(x: Var<f64>, _: &mut Context<f64>) -> Vec<Var<f64>> {
    let n = x.shape()[0];
    vec![(x.square() * Var::constant(weights())).scale(0.5).reshape(&[n, 12]).sum(&[1])]
}

/// `Σ w x` of each picture.
fn linear(x: Var<f64>, _: &mut Context<f64>) -> Vec<Var<f64>> {
    let n = x.shape()[0];
    vec![(x * Var::constant(weights())).reshape(&[n, 12]).sum(&[1])]
}

fn assert_near(name: &str, found: &Tensor<f64>, expected: &[f64], limit: f64) {
    for (place, (a, b)) in found.to_vec().iter().zip(expected).enumerate() {
        assert!((a - b).abs() < limit, "{name} at {place}: {a}, not {b}");
    }
}

#[test]
fn smooth_grad_and_its_square_and_variance_forms_of_a_quadratic_function() {
    let (x, w) = (picture().to_vec(), weights().to_vec());
    let range = x.iter().cloned().fold(f64::MIN, f64::max) - x.iter().cloned().fold(f64::MAX, f64::min);
    // The gradient at a noisy copy is w (x + N(0, s²)).
    let deviation = 0.2 * range;
    let of = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> { x.iter().zip(&w).map(|(&x, &w)| f(x, w)).collect() };
    let variance = |w: f64| w * w * deviation * deviation;
    let expected = [
        (Averaging::Mean, of(&|x, w| w * x)),
        (Averaging::Square, of(&|x, w| w * w * x * x + variance(w))),
        (Averaging::Variance, of(&|_, w| variance(w))),
    ];
    for (averaging, expected) in expected {
        let options = SmoothGrad { averaging, samples: 40_000, noise: 0.2, seed: 3 };
        let found = Explainer::new(&quadratic).smooth_grad(&picture(), &options).unwrap();
        assert_near(&format!("{averaging:?}"), &found[0].values, &expected, 0.02);
    }
}

#[test]
fn expected_gradients_are_the_mean_over_references_and_places() {
    let references = Tensor::from_fn(&[3, 3, 4, 1], |i| (i as f64 * 2.1).sin());
    let options = ExpectedGradients { references: references.clone(), samples: 100_000, seed: 2 };
    let found = Explainer::new(&quadratic).expected_gradients(&picture(), &options).unwrap();
    // The integral of (x - r) w (r + a (x - r)) over a is w (x² - r²) / 2.
    let (x, w, r) = (picture().to_vec(), weights().to_vec(), references.to_vec());
    let expected = |i: usize| -> f64 {
        (0..3).map(|k| w[i] * (x[i] * x[i] - r[12 * k + i] * r[12 * k + i]) / 6.0).sum()
    };
    let expected: Vec<f64> = (0..12).map(expected).collect();
    assert_near("expected gradients", &found[0].values, &expected, 0.02);
    assert!(found[0].gap.as_ref().unwrap()[0].abs() < 0.05);
}

#[test]
fn rise_is_the_mean_of_masks_weighed_by_what_is_seen_through_them() {
    let options = Rise { masks: 60_000, cells: [2, 2], open: 0.4, baseline: Baseline::Zero, seed: 1 };
    let found = Explainer::new(&linear).rise(&picture(), &options).unwrap();
    // How much of each of the four cells lies on each pixel, for each place at which the mask is cut: 2 x 2 of them.
    let cell = |c: usize| {
        let cells = Tensor::from_fn(&[1, 2, 2, 1], |i| f64::from(u8::from(i == c)));
        resize(&cells, [6, 6], Interpolation::Bilinear)
    };
    let shares: Vec<Vec<Vec<f64>>> = (0..4)
        .map(|cut| (0..4).map(|c| cell(c).narrow(1, cut / 2, 3).narrow(2, cut % 2, 4).to_vec()).collect())
        .collect();
    // Cells are open independently, so E[M_i M_j] = p² + p (1 - p) Σ_c share_c(i) share_c(j).
    let p = 0.4;
    let both = |i: usize, j: usize| {
        let together = |cut: &Vec<Vec<f64>>| cut.iter().map(|cell| cell[i] * cell[j]).sum::<f64>();
        p * p + p * (1.0 - p) * shares.iter().map(together).sum::<f64>() / 4.0
    };
    let (x, w) = (picture().to_vec(), weights().to_vec());
    let expected = |j: usize| (0..12).map(|i| w[i] * x[i] * both(i, j)).sum::<f64>() / p;
    let expected: Vec<f64> = (0..12).map(expected).collect();
    assert_near("RISE", &found[0].values, &expected, 0.02);
}

#[test]
fn another_seed_draws_other_samples_and_the_same_seed_the_same() {
    let found = |seed| {
        let options = Rise { masks: 5, cells: [2, 2], seed, ..Rise::default() };
        let rise = Explainer::new(&quadratic).rise(&picture(), &options).unwrap()[0].values.to_vec();
        let options = SmoothGrad { samples: 5, seed, ..SmoothGrad::default() };
        let smooth = Explainer::new(&quadratic).smooth_grad(&picture(), &options).unwrap()[0].values.to_vec();
        (rise, smooth)
    };
    assert_eq!(found(1), found(1));
    assert!(found(1).0 != found(2).0 && found(1).1 != found(2).1);
}

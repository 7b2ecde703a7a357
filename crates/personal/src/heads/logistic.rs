//! One class against the rest by penalised likelihood, with Newton's method.
//!
//! For each class `min ½ |w|² + C Σ s_i ln(1 + exp(-t_i (x_i·w + b)))` with targets `t_i` of 1 and -1: scikit-learn's
//! `LogisticRegression(C=C)` for two classes. A Newton step is a weighted least-squares problem (Hastie, Tibshirani and
//! Friedman, "The Elements of Statistical Learning", 4.4.1); it is halved while it would make the loss larger.

use super::dual::Dual;
use super::{Fitted, Linear, balanced};
use crate::matrix::{Matrix, dot};

/// Newton steps at most; convergence is quadratic.
const STEPS: usize = 60;
/// Steps below this share of the answer end the iteration.
const CLOSE: f64 = 1e-13;
/// The smallest curvature of an example's loss: below, its pull is constant.
const LEAST: f64 = 1e-300;

/// Fits one row for each of `classes` classes to examples `[n, D]`; a label of `None` is of none of them. `strength` is
/// `C`. With `balance`, both sides of each problem [count alike](balanced). The left-out scores are those of one Newton
/// step without the example. `None` if an example is not finite.
///
/// # Panics
/// Unless there is a label for each example, `strength` is positive, and every class has an example and one against it.
#[track_caller]
pub fn logistic(
    x: &Matrix,
    labels: &[Option<usize>],
    classes: usize,
    strength: f64,
    balance: bool,
) -> Option<Fitted> {
    assert!(
        labels.len() == x.rows && strength > 0.0,
        "logistic: {} labels for {} examples, strength {strength}",
        labels.len(),
        x.rows
    );
    let products = x.gram();
    let mut head = Linear { weight: Matrix::zeros(0, x.columns), bias: Vec::new() };
    let mut left_out = Matrix::zeros(x.rows, classes);
    for class in 0..classes {
        let positive: Vec<bool> = labels.iter().map(|&label| label == Some(class)).collect();
        assert!(
            positive.contains(&true) && positive.contains(&false),
            "logistic: class {class} has no example, or all"
        );
        let weights = if balance { balanced(&positive) } else { vec![1.0; x.rows] };
        let weights: Vec<f64> = weights.iter().map(|weight| weight * strength).collect();
        let found = newton(&products, &positive, &weights, &vec![0.0; x.rows])?;
        head.weight.data.extend(x.transposed_times(&found.alpha));
        head.weight.rows += 1;
        head.bias.push(found.bias);
        for (i, score) in found.left_out.into_iter().enumerate() {
            left_out.data[i * classes + class] = score;
        }
    }
    Some(Fitted { head, left_out })
}

/// The answer for one class.
pub(super) struct Found {
    pub alpha: Vec<f64>,
    pub bias: f64,
    pub left_out: Vec<f64>,
}

/// Minimises the loss of one class with weights `[n]` (the strength included) and a fixed part `offset: [n]` of every
/// example's score.
pub(super) fn newton(products: &Matrix, positive: &[bool], weights: &[f64], offset: &[f64]) -> Option<Found> {
    let size = positive.len();
    let score = |alpha: &[f64], bias: f64| -> Vec<f64> {
        products.times(alpha).iter().zip(offset).map(|(own, offset)| own + bias + offset).collect()
    };
    let loss = |alpha: &[f64], f: &[f64]| -> f64 {
        let penalty =
            0.5 * alpha.iter().zip(products.iter()).map(|(a, row)| a * dot(row, alpha)).sum::<f64>();
        let pull = |i: usize| weights[i] * soft_plus(if positive[i] { -f[i] } else { f[i] });
        penalty + (0..size).map(pull).sum::<f64>()
    };
    let (mut alpha, mut bias) = (vec![0.0; size], 0.0);
    let mut f = score(&alpha, bias);
    let mut value = loss(&alpha, &f);
    let mut last = None;
    for _ in 0..STEPS {
        let chance: Vec<f64> = f.iter().map(|f| 1.0 / (1.0 + (-f).exp())).collect();
        let curvature: Vec<f64> =
            (0..size).map(|i| (weights[i] * chance[i] * (1.0 - chance[i])).max(LEAST)).collect();
        let pull = |i: usize| weights[i] * (f64::from(u8::from(positive[i])) - chance[i]);
        let z: Vec<f64> = (0..size).map(|i| f[i] - offset[i] + pull(i) / curvature[i]).collect();
        if z.iter().any(|z| !z.is_finite()) {
            break;
        }
        let dual = Dual::new(products, &curvature)?;
        let aim = dual.solve(&z);
        let mut share = 1.0;
        let (next, next_bias, next_f, next_value) = loop {
            let next: Vec<f64> =
                alpha.iter().zip(&aim.alpha).map(|(old, new)| old + share * (new - old)).collect();
            let next_bias = bias + share * (aim.bias - bias);
            let next_f = score(&next, next_bias);
            let next_value = loss(&next, &next_f);
            // Rounding alone may make it larger by this much.
            if next_value <= value + 1e-12 * value.abs() || share < 1e-6 {
                break (next, next_bias, next_f, next_value);
            }
            share *= 0.5;
        };
        let moved = f.iter().zip(&next_f).map(|(old, new)| (old - new).abs()).fold(0.0, f64::max);
        let size_of_f = next_f.iter().fold(1.0_f64, |most, f| most.max(f.abs()));
        last = Some((dual, z, aim));
        (alpha, bias, f, value) = (next, next_bias, next_f, next_value);
        if !value.is_finite() {
            return None;
        }
        if moved <= CLOSE * size_of_f {
            break;
        }
    }
    // One step of the last problem, without each example.
    let left_out = match &last {
        Some((dual, z, aim)) => {
            dual.left_out(z, &aim.alpha).iter().zip(offset).map(|(own, offset)| own + offset).collect()
        }
        None => f,
    };
    value.is_finite().then_some(Found { alpha, bias, left_out })
}

/// `ln(1 + exp(x))`.
fn soft_plus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

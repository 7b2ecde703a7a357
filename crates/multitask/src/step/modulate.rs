//! Balance between the inputs of a model: the encoder that is ahead learns more slowly.
//!
//! Peng, Wei, Deng, Wang and Hu, "Balanced Multimodal Learning via On-the-fly Gradient Modulation", 2022 (OGM-GE). With
//! `s_u` how well the input `u` answers alone, and `r_u` its ratio to the others' (their discrepancy ratio), the
//! gradients of its encoder become
//!
//! ```text
//! k_u g + h,   k_u = 1 - tanh(alpha r_u) if r_u > 1, else 1,   h ~ N(0, v)
//! ```
//!
//! with `v` the variance of each parameter's gradient `g` over its elements; the noise keeps the gradient's spread, which
//! the paper finds good for generalisation. The paper has two inputs and sums the right class's shares for `s_u`. Here
//! `s_u` is the mean of `exp(-loss)` over the tasks that answer from `u` alone (for one that classifies, the geometric mean
//! of those shares), and `r_u` is its ratio to the mean over the other inputs.

use cerberus_autograd::Gradients;
use cerberus_nn::ModuleTensor;
use cerberus_tensor::random::stream;
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;
use rand_distr::StandardNormal;

use super::input::StepResult;
use crate::model::MultiTaskModel;

/// The factor `k_u` of each input of these scores; 1 for one without a score.
fn factors(scores: &[Option<f64>], alpha: f64) -> Vec<f64> {
    let known: Vec<f64> = scores.iter().flatten().copied().collect();
    let factor = |score: &Option<f64>| {
        let (Some(score), others @ 1..) = (*score, known.len().saturating_sub(1)) else { return 1.0 };
        let rest = (known.iter().sum::<f64>() - score) / others as f64;
        if score > rest { 1.0 - (alpha * score / rest).tanh() } else { 1.0 }
    };
    scores.iter().map(factor).collect()
}

/// Modulates the gradients of the encoders of `model`, given a step's losses.
pub(super) fn modulate<T: Element>(
    model: &MultiTaskModel<T>,
    result: &StepResult<T>,
    alpha: f64,
    seed: [u64; 2],
    gradients: &mut Gradients<T>,
) {
    let inputs = model.input_names();
    let score = |input: &String| {
        let alone = result.tasks.iter().filter(|&&task| model.input_of(task) == Some(input.as_str()));
        let shares: Vec<f64> = alone.map(|&task| (-result.losses[task].as_f64()).exp()).collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    };
    let scores: Vec<Option<f64>> = inputs.iter().map(score).collect();
    let factors = factors(&scores, alpha);
    let mut changed = Vec::new();
    model.trunk().visit("", &mut |path, entry| {
        let ModuleTensor::Parameter(parameter) = entry else { return };
        let Some(gradient) = gradients.parameter(parameter.id()) else { return };
        let own =
            |input: &String| path.strip_prefix(input.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let Some(input) = inputs.iter().position(own).filter(|&input| factors[input] < 1.0) else {
            return;
        };
        let mut random = stream(seed[0], &format!("modulation {path}"), seed[1], 0);
        changed.push((parameter.id(), modulated(gradient, factors[input], &mut random)));
    });
    gradients.extend(changed);
}

/// `factor g` with noise of the spread of `g`.
fn modulated<T: Element>(gradient: &Tensor<T>, factor: f64, random: &mut impl RngExt) -> Tensor<T> {
    let values: Vec<f64> = gradient.to_vec().into_iter().map(Element::as_f64).collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let noisy = |value: f64| {
        let drawn: f64 = random.sample(StandardNormal);
        T::from_f64(factor * value + spread * drawn)
    };
    Tensor::from_vec(values.into_iter().map(noisy).collect(), gradient.shape())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_input_that_is_ahead_is_slowed() {
        let found = factors(&[Some(0.8), Some(0.2)], 0.5);
        assert!((found[0] - (1.0 - 2f64.tanh())).abs() < 1e-15, "{found:?}");
        assert_eq!(found[1], 1.0);
        // The third has no task of its own.
        let found = factors(&[Some(0.6), Some(0.3), None, Some(0.1)], 1.0);
        assert!((found[0] - (1.0 - 3f64.tanh())).abs() < 1e-15, "{found:?}");
        // 0.3 is less than 0.35, the mean of 0.6 and 0.1.
        assert_eq!(found[1..], [1.0, 1.0, 1.0]);
        assert_eq!(factors(&[Some(0.9), None], 1.0), [1.0, 1.0]);
        assert_eq!(factors(&[Some(0.5), Some(0.5)], 1.0), [1.0, 1.0]);
    }

    #[test]
    fn a_modulated_gradient_has_the_mean_and_spread_that_the_paper_gives() {
        let gradient = Tensor::from_fn(&[200, 500], |i| if i % 4 == 0 { 5.0 } else { 1.0 });
        let noisy = modulated(&gradient, 0.25, &mut stream(1, "test", 0, 0)).to_vec();
        let count = noisy.len() as f64;
        let mean = noisy.iter().sum::<f64>() / count;
        let variance = noisy.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        // The gradient has mean 2 and variance 3.
        assert!((mean - 0.5).abs() < 0.03, "{mean}");
        assert!((variance - 3.0 * (1.0 + 0.25 * 0.25)).abs() < 0.1, "{variance}");
    }
}

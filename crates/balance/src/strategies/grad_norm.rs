//! Gradients whose lengths follow each task's pace of training.

use cerberus_tensor::Element;

use super::adam::Adam;
use super::{at, softmax, softmax_backward};
use crate::{
    BalanceError, Decision, EpochFigures, Evidence, GradientNeed, Memory, Needs, Strategy, all_finite,
};

/// GradNorm (Chen et al., 2018, eq. 2): weights `ω = T softmax(s)`; `s` moves so that the
/// lengths `n_t = ω_t |g_t|` approach `mean(n) r_t^α`, where `r_t` is the share of its first
/// loss that is left, relative to the other tasks'. The first losses are the
/// means of the first epoch, in which the weights are ones.
pub struct GradNorm {
    /// How strongly tasks that lag are favoured.
    pub alpha: f64,
    scales: Adam,
    first: Vec<f64>,
}

impl GradNorm {
    /// For `tasks` tasks; α is 1.5 in most uses.
    pub fn new(tasks: usize, alpha: f64, rate: f64) -> Self {
        Self { alpha, scales: Adam::new(vec![0.0; tasks], rate), first: Vec::new() }
    }

    /// From given `s` and first losses.
    pub fn resumed(alpha: f64, rate: f64, scales: Vec<f64>, first: Vec<f64>) -> Self {
        Self { alpha, scales: Adam::new(scales, rate), first }
    }

    /// ω, and the gradient of `Σ |n_t − target_t|` with respect to `s`.
    pub fn weights_and_gradient(&self, losses: &[f64], norms: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let tasks = losses.len() as f64;
        let shares = softmax(&self.scales.values);
        let weights: Vec<f64> = shares.iter().map(|share| tasks * share).collect();
        let lengths: Vec<f64> = weights.iter().zip(norms).map(|(w, norm)| w * norm).collect();
        let mean_length = lengths.iter().sum::<f64>() / tasks;
        let left: Vec<f64> =
            losses.iter().zip(&self.first).map(|(loss, first)| loss / first.max(1e-12)).collect();
        let mean_left = (left.iter().sum::<f64>() / tasks).max(1e-12);
        let slopes: Vec<f64> = (0..losses.len())
            .map(|t| {
                let off = lengths[t] - mean_length * (left[t] / mean_left).powf(self.alpha);
                let sign = if off == 0.0 { 0.0 } else { off.signum() };
                tasks * sign * norms[t]
            })
            .collect();
        (weights, softmax_backward(&shares, &slopes))
    }
}

impl<T: Element> Strategy<T> for GradNorm {
    fn needs(&self) -> Needs {
        Needs { gradients: GradientNeed::Gramian, ..Needs::default() }
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        if self.first.is_empty() {
            return Ok(Decision::weights(vec![1.0; evidence.losses.len()]));
        }
        let of = |values: &[f64]| at(values, evidence.tasks);
        let present = Self::resumed(self.alpha, 0.0, of(&self.scales.values), of(&self.first));
        let (weights, gradient) = present.weights_and_gradient(evidence.losses, evidence.gramian().norms());
        self.scales.step(evidence.tasks, &gradient);
        Ok(Decision::weights(weights))
    }

    fn end_epoch(&mut self, figures: &EpochFigures) {
        if self.first.is_empty() {
            self.first = figures.losses.to_vec();
        }
    }

    fn memory(&self) -> Memory<T> {
        self.scales.memory().with("first_losses", &self.first)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.first = memory.numbers("first_losses", 0)?;
        self.scales.restore(memory)
    }
}

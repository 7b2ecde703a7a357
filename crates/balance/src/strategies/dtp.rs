//! More weight for a task whose metric is still low.

use cerberus_tensor::Element;

use crate::{BalanceError, Decision, EpochFigures, Evidence, Memory, Needs, Strategy, all_finite};

/// DTP: `w_t = −(1 − κ_t)^γ log κ_t`, the focal loss of the task's own metric κ (Guo et al.,
/// "Dynamic Task Prioritization for Multitask Learning", 2018). κ is a running mean of
/// the main metric on the validation split, updated every epoch; in the first epoch the
/// weights are ones. A preference multiplies the weights.
pub struct Dtp {
    /// γ of every task.
    pub gamma: f64,
    /// How much of a new metric enters the running mean.
    pub rate: f64,
    metrics: Vec<f64>,
}

impl Dtp {
    /// With the exponent and the rate of the running mean.
    pub fn new(gamma: f64, rate: f64) -> Self {
        Self { gamma, rate, metrics: Vec::new() }
    }
}

impl<T: Element> Strategy<T> for Dtp {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn takes_preference(&self) -> bool {
        true
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let shares = evidence.shares();
        if self.metrics.is_empty() {
            return Ok(Decision::weights(shares));
        }
        // A metric of 0 or 1 must not decide everything.
        let difficulty = |metric: f64| {
            let metric = metric.clamp(1e-3, 1.0 - 1e-3);
            -(1.0 - metric).powf(self.gamma) * metric.ln()
        };
        let weights = evidence
            .tasks
            .iter()
            .zip(shares)
            .map(|(&t, share)| difficulty(self.metrics[t]) * share)
            .collect();
        Ok(Decision::weights(weights))
    }

    fn end_epoch(&mut self, figures: &EpochFigures) {
        if self.metrics.is_empty() {
            // A task without a metric counts as neither easier nor harder than the others.
            let known: Vec<f64> = figures.metrics.iter().copied().flatten().collect();
            let mean = if known.is_empty() { 0.5 } else { known.iter().sum::<f64>() / known.len() as f64 };
            self.metrics = figures.metrics.iter().map(|metric| metric.unwrap_or(mean)).collect();
        } else {
            let rate = self.rate;
            for (mean, new) in self.metrics.iter_mut().zip(figures.metrics) {
                *mean += rate * new.map_or(0.0, |new| new - *mean);
            }
        }
    }

    fn memory(&self) -> Memory<T> {
        Memory::default().with("metrics", &self.metrics)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.metrics = memory.numbers("metrics", 0)?;
        Ok(())
    }
}

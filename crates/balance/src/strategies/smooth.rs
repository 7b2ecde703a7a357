//! Weights that change slowly, around any strategy.

use cerberus_tensor::Element;

use crate::{BalanceError, Decision, EpochFigures, Evidence, Memory, Needs, Strategy};

/// CR-MOGM: `λ_k = α λ_{k−1} + (1 − α) λ̂_k` with the weights λ̂ of another strategy (Zhou et al.,
/// "On the Convergence of Stochastic Multi-Objective Gradient Manipulation and
/// Beyond", 2022, algorithm 1). Only for strategies whose direction is `Jᵀw`; an
/// explicit direction is passed on as it is.
pub struct Smoothed<T: Element = f32> {
    inner: Box<dyn Strategy<T>>,
    /// How much of the old weights stays.
    pub alpha: f64,
    weights: Vec<f64>,
    /// 1 for tasks that had a weight.
    seen: Vec<f64>,
}

impl<T: Element> Smoothed<T> {
    /// Smooths the weights of `inner`; α is usually 0.9.
    pub fn new(inner: Box<dyn Strategy<T>>, alpha: f64) -> Self {
        Self { inner, alpha, weights: Vec::new(), seen: Vec::new() }
    }
}

impl<T: Element> Strategy<T> for Smoothed<T> {
    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    fn takes_preference(&self) -> bool {
        self.inner.takes_preference()
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        let mut decision = self.inner.decide(evidence)?;
        for (&task, new) in evidence.tasks.iter().zip(&mut decision.weights) {
            self.weights.resize(self.weights.len().max(task + 1), 0.0);
            self.seen.resize(self.weights.len(), 0.0);
            let old = &mut self.weights[task];
            // A task's first weight is taken as it is.
            *old = if self.seen[task] == 0.0 { *new } else { self.alpha * *old + (1.0 - self.alpha) * *new };
            self.seen[task] = 1.0;
            *new = *old;
        }
        Ok(decision)
    }

    fn after_step(&mut self, losses: &[f64]) {
        self.inner.after_step(losses);
    }

    fn end_epoch(&mut self, figures: &EpochFigures) {
        self.inner.end_epoch(figures);
    }

    fn memory(&self) -> Memory<T> {
        self.inner.memory().with("smoothed_weights", &self.weights).with("smoothed_seen", &self.seen)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.weights = memory.numbers("smoothed_weights", 0)?;
        self.seen = memory.numbers("smoothed_seen", self.weights.len())?;
        self.inner.restore(memory)
    }
}

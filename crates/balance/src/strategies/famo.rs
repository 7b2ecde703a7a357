//! Equal relative progress without computing task gradients.

use cerberus_tensor::Element;

use super::adam::Adam;
use super::{at, softmax, softmax_backward};
use crate::{BalanceError, Decision, Evidence, Memory, Needs, Strategy, all_finite};

/// FAMO (Liu et al., "FAMO: Fast Adaptive Multitask Optimization", 2023,
/// algorithm 1): minimises `c Σ z_t log L_t` with `z = softmax(ξ)` and `c = 1 / Σ(z_t / L_t)`, and
/// moves ξ so that the tasks whose logarithmic loss fell least in the step get more.
pub struct Famo {
    logits: Adam,
    /// Lower bounds of the losses.
    pub floor: f64,
    /// The losses before the step, above the floor, and their tasks.
    before: Vec<f64>,
    tasks: Vec<usize>,
}

impl Famo {
    /// For `tasks` tasks, with the rate and weight decay of ξ: 0.025 and 0.001 in the paper.
    pub fn new(tasks: usize, rate: f64, decay: f64) -> Self {
        let mut logits = Adam::new(vec![0.0; tasks], rate);
        logits.decay = decay;
        Self { logits, floor: 0.0, before: Vec::new(), tasks: Vec::new() }
    }

    /// ξ.
    pub fn logits(&self) -> &[f64] {
        &self.logits.values
    }

    fn above_floor(&self, losses: &[f64]) -> Vec<f64> {
        losses.iter().map(|loss| (loss - self.floor).max(0.0) + 1e-8).collect()
    }
}

impl<T: Element> Strategy<T> for Famo {
    fn needs(&self) -> Needs {
        Needs { losses_after_step: true, ..Needs::default() }
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        self.before = self.above_floor(evidence.losses);
        self.tasks = evidence.tasks.to_vec();
        let z = softmax(&at(&self.logits.values, evidence.tasks));
        let ratios: Vec<f64> = z.iter().zip(&self.before).map(|(z, loss)| z / loss).collect();
        let sum: f64 = ratios.iter().sum();
        Ok(Decision::weights(ratios.into_iter().map(|ratio| ratio / sum).collect()))
    }

    fn after_step(&mut self, losses: &[f64]) {
        // Losses that are not finite change nothing.
        if all_finite(losses).is_err() || self.before.len() != losses.len() {
            return;
        }
        let after = self.above_floor(losses);
        let fall: Vec<f64> =
            self.before.iter().zip(after).map(|(before, after)| before.ln() - after.ln()).collect();
        let z = softmax(&at(&self.logits.values, &self.tasks));
        self.logits.step(&self.tasks, &softmax_backward(&z, &fall));
    }

    fn memory(&self) -> Memory<T> {
        self.logits.memory()
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.logits.restore(memory)
    }
}

//! The smooth maximum of the losses relative to those after a warm-up.

use cerberus_tensor::Element;

use super::{at, scale_invariant, softmax};
use crate::{BalanceError, Decision, EpochFigures, Evidence, Memory, Needs, Strategy, all_finite};

/// STCH as it is used for training networks (the form of LibMTL). It minimises
/// `Σ log L_t` for some epochs of warm-up and during one more, whose mean losses
/// become `N_t`; then `T μ log Σ exp(log(L_t / N_t) / μ)`, which gives most weight
/// to the task whose loss has fallen least. A preference multiplies the logarithms.
pub struct Stch {
    /// How soft the maximum is.
    pub mu: f64,
    /// Epochs before the one whose mean losses become `N_t`.
    pub warm_up: usize,
    epoch: usize,
    nadir: Vec<f64>,
}

impl Stch {
    /// With `μ` and that many epochs of warm-up.
    pub fn new(mu: f64, warm_up: usize) -> Self {
        Self { mu, warm_up, epoch: 0, nadir: Vec::new() }
    }

    /// Starts after the warm-up, with known `N_t`.
    pub fn with_nadir(mut self, nadir: &[f64]) -> Self {
        self.epoch = self.warm_up + 1;
        self.nadir = nadir.to_vec();
        self
    }
}

impl<T: Element> Strategy<T> for Stch {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn takes_preference(&self) -> bool {
        true
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let inverse = scale_invariant(evidence.losses);
        if self.nadir.is_empty() {
            return Ok(Decision::weights(inverse));
        }
        let shares = evidence.shares();
        let nadir = at(&self.nadir, evidence.tasks);
        let scores: Vec<f64> = (0..shares.len())
            .map(|t| -shares[t] * (inverse[t] * nadir[t].max(1e-12)).ln() / self.mu)
            .collect();
        let tasks = shares.len() as f64;
        let weights = (softmax(&scores).iter().zip(&inverse).zip(&shares))
            .map(|((soft, inverse), share)| tasks * soft * inverse * share)
            .collect();
        Ok(Decision::weights(weights))
    }

    fn end_epoch(&mut self, figures: &EpochFigures) {
        if self.epoch == self.warm_up {
            self.nadir = figures.losses.to_vec();
        }
        self.epoch += 1;
    }

    fn memory(&self) -> Memory<T> {
        Memory::default().with("epoch", &[self.epoch as f64]).with("nadir", &self.nadir)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.epoch = memory.number("epoch")? as usize;
        self.nadir = memory.numbers("nadir", 0)?;
        Ok(())
    }
}

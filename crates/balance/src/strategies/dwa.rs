//! More weight for a task whose loss falls slowly.

use cerberus_tensor::Element;

use super::{at, softmax};
use crate::{BalanceError, Decision, EpochFigures, Evidence, Memory, Needs, Strategy, all_finite};

/// DWA: `w_t = T softmax_t(L̄_t(e−1) / L̄_t(e−2) / τ)` with the mean losses of the last two
/// epochs; in the first two epochs the weights are ones (Liu, Johns and Davison, "End-to-End
/// Multi-Task Learning with Attention", 2019, eq. 7). A preference multiplies the weights.
pub struct Dwa {
    /// τ: the larger, the more even.
    pub temperature: f64,
    last: Vec<f64>,
    last_but_one: Vec<f64>,
}

impl Dwa {
    /// With the temperature; 2 in the paper.
    pub fn new(temperature: f64) -> Self {
        Self { temperature, last: Vec::new(), last_but_one: Vec::new() }
    }
}

impl<T: Element> Strategy<T> for Dwa {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn takes_preference(&self) -> bool {
        true
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let shares = evidence.shares();
        if self.last_but_one.is_empty() {
            return Ok(Decision::weights(shares));
        }
        let pace = |(last, before): (&f64, &f64)| last / before.max(1e-12) / self.temperature;
        let (last, before) = (at(&self.last, evidence.tasks), at(&self.last_but_one, evidence.tasks));
        let scores: Vec<f64> = last.iter().zip(&before).map(pace).collect();
        let tasks = shares.len() as f64;
        let weights = softmax(&scores).iter().zip(shares).map(|(soft, share)| tasks * soft * share).collect();
        Ok(Decision::weights(weights))
    }

    fn end_epoch(&mut self, figures: &EpochFigures) {
        self.last_but_one = std::mem::replace(&mut self.last, figures.losses.to_vec());
    }

    fn memory(&self) -> Memory<T> {
        Memory::default().with("last", &self.last).with("last_but_one", &self.last_but_one)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.last = memory.numbers("last", 0)?;
        self.last_but_one = memory.numbers("last_but_one", 0)?;
        Ok(())
    }
}

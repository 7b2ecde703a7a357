//! Logarithmic losses and gradients of one length.

use cerberus_tensor::{Element, Tensor};

use super::grow;
use crate::{
    BalanceError, Decision, Evidence, GradientNeed, Memory, Needs, Strategy, TaskGradients, all_finite,
};

/// DB-MTL (Lin et al., "Dual-Balancing for Multi-Task Learning", 2023, algorithm 1): the
/// gradients `b_t` of the logarithmic losses, smoothed, all stretched to the longest:
/// `d = Σ (max_j |b_j| / |b_t|) b_t`. A zero gradient stays zero.
pub struct DbMtl<T: Element = f32> {
    /// How much of the old gradient stays: `β / k^σ` at step `k`.
    pub beta: f64,
    /// How fast `β / k^σ` falls.
    pub sigma: f64,
    steps: f64,
    smoothed: Vec<Vec<Tensor<T>>>,
}

impl<T: Element> DbMtl<T> {
    /// With the smoothing; 0.9 and 0 by default in LibMTL.
    pub fn new(beta: f64, sigma: f64) -> Self {
        Self { beta, sigma, steps: 0.0, smoothed: Vec::new() }
    }
}

impl<T: Element> Strategy<T> for DbMtl<T> {
    fn needs(&self) -> Needs {
        Needs { gradients: GradientNeed::Rows, same_parts: true, ..Needs::default() }
    }

    fn takes_preference(&self) -> bool {
        true
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let gradients = &evidence.gradients[0];
        self.steps += 1.0;
        let keep = self.beta / self.steps.powf(self.sigma);
        let inverse: Vec<f64> = evidence.losses.iter().map(|loss| 1.0 / (loss.max(0.0) + 1e-8)).collect();
        grow(&mut self.smoothed, &gradients.rows()[0], evidence.tasks);
        for ((row, &task), inverse) in gradients.rows().iter().zip(evidence.tasks).zip(&inverse) {
            for (part, old) in row.iter().zip(&mut self.smoothed[task]) {
                let new = std::mem::replace(old, Tensor::scalar(T::ZERO)).scale(T::from_f64(keep));
                *old = new;
                old.add_scaled(T::from_f64((1.0 - keep) * inverse), part);
            }
        }
        let smoothed = evidence.tasks.iter().map(|&task| self.smoothed[task].clone()).collect();
        let rows = TaskGradients::new(smoothed, gradients.names().to_vec());
        let gramian = rows.gramian()?;
        let longest = gramian.norms().iter().copied().fold(0.0, f64::max);
        let stretch: Vec<f64> = (gramian.norms().iter().zip(evidence.shares()))
            .map(|(norm, share)| if *norm > 0.0 { longest / norm * share } else { 0.0 })
            .collect();
        let direction = Some(rows.combine(&stretch));
        // As weights of this step's own gradients.
        let weights = stretch.iter().zip(inverse).map(|(s, inverse)| s * inverse * (1.0 - keep)).collect();
        Ok(Decision { weights, direction, order: None })
    }

    fn memory(&self) -> Memory<T> {
        Memory::default().with("steps", &[self.steps]).with_rows("smoothed", &self.smoothed)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.steps = memory.number("steps")?;
        self.smoothed = memory.rows("smoothed")?;
        Ok(())
    }
}

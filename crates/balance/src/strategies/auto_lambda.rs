//! Weights that are themselves trained, on the validation loss.

use cerberus_tensor::Element;

use super::adam::Adam;
use super::at;
use crate::{BalanceError, Decision, Evidence, Memory, Needs, Strategy, all_finite};

/// Auto-Lambda (Liu et al., "Auto-Lambda: Disentangling Dynamic Task
/// Relationships", 2022): a task's weight grows if a step on its training
/// loss would lower the validation loss of the primary tasks, here all of them.
/// The second derivative in this rule is computed as a finite difference along
/// the validation gradient, which the trainer supplies.
pub struct AutoLambda {
    weights: Adam,
}

impl AutoLambda {
    /// For `tasks` tasks, with the first weight and the rate: 0.1 and 1e-4 in the paper.
    pub fn new(tasks: usize, start: f64, rate: f64) -> Self {
        Self { weights: Adam::new(vec![start; tasks], rate) }
    }
}

impl<T: Element> Strategy<T> for AutoLambda {
    fn needs(&self) -> Needs {
        Needs { lookahead: true, ..Needs::default() }
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        if let Some(changes) = evidence.lookahead {
            all_finite(changes)?;
            // Adam cancels the learning rate of the trial step, a common factor.
            self.weights.step(evidence.tasks, &changes.iter().map(|change| -change).collect::<Vec<_>>());
            self.weights.values.iter_mut().for_each(|weight| *weight = weight.max(0.0));
        }
        Ok(Decision::weights(at(&self.weights.values, evidence.tasks)))
    }

    fn weights_so_far(&self, _tasks: usize) -> Vec<f64> {
        self.weights.values.clone()
    }

    fn memory(&self) -> Memory<T> {
        self.weights.memory()
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.weights.restore(memory)
    }
}

//! Weights learned beside the network by gradient descent on its own loss.

use cerberus_tensor::Element;

use super::adam::Adam;
use super::at;
use crate::{BalanceError, Decision, Evidence, Memory, Needs, Strategy, all_finite};

/// What is minimised over both the network and one number `s_t` per task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnedForm {
    /// Uncertainty weighting: `Σ ½ e^(−s_t) L_t + ½ s_t` (Kendall, Gal and Cipolla, "Multi-Task
    /// Learning Using Uncertainty to Weigh Losses", 2018, eq. 7), from `s = −0.5`.
    Uncertainty,
    /// IMTL-L: `Σ e^(s_t) L_t − s_t` (Liu et al., 2021, eq. 6), from `s = 0`.
    Impartial,
}

/// UW or IMTL-L, with Adam at its own learning rate for the `s_t`. A preference
/// multiplies each task's summand.
pub struct Learned {
    form: LearnedForm,
    scales: Adam,
}

impl Learned {
    /// For `tasks` tasks.
    pub fn new(form: LearnedForm, tasks: usize, rate: f64) -> Self {
        let start = if form == LearnedForm::Uncertainty { -0.5 } else { 0.0 };
        Self::from_scales(form, vec![start; tasks], rate)
    }

    /// From given `s_t`.
    pub fn from_scales(form: LearnedForm, scales: Vec<f64>, rate: f64) -> Self {
        Self { form, scales: Adam::new(scales, rate) }
    }

    /// The weights, and the gradient with respect to the `s_t`.
    pub fn weights_and_gradient(&self, losses: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let pairs = self.scales.values.iter().zip(losses);
        match self.form {
            LearnedForm::Uncertainty => {
                pairs.map(|(s, loss)| (0.5 * (-s).exp(), 0.5 - 0.5 * (-s).exp() * loss))
            }
            LearnedForm::Impartial => return pairs.map(|(s, loss)| (s.exp(), s.exp() * loss - 1.0)).unzip(),
        }
        .unzip()
    }
}

impl<T: Element> Strategy<T> for Learned {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn takes_preference(&self) -> bool {
        true
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let present = Self::from_scales(self.form, at(&self.scales.values, evidence.tasks), 0.0);
        let (weights, gradient) = present.weights_and_gradient(evidence.losses);
        let shares = evidence.shares();
        let times =
            |values: Vec<f64>| values.iter().zip(&shares).map(|(v, share)| v * share).collect::<Vec<_>>();
        self.scales.step(evidence.tasks, &times(gradient));
        Ok(Decision::weights(times(weights)))
    }

    fn memory(&self) -> Memory<T> {
        self.scales.memory()
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.scales.restore(memory)
    }
}

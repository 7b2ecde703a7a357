//! GradVac with its memory of the usual similarity of each pair of tasks.

use cerberus_tensor::Element;
use cerberus_tensor::random::stream;

use super::{at, put};
use crate::on_gramian::{Orders, Vaccine, grad_vac};
use crate::{BalanceError, Decision, Evidence, GradientNeed, Memory, Needs, Strategy, all_finite};

/// See [`grad_vac`].
pub struct GradVac {
    vaccine: Vaccine,
}

impl GradVac {
    /// For `tasks` tasks, with the rate at which the expectation follows.
    pub fn new(tasks: usize, rate: f64) -> Self {
        Self { vaccine: Vaccine { rate, expected: vec![0.0; tasks * tasks] } }
    }
}

impl<T: Element> Strategy<T> for GradVac {
    fn needs(&self) -> Needs {
        Needs { gradients: GradientNeed::Gramian, ..Needs::default() }
    }

    fn takes_preference(&self) -> bool {
        true
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let [seed, step] = evidence.seed;
        let orders = Orders::random(evidence.losses.len(), &mut stream(seed, "balance", step, 0));
        let all = self.vaccine.expected.len().isqrt();
        let pairs: Vec<usize> =
            evidence.tasks.iter().flat_map(|i| evidence.tasks.iter().map(move |j| i * all + j)).collect();
        let mut vaccine = Vaccine { expected: at(&self.vaccine.expected, &pairs), ..self.vaccine };
        let weights = grad_vac(evidence.gramian(), &evidence.shares(), &orders, &mut vaccine);
        put(&mut self.vaccine.expected, &pairs, vaccine.expected);
        Ok(Decision { order: Some(orders), ..Decision::weights(weights) })
    }

    fn memory(&self) -> Memory<T> {
        Memory::default().with("expected", &self.vaccine.expected)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.vaccine.expected = memory.numbers("expected", self.vaccine.expected.len())?;
        Ok(())
    }
}

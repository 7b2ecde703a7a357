//! Weights by the excess risk: how much better a task could still become.

use cerberus_tensor::{Element, Tensor};

use super::{at, grow, softmax};
use crate::{BalanceError, Decision, Evidence, GradientNeed, Memory, Needs, Strategy, all_finite};

/// ExcessMTL (He et al., "Robust Multi-Task Learning with Excess Risks", 2024,
/// algorithm 1): the excess risk is estimated as `E_t = Σ_k g_tk² / √(Σ g_tk² so far)`, and
/// `w_t ∝ w_t exp(η E_t / E_t(first))`, normalised to one; the first estimate is used as it is.
pub struct ExcessMtl<T: Element = f32> {
    /// η.
    pub rate: f64,
    squares: Vec<Vec<Tensor<T>>>,
    first: Vec<f64>,
    logs: Vec<f64>,
}

impl<T: Element> ExcessMtl<T> {
    /// For `tasks` tasks.
    pub fn new(tasks: usize, rate: f64) -> Self {
        Self { rate, squares: Vec::new(), first: Vec::new(), logs: vec![0.0; tasks] }
    }
}

impl<T: Element> Strategy<T> for ExcessMtl<T> {
    fn needs(&self) -> Needs {
        Needs { gradients: GradientNeed::Rows, same_parts: true, ..Needs::default() }
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let rows = evidence.gradients[0].rows();
        let tasks = evidence.tasks;
        grow(&mut self.squares, &rows[0], tasks);
        let mut excess = Vec::with_capacity(rows.len());
        for (row, &task) in rows.iter().zip(tasks) {
            let sums = &mut self.squares[task];
            let mut total = 0.0;
            for (part, sum) in row.iter().zip(sums) {
                for (g, sum) in part.data().iter().zip(sum.data_mut()) {
                    let square = *g * *g;
                    *sum += square;
                    total += square.as_f64() / (sum.as_f64() + 1e-7).sqrt();
                }
            }
            excess.push(total);
        }
        self.first.resize(self.logs.len(), 0.0);
        for (excess, &task) in excess.iter_mut().zip(tasks) {
            if self.first[task] > 0.0 {
                *excess /= self.first[task];
            } else {
                self.first[task] = *excess;
            }
            self.logs[task] += self.rate * *excess;
        }
        // Only differences count; kept small so that they stay exact.
        let largest = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.logs.iter_mut().for_each(|log| *log -= largest);
        Ok(Decision::weights(softmax(&at(&self.logs, tasks))))
    }

    fn memory(&self) -> Memory<T> {
        let memory = Memory::default().with("first", &self.first).with("logs", &self.logs);
        memory.with_rows("squares", &self.squares)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.first = memory.numbers("first", 0)?;
        self.logs = memory.numbers("logs", self.logs.len())?;
        self.squares = memory.rows("squares")?;
        Ok(())
    }
}

//! One task comes first; the others must not lose by it.

use cerberus_tensor::Element;

use crate::solvers::{Matrix, dot, nnls};
use crate::{BalanceError, Decision, Evidence, GradientNeed, Memory, Needs, Strategy, all_finite};

/// PCD: the direction nearest to the first task's gradient along which every other
/// task gains at least `τ |g|²`, with gradients in units of their running root mean
/// square, then stretched to the first one's length ("priority-constrained descent",
/// arXiv 2606.29521). If no such direction exists, it is the first task's gradient.
/// In a step without the first task, the next task takes its place.
pub struct Pcd {
    /// The least gain.
    pub tau: f64,
    /// How slowly the mean of squares changes.
    pub beta: f64,
    /// The steps of each task.
    steps: Vec<f64>,
    squares: Vec<f64>,
}

impl Pcd {
    /// For `tasks` tasks; 0.02 and 0.999 in the paper.
    pub fn new(tasks: usize, tau: f64, beta: f64) -> Self {
        Self { tau, beta, steps: vec![0.0; tasks], squares: vec![0.0; tasks] }
    }
}

impl<T: Element> Strategy<T> for Pcd {
    fn needs(&self) -> Needs {
        Needs { gradients: GradientNeed::Gramian, ..Needs::default() }
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let gramian = evidence.gramian();
        let tasks = gramian.tasks();
        let mut units = Vec::with_capacity(tasks);
        for (&task, norm) in evidence.tasks.iter().zip(gramian.norms()) {
            self.steps[task] += 1.0;
            let unbias = 1.0 - self.beta.powf(self.steps[task]);
            let square = &mut self.squares[task];
            *square = self.beta * *square + (1.0 - self.beta) * norm * norm;
            units.push(1.0 / (*square / unbias + 1e-8).sqrt());
        }
        let scaled = gramian.scaled(&units);
        let mut lengths = vec![0.0; tasks];
        lengths[0] = scaled.norms()[0];
        if let Some(help) = self.help(&scaled) {
            lengths[1..].copy_from_slice(&help);
        }
        let reached = scaled.cosines().quadratic(&lengths).max(0.0).sqrt();
        let stretch = if reached > 0.0 { gramian.norms()[0] / reached } else { 0.0 };
        let weights = gramian.weights_of(&lengths).iter().map(|w| w * stretch).collect();
        Ok(Decision::weights(weights))
    }

    fn memory(&self) -> Memory<T> {
        Memory::default().with("steps", &self.steps).with("squares", &self.squares)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.steps = memory.numbers("steps", self.steps.len())?;
        self.squares = memory.numbers("squares", self.squares.len())?;
        Ok(())
    }
}

impl Pcd {
    /// What to add along the other tasks' unit gradients; `None` if nothing helps.
    ///
    /// A least-distance problem (Lawson and Hanson, 1974, chapter 23).
    fn help(&self, scaled: &crate::Gramian) -> Option<Vec<f64>> {
        let c = scaled.cosines();
        let norms = scaled.norms();
        let others = norms.len() - 1;
        let missing: Vec<f64> = (1..=others).map(|t| self.tau * norms[t] - norms[0] * c.at(0, t)).collect();
        let h = Matrix::from_fn(others, |i, j| c.at(i + 1, j + 1) + missing[i] * missing[j]);
        let z = nnls(&h, &missing);
        let rest = 1.0 - dot(&missing, &z);
        (rest > 1e-12).then(|| z.iter().map(|z| z / rest).collect())
    }
}

//! The shortest combination of running means of the gradients.

use cerberus_tensor::{Element, Tensor};

use super::{grow, put, shares_of, softmax};
use crate::solvers::project_to_simplex;
use crate::{
    BalanceError, Decision, Evidence, GradientNeed, Memory, Needs, Strategy, TaskGradients, all_finite,
};

/// MoCo (Fernando et al., "Mitigating Gradient Bias in Multi-objective Learning",
/// 2023, algorithm 1): `y_t` tracks `g_t L_t / |g_t|`, λ follows the gradient of `½ |yᵀλ|²`, and
/// `d = yᵀλ`. At step `k` both rates are divided by `√k`.
pub struct MoCo<T: Element = f32> {
    /// How fast `y` follows.
    pub beta: f64,
    /// How fast λ moves.
    pub gamma: f64,
    /// What is added to the diagonal of `y yᵀ`.
    pub rho: f64,
    /// Whether λ stays on the simplex by projection, as in the paper; else by a softmax, as in LibMTL.
    pub project: bool,
    steps: f64,
    lambda: Vec<f64>,
    tracked: Vec<Vec<Tensor<T>>>,
}

impl<T: Element> MoCo<T> {
    /// For `tasks` tasks: β 0.5, γ 0.1, ρ 0, projected.
    pub fn new(tasks: usize) -> Self {
        let lambda = vec![1.0 / tasks as f64; tasks];
        Self { beta: 0.5, gamma: 0.1, rho: 0.0, project: true, steps: 0.0, lambda, tracked: Vec::new() }
    }
}

impl<T: Element> Strategy<T> for MoCo<T> {
    fn needs(&self) -> Needs {
        Needs { gradients: GradientNeed::Rows, same_parts: true, ..Needs::default() }
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        let gradients = &evidence.gradients[0];
        self.steps += 1.0;
        let slower = self.steps.sqrt();
        let (beta, gamma) = (self.beta / slower, self.gamma / slower);
        grow(&mut self.tracked, &gradients.rows()[0], evidence.tasks);
        let factors: Vec<f64> = (evidence.losses.iter().zip(evidence.gramian().norms()))
            .map(|(loss, norm)| loss / (norm + 1e-8))
            .collect();
        for ((row, &task), factor) in gradients.rows().iter().zip(evidence.tasks).zip(&factors) {
            for (part, y) in row.iter().zip(&mut self.tracked[task]) {
                *y = std::mem::replace(y, Tensor::scalar(T::ZERO)).scale(T::from_f64(1.0 - beta));
                y.add_scaled(T::from_f64(beta * factor), part);
            }
        }
        let tracked = evidence.tasks.iter().map(|&task| self.tracked[task].clone()).collect();
        let rows = TaskGradients::new(tracked, gradients.names().to_vec());
        let gramian = rows.gramian()?;
        let (lambda, whole) = shares_of(&self.lambda, evidence.tasks);
        let tasks = lambda.len();
        let moved: Vec<f64> = (0..tasks)
            .map(|t| {
                let slope: f64 = (0..tasks).map(|j| gramian.product(t, j) * lambda[j]).sum();
                lambda[t] - gamma * (slope + self.rho * lambda[t])
            })
            .collect();
        let lambda = if self.project { project_to_simplex(&moved) } else { softmax(&moved) };
        put(&mut self.lambda, evidence.tasks, lambda.iter().map(|lambda| lambda * whole));
        let direction = Some(rows.combine(&lambda));
        Ok(Decision { weights: lambda, direction, order: None })
    }

    fn memory(&self) -> Memory<T> {
        let memory = Memory::default().with("steps", &[self.steps]).with("lambda", &self.lambda);
        memory.with_rows("tracked", &self.tracked)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.steps = memory.number("steps")?;
        self.lambda = memory.numbers("lambda", self.lambda.len())?;
        self.tracked = memory.rows("tracked")?;
        Ok(())
    }
}

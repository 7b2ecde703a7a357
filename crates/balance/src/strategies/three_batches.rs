//! Strategies whose weights stay unbiased because they use three independent
//! samples: two for the products of the gradients, the third for the direction.

use cerberus_tensor::Element;

use super::{put, shares_of};
use crate::solvers::project_to_simplex;
use crate::{BalanceError, Decision, Evidence, GradientNeed, Memory, Needs, Strategy, all_finite};

const NEEDS: Needs = Needs {
    gradients: GradientNeed::Gramian,
    three_batches: true,
    same_parts: false,
    losses_after_step: false,
    lookahead: false,
};

/// `J₁ J₂ᵀ` of the first two samples.
fn two_sample_products<T: Element>(evidence: &Evidence<T>) -> Result<Vec<f64>, BalanceError> {
    all_finite(evidence.losses)?;
    let products = evidence.gradients[0].cross_products(&evidence.gradients[1]);
    let tasks = evidence.losses.len();
    match products.iter().position(|product| !product.is_finite()) {
        Some(place) => Err(BalanceError::NotFinite { task: place / tasks }),
        None => Ok(products),
    }
}

fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

/// MoDo (Chen et al., "Three-Way Trade-Off in Multi-Objective Learning", 2023):
/// `λ ← Π(λ − γ (J₁J₂ᵀλ + ρλ))`, `d = J₃ᵀλ`.
pub struct MoDo {
    /// γ.
    pub gamma: f64,
    /// ρ.
    pub rho: f64,
    lambda: Vec<f64>,
}

impl MoDo {
    /// For `tasks` tasks; 0.1 and 0.1 in the authors' code.
    pub fn new(tasks: usize, gamma: f64, rho: f64) -> Self {
        Self { gamma, rho, lambda: vec![1.0 / tasks as f64; tasks] }
    }
}

impl<T: Element> Strategy<T> for MoDo {
    fn needs(&self) -> Needs {
        NEEDS
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        let (lambda, whole) = shares_of(&self.lambda, evidence.tasks);
        let slopes = times(&two_sample_products(evidence)?, &lambda);
        let moved: Vec<f64> = (lambda.iter().zip(slopes))
            .map(|(lambda, slope)| lambda - self.gamma * (slope + self.rho * lambda))
            .collect();
        let lambda = project_to_simplex(&moved);
        put(&mut self.lambda, evidence.tasks, lambda.iter().map(|lambda| lambda * whole));
        Ok(Decision::weights(lambda))
    }

    fn memory(&self) -> Memory<T> {
        Memory::default().with("lambda", &self.lambda)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.lambda = memory.numbers("lambda", self.lambda.len())?;
        Ok(())
    }
}

/// SDMGrad (Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning",
/// 2023, algorithm 1): a few steps of momentum descent on `½ |Jᵀ(w + λp)|²` over the
/// simplex, with `J₁J₂ᵀ` divided by its mean diagonal; `d = J₃ᵀ(w + λp) / (1 + λ)`.
pub struct SdmGrad {
    /// How strongly the direction is pulled to the preferred one.
    pub lambda: f64,
    /// Rate, momentum and number of the inner steps.
    pub inner: (f64, f64, usize),
    weights: Vec<f64>,
}

impl SdmGrad {
    /// For `tasks` tasks: λ 0.3, and 20 steps at rate 10 with momentum 0.5.
    pub fn new(tasks: usize) -> Self {
        Self { lambda: 0.3, inner: (10.0, 0.5, 20), weights: vec![1.0 / tasks as f64; tasks] }
    }
}

impl<T: Element> Strategy<T> for SdmGrad {
    fn needs(&self) -> Needs {
        NEEDS
    }

    fn takes_preference(&self) -> bool {
        true
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        let mut products = two_sample_products(evidence)?;
        let (mut weights, whole) = shares_of(&self.weights, evidence.tasks);
        let tasks = weights.len();
        let roots: f64 = (0..tasks).map(|t| products[t * tasks + t].max(0.0).sqrt()).sum();
        let size = (roots / tasks as f64).powi(2);
        if size > 0.0 {
            products.iter_mut().for_each(|product| *product /= size);
        }
        let pulled = |weights: &[f64]| -> Vec<f64> {
            weights.iter().zip(evidence.preference).map(|(w, p)| w + self.lambda * p).collect()
        };
        let (rate, momentum, steps) = self.inner;
        let mut velocity = vec![0.0; tasks];
        for _ in 0..steps {
            let slopes = times(&products, &pulled(&weights));
            velocity.iter_mut().zip(slopes).for_each(|(v, slope)| *v = momentum * *v + slope);
            let moved: Vec<f64> = weights.iter().zip(&velocity).map(|(w, v)| w - rate * v).collect();
            weights = project_to_simplex(&moved);
        }
        let used = pulled(&weights).iter().map(|w| w / (1.0 + self.lambda)).collect();
        put(&mut self.weights, evidence.tasks, weights.iter().map(|weight| weight * whole));
        Ok(Decision::weights(used))
    }

    fn memory(&self) -> Memory<T> {
        Memory::default().with("weights", &self.weights)
    }

    fn restore(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        self.weights = memory.numbers("weights", self.weights.len())?;
        Ok(())
    }
}

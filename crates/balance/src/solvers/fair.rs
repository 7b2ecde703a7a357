//! The point where every task's gain is in a given proportion to its weight:
//! Nash bargaining and alpha-fairness as one strictly convex problem.
//!
//! `(Cβ)_t = c_t β_t^(-1/a)` is the stationarity of `½ βᵀCβ − Σ c_t ψ(β_t)` with
//! `ψ' = β^(-1/a)`, and that is strictly convex on `β > 0`: a damped Newton
//! method with the exact Hessian finds the one solution from anywhere. The
//! usual convex-concave procedure on the same equation starts from equal
//! weights, where its linearisation is infeasible as soon as the plain sum of
//! the gradients conflicts with a task.

use super::{Cholesky, Matrix, dot};

/// `(Cβ)_t = shares[t] · β_t^(-1/a)`.
pub struct FairProblem<'a> {
    /// Symmetric, positive semidefinite, with a positive diagonal.
    pub matrix: &'a Matrix,
    /// Each task's share.
    pub shares: &'a [f64],
    /// `a`: 1 is Nash bargaining; towards 0 the plain sum, towards infinity the
    /// largest gain for the task that gains least.
    pub alpha: f64,
}

impl FairProblem<'_> {
    /// `ψ' = share · β^(-1/a)`.
    fn due(&self, t: usize, beta: f64) -> f64 {
        if self.alpha == 1.0 { self.shares[t] / beta } else { self.shares[t] * beta.powf(-1.0 / self.alpha) }
    }

    fn value(&self, beta: &[f64]) -> f64 {
        let power = 1.0 - 1.0 / self.alpha;
        let gain = |beta: f64| if self.alpha == 1.0 { beta.ln() } else { beta.powf(power) / power };
        let gains: f64 = beta.iter().zip(self.shares).map(|(&beta, share)| share * gain(beta)).sum();
        0.5 * self.matrix.quadratic(beta) - gains
    }
}

/// The solution; `None` if there is none, because some non-negative combination
/// of the rows vanishes.
pub fn fair_point(problem: &FairProblem) -> Option<Vec<f64>> {
    let FairProblem { matrix, shares, alpha } = *problem;
    let size = matrix.size();
    let places: Vec<usize> = (0..size).collect();
    // Exact if the rows were orthogonal.
    let mut beta: Vec<f64> =
        (0..size).map(|t| (shares[t] / matrix.at(t, t)).powf(alpha / (1.0 + alpha))).collect();
    let mut value = problem.value(&beta);
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let dues: Vec<f64> = beta.iter().enumerate().map(|(t, &beta)| problem.due(t, beta)).collect();
        let slopes: Vec<f64> = matrix.times(&beta).iter().zip(&dues).map(|(gain, due)| due - gain).collect();
        let residual = slopes.iter().zip(&dues).map(|(s, due)| (s / due).abs()).fold(0.0, f64::max);
        if !residual.is_finite() {
            return None;
        }
        // Near the end each step squares the residual: when it no longer
        // falls, rounding is all that is left.
        if residual < 1e-15 || (best < 1e-9 && residual >= 0.5 * best) {
            return Some(beta);
        }
        best = best.min(residual);
        let hessian = Matrix::from_fn(size, |i, j| {
            matrix.at(i, j) + if i == j { dues[i] / (alpha * beta[i]) } else { 0.0 }
        });
        let mut step = slopes.clone();
        Cholesky::new(&hessian, &places)?.solve(&mut step);
        let decrement = dot(&slopes, &step);
        // At most nine tenths of the way to the boundary.
        let shrink = beta.iter().zip(&step).map(|(b, s)| -s / b).fold(0.0, f64::max);
        let mut length = if shrink > 0.9 { 0.9 / shrink } else { 1.0 };
        // So near the end the decrease is less than the rounding of the value,
        // and the full step is safe.
        let settled = decrement <= 1e-8 * dot(&beta, &dues);
        loop {
            let next: Vec<f64> = beta.iter().zip(&step).map(|(b, s)| b + length * s).collect();
            let next_value = problem.value(&next);
            if settled || next_value <= value - 0.1 * length * decrement || length < 1e-12 {
                beta = next;
                value = next_value;
                break;
            }
            length *= 0.5;
        }
    }
    (best < 1e-9).then_some(beta)
}

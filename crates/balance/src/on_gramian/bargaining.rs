//! Weights as the outcome of bargaining between the tasks.

use crate::Gramian;
use crate::solvers::{FairProblem, Matrix, fair_point};

/// FairGrad: `(Gw)_t = p_t w_t^(-1/α)`, the α-fair gain (Ban and Ji, "Fair Resource
/// Allocation in Multi-Task Learning", 2024). `α = 1` is Nash-MTL (Navon et
/// al., "Multi-Task Learning as a Bargaining Game", 2022, claim 3.1), where every
/// task's relative gain is the same and `|d| = √Σp`; with `α -> 0` it is the plain sum.
///
/// A zero gradient is left out with weight 0. If some convex combination of the
/// others vanishes, no direction helps all tasks: there is no solution, and the
/// weights are zero.
///
/// # Panics
/// If `alpha` is not positive.
#[track_caller]
pub fn fair_grad(gramian: &Gramian, preference: &[f64], alpha: f64) -> Vec<f64> {
    assert!(alpha > 0.0, "fair_grad: alpha is {alpha}; it must be positive");
    let norms = gramian.norms();
    let mut weights = vec![0.0; norms.len()];
    let takes_part = |t: &usize| norms[*t] > 0.0 && preference[*t] > 0.0;
    let tasks: Vec<usize> = (0..norms.len()).filter(takes_part).collect();
    if tasks.is_empty() {
        return weights;
    }
    // The common scale of all gradients, divided out so that powers stay in range.
    let scale = (tasks.iter().map(|&t| norms[t].ln()).sum::<f64>() / tasks.len() as f64).exp();
    let cosines = Matrix::from_fn(tasks.len(), |i, j| gramian.cosines().at(tasks[i], tasks[j]));
    let shares: Vec<f64> =
        tasks.iter().map(|&t| preference[t] * (norms[t] / scale).powf(1.0 / alpha - 1.0)).collect();
    let problem = FairProblem { matrix: &cosines, shares: &shares, alpha };
    if let Some(point) = fair_point(&problem) {
        let common = scale.powf(-2.0 * alpha / (1.0 + alpha));
        for (&t, beta) in tasks.iter().zip(point) {
            weights[t] = beta / (norms[t] / scale) * common;
        }
    }
    weights
}

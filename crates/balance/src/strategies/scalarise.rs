//! Weights that are the derivatives of one function of the losses.
//!
//! Minimising `f(L_1, .., L_T)` moves along `Σ ∂f/∂L_t g_t`, so `w_t = ∂f/∂L_t`. All of
//! these are functions of one step's losses.

use super::softmax;
use crate::solvers::dot;

/// Smaller losses count as this much where they are divided by.
const TINY: f64 = 1e-12;

/// Scale-invariant: `Σ log L_t`, so `w_t = 1 / L_t`.
pub fn scale_invariant(losses: &[f64]) -> Vec<f64> {
    losses.iter().map(|loss| 1.0 / loss.max(TINY)).collect()
}

/// GLS: `(Π L_t)^(1/T)`, so `w_t = GM / (T L_t)` (Chennupati et al., "MultiNet++", 2019).
/// LibMTL minimises the same but logs `L_t / (T Π L)` as its weights.
pub fn geometric_mean(losses: &[f64]) -> Vec<f64> {
    let tasks = losses.len() as f64;
    let mean = (losses.iter().map(|loss| loss.max(TINY).ln()).sum::<f64>() / tasks).exp();
    losses.iter().map(|loss| mean / (tasks * loss.max(TINY))).collect()
}

/// UW-SO: the optimum of uncertainty weighting in closed form, softened:
/// `softmax(1 / (L_t τ))` (Kirchdorfer et al., "Analytical Uncertainty-Based Loss
/// Weighting in Multi-Task Learning", 2024).
pub fn uncertainty_optimum(losses: &[f64], temperature: f64) -> Vec<f64> {
    softmax(&losses.iter().map(|loss| 1.0 / loss.max(TINY) / temperature).collect::<Vec<_>>())
}

/// STCH: `μ log Σ exp(p_t (L_t − z_t) / μ)`, a smooth maximum (Lin et al., "Smooth
/// Tchebycheff Scalarization for Multi-Objective Optimization", 2024).
pub fn smooth_chebyshev(losses: &[f64], preference: &[f64], reference: &[f64], mu: f64) -> Vec<f64> {
    let scores: Vec<f64> = (0..losses.len())
        .map(|t| preference[t] * (losses[t] - reference.get(t).unwrap_or(&0.0)) / mu)
        .collect();
    softmax(&scores).iter().zip(preference).map(|(s, p)| s * p).collect()
}

/// COSMOS: `Σ r_t L_t − λ cos(r, L)` along the ray `r` (Ruchte and Grabocka,
/// "Scalable Pareto Front Approximation for Deep Multi-Objective Learning",
/// 2021). Weights may be negative.
pub fn cosmos(losses: &[f64], ray: &[f64], lambda: f64) -> Vec<f64> {
    let [r, l] = [dot(ray, ray).sqrt(), dot(losses, losses).sqrt().max(TINY)];
    let cosine = dot(ray, losses) / (r * l);
    (losses.iter().zip(ray))
        .map(|(loss, ray)| ray - lambda * (ray / (r * l) - cosine * loss / (l * l)))
        .collect()
}

/// PBI: the distance along the ray plus `θ` times the distance from it (Zhang and
/// Li, "MOEA/D", 2007). Weights may be negative.
pub fn pbi(losses: &[f64], ray: &[f64], theta: f64) -> Vec<f64> {
    let length = dot(ray, ray).sqrt();
    let ray: Vec<f64> = ray.iter().map(|r| r / length).collect();
    let along = dot(losses, &ray);
    let aside: Vec<f64> = losses.iter().zip(&ray).map(|(loss, ray)| loss - along * ray).collect();
    let distance = (dot(&aside, &aside) + 1e-12).sqrt();
    ray.iter().zip(aside).map(|(ray, aside)| ray + theta * aside / distance).collect()
}

//! Directions at the same angle to every gradient.

use crate::Gramian;
use crate::solvers::{dot, eigen};

/// IMTL-G: the combination whose projections on all unit gradients are equal, with
/// weights that sum to one (Liu et al., "Towards Impartial Multi-Task
/// Learning", 2021, eq. 3). Weights may be negative.
///
/// Zero gradients are left out with weight 0. Equal gradients share their weight
/// equally. Where no such direction exists, or the weights sum to zero
/// (opposite gradients), the weights are zero.
pub fn imtl_g(gramian: &Gramian) -> Vec<f64> {
    let present = present(gramian);
    let lengths = eigen(gramian.cosines()).apply(&present, |value| 1.0 / value);
    let weights = gramian.weights_of(&lengths);
    let sum: f64 = weights.iter().sum();
    let size: f64 = weights.iter().map(|w| w.abs()).sum();
    if sum.abs() <= 1e-12 * size || size == 0.0 {
        return vec![0.0; weights.len()];
    }
    weights.into_iter().map(|w| w / sum).collect()
}

/// ConFIG: the direction `U⁺p` at angles to the unit gradients given by the
/// preference, as long as the gradients' projections on it together (Liu, Chu
/// and Thuerey, "ConFIG: Towards Conflict-free Training of Physics Informed
/// Neural Networks", 2024, eq. 2).
///
/// Zero gradients are left out. Opposite gradients give `d = 0`.
pub fn con_fig(gramian: &Gramian, preference: &[f64]) -> Vec<f64> {
    let present = present(gramian);
    let target: Vec<f64> = preference.iter().zip(&present).map(|(p, present)| p * present).collect();
    let c = gramian.cosines();
    let direction = eigen(c).apply(&target, |value| 1.0 / value);
    let length = c.quadratic(&direction).max(0.0).sqrt();
    if length <= 1e-12 * target.iter().map(|p| p.abs()).sum::<f64>() {
        return vec![0.0; preference.len()];
    }
    // Σ g_t · x / |x|
    let projected = dot(gramian.norms(), &c.times(&direction)) / length;
    let lengths: Vec<f64> = direction.iter().map(|x| x / length * projected).collect();
    gramian.weights_of(&lengths)
}

/// 1 for a gradient that is not zero.
fn present(gramian: &Gramian) -> Vec<f64> {
    gramian.norms().iter().map(|norm| f64::from(u8::from(*norm > 0.0))).collect()
}

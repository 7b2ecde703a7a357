//! Projections onto the cone of directions that hurt no task.

use crate::Gramian;
use crate::solvers::{dot, nnls};

/// UPGrad: the sum of each `p_t g_t` projected onto `{x : Jx >= 0}` (Quinton and
/// Rey, "Jacobian Descent for Multi-Objective Optimization", 2024).
///
/// `d` conflicts with no task. Each projection is `min vᵀGv` over `v >= p_t e_t`, a
/// non-negative least-squares problem. No regularisation is added: with the
/// usual `1e-4` the direction still conflicts when lengths differ a hundredfold.
/// A zero gradient keeps its preference as its weight and changes nothing.
pub fn up_grad(gramian: &Gramian, preference: &[f64]) -> Vec<f64> {
    let c = gramian.cosines();
    let mut lengths = vec![0.0; gramian.tasks()];
    for (t, (norm, share)) in gramian.norms().iter().zip(preference).enumerate() {
        let pull: Vec<f64> = c.row(t).iter().map(|cosine| -cosine).collect();
        // Solved for the unit gradient, so that its length does not matter.
        let mut lift = nnls(c, &pull);
        lift[t] += 1.0;
        lengths.iter_mut().zip(lift).for_each(|(sum, v)| *sum += share * norm * v);
    }
    let mut weights = gramian.weights_of(&lengths);
    keep_preference_of_zeros(gramian, preference, &mut weights);
    weights
}

/// DualProj, the projection of `Jᵀp` onto `{x : Jx >= 0}` (Lopez-Paz and Ranzato,
/// "Gradient Episodic Memory", 2017, eq. 11): `min vᵀGv` over `v >= p`.
///
/// `d` conflicts with no task. A zero gradient keeps its preference.
pub fn dual_projection(gramian: &Gramian, preference: &[f64]) -> Vec<f64> {
    let c = gramian.cosines();
    let floor: Vec<f64> = preference.iter().zip(gramian.norms()).map(|(p, norm)| p * norm).collect();
    let pull: Vec<f64> = (0..floor.len()).map(|t| -dot(c.row(t), &floor)).collect();
    let lengths: Vec<f64> = nnls(c, &pull).iter().zip(&floor).map(|(y, floor)| y + floor).collect();
    let mut weights = gramian.weights_of(&lengths);
    keep_preference_of_zeros(gramian, preference, &mut weights);
    weights
}

fn keep_preference_of_zeros(gramian: &Gramian, preference: &[f64], weights: &mut [f64]) {
    for ((weight, share), norm) in weights.iter_mut().zip(preference).zip(gramian.norms()) {
        if *norm == 0.0 {
            *weight = *share;
        }
    }
}

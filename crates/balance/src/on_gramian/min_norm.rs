//! The shortest vector in the convex hull of the gradients.

use crate::Gramian;
use crate::solvers::{Matrix, nnls};

/// The divisor of each gradient before MGDA looks for the shortest vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normaliser {
    /// Nothing.
    None,
    /// Its length.
    Length,
    /// Its loss.
    Loss,
    /// Both.
    LossAndLength,
}

/// MGDA: the weights on the simplex that make `|Jᵀw|` smallest (Désidéri, 2012;
/// Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", 2018).
///
/// It is the non-negative least-squares problem `|Jᵀz|² + (1 − 1ᵀz)²`, whose
/// solution is proportional to `w` (Lawson and Hanson, 1974, chapter 23) and
/// exists even where `0` is in the hull.
///
/// A zero gradient is the shortest vector itself: it gets all the weight, and
/// the direction is zero. Equal gradients share their weight in any way.
pub fn mgda(gramian: &Gramian) -> Vec<f64> {
    let norms = gramian.norms();
    let zeros = norms.iter().filter(|norm| **norm == 0.0).count();
    if zeros > 0 {
        return norms.iter().map(|norm| if *norm == 0.0 { 1.0 / zeros as f64 } else { 0.0 }).collect();
    }
    // In lengths along the unit gradients, 1ᵀw is Σ z_t / |g_t|.
    let shortest = norms.iter().copied().fold(f64::INFINITY, f64::min);
    let inverse: Vec<f64> = norms.iter().map(|norm| shortest / norm).collect();
    let c = gramian.cosines();
    let h = Matrix::from_fn(norms.len(), |i, j| c.at(i, j) + inverse[i] * inverse[j]);
    let z = nnls(&h, &inverse);
    let weights: Vec<f64> = z.iter().zip(&inverse).map(|(z, inverse)| z * inverse).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// MGDA on gradients divided by `normaliser` first. The direction is the
/// shortest combination of the *divided* gradients; these are its weights in
/// terms of the gradients themselves, which no longer sum to one.
pub fn mgda_normalised(gramian: &Gramian, losses: &[f64], normaliser: Normaliser) -> Vec<f64> {
    let divisors: Vec<f64> = (gramian.norms().iter().zip(losses))
        .map(|(norm, loss)| match normaliser {
            Normaliser::None => 1.0,
            Normaliser::Length => *norm,
            Normaliser::Loss => *loss,
            Normaliser::LossAndLength => norm * loss,
        })
        // A divisor of zero counts as one.
        .map(|divisor| if divisor > 0.0 { divisor } else { 1.0 })
        .collect();
    let factors: Vec<f64> = divisors.iter().map(|divisor| 1.0 / divisor).collect();
    let weights = mgda(&gramian.scaled(&factors));
    weights.iter().zip(factors).map(|(w, factor)| w * factor).collect()
}

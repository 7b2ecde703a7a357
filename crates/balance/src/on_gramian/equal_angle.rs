//! Directions at the same angle to every gradient.

use crate::Gramian;
use crate::solvers::{dot, eigen};

/// The largest difference between projections on unit gradients that count as equal.
const UNEQUAL: f64 = 1e-6;

/// IMTL-G: the combination whose projections on all unit gradients are equal, with
/// weights that sum to one (Liu et al., "Towards Impartial Multi-Task
/// Learning", 2021, eq. 2). Weights may be negative.
///
/// Zero gradients are left out with weight 0. Equal gradients share their weight
/// equally. Where no such direction exists, or the weights sum to zero
/// (opposite gradients), the weights are zero.
pub fn imtl_g(gramian: &Gramian) -> Vec<f64> {
    let present = present(gramian);
    let c = gramian.cosines();
    let lengths = eigen(c).apply(&present, |value| 1.0 / value);
    // Dependent gradients may have no direction with equal projections: the
    // pseudo-inverse then gives the nearest direction, whose projections differ.
    let off =
        c.times(&lengths).iter().zip(&present).map(|(p, wanted)| (p - wanted).abs()).fold(0.0, f64::max);
    if off > UNEQUAL {
        return vec![0.0; present.len()];
    }
    let weights = gramian.weights_of(&lengths);
    let sum: f64 = weights.iter().sum();
    let size: f64 = weights.iter().map(|w| w.abs()).sum();
    if sum.abs() <= 1e-12 * size || size == 0.0 {
        return vec![0.0; weights.len()];
    }
    weights.into_iter().map(|w| w / sum).collect()
}

/// ConFIG: the direction `U⁺p` at angles to the unit gradients given by the
/// preference; its length is the sum of the gradients' projections on it (Liu,
/// Chu and Thuerey, "ConFIG: Towards Conflict-free Training of Physics Informed
/// Neural Networks", 2024).
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskGradients;
    use approx::assert_abs_diff_eq;

    fn weights(rows: &[Vec<f64>]) -> Vec<f64> {
        imtl_g(&TaskGradients::<f64>::of_numbers(rows).gramian().unwrap())
    }

    #[test]
    fn dependent_gradients_without_a_direction_of_equal_projections_get_weights_of_zero() {
        // A direction with the same projection on both axes has another projection on
        // the diagonal.
        assert_eq!(weights(&[vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 1.0]]), [0.0; 3]);
        assert_eq!(weights(&[vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 1.0 + 1e-9]]), [0.0; 3]);
        assert_eq!(weights(&[vec![1.0], vec![-1.0], vec![2.0]]), [0.0; 3]);
    }

    #[test]
    fn dependent_gradients_with_such_a_direction_have_equal_projections() {
        // Four gradients on a cone around the third axis, of different lengths.
        let rows = [[1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [0.0, 3.0, 3.0], [0.0, -1.0, 1.0]].map(Vec::from);
        let weights = weights(&rows);
        let direction: Vec<f64> =
            (0..3).map(|k| rows.iter().zip(&weights).map(|(row, w)| w * row[k]).sum()).collect();
        assert_abs_diff_eq!(weights.iter().sum::<f64>(), 1.0, epsilon = 1e-12);
        let projection = |row: &Vec<f64>| dot(row, &direction) / dot(row, row).sqrt();
        for row in &rows {
            assert_abs_diff_eq!(projection(row), projection(&rows[0]), epsilon = 1e-12);
        }
        assert!(projection(&rows[0]) > 0.1);
    }
}

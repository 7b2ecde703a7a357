//! How much the tasks' gradients conflict: figures of every pair of them.
//!
//! They follow Yu et al., "Gradient Surgery for Multi-Task Learning" (2020,
//! definitions 1 to 3), in the forms of SamsungLabs' `mtl_metrics`, and Senushkin et
//! al. (2023) for the condition number.

use serde::{Deserialize, Serialize};

use super::Gramian;
use super::solvers::eigen;

/// The figures of a pair of gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The two tasks.
    pub tasks: [usize; 2],
    /// Cosine of the angle; negative when they conflict.
    pub cosine: f64,
    /// `2 |a| |b| / (|a|² + |b|²)`: 1 for equal lengths, near 0 when one dominates.
    pub magnitude_similarity: f64,
    /// `(1 − cos²) |a − b|² / |a + b|²`: a curvature above this makes the conflict
    /// harmful.
    pub curvature_bound: f64,
}

/// The figures of all pairs, and of all gradients together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflicts {
    /// Every pair, in order.
    pub pairs: Vec<Pair>,
    /// Largest over smallest singular value of `J` that is not zero; 1 when the
    /// gradients are orthogonal and equally long.
    pub condition: f64,
    /// The length of each gradient.
    pub norms: Vec<f64>,
}

impl Conflicts {
    /// The figures of these gradients. Pairs with a zero gradient have cosine and
    /// similarity 0.
    pub fn of(gramian: &Gramian) -> Self {
        let norms = gramian.norms();
        let mut pairs = Vec::new();
        for i in 0..norms.len() {
            for j in i + 1..norms.len() {
                let cosine = gramian.cosines().at(i, j);
                let squares = norms[i] * norms[i] + norms[j] * norms[j];
                let product = norms[i] * norms[j];
                let (apart, together) = (squares - 2.0 * product * cosine, squares + 2.0 * product * cosine);
                let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
                pairs.push(Pair {
                    tasks: [i, j],
                    cosine,
                    magnitude_similarity: ratio(2.0 * product, squares),
                    curvature_bound: ratio((1.0 - cosine * cosine) * apart, together),
                });
            }
        }
        let largest = norms.iter().copied().fold(0.0, f64::max);
        let mut condition = 1.0;
        if largest > 0.0 {
            let unit = gramian.scaled(&vec![1.0 / largest; norms.len()]);
            let parts = eigen(&super::solvers::Matrix::from_fn(norms.len(), |i, j| unit.product(i, j)));
            let (low, high) = parts
                .kept()
                .fold((f64::INFINITY, 0.0f64), |(low, high), (value, _)| (low.min(value), high.max(value)));
            condition = (high / low).sqrt();
        }
        Self { pairs, condition, norms: norms.to_vec() }
    }
}

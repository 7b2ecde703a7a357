//! Eigenvalues and eigenvectors of a small symmetric matrix.
//!
//! Cyclic Jacobi rotations (Golub and Van Loan, "Matrix Computations", 8.5):
//! slower than tridiagonalisation for large matrices, as fast for small ones,
//! and more accurate where the eigenvalues differ by many orders of magnitude.

use super::{Matrix, dot};

/// `A = Σ values[k] · vectors[k] vectors[k]ᵀ`, in no particular order.
#[derive(Clone, Debug)]
pub struct Eigen {
    /// The eigenvalues.
    pub values: Vec<f64>,
    /// The eigenvectors, of length one.
    pub vectors: Vec<Vec<f64>>,
}

/// The decomposition of a symmetric matrix with finite entries.
pub fn eigen(matrix: &Matrix) -> Eigen {
    let size = matrix.size();
    let mut a = matrix.values.clone();
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|k| (0..size).map(|i| f64::from(u8::from(i == k))).collect()).collect();
    // Convergence is quadratic: a handful of sweeps suffices.
    for _ in 0..40 {
        let mut rotated = false;
        for p in 0..size {
            for q in p + 1..size {
                let apq = a[p * size + q];
                let [app, aqq] = [a[p * size + p], a[q * size + q]];
                // Below the rounding error of both diagonal entries together.
                if apq.abs() <= 0.1 * f64::EPSILON * (app * aqq).abs().sqrt() || apq == 0.0 {
                    continue;
                }
                rotated = true;
                let theta = (aqq - app) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..size {
                    let [akp, akq] = [a[k * size + p], a[k * size + q]];
                    a[k * size + p] = c * akp - s * akq;
                    a[k * size + q] = s * akp + c * akq;
                }
                for k in 0..size {
                    let [apk, aqk] = [a[p * size + k], a[q * size + k]];
                    a[p * size + k] = c * apk - s * aqk;
                    a[q * size + k] = s * apk + c * aqk;
                }
                let [left, right] = vectors.get_disjoint_mut([p, q]).expect("p < q");
                for (x, y) in left.iter_mut().zip(right) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    Eigen { values: (0..size).map(|k| a[k * size + k]).collect(), vectors }
}

impl Eigen {
    /// The eigenvalues that are not zero up to rounding: those above the largest
    /// times the size times the machine precision.
    pub fn kept(&self) -> impl Iterator<Item = (f64, &[f64])> {
        let largest = self.values.iter().copied().fold(0.0, f64::max);
        let noise = largest * self.values.len() as f64 * f64::EPSILON;
        let pairs = self.values.iter().zip(&self.vectors);
        pairs.filter(move |(value, _)| **value > noise).map(|(&value, vector)| (value, &vector[..]))
    }

    /// `f(A) x` for a function of the eigenvalues that are kept; with `1 / λ`
    /// the pseudo-inverse.
    pub fn apply(&self, x: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        for (value, vector) in self.kept() {
            let share = f(value) * dot(vector, x);
            y.iter_mut().zip(vector).for_each(|(y, v)| *y += share * v);
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_matrix_and_the_vectors_are_orthonormal(
            size in 1usize..9, values in prop::collection::vec(-1.0f64..1.0, 64),
        ) {
            let matrix = Matrix::from_fn(size, |i, j| values[i.min(j) * 8 + i.max(j)]);
            let parts = eigen(&matrix);
            for i in 0..size {
                for j in 0..size {
                    let sum: f64 =
                        (0..size).map(|k| parts.values[k] * parts.vectors[k][i] * parts.vectors[k][j]).sum();
                    prop_assert!((sum - matrix.at(i, j)).abs() < 1e-13 * size as f64);
                    let product = dot(&parts.vectors[i], &parts.vectors[j]);
                    prop_assert!((product - f64::from(u8::from(i == j))).abs() < 1e-13);
                }
            }
        }
    }
}

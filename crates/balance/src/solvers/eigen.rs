//! Functions of a symmetric matrix by its eigenvalues and eigenvectors.

use cerberus_tensor::symmetric_eigen;

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
    let (values, vectors) = symmetric_eigen(&matrix.values, matrix.size());
    Eigen { values, vectors }
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

//! Exact solvers for the small problems that balancing poses: a matrix of one
//! row per task, so rarely more than a dozen.
//!
//! Everything here is `f64`, direct and free of tuning constants: an active
//! set finds the exact face of the solution and one factorisation solves on
//! it, so the error is that of a linear solve and not a stopping tolerance.
//! A library for sparse problems of any size would cost milliseconds where
//! these take microseconds.

mod eigen;
mod fair;
mod nnls;
mod simplex;

pub use eigen::{Eigen, eigen};
pub use fair::{FairProblem, fair_point};
pub use nnls::nnls;
pub use simplex::project_to_simplex;

/// A square matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// The matrix whose entry in row `i`, column `j` is `f(i, j)`.
    pub fn from_fn(size: usize, mut f: impl FnMut(usize, usize) -> f64) -> Self {
        let mut values = Vec::with_capacity(size * size);
        for i in 0..size {
            values.extend((0..size).map(|j| f(i, j)));
        }
        Self { size, values }
    }

    /// Rows, and columns.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The entry in row `i`, column `j`.
    #[inline]
    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.size + j]
    }

    /// One row.
    #[inline]
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.size..(i + 1) * self.size]
    }

    /// The product with a column vector.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        (0..self.size).map(|i| dot(self.row(i), x)).collect()
    }

    /// `xᵀ A x`.
    pub fn quadratic(&self, x: &[f64]) -> f64 {
        (0..self.size).map(|i| x[i] * dot(self.row(i), x)).sum()
    }
}

/// The sum of the products of the entries.
#[inline]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The Cholesky factor of a symmetric matrix restricted to `places`; `None` as
/// soon as a pivot is not above the rounding error of its diagonal entry, which
/// is when its row depends on those before it.
pub(crate) struct Cholesky {
    size: usize,
    /// Lower triangle, row by row.
    lower: Vec<f64>,
}

impl Cholesky {
    pub(crate) fn new(matrix: &Matrix, places: &[usize]) -> Option<Self> {
        let size = places.len();
        let noise = 4.0 * f64::EPSILON * matrix.size() as f64;
        let mut lower = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..=i {
                let known = dot(&lower[i * size..i * size + j], &lower[j * size..j * size + j]);
                let rest = matrix.at(places[i], places[j]) - known;
                lower[i * size + j] = if i == j {
                    if rest.is_nan() || rest <= noise * matrix.at(places[i], places[i]) {
                        return None;
                    }
                    rest.sqrt()
                } else {
                    rest / lower[j * size + j]
                };
            }
        }
        Some(Self { size, lower })
    }

    /// Overwrites the right-hand side with the solution.
    pub(crate) fn solve(&self, x: &mut [f64]) {
        let Self { size, lower } = self;
        let size = *size;
        for i in 0..size {
            let known = dot(&lower[i * size..i * size + i], x);
            x[i] = (x[i] - known) / lower[i * size + i];
        }
        for i in (0..size).rev() {
            let known: f64 = (i + 1..size).map(|k| lower[k * size + i] * x[k]).sum();
            x[i] = (x[i] - known) / lower[i * size + i];
        }
    }
}

/// Solves `A x = b` on `places`, with one step of iterative refinement; `None`
/// if the rows there depend on each other.
pub(crate) fn solve_on(matrix: &Matrix, places: &[usize], b: &[f64]) -> Option<Vec<f64>> {
    let factor = Cholesky::new(matrix, places)?;
    let mut x: Vec<f64> = places.iter().map(|&place| b[place]).collect();
    factor.solve(&mut x);
    let mut rest: Vec<f64> = places
        .iter()
        .map(|&i| b[i] - places.iter().zip(&x).map(|(&j, x)| matrix.at(i, j) * x).sum::<f64>())
        .collect();
    factor.solve(&mut rest);
    x.iter_mut().zip(rest).for_each(|(x, rest)| *x += rest);
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_solve_leaves_no_residual_and_refuses_dependent_rows() {
        let matrix = Matrix::from_fn(3, |i, j| 1.0 / (1.0 + (i + j) as f64));
        let b = [1.0, -2.0, 0.5];
        let x = solve_on(&matrix, &[0, 1, 2], &b).unwrap();
        for (found, wanted) in matrix.times(&x).iter().zip(b) {
            assert!((found - wanted).abs() < 1e-12, "{found} for {wanted}");
        }
        let twins = Matrix::from_fn(2, |_, _| 2.0);
        assert!(solve_on(&twins, &[0, 1], &[1.0, 1.0]).is_none());
        assert_eq!(solve_on(&twins, &[1], &[0.0, 1.0]), Some(vec![0.5]));
    }
}

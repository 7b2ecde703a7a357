//! The lengths of the task gradients and the angles between them, which is all
//! that most strategies need.
//!
//! With `J` the matrix of one row per task, `G = J Jᵀ` holds the products of the
//! gradients. It is kept as lengths and cosines, so that tasks whose losses differ
//! by many orders of magnitude are equally well resolved: every solver works on
//! the unit diagonal of the cosines, and the lengths are multiplied in at the end.
//! Angles below about 1e-8 cannot be distinguished from zero in this form.

use super::BalanceError;
use super::solvers::{Matrix, dot};

/// The products of `T` task gradients with each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Gramian {
    norms: Vec<f64>,
    cosines: Matrix,
}

impl Gramian {
    /// From the products, row by row.
    ///
    /// # Errors
    /// [`BalanceError::NotFinite`] names the first task whose gradient has no finite length.
    ///
    /// # Panics
    /// If there are not `tasks * tasks` products.
    #[track_caller]
    pub fn new(products: &[f64], tasks: usize) -> Result<Self, BalanceError> {
        assert_eq!(products.len(), tasks * tasks, "Gramian: {tasks} tasks have a square of products");
        let norms: Vec<f64> = (0..tasks).map(|t| products[t * tasks + t].sqrt()).collect();
        if let Some(task) = norms.iter().position(|norm| !norm.is_finite()) {
            return Err(BalanceError::NotFinite { task });
        }
        let cosines = Matrix::from_fn(tasks, |i, j| match (i == j, norms[i] * norms[j]) {
            (_, 0.0) => 0.0,
            (true, _) => 1.0,
            // Divided one by one: the product of two small lengths may underflow.
            (false, _) => (products[i * tasks + j] / norms[i] / norms[j]).clamp(-1.0, 1.0),
        });
        Ok(Self { norms, cosines })
    }

    /// From the gradients themselves.
    ///
    /// # Errors
    /// As [`Gramian::new`].
    pub fn of_rows(rows: &[impl AsRef<[f64]>]) -> Result<Self, BalanceError> {
        let products: Vec<f64> =
            rows.iter().flat_map(|a| rows.iter().map(|b| dot(a.as_ref(), b.as_ref()))).collect();
        Self::new(&products, rows.len())
    }

    /// Number of tasks.
    pub fn tasks(&self) -> usize {
        self.norms.len()
    }

    /// The length of each gradient.
    pub fn norms(&self) -> &[f64] {
        &self.norms
    }

    /// The cosines between gradients; a row and column of zeros for a gradient of length zero.
    pub fn cosines(&self) -> &Matrix {
        &self.cosines
    }

    /// `g_i · g_j`.
    pub fn product(&self, i: usize, j: usize) -> f64 {
        self.norms[i] * self.norms[j] * self.cosines.at(i, j)
    }

    /// The same gradients, row `t` multiplied by `factors[t]`.
    pub fn scaled(&self, factors: &[f64]) -> Self {
        let norms = self.norms.iter().zip(factors).map(|(norm, f)| norm * f.abs()).collect();
        let sign = |t: usize| if factors[t] == 0.0 { 0.0 } else { factors[t].signum() };
        let cosines = Matrix::from_fn(self.tasks(), |i, j| self.cosines.at(i, j) * sign(i) * sign(j));
        Self { norms, cosines }
    }

    /// `g_t · d` of every task for `d = Jᵀw`, divided by `|g_t|`.
    pub fn unit_gains(&self, weights: &[f64]) -> Vec<f64> {
        let lengths: Vec<f64> = weights.iter().zip(&self.norms).map(|(w, norm)| w * norm).collect();
        self.cosines.times(&lengths)
    }

    /// `|d|` for `d = Jᵀw`.
    pub fn length(&self, weights: &[f64]) -> f64 {
        let lengths: Vec<f64> = weights.iter().zip(&self.norms).map(|(w, norm)| w * norm).collect();
        self.cosines.quadratic(&lengths).max(0.0).sqrt()
    }

    /// Converts lengths along the unit gradients to weights of the gradients; 0
    /// for a gradient of length zero, whose weight has no effect.
    pub(crate) fn weights_of(&self, lengths: &[f64]) -> Vec<f64> {
        let weight = |(length, norm): (&f64, &f64)| if *norm > 0.0 { length / norm } else { 0.0 };
        lengths.iter().zip(&self.norms).map(weight).collect()
    }
}

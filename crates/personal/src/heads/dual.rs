//! Weighted least squares with a penalty and an intercept, by the products of examples with each other.
//!
//! The problem is `min ½ |w|² + ½ Σ s_i (z_i - x_i·w - b)²`. Where its derivatives are 0, `w = Σ α_i x_i` with
//! `(K + S⁻¹) α + b 1 = z` and `1·α = 0`, `K` the products of examples (Saunders, Gammerman and Vovk, "Ridge regression
//! learning algorithm in dual variables", 1998; the intercept as in Suykens and Vandewalle, "Least squares support
//! vector machine classifiers", 1999). The factored matrix is `1 + S^½ K S^½`, whose smallest eigenvalue is 1
//! however small the weights are (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, sections
//! 3.4.3 and 3.6.3).

use crate::matrix::{Cholesky, Matrix, dot};

/// The factored system for the examples' products and weights.
pub(super) struct Dual {
    factor: Cholesky,
    roots: Vec<f64>,
    /// `(K + S⁻¹)⁻¹ 1`.
    ones: Vec<f64>,
}

/// The solution of one system.
pub(super) struct Solution {
    /// `[examples]`; the weights are the examples times these.
    pub alpha: Vec<f64>,
    pub bias: f64,
}

impl Dual {
    /// The system for products `[n, n]` and positive weights `[n]`. `None` if a product is not finite.
    pub fn new(products: &Matrix, weights: &[f64]) -> Option<Self> {
        let size = weights.len();
        let roots: Vec<f64> = weights.iter().map(|weight| weight.sqrt()).collect();
        let mut matrix = products.clone();
        for i in 0..size {
            for j in 0..size {
                matrix.data[i * size + j] *= roots[i] * roots[j];
            }
            matrix.data[i * size + i] += 1.0;
        }
        let factor = Cholesky::new(&matrix)?;
        let mut dual = Self { factor, roots, ones: Vec::new() };
        dual.ones = dual.inverse(&vec![1.0; size]);
        Some(dual)
    }

    /// `(K + S⁻¹)⁻¹ z`.
    fn inverse(&self, z: &[f64]) -> Vec<f64> {
        let scaled: Vec<f64> = z.iter().zip(&self.roots).map(|(z, root)| z * root).collect();
        let mut x = self.factor.solve(&scaled);
        x.iter_mut().zip(&self.roots).for_each(|(x, root)| *x *= root);
        x
    }

    /// The solution for targets `z`.
    pub fn solve(&self, z: &[f64]) -> Solution {
        let mut alpha = self.inverse(z);
        let bias = alpha.iter().sum::<f64>() / self.ones.iter().sum::<f64>();
        crate::matrix::add_scaled(&mut alpha, &self.ones, -bias);
        Solution { alpha, bias }
    }

    /// What the problem without example `i` answers for it, for all `i`: `z_i - α_i / C_ii` with the inverse `C` of the
    /// bordered system (Cawley and Talbot, "Fast exact leave-one-out cross-validation of sparse least-squares support
    /// vector machines", 2004).
    pub fn left_out(&self, z: &[f64], alpha: &[f64]) -> Vec<f64> {
        let size = z.len();
        let total: f64 = self.ones.iter().sum();
        let mut unit = vec![0.0; size];
        let answer = |i: usize| {
            unit[i] = self.roots[i];
            let column = self.factor.forward(&unit);
            unit[i] = 0.0;
            let diagonal = dot(&column, &column) - self.ones[i] * self.ones[i] / total;
            z[i] - alpha[i] / diagonal
        };
        (0..size).map(answer).collect()
    }
}

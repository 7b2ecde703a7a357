//! Means under the covariance that the base's own classes have.
//!
//! Classes differ in their means and share the covariance within a class, which the base's many pictures tell much better
//! than a person's few (linear discriminant analysis; for few examples of new classes, Lee et al., "A simple unified
//! framework for detecting out-of-distribution samples", 2018, section 2.1). In whitened coordinates the covariance is 1.
//! The mean of `k` examples is itself uncertain, so a new picture lies around it with variance `1 + 1/k`:
//! `ln p(x | c) = -½ k/(k+1) |x - μ_c|² - ½ D ln(1 + 1/k)`.

use crate::matrix::{Cholesky, Matrix, add_scaled};

/// The map to coordinates in which the covariance within a class is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Whitening {
    /// `[D, D]`, lower triangular.
    pub inverse: Matrix,
}

impl Whitening {
    /// From deviations `[n, D]` of examples from the means of their classes. The covariance is mixed with `shrinkage`, 0
    /// to 1, of a ball of the same total variance: directions in which the examples hardly vary are not trusted (Ledoit
    /// and Wolf, 2004, with a fixed weight). `None` if there is no variance.
    pub fn of_deviations(deviations: &Matrix, shrinkage: f64) -> Option<Self> {
        let size = deviations.columns;
        let mut covariance = Matrix::zeros(size, size);
        for row in deviations.iter() {
            for (i, &value) in row.iter().enumerate() {
                add_scaled(&mut covariance.data[i * size..i * size + i + 1], &row[..=i], value);
            }
        }
        let trace: f64 = (0..size).map(|i| covariance.data[i * size + i]).sum();
        let scale = (1.0 - shrinkage) / deviations.rows.max(1) as f64;
        for i in 0..size {
            for j in 0..=i {
                let value = scale * covariance.data[i * size + j];
                covariance.data[i * size + j] = value;
                covariance.data[j * size + i] = value;
            }
            covariance.data[i * size + i] += shrinkage * trace / (size * deviations.rows.max(1)) as f64;
        }
        Self::of_covariance(&covariance)
    }

    /// From a covariance `[D, D]`; `None` if it is not positive definite.
    pub fn of_covariance(covariance: &Matrix) -> Option<Self> {
        let factor = Cholesky::new(covariance)?;
        let size = covariance.rows;
        let mut inverse = Matrix::zeros(size, size);
        let mut unit = vec![0.0; size];
        for j in 0..size {
            unit[j] = 1.0;
            for (i, value) in factor.forward(&unit).into_iter().enumerate() {
                inverse.data[i * size + j] = value;
            }
            unit[j] = 0.0;
        }
        Some(Self { inverse })
    }

    /// The embedding in whitened coordinates.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        self.inverse.iter().enumerate().map(|(i, row)| crate::matrix::dot(&row[..=i], &x[..=i])).collect()
    }
}

/// Classes by their means in whitened coordinates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gaussian {
    /// `[classes, D]`.
    pub means: Matrix,
    /// Of each class the examples that its mean is of.
    pub counts: Vec<f64>,
}

impl Gaussian {
    /// From whitened examples `[n, D]`; every class has one.
    pub fn of(x: &Matrix, labels: &[usize], classes: usize) -> Self {
        let mut means = Matrix::zeros(classes, x.columns);
        let mut counts = vec![0.0; classes];
        for (x, &class) in x.iter().zip(labels) {
            add_scaled(&mut means.data[class * x.len()..(class + 1) * x.len()], x, 1.0);
            counts[class] += 1.0;
        }
        for (class, &count) in counts.iter().enumerate() {
            means.data[class * x.columns..(class + 1) * x.columns].iter_mut().for_each(|sum| *sum /= count);
        }
        Self { means, counts }
    }

    /// The logarithm of each class's density at a whitened embedding, up to a constant.
    pub fn scores(&self, x: &[f64]) -> Vec<f64> {
        densities(&self.means, &self.counts, x)
    }

    /// [`scores`](Self::scores) for one of the examples, with its own class computed without it.
    pub fn left_out(&self, x: &[f64], class: usize) -> Vec<f64> {
        let mut scores = self.scores(x);
        let count = self.counts[class];
        scores[class] = if count < 2.0 {
            f64::NEG_INFINITY
        } else {
            let mean =
                self.means.row(class).iter().zip(x).map(|(mean, x)| (count * mean - x) / (count - 1.0));
            density(x, &mean.collect::<Vec<f64>>(), count - 1.0)
        };
        scores
    }
}

/// The logarithm of the density at a whitened embedding of each class with these means and counts, up to a constant.
pub(crate) fn densities(means: &Matrix, counts: &[f64], x: &[f64]) -> Vec<f64> {
    means.iter().zip(counts).map(|(mean, &count)| density(x, mean, count)).collect()
}

fn density(x: &[f64], mean: &[f64], count: f64) -> f64 {
    let distance: f64 = x.iter().zip(mean).map(|(x, mean)| (x - mean) * (x - mean)).sum();
    -0.5 * distance * count / (count + 1.0) - 0.5 * x.len() as f64 * (1.0 / count).ln_1p()
}

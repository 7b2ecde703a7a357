//! Small dense matrices of `f64` and the one factorisation that the heads need.
//!
//! The systems have as many unknowns as a person has shown pictures, or as an embedding has numbers. Sums run in a fixed
//! order on one thread, so that the same examples give the same bits on every machine of one kind.

/// A matrix, row after row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// `[rows, columns]`.
    pub data: Vec<f64>,
}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, data: vec![0.0; rows * columns] }
    }

    /// A matrix whose rows are given.
    ///
    /// # Panics
    /// If they differ in length.
    #[track_caller]
    pub fn of_rows<R: AsRef<[f64]>>(rows: &[R]) -> Self {
        let columns = rows.first().map_or(0, |row| row.as_ref().len());
        let mut data = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            let row = row.as_ref();
            assert!(row.len() == columns, "Matrix: a row of {} numbers among rows of {columns}", row.len());
            data.extend_from_slice(row);
        }
        Self { rows: rows.len(), columns, data }
    }

    /// Row `index`.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.data[index * self.columns..(index + 1) * self.columns]
    }

    /// All rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        (0..self.rows).map(|index| self.row(index))
    }

    /// The rows with these indices.
    pub fn select(&self, indices: &[usize]) -> Self {
        let rows: Vec<&[f64]> = indices.iter().map(|&index| self.row(index)).collect();
        Self { columns: self.columns, ..Self::of_rows(&rows) }
    }

    /// The products of all pairs of rows, `[rows, rows]`.
    pub fn gram(&self) -> Self {
        let mut gram = Self::zeros(self.rows, self.rows);
        for i in 0..self.rows {
            for j in 0..=i {
                let product = dot(self.row(i), self.row(j));
                gram.data[i * self.rows + j] = product;
                gram.data[j * self.rows + i] = product;
            }
        }
        gram
    }

    /// The product with a column.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        self.iter().map(|row| dot(row, x)).collect()
    }

    /// The product of the transpose with a column: the rows, each times its number, summed.
    pub fn transposed_times(&self, weights: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.columns];
        for (row, &weight) in self.iter().zip(weights) {
            add_scaled(&mut sum, row, weight);
        }
        sum
    }
}

/// The product of two vectors.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums, so that additions do not wait for each other.
    let mut sums = [0.0; 4];
    let (chunks_a, chunks_b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in chunks_a.zip(chunks_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums[0] + sums[1] + sums[2] + sums[3] + rest
}

/// `a += scale b`.
pub(crate) fn add_scaled(a: &mut [f64], b: &[f64], scale: f64) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += scale * b);
}

/// The Cholesky factor `L`, lower triangular, of a positive definite matrix `L Lᵀ`.
pub(crate) struct Cholesky {
    factor: Matrix,
}

impl Cholesky {
    /// Factors a symmetric matrix; `None` if it is not positive definite.
    pub fn new(matrix: &Matrix) -> Option<Self> {
        let size = matrix.rows;
        let mut factor = Matrix::zeros(size, size);
        for i in 0..size {
            for j in 0..=i {
                let before = dot(&factor.row(i)[..j], &factor.row(j)[..j]);
                let rest = matrix.data[i * size + j] - before;
                factor.data[i * size + j] = if i == j {
                    if rest.is_nan() || rest <= 0.0 {
                        return None;
                    }
                    rest.sqrt()
                } else {
                    rest / factor.data[j * size + j]
                };
            }
        }
        Some(Self { factor })
    }

    /// `L⁻¹ b`.
    pub fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = Vec::with_capacity(b.len());
        for (i, b) in b.iter().enumerate() {
            let row = self.factor.row(i);
            x.push((b - dot(&row[..i], &x)) / row[i]);
        }
        x
    }

    /// The solution of `L Lᵀ x = b`.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = self.forward(b);
        for i in (0..x.len()).rev() {
            let row = self.factor.row(i);
            x[i] /= row[i];
            let (done, value) = (x[i], &mut x[..i]);
            add_scaled(value, &row[..i], -done);
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved_and_a_matrix_that_is_not_positive_definite_is_refused() {
        let rows = Matrix::of_rows(&[
            [2.0, 1.0, 0.5, 0.1, 3.0],
            [0.3, 4.0, 1.0, 2.0, 0.0],
            [1.0, 0.0, 5.0, 1.0, 1.0],
        ]);
        let gram = rows.gram();
        let solution = Cholesky::new(&gram).unwrap().solve(&[1.0, 2.0, 3.0]);
        for (found, expected) in gram.times(&solution).iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!(Cholesky::new(&Matrix::of_rows(&[[1.0, 2.0], [2.0, 1.0]])).is_none());
        assert!(Cholesky::new(&Matrix::of_rows(&[[f64::NAN]])).is_none());
    }
}

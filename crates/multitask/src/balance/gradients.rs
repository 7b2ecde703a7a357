//! The gradients of several losses with respect to the same variables.

use std::ops::Range;

use cerberus_tensor::parallel::map_ranges;
use cerberus_tensor::{Element, Tensor};

use super::{BalanceError, Gramian};

/// Elements of each gradient that are multiplied together at a time: all the
/// tasks' shares fit into the fast caches, so memory is read once and not once per pair.
const BLOCK: usize = 4096;

/// One row per task, each in the same parts (one per variable).
#[derive(Clone, Debug)]
pub struct TaskGradients<T: Element = f32> {
    rows: Vec<Vec<Tensor<T>>>,
    names: Vec<String>,
}

impl<T: Element> TaskGradients<T> {
    /// Rows of parts, and the parts' names.
    ///
    /// # Panics
    /// If the rows do not have the same parts.
    #[track_caller]
    pub fn new(rows: Vec<Vec<Tensor<T>>>, names: Vec<String>) -> Self {
        for row in &rows {
            let same = row.iter().zip(&rows[0]).all(|(a, b)| a.shape() == b.shape());
            assert!(
                row.len() == names.len() && same,
                "TaskGradients: every row must have the {} parts of the first, with their shapes",
                names.len()
            );
        }
        let contiguous = |row: Vec<Tensor<T>>| row.iter().map(Tensor::contiguous).collect();
        Self { rows: rows.into_iter().map(contiguous).collect(), names }
    }

    /// Rows of a single part, from plain numbers.
    pub fn of_numbers(rows: &[Vec<f64>]) -> Self {
        let row = |row: &Vec<f64>| {
            vec![Tensor::from_vec(row.iter().map(|&x| T::from_f64(x)).collect(), &[row.len()])]
        };
        Self::new(rows.iter().map(row).collect(), vec!["x".to_string()])
    }

    /// Number of tasks.
    pub fn tasks(&self) -> usize {
        self.rows.len()
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<Tensor<T>>] {
        &self.rows
    }

    /// The parts' names, paths of parameters or of features.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The products of all rows over all parts, in `f64`.
    ///
    /// # Errors
    /// If a gradient is not finite.
    pub fn gramian(&self) -> Result<Gramian, BalanceError> {
        self.gramian_of(|_| true)
    }

    /// The products over the parts whose name is chosen.
    ///
    /// # Errors
    /// If a gradient is not finite.
    pub fn gramian_of(&self, chosen: impl Fn(&str) -> bool) -> Result<Gramian, BalanceError> {
        Gramian::new(&self.products(self, chosen), self.tasks())
    }

    /// `J Kᵀ` with the rows of `other`, row by row.
    pub fn cross_products(&self, other: &Self) -> Vec<f64> {
        self.products(other, |_| true)
    }

    fn products(&self, other: &Self, chosen: impl Fn(&str) -> bool) -> Vec<f64> {
        let tasks = self.tasks();
        let symmetric = std::ptr::eq(self, other);
        let mut sums = vec![0.0; tasks * tasks];
        for part in (0..self.names.len()).filter(|&part| chosen(&self.names[part])) {
            let left: Vec<&[T]> = self.rows.iter().map(|row| row[part].data()).collect();
            let right: Vec<&[T]> = other.rows.iter().map(|row| row[part].data()).collect();
            let work = |range: Range<usize>| {
                let mut sums = vec![0.0; tasks * tasks];
                for start in range.clone().step_by(BLOCK) {
                    let block = start..(start + BLOCK).min(range.end);
                    for i in 0..tasks {
                        for j in if symmetric { i } else { 0 }..tasks {
                            sums[i * tasks + j] += dot(&left[i][block.clone()], &right[j][block.clone()]);
                        }
                    }
                }
                sums
            };
            // Cut by length and added in order: the same for any number of threads.
            for partial in map_ranges(left[0].len(), 16 * BLOCK, work) {
                sums.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial);
            }
        }
        if symmetric {
            for i in 0..tasks {
                for j in 0..i {
                    sums[i * tasks + j] = sums[j * tasks + i];
                }
            }
        }
        sums
    }

    /// `Jᵀw`, part by part.
    pub fn combine(&self, weights: &[f64]) -> Vec<Tensor<T>> {
        (0..self.names.len())
            .map(|part| {
                let mut sum = Tensor::zeros(self.rows[0][part].shape());
                for (row, &weight) in self.rows.iter().zip(weights) {
                    sum.add_scaled(T::from_f64(weight), &row[part]);
                }
                sum
            })
            .collect()
    }

    /// A direction made entry by entry: `f` is given every task's value at the
    /// entry, and the entry's place counted over all parts.
    pub(crate) fn entrywise(&self, mut f: impl FnMut(&[T], usize) -> T) -> Vec<Tensor<T>> {
        let mut place = 0;
        let mut column = vec![T::ZERO; self.tasks()];
        (0..self.names.len())
            .map(|part| {
                let rows: Vec<&[T]> = self.rows.iter().map(|row| row[part].data()).collect();
                Tensor::from_fn(self.rows[0][part].shape(), |index| {
                    column.iter_mut().zip(&rows).for_each(|(value, row)| *value = row[index]);
                    place += 1;
                    f(&column, place - 1)
                })
            })
            .collect()
    }
}

/// The sum of the products in `f64`, in eight interleaved sums so that it vectorises.
fn dot<T: Element>(a: &[T], b: &[T]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a.as_f64() * b.as_f64()).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane].as_f64() * b[lane].as_f64();
        }
    }
    sums.iter().sum::<f64>() + rest
}

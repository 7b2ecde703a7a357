//! The gradients of several losses with respect to the same variables.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use cerberus_autograd::Gradient;
use cerberus_tensor::parallel::{for_each_piece, map_ranges};
use cerberus_tensor::{Element, Tensor};

use super::{BalanceError, Gramian};

/// Elements of each gradient that are multiplied at a time: the blocks of all tasks fit
/// into the fast caches, so memory is read once and not once per pair.
const BLOCK: usize = 4096;

/// Entries that are processed together: enough for vector instructions, few enough
/// for their intermediate values to stay in the nearest cache.
pub(crate) const RUN: usize = 256;

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

    /// Every task's values of one part.
    fn part(&self, part: usize) -> Vec<&[T]> {
        self.rows.iter().map(|row| row[part].data()).collect()
    }

    /// The products of all rows over all parts, in `f64`.
    ///
    /// # Errors
    /// If a gradient is not finite.
    pub fn gramian(&self) -> Result<Gramian, BalanceError> {
        self.products().gramian()
    }

    /// The products of all rows, part by part.
    pub fn products(&self) -> Products {
        let mut products = Products::new(self.tasks());
        for (part, name) in self.names.iter().enumerate() {
            let rows = self.part(part);
            products.parts.insert(part, (name.clone(), products_of(&rows, &rows)));
        }
        products
    }

    /// `J Kᵀ` with the rows of `other`, row by row.
    pub fn cross_products(&self, other: &Self) -> Vec<f64> {
        let mut sums = vec![0.0; self.tasks() * self.tasks()];
        for part in 0..self.names.len() {
            add_to(&mut sums, &products_of(&self.part(part), &other.part(part)));
        }
        sums
    }

    /// `Jᵀw`, part by part.
    pub fn combine(&self, weights: &[f64]) -> Vec<Tensor<T>> {
        let weights: Vec<T> = weights.iter().map(|&weight| T::from_f64(weight)).collect();
        (0..self.names.len())
            .map(|part| {
                let rows = self.part(part);
                let mut sum = Tensor::zeros(self.rows[0][part].shape());
                // Block by block, so that the sum stays in the cache while the rows pass.
                for_each_piece(sum.data_mut(), |first, sum| {
                    for (index, sum) in sum.chunks_mut(BLOCK).enumerate() {
                        let start = first + index * BLOCK;
                        for (row, &weight) in rows.iter().zip(&weights) {
                            sum.iter_mut().zip(&row[start..]).for_each(|(sum, &x)| *sum += weight * x);
                        }
                    }
                });
                sum
            })
            .collect()
    }

    /// A direction computed entry by entry, in runs of at most [`RUN`] entries: `f` gets a
    /// state, every task's values of the run, the slice of the direction to fill, and the
    /// index of the first entry, counted over all parts. Every piece starts with a default
    /// state; the states are returned in the order of the pieces.
    pub(crate) fn entrywise<S: Default + Send>(
        &self,
        f: impl Fn(&mut S, &[&[T]], &mut [T], usize) + Sync,
    ) -> (Vec<Tensor<T>>, Vec<S>) {
        let (mut before, mut states) = (0, Vec::new());
        let mut direction = Vec::new();
        for part in 0..self.names.len() {
            let rows = self.part(part);
            let mut values = Tensor::zeros(self.rows[0][part].shape());
            let found = Mutex::new(BTreeMap::new());
            for_each_piece(values.data_mut(), |first, piece| {
                let (mut state, mut run) = (S::default(), Vec::with_capacity(rows.len()));
                for (index, out) in piece.chunks_mut(RUN).enumerate() {
                    let start = first + index * RUN;
                    run.clear();
                    run.extend(rows.iter().map(|row| &row[start..start + out.len()]));
                    f(&mut state, &run, out, before + start);
                }
                found.lock().unwrap_or_else(PoisonError::into_inner).insert(first, state);
            });
            // In the order of the pieces, whichever finished first.
            states.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner).into_values());
            before += values.len();
            direction.push(values);
        }
        (direction, states)
    }
}

/// The products of the tasks' gradients with each other, part by part: all that
/// most strategies and the diagnostics need of them.
#[derive(Clone, Debug)]
pub struct Products {
    tasks: usize,
    /// Each part's name and products (row by row), by the part's place.
    parts: BTreeMap<usize, (String, Vec<f64>)>,
}

impl Products {
    /// The products of no part yet.
    pub fn new(tasks: usize) -> Self {
        Self { tasks, parts: BTreeMap::new() }
    }

    /// Adds the products of the part at `place`, given each task's gradient of that
    /// part; `None` for tasks that do not depend on it.
    ///
    /// # Panics
    /// If there are fewer gradients than tasks.
    #[track_caller]
    pub fn insert<T: Element>(&mut self, place: usize, name: String, gradients: Vec<Option<Gradient<T>>>) {
        let there: Vec<usize> = (0..self.tasks).filter(|&task| gradients[task].is_some()).collect();
        let small: Vec<Gradient<T>> =
            gradients.into_iter().flatten().map(Gradient::in_smaller_form).collect();
        let count = there.len();
        let products: Vec<f64> = if small.iter().any(|g| matches!(g, Gradient::Product { .. })) {
            // Gradients held as two factors are multiplied without computing either matrix.
            (0..count * count).map(|i| small[i / count].dot(&small[i % count])).collect()
        } else {
            let dense: Vec<Tensor<T>> = small.into_iter().map(|g| g.into_dense().contiguous()).collect();
            let rows: Vec<&[T]> = dense.iter().map(Tensor::data).collect();
            products_of(&rows, &rows)
        };
        let mut all = vec![0.0; self.tasks * self.tasks];
        for (i, &task) in there.iter().enumerate() {
            for (j, &other) in there.iter().enumerate() {
                all[task * self.tasks + other] = products[i * count + j];
            }
        }
        self.parts.insert(place, (name, all));
    }

    /// All products, part by part.
    pub fn numbers(&self) -> Vec<f64> {
        self.parts.values().flat_map(|(_, products)| products.iter().copied()).collect()
    }

    /// The same parts with other [products](Self::numbers): a sum over several batches, say.
    ///
    /// # Panics
    /// If there are not as many.
    #[track_caller]
    pub fn with_numbers(mut self, numbers: &[f64]) -> Self {
        let each = self.tasks * self.tasks;
        assert!(numbers.len() == each * self.parts.len(), "Products: {} numbers", numbers.len());
        for ((_, products), numbers) in self.parts.values_mut().zip(numbers.chunks(each.max(1))) {
            products.copy_from_slice(numbers);
        }
        self
    }

    /// The parts' names, in order of their places.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.values().map(|(name, _)| name.as_str())
    }

    /// The Gramian over all parts.
    ///
    /// # Errors
    /// If a gradient is not finite.
    pub fn gramian(&self) -> Result<Gramian, BalanceError> {
        self.gramian_of(|_| true)
    }

    /// The Gramian over the parts whose names are `chosen`.
    ///
    /// # Errors
    /// If a gradient is not finite.
    pub fn gramian_of(&self, chosen: impl Fn(&str) -> bool) -> Result<Gramian, BalanceError> {
        let mut sums = vec![0.0; self.tasks * self.tasks];
        for (_, products) in self.parts.values().filter(|(name, _)| chosen(name)) {
            add_to(&mut sums, products);
        }
        Gramian::new(&sums, self.tasks)
    }
}

fn add_to(sums: &mut [f64], more: &[f64]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// The products of every row of one matrix with every row of another, in `f64`.
fn products_of<T: Element>(left: &[&[T]], right: &[&[T]]) -> Vec<f64> {
    let tasks = left.len();
    let symmetric = std::iter::zip(left, right).all(|(left, right)| std::ptr::eq(*left, *right));
    let mut sums = vec![0.0; tasks * tasks];
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
    for partial in map_ranges(left.first().map_or(0, |row| row.len()), 16 * BLOCK, work) {
        add_to(&mut sums, &partial);
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

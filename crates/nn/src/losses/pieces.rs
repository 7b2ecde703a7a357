//! Work on parts of mutable buffers in parallel, with results in order.
//!
//! Losses and optimisers rewrite buffers piece by piece and need something back
//! from each piece (a partial sum) or several buffers at once (a parameter and
//! its moments). Pieces are cut by size, never by the number of threads.

use std::sync::{Mutex, PoisonError};

use cerberus_tensor::parallel::{PIECE, map_ranges};
use cerberus_tensor::{Element, Tensor};

/// Runs `work` on every job, in parallel when there are several; the results are in the jobs' order.
pub(crate) fn map_jobs<J: Send, R: Send>(
    jobs: impl IntoIterator<Item = J>,
    work: impl Fn(J) -> R + Sync,
) -> Vec<R> {
    // Every job is taken out once, by the thread that runs it: no thread ever waits for a lock.
    let jobs: Vec<Mutex<Option<J>>> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
    map_ranges(jobs.len(), 1, |range| {
        let job = jobs[range.start].lock().unwrap_or_else(PoisonError::into_inner).take();
        work(job.expect("every job runs once"))
    })
}

/// Lets `work(first_row, rows)` overwrite runs of whole rows of `x` (copied
/// first if it is shared), in parallel; returns the result and the sum of what
/// `work` returned.
pub(crate) fn rewrite_rows<T: Element>(
    mut x: Tensor<T>,
    row: usize,
    work: impl Fn(usize, &mut [T]) -> f64 + Sync,
) -> (f64, Tensor<T>) {
    let row = row.max(1);
    let rows = (PIECE / row).max(1);
    let jobs = x.data_mut().chunks_mut(rows * row).enumerate();
    let sums = map_jobs(jobs, |(index, piece)| work(index * rows, piece));
    (sums.into_iter().sum(), x)
}

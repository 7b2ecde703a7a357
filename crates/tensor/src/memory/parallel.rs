//! How work is split: by its size alone, never by the number of threads.
//!
//! Each helper cuts its job into pieces of fixed size and lets rayon distribute
//! them. A piece always holds the same elements and partial sums are always
//! added in the same order, so results have the same bits for any number of
//! threads.

use std::sync::Mutex;

use rayon::prelude::*;

/// Elements of one piece of element-wise work: 64 KiB of `f32`, about what one
/// core processes in its cache before it takes the next piece.
pub const PIECE: usize = 16 * 1024;

/// A pool of `threads` threads to compute on, which treat denormal numbers as
/// zero (see [`flush_denormals`](crate::flush_denormals)). Use it by
/// `pool.install(|| ..)`.
///
/// # Errors
/// If the system does not start so many threads.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(|_| crate::flush_denormals()).build()
}

/// For work on threads that are in no pool: what they compute is then shared out to as many threads as compute here,
/// unless others were started for that before. Each such thread must first call what is returned, so that it treats
/// denormal numbers as this one.
pub fn for_other_threads() -> fn() {
    let begin: fn() = if crate::denormals_are_flushed() { crate::flush_denormals } else { || {} };
    // Pools that are there already stay.
    let _ =
        rayon::ThreadPoolBuilder::new().num_threads(threads()).start_handler(move |_| begin()).build_global();
    begin
}

/// Multiply-adds that one thread does in the time it takes to wake another one,
/// about 15 microseconds; work of less than twice as many stays on one thread.
const GRAIN: usize = 1 << 20;

/// The smallest number of jobs, of `cost` multiply-adds each, to give to a thread at
/// once.
pub(crate) fn together(cost: usize) -> usize {
    GRAIN.div_ceil(cost.max(1))
}

/// The number of threads that compute.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `work(start, piece)` on consecutive pieces of `out`, in parallel when
/// there is more than one.
pub fn for_each_piece<T: Send>(out: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
    for_each_chunk(out, PIECE, &|index, piece| work(index * PIECE, piece));
}

/// Calls `work(first_row, rows)` on runs of whole rows of `out`, each about
/// [`PIECE`] elements, in parallel when there is more than one.
pub fn for_each_rows<T: Send>(out: &mut [T], row: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    if out.is_empty() || row == 0 {
        return;
    }
    let rows = (PIECE / row).max(1);
    for_each_chunk(out, rows * row, &|index, piece| work(index * rows, piece));
}

/// Compiled once for each element type, not once for each of the hundreds of closures.
fn for_each_chunk<T: Send>(out: &mut [T], len: usize, work: &(dyn Fn(usize, &mut [T]) + Sync)) {
    if out.len() <= len {
        return work(0, out);
    }
    for_each(out.chunks_mut(len).enumerate(), |(index, piece)| work(index, piece));
}

/// Calls `work` on every item, in parallel.
pub(crate) fn for_each<I: Send>(items: impl IntoIterator<Item = I>, work: impl Fn(I) + Sync) {
    for_each_at_least(1, items, work);
}

/// The same, with at least `least` items together on one thread.
pub(crate) fn for_each_at_least<I: Send>(
    least: usize,
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) + Sync,
) {
    // Every item is taken once, by the thread that runs the job with its number.
    let items: Vec<Mutex<Option<I>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    run(items.len(), least, &|index| {
        let item = items[index].lock().ok().and_then(|mut item| item.take());
        work(item.expect("every number comes once"));
    });
}

/// The results of `work` for every item, in the items' order, computed in
/// parallel with at least `least` items together on one thread.
pub(crate) fn map<I: Send, R: Send>(
    least: usize,
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> R + Sync,
) -> Vec<R> {
    let mut places: Vec<(Option<I>, Option<R>)> = items.into_iter().map(|item| (Some(item), None)).collect();
    for_each_at_least(least, &mut places, |(item, result)| *result = item.take().map(&work));
    places.into_iter().map(|(_, result)| result.expect("every item was worked on")).collect()
}

/// Calls `job` with every number below `count`. This is the only function that
/// gives work to other threads, and it is not generic: rayon's splitting and
/// stealing are some two thousand lines of compiler input, which would be
/// compiled again for every closure and in every crate above. A call through a
/// pointer per job costs nothing.
fn run(count: usize, least: usize, job: &(dyn Fn(usize) + Sync)) {
    match count {
        0 => {}
        1 => job(0),
        _ => (0..count).into_par_iter().with_min_len(least).for_each(job),
    }
}

/// Maps the index ranges `0..piece, piece..2*piece, ..` below `len` in parallel
/// and returns the results in order.
pub fn map_ranges<R: Send>(
    len: usize,
    piece: usize,
    work: impl Fn(std::ops::Range<usize>) -> R + Sync,
) -> Vec<R> {
    let range = |index: usize| index * piece..((index + 1) * piece).min(len);
    match len.div_ceil(piece) {
        0 => Vec::new(),
        1 => vec![work(0..len)],
        pieces => map(1, 0..pieces, |index| work(range(index))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_the_threads_that_were_asked_for() {
        assert_eq!(pool(3).expect("three threads").install(threads), 3);
    }

    #[test]
    fn ranges_cover_the_length_once_and_in_order() {
        for (len, piece) in [(0, 4), (3, 4), (4, 4), (9, 4)] {
            let ranges = map_ranges(len, piece, |range| range);
            assert!(ranges.iter().all(|range| !range.is_empty() && range.len() <= piece));
            assert!(ranges.into_iter().flatten().eq(0..len));
        }
    }

    #[test]
    fn pieces_and_rows_know_where_they_start() {
        let len = 2 * PIECE + 5;
        let mut out = vec![0; len];
        for_each_piece(&mut out, |start, piece| piece.iter_mut().zip(start..).for_each(|(x, i)| *x = i));
        assert!(out.iter().copied().eq(0..len));
        let row = PIECE / 2 + 1;
        let mut out = vec![0; 5 * row];
        for_each_rows(&mut out, row, |first, rows| {
            assert_eq!(rows.len() % row, 0);
            rows.chunks_mut(row).zip(first..).for_each(|(row, i)| row.fill(i));
        });
        assert!(out.chunks(row).zip(0..).all(|(row, i)| row.iter().all(|&x| x == i)));
    }
}

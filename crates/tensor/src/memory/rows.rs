//! Rows of channels, in a form that suits inner loops.
//!
//! In NHWC a batch is one long run of short rows, a number per channel, and a
//! loop over three channels is mostly overhead. Since the rows follow one
//! another in memory, several of them can be treated as one wide row, with the
//! per-channel numbers repeated to match. Sums over rows are then kept per
//! position of the wide row and added up per channel at the end.

use crate::parallel::for_each_rows;
use crate::{Element, Tensor};

/// Channels are repeated up to about this many elements.
const WIDE: usize = 64;

/// How many rows of `channels` are treated as one.
fn rows_in_wide(channels: usize) -> usize {
    (WIDE / channels.max(1)).max(1)
}

/// Length of the wide row: a multiple of `channels`, at least 1.
pub(crate) fn wide_row(channels: usize) -> usize {
    (channels * rows_in_wide(channels)).max(1)
}

/// `row [C]` repeated to the length of the wide row.
pub(crate) fn repeated<T: Element>(row: &[T]) -> Vec<T> {
    row.repeat(rows_in_wide(row.len()))
}

/// The wide row's sum per channel: the adjoint of [`repeated`].
pub(crate) fn folded<T: Element>(wide: &[T], channels: usize) -> Vec<T> {
    let mut sums = wide[..channels].to_vec();
    for row in wide[channels..].chunks_exact(channels.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
    }
    sums
}

/// Sum of `rows [R, C]` over `R`.
pub(crate) fn column_sums<T: Element>(rows: &[T], channels: usize) -> Vec<T> {
    let wide = wide_row(channels);
    let mut sums = vec![T::ZERO; wide];
    for row in rows.chunks(wide) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
    }
    folded(&sums, channels)
}

/// Calls `work(start, rows)` on runs of whole rows of `x`, which it overwrites;
/// `start` is the index of the run's first element. It works in place when `x`
/// is the only owner, otherwise on a copy made run by run, while the run is in
/// the cache.
pub(crate) fn rewrite_rows<T: Element>(
    x: Tensor<T>,
    row: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) -> Tensor<T> {
    let mut x = if x.is_contiguous() { x } else { x.contiguous() };
    if let Some(data) = x.unique_data_mut() {
        for_each_rows(data, row, |first, rows| work(first * row, rows));
        return x;
    }
    let source = x.data();
    Tensor::filled_by(x.shape(), |y| {
        for_each_rows(y, row, |first, rows| {
            rows.copy_from_slice(&source[first * row..][..rows.len()]);
            work(first * row, rows);
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn column_sums_equal_the_definition_for_any_number_of_rows_and_channels() {
        for channels in [0, 1, 3, 31, 32, 64, 65, 200] {
            for rows in [0, 1, 2, 5, 70] {
                let x = noise::<f64>(&[rows, channels], 0.3);
                let sums = column_sums(x.data(), channels);
                assert_eq!(sums.len(), channels);
                for (channel, sum) in sums.iter().enumerate() {
                    let expected: f64 = (0..rows).map(|row| x.at(&[row, channel])).sum();
                    assert!((sum - expected).abs() < 1e-12, "{rows} rows, channel {channel} of {channels}");
                }
            }
        }
    }

    #[test]
    fn rewriting_a_shared_or_strided_tensor_leaves_its_other_owners_alone() {
        let x = noise::<f64>(&[4, 6], 0.1);
        let negate = |x: Tensor<f64>| rewrite_rows(x, 6, |_, rows| rows.iter_mut().for_each(|x| *x = -*x));
        let expected: Vec<f64> = x.to_vec().iter().map(|x| -x).collect();
        assert_eq!(negate(x.clone()).to_vec(), expected);
        assert_eq!(x.to_vec(), noise::<f64>(&[4, 6], 0.1).to_vec());
        let strided = x.permute(&[1, 0]).contiguous().permute(&[1, 0]);
        assert_eq!(negate(strided).to_vec(), expected);
        let address = x.data().as_ptr();
        assert_eq!(negate(x).data().as_ptr(), address);
    }
}

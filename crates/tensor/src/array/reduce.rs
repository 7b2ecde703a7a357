//! Sums, means and maxima over chosen dimensions.
//!
//! Every reduction takes one of two forms: each row is summed to one number, or
//! all rows are added up to one row. Long ones are split into pieces by their
//! length, and the pieces' sums are added in order.

use crate::parallel::{PIECE, for_each_piece, for_each_rows, map_ranges};
use crate::{Element, Shape, Tensor, parallel};

impl<T: Element> Tensor<T> {
    /// Sum over `axes`, which disappear from the shape.
    ///
    /// # Panics
    /// If an axis is repeated or does not exist.
    #[track_caller]
    pub fn sum(&self, axes: &[usize]) -> Tensor<T> {
        self.sum_over(axes, false)
    }

    /// Sum over `axes`, which stay in the shape with extent 1.
    ///
    /// # Panics
    /// If an axis is repeated or does not exist.
    #[track_caller]
    pub fn sum_keepdim(&self, axes: &[usize]) -> Tensor<T> {
        self.sum_over(axes, true)
    }

    #[track_caller]
    fn sum_over(&self, axes: &[usize], keep: bool) -> Tensor<T> {
        let reduced: Vec<bool> = (0..self.rank()).map(|axis| axes.contains(&axis)).collect();
        assert!(
            reduced.iter().filter(|&&r| r).count() == axes.len(),
            "sum: axes {axes:?} are not distinct dimensions of shape {:?}",
            self.shape()
        );
        let kept_shape: Vec<usize> =
            self.shape().iter().zip(&reduced).map(|(&extent, &r)| if r { 1 } else { extent }).collect();
        let [outer, count, inner] = match one_run(self.shape(), &reduced) {
            Some(form) => form,
            None => {
                let order: Vec<usize> = (0..self.rank())
                    .filter(|&axis| reduced[axis])
                    .chain((0..self.rank()).filter(|&axis| !reduced[axis]))
                    .collect();
                let front: Vec<usize> = (0..axes.len()).collect();
                let sums = self.permute(&order).contiguous().sum(&front);
                return sums.reshape(&final_shape(&kept_shape, &reduced, keep));
            }
        };
        let source = self.contiguous();
        let sums = if inner == 1 {
            sum_rows(source.data(), outer, count)
        } else {
            add_rows(source.data(), [outer, count, inner])
        };
        Tensor::from_vec(sums, &final_shape(&kept_shape, &reduced, keep))
    }

    /// Sum of all elements, of rank 0.
    pub fn sum_all(&self) -> Tensor<T> {
        self.sum(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// Sum of the squares of all elements, in one pass over them.
    pub fn squared_norm(&self) -> f64 {
        let source = self.contiguous();
        let data = source.data();
        let squares = |range: std::ops::Range<usize>| sum_of(&data[range], |x| x * x).as_f64();
        map_ranges(data.len(), PIECE, squares).into_iter().sum()
    }

    /// Mean over `axes`, which disappear from the shape. The mean over nothing is NaN.
    ///
    /// # Panics
    /// If an axis is repeated or does not exist.
    #[track_caller]
    pub fn mean(&self, axes: &[usize]) -> Tensor<T> {
        self.mean_over(axes, false)
    }

    /// Mean over `axes`, which stay in the shape with extent 1.
    ///
    /// # Panics
    /// If an axis is repeated or does not exist.
    #[track_caller]
    pub fn mean_keepdim(&self, axes: &[usize]) -> Tensor<T> {
        self.mean_over(axes, true)
    }

    #[track_caller]
    fn mean_over(&self, axes: &[usize], keep: bool) -> Tensor<T> {
        let sum = self.sum_over(axes, keep);
        let count: usize = axes.iter().map(|&axis| self.shape()[axis]).product();
        sum.map(|x| x / T::from_f64(count as f64))
    }

    /// Sums the dimensions in which `shape` was stretched to this tensor's
    /// shape: the adjoint of [`broadcast_to`](Self::broadcast_to).
    ///
    /// # Panics
    /// If `shape` does not stretch to this tensor's shape.
    #[track_caller]
    pub fn sum_to(&self, shape: &[usize]) -> Tensor<T> {
        if self.shape() == shape {
            return self.clone();
        }
        assert!(
            Shape::new(shape).broadcast(&self.dims()) == Some(self.dims()),
            "sum_to: {shape:?} does not stretch to {:?}",
            self.shape()
        );
        let added = self.rank() - shape.len();
        let axes: Vec<usize> = (0..self.rank())
            .filter(|&axis| axis < added || (shape[axis - added] == 1 && self.shape()[axis] != 1))
            .collect();
        self.sum_keepdim(&axes).reshape(shape)
    }

    /// Index of the largest element along the last dimension. Of equal ones the
    /// first counts; NaN counts as smaller than every number.
    pub fn argmax(&self) -> Vec<usize> {
        let row = self.shape().last().copied().unwrap_or(1).max(1);
        let best = |row: &[T]| {
            (0..row.len()).fold(0, |best, i| if row[i] > row[best] || row[best].is_nan() { i } else { best })
        };
        self.contiguous().data().chunks_exact(row).map(best).collect()
    }
}

/// Sum of a slice in sixteen interleaved partial sums, which vectorise and have
/// a smaller rounding error than one running sum.
pub(crate) fn sum_slice<T: Element>(values: &[T]) -> T {
    sum_of(values, |x| x)
}

/// [`sum_slice`] of `f` of every value.
#[inline(always)]
pub(crate) fn sum_of<T: Element>(values: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::ZERO; 16];
    let chunks = values.chunks_exact(16);
    let tail: T = chunks.remainder().iter().map(|&value| f(value)).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f(value);
        }
    }
    lanes.iter().copied().sum::<T>() + tail
}

/// `values: [outer, count]` to `[outer]`.
fn sum_rows<T: Element>(values: &[T], outer: usize, count: usize) -> Vec<T> {
    let sum_row =
        |row: &[T]| -> T { map_ranges(row.len(), PIECE, |range| sum_slice(&row[range])).into_iter().sum() };
    if count == 0 {
        vec![T::ZERO; outer]
    } else if values.len() <= PIECE || outer == 1 {
        values.chunks_exact(count).map(sum_row).collect()
    } else {
        parallel::map(1, values.chunks_exact(count), sum_row)
    }
}

/// `values: [outer, count, inner]` to `[outer, inner]`.
fn add_rows<T: Element>(values: &[T], [outer, count, inner]: [usize; 3]) -> Vec<T> {
    let mut out = vec![T::ZERO; outer * inner];
    if values.is_empty() {
        return out;
    }
    let add = |out: &mut [T], rows: &[T]| {
        for row in rows.chunks_exact(inner) {
            out.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
        }
    };
    if outer == 1 && inner >= PIECE {
        // Long rows are split by columns: splitting by rows would need a partial
        // sum as long as a row for every piece.
        for_each_piece(&mut out, |first, sums| {
            for row in values.chunks_exact(inner) {
                sums.iter_mut().zip(&row[first..]).for_each(|(sum, &value)| *sum += value);
            }
        });
    } else if outer == 1 {
        let rows = PIECE / inner;
        let partial = map_ranges(count, rows, |range| {
            let mut sums = vec![T::ZERO; inner];
            add(&mut sums, &values[range.start * inner..range.end * inner]);
            sums
        });
        partial.iter().for_each(|sums| add(&mut out, sums));
    } else {
        for_each_rows(&mut out, inner, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(inner).enumerate() {
                let start = (first + index) * count * inner;
                add(row, &values[start..start + count * inner]);
            }
        });
    }
    out
}

/// `[outer, count, inner]` if the reduced dimensions are neighbours.
fn one_run(shape: &[usize], reduced: &[bool]) -> Option<[usize; 3]> {
    let first = reduced.iter().position(|&r| r).unwrap_or(shape.len());
    let run = reduced[first..].iter().take_while(|&&r| r).count();
    let neighbours = reduced[first + run..].iter().all(|&r| !r);
    let extent = |range: std::ops::Range<usize>| shape[range].iter().product::<usize>();
    neighbours.then(|| [extent(0..first), extent(first..first + run), extent(first + run..shape.len())])
}

fn final_shape(kept: &[usize], reduced: &[bool], keep: bool) -> Vec<usize> {
    kept.iter().zip(reduced).filter(|&(_, &r)| keep || !r).map(|(&extent, _)| extent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_longer_than_a_piece_are_added_column_by_column() {
        let x = Tensor::<f64>::from_fn(&[3, 2 * PIECE + 5], |i| ((i * 37 % 101) as f64).sin());
        let (sums, values) = (x.sum(&[0]).to_vec(), x.to_vec());
        let inner = values.len() / 3;
        for (column, sum) in sums.iter().enumerate() {
            assert_eq!(*sum, values[column] + values[inner + column] + values[2 * inner + column]);
        }
    }

    proptest! {
        #[test]
        fn sum_equals_the_definition_for_any_axes(dims in prop::collection::vec(0usize..4, 0..5), mask in 0u8..32) {
            let x = Tensor::<f64>::from_fn(&dims, |i| (i as f64 * 0.7).sin());
            let axes: Vec<usize> = (0..dims.len()).filter(|axis| mask >> axis & 1 == 1).collect();
            let y = x.sum_keepdim(&axes);
            let mut expected = vec![0.0; y.len()];
            let strides = y.dims().strides();
            let source = x.dims().strides();
            for (i, value) in x.to_vec().into_iter().enumerate() {
                let place: usize = (0..dims.len())
                    .map(|axis| if axes.contains(&axis) { 0 } else { i / source[axis] % dims[axis] * strides[axis] })
                    .sum();
                expected[place] += value;
            }
            for (a, b) in y.to_vec().iter().zip(&expected) {
                prop_assert!((a - b).abs() < 1e-12);
            }
            prop_assert_eq!(x.sum(&axes).to_vec(), y.to_vec());
        }

        #[test]
        fn summing_back_is_the_adjoint_of_stretching(
            dims in prop::collection::vec(1usize..4, 0..5), added in 0usize..5, mask in 0u8..32,
        ) {
            let added = added.min(dims.len());
            let shape: Vec<usize> =
                (added..dims.len()).map(|axis| if mask >> axis & 1 == 1 { 1 } else { dims[axis] }).collect();
            let y = Tensor::<f64>::from_fn(&dims, |i| (i as f64 * 0.7).sin());
            let x = Tensor::<f64>::from_fn(&shape, |i| (i as f64 * 1.3).cos());
            let back = y.sum_to(&shape);
            prop_assert_eq!(back.shape(), &shape[..]);
            let product = |a: &Tensor<f64>, b: &Tensor<f64>| (a * b).sum_all().item();
            prop_assert!((product(&back, &x) - product(&y, &x.broadcast_to(&dims))).abs() < 1e-12);
        }
    }

    #[test]
    fn long_sums_are_the_same_for_any_number_of_threads() {
        let x = Tensor::<f32>::from_fn(&[300_000, 3], |i| (i as f32 * 0.37).sin());
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                (
                    x.squared_norm().to_bits(),
                    x.sum_all().item().to_bits(),
                    x.sum(&[0]).to_vec(),
                    x.sum(&[1]).sum_all().item(),
                )
            })
        };
        let one = run(1);
        assert!([2, 3, 8].into_iter().all(|threads| run(threads) == one));
        let squares: f64 = x.to_vec().iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((x.squared_norm() - squares).abs() < 1e-5 * squares);
    }

    #[test]
    fn argmax_takes_the_first_of_equals_and_skips_nan() {
        let x = Tensor::from_vec(vec![1.0, 3.0, 3.0, f64::NAN, 2.0, 1.0], &[2, 3]);
        assert_eq!(x.argmax(), [1, 1]);
    }
}

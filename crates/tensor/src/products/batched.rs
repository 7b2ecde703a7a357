//! Products of stacks of matrices.
//!
//! Leading dimensions are a batch and broadcast. Each product is one call of
//! the two-dimensional [`matmul`](Tensor::matmul); the batch is split over the
//! threads when the matrices are small, each product when they are large.

use crate::parallel::for_each_rows;
use crate::{Element, Shape, Tensor};

impl<T: Element> Tensor<T> {
    /// `[.., M, K] x [.., K, N] -> [.., M, N]`; the leading dimensions broadcast.
    ///
    /// # Panics
    /// If either has fewer than two dimensions, the inner extents differ or the
    /// leading ones do not broadcast.
    #[track_caller]
    pub fn batched_matmul(&self, other: &Tensor<T>) -> Tensor<T> {
        let fail = || -> ! {
            panic!(
                "matmul: {:?} x {:?}; expected [.., M, K] x [.., K, N] with leading dimensions that broadcast",
                self.shape(),
                other.shape()
            )
        };
        if self.rank() < 2 || other.rank() < 2 {
            fail();
        }
        let split = |x: &Tensor<T>| {
            let at = x.rank() - 2;
            (Shape::new(&x.shape()[..at]), x.shape()[at], x.shape()[at + 1])
        };
        let ((a_batch, m, k), (b_batch, inner, n)) = (split(self), split(other));
        let Some(batch) = a_batch.broadcast(&b_batch).filter(|_| k == inner) else { fail() };
        let stack = |x: &Tensor<T>, rows: usize, columns: usize| {
            let shape = [&*batch, &[rows, columns]].concat();
            x.broadcast_to(&shape).reshape(&[batch.elements(), rows, columns])
        };
        let (a, b) = (stack(self, m, k), stack(other, k, n));
        let matrix = |x: &Tensor<T>, index: usize| {
            let [_, rows, columns] = x.extents();
            x.narrow(0, index, 1).reshape(&[rows, columns])
        };
        Tensor::filled_by(&[&*batch, &[m, n]].concat(), |y| {
            for_each_rows(y, m * n, |first, products| {
                for (index, product) in products.chunks_exact_mut(m * n).enumerate() {
                    let (a, b) = (matrix(&a, first + index), matrix(&b, first + index));
                    product.copy_from_slice(a.matmul(&b).data());
                }
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_product_of_a_stack_is_the_product_of_its_matrices(
            batch in 0usize..4, m in 0usize..5, k in 0usize..5, n in 0usize..5, shared: bool,
        ) {
            let a = noise::<f64>(&[2, batch, m, k], 0.1);
            let b = noise::<f64>(&[if shared { 1 } else { batch }, k, n], 0.2);
            let y = a.batched_matmul(&b);
            prop_assert_eq!(y.shape(), [2, batch, m, n]);
            for i in 0..2 * batch {
                let matrix = |x: &Tensor<f64>, at: usize, [r, c]: [usize; 2]| {
                    x.contiguous().reshape(&[x.len() / (r * c).max(1), r, c]).narrow(0, at, 1).reshape(&[r, c])
                };
                if m * k * n > 0 {
                    let expected = matrix(&a, i, [m, k]).matmul(&matrix(&b, if shared { 0 } else { i % batch }, [k, n]));
                    prop_assert_eq!(matrix(&y, i, [m, n]).to_vec(), expected.to_vec());
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "matmul: [2, 3, 4] x [3, 4, 5]; expected [.., M, K] x [.., K, N]")]
    fn batches_that_do_not_broadcast_are_refused() {
        noise::<f32>(&[2, 3, 4], 0.0).batched_matmul(&noise(&[3, 4, 5], 0.0));
    }
}

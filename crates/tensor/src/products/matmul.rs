//! Matrix products on all threads, and the binding to the `matrixmultiply` crate.
//!
//! How a product is shared is decided here, by its shape alone: `gemm.rs` shares one
//! of many rows among all threads; others are cut into bands of rows or columns, each
//! of which it computes on one thread; long sums are cut along their terms.

use crate::products::strided::Strided;
use crate::simd::isa::Isa;
use crate::{Element, Tensor, parallel};

/// Multiply-adds below which splitting costs more than it gains.
const SPLIT_WORK: usize = 1 << 19;
/// A sum this many times longer than the result's rows and columns is cut into pieces.
pub(crate) const LONG: usize = 16;
/// The least rows of a product whose right side is packed once for all threads.
const TALL: usize = 128;

impl<T: Element> Tensor<T> {
    /// The matrix product `[M, K] x [K, N] -> [M, N]`; either may be a strided
    /// view, such as a transpose.
    ///
    /// # Panics
    /// If either is not a matrix or the inner extents differ.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor<T>) -> Tensor<T> {
        assert!(
            self.rank() == 2 && other.rank() == 2 && self.shape()[1] == other.shape()[0],
            "matmul: {:?} x {:?}; expected [M, K] x [K, N]",
            self.shape(),
            other.shape()
        );
        let ([m, k], n) = (self.extents(), other.shape()[1]);
        // A weight's gradient over many pixels has few results, each a long sum.
        if k / LONG >= m.max(n) && m.saturating_mul(n).saturating_mul(k) > SPLIT_WORK {
            return crate::product::dense(self, other, None);
        }
        Tensor::filled_by(&[m, n], |out| multiply_into(self, other, None, out))
    }

    /// The transpose of a matrix, as a view.
    ///
    /// # Panics
    /// If this is not a matrix.
    #[track_caller]
    pub fn t(&self) -> Tensor<T> {
        assert_eq!(self.rank(), 2, "t: shape {:?} is not a matrix", self.shape());
        self.permute(&[1, 0])
    }
}

/// Writes `a b`, plus `bias` in every row if there is one, to `out: [M, N]`.
pub(crate) fn multiply_into<T: Element>(a: &Tensor<T>, b: &Tensor<T>, bias: Option<&[T]>, out: &mut [T]) {
    let [m, k] = a.extents();
    let n = b.shape()[1];
    if out.is_empty() {
        return;
    }
    let small = out.len().saturating_mul(k) <= SPLIT_WORK;
    let set = T::kernels();
    if !small && m >= TALL && n >= 8 && k >= 8 && set.isa != Isa::Portable {
        return crate::products::gemm::spread(set, [m, k, n], strided(a), strided(b), bias, out);
    }
    if small {
        gemm(a, b, out);
    } else if m >= TALL || (m >= 32 && n < 256) {
        // 16 bands at most, whole register tiles high.
        let rows = m.div_ceil(16).next_multiple_of(8);
        parallel::for_each(out.chunks_mut(rows * n).enumerate(), |(band, out)| {
            let rows_here = out.len() / n;
            gemm(&a.narrow(0, band * rows, rows_here), b, out);
        });
    } else {
        let columns = n.div_ceil(16).next_multiple_of(16);
        let bands: Vec<Tensor<T>> = parallel::map(1, 0..n.div_ceil(columns), |band| {
            let width = columns.min(n - band * columns);
            let part = b.narrow(1, band * columns, width);
            Tensor::filled_by(&[m, width], |out| gemm(a, &part, out))
        });
        for (band, part) in bands.iter().enumerate() {
            let width = part.shape()[1];
            for (row, part) in out.chunks_exact_mut(n).zip(part.data().chunks_exact(width)) {
                row[band * columns..][..width].copy_from_slice(part);
            }
        }
    }
    if let Some(bias) = bias {
        for row in out.chunks_exact_mut(n) {
            row.iter_mut().zip(bias).for_each(|(sum, &bias)| *sum += bias);
        }
    }
}

fn strided<T: Element>(x: &Tensor<T>) -> Strided<'_, T> {
    (x.origin(), [x.strides()[0], x.strides()[1]])
}

/// Writes `a b` to `out: [M, N]` on this thread.
pub(crate) fn gemm<T: Element>(a: &Tensor<T>, b: &Tensor<T>, out: &mut [T]) {
    let size = [a.shape()[0], a.shape()[1], b.shape()[1]];
    crate::products::gemm::multiply(size, strided(a), strided(b), out)
}

/// The products of the `matrixmultiply` crate behind bounds checks.
#[allow(unsafe_code)]
pub(crate) mod kernel {
    use crate::products::strided::Strided;

    macro_rules! gemm {
        ($scalar:ident, $product:path) => {
            /// Writes the product of `a: [M, K]` and `b: [K, N]` to `c: [M, N]`, row-major.
            ///
            /// # Panics
            /// If a matrix reaches outside its slice.
            pub(crate) fn $scalar(
                [m, k, n]: [usize; 3],
                (a, [a_row, a_column]): Strided<'_, $scalar>,
                (b, [b_row, b_column]): Strided<'_, $scalar>,
                c: &mut [$scalar],
            ) {
                if m == 0 || k == 0 || n == 0 {
                    return c.fill(0.0);
                }
                assert!((m - 1) * a_row + (k - 1) * a_column < a.len());
                assert!((k - 1) * b_row + (n - 1) * b_column < b.len());
                assert!(c.len() == m * n);
                let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
                let step = |stride: usize| stride as isize;
                // SAFETY: the assertions keep every element inside its slice,
                // and the mutable borrow of `c` rules out an overlap.
                unsafe {
                    $product(
                        m,
                        k,
                        n,
                        1.0,
                        a,
                        step(a_row),
                        step(a_column),
                        b,
                        step(b_row),
                        step(b_column),
                        0.0,
                        c,
                        step(n),
                        1,
                    )
                }
            }
        };
    }

    gemm!(f32, matrixmultiply::sgemm);
    gemm!(f64, matrixmultiply::dgemm);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(shape: &[usize], phase: f64) -> Tensor<f64> {
        Tensor::from_fn(shape, |i| (i as f64 * 0.91 + phase).sin())
    }

    fn naive(a: &Tensor<f64>, b: &Tensor<f64>) -> Vec<f64> {
        let ([m, k], n) = (a.extents(), b.shape()[1]);
        (0..m * n).map(|i| (0..k).map(|p| a.at(&[i / n, p]) * b.at(&[p, i % n])).sum()).collect()
    }

    fn assert_close(a: &[f64], b: &[f64]) {
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10));
    }

    proptest! {
        #[test]
        fn product_of_any_views_equals_three_loops(m in 0usize..20, k in 0usize..20, n in 0usize..20, views in 0u8..4) {
            let a = if views & 1 == 1 { sample(&[k, m], 0.1).t() } else { sample(&[m, k], 0.1) };
            let b = if views & 2 == 2 { sample(&[n, k], 0.2).t() } else { sample(&[k, n], 0.2) };
            assert_close(a.matmul(&b).data(), &naive(&a, &b));
        }
    }

    #[test]
    fn split_products_equal_three_loops_and_ignore_the_number_of_threads() {
        for [m, k, n] in [[130, 70, 90], [7, 300, 401], [1, 1000, 700]] {
            let (a, b) = (sample(&[k, m], 0.3), sample(&[n, k], 0.4));
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| a.t().matmul(&b.t()).to_vec())
            };
            let one = run(1);
            assert_close(&one, &naive(&a.t(), &b.t()));
            assert!([2, 3, 8].into_iter().all(|threads| run(threads) == one));
        }
    }
}

//! Products with the shapes of dense layers.
//!
//! A dense layer after a convolution has few rows (the batch), and a weight
//! that may be larger than everything else together: 187 million numbers for
//! images of 224 pixels. Its three products are limited by memory, so it is
//! important that the weight is read once, by all cores, and that its gradient
//! is not written at all:
//!
//! - [`dense`], `x weight`, is cut along the long sum; every band gives a
//!   partial result, and these are added in order;
//! - [`dense_input_gradient`], `dy weightᵀ`, is cut along its long rows;
//! - [`product_rows`] computes some rows of the weight's gradient `xᵀ dy` at a
//!   time, few enough to stay in the cache of the core that applies them.
//!
//! Where there are more rows, such as the tokens of a vision transformer, and the
//! weight fits the cache, the first two are plain products.
//!
//! All cuts depend on the shapes alone.

use crate::parallel::for_each_rows;
use crate::pool::Buffer;
use crate::products::matmul::{LONG, gemm, multiply_into};
use crate::shape::product_of;
use crate::{Element, Tensor, parallel};

/// Multiply-adds below which another band costs more than it gains.
const BAND_WORK: usize = 1 << 18;
/// The most bands one product is cut into.
const MOST_BANDS: usize = 32;

/// The least rows, and the most numbers in the weight, of a product that is limited by arithmetic.
const ROWS: usize = 40;
const CACHED: usize = 4 << 20;

/// Whether a product of `m` rows with a weight `[K, N]` is limited by arithmetic.
fn is_plain([m, k, n]: [usize; 3]) -> bool {
    m >= ROWS && k * n <= CACHED && k <= LONG * n && n <= LONG * k
}

/// The length of the bands into which `len` positions, with `work`
/// multiply-adds together, are cut: a multiple of 64.
fn band_length(len: usize, work: usize) -> usize {
    let bands = (work / BAND_WORK).clamp(1, MOST_BANDS);
    len.div_ceil(bands).max(1).next_multiple_of(64)
}

/// The product `x weight`, plus `bias` in every row if there is one.
///
/// Shapes: `x [M, K]`, `weight [K, N]`, `bias [N]` to `[M, N]`; either matrix
/// may be a strided view. Meant for large `K`: the sum is cut along it.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn dense<T: Element>(x: &Tensor<T>, weight: &Tensor<T>, bias: Option<&Tensor<T>>) -> Tensor<T> {
    let fits = x.rank() == 2 && weight.rank() == 2 && x.shape()[1] == weight.shape()[0];
    assert!(
        fits && bias.is_none_or(|bias| bias.shape() == &weight.shape()[1..]),
        "dense: x {:?} weight {:?} + bias {:?}; expected [M, K] [K, N] + [N]",
        x.shape(),
        weight.shape(),
        bias.map(Tensor::shape)
    );
    let ([m, k], n) = (x.extents(), weight.shape()[1]);
    let bias = bias.map(Tensor::contiguous);
    let work = product_of("dense", &[m, n]).saturating_mul(k);
    if is_plain([m, k, n]) {
        let bias = bias.as_ref().map(Tensor::data);
        return Tensor::filled_by(&[m, n], |y| multiply_into(x, weight, bias, y));
    }
    let band = band_length(k, work);
    let bands = k.div_ceil(band).max(1);
    product_of("dense", &[bands, m, n]);
    // partial: [bands, M, N]
    let mut partial = Buffer::unspecified(bands * m * n);
    if !partial.is_empty() {
        parallel::for_each(partial.chunks_mut(m * n).enumerate(), |(index, out)| {
            let len = band.min(k - index * band);
            gemm(&x.narrow(1, index * band, len), &weight.narrow(0, index * band, len), out);
        });
    }
    Tensor::filled_by(&[m, n], |y| {
        for_each_rows(y, n, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(n).enumerate() {
                match &bias {
                    Some(bias) => row.copy_from_slice(bias.data()),
                    None => row.fill(T::ZERO),
                }
                for partial in partial.chunks_exact(m * n) {
                    let terms = &partial[(first + index) * n..][..n];
                    row.iter_mut().zip(terms).for_each(|(sum, &term)| *sum += term);
                }
            }
        });
    })
}

/// The product `dy weightᵀ`: the gradient of [`dense`] with respect to `x`.
///
/// Shapes: `dy [M, N]`, `weight [K, N]` to `[M, K]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn dense_input_gradient<T: Element>(dy: &Tensor<T>, weight: &Tensor<T>) -> Tensor<T> {
    let fits = dy.rank() == 2 && weight.rank() == 2 && dy.shape()[1] == weight.shape()[1];
    assert!(
        fits,
        "dense_input_gradient: dy {:?} weight {:?}ᵀ; expected [M, N] and [K, N]",
        dy.shape(),
        weight.shape()
    );
    let ([m, n], k) = (dy.extents(), weight.shape()[0]);
    let work = product_of("dense_input_gradient", &[m, k]).saturating_mul(n);
    if is_plain([m, k, n]) {
        return dy.matmul(&weight.t());
    }
    let band = band_length(k, work);
    // bands: of [M, band], the last one narrower
    let mut bands = Buffer::unspecified(m * k);
    if bands.is_empty() {
        return Tensor::zeros(&[m, k]);
    }
    parallel::for_each(bands.chunks_mut(m * band).enumerate(), |(index, out)| {
        gemm(dy, &weight.narrow(0, index * band, out.len() / m).t(), out);
    });
    Tensor::filled_by(&[m, k], |dx| {
        for_each_rows(dx, k, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(k).enumerate() {
                for (row, band) in row.chunks_mut(band).zip(bands.chunks(m * band)) {
                    row.copy_from_slice(&band[(first + index) * row.len()..][..row.len()]);
                }
            }
        });
    })
}

/// Writes rows `first_row..` of `left right` to `out`, as many as fit it, on this thread.
///
/// Shapes: `left [M, K]`, `right [K, N]`; `out` is whole rows of `N`.
///
/// # Panics
/// If the shapes do not fit each other, `out` is not whole rows or they reach beyond the last one.
#[track_caller]
pub fn product_rows<T: Element>(left: &Tensor<T>, right: &Tensor<T>, first_row: usize, out: &mut [T]) {
    let n = right.shape()[1];
    assert!(
        left.shape()[1] == right.shape()[0] && out.len().is_multiple_of(n.max(1)),
        "product_rows: {:?} x {:?} into {} numbers; expected [M, K] x [K, N] and whole rows",
        left.shape(),
        right.shape(),
        out.len()
    );
    gemm(&left.narrow(0, first_row, out.len() / n.max(1)), right, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{distance, noise, same_bits_for_any_threads};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_three_equal_the_plain_product(m in 0usize..9, k in 0usize..90, n in 0usize..20, first in 0usize..90) {
            let (x, weight, bias) = (noise::<f64>(&[m, k], 0.1), noise(&[k, n], 0.2), noise(&[n], 0.3));
            let y = x.matmul(&weight);
            prop_assert!(distance(&dense(&x, &weight, None), &y) < 1e-12);
            prop_assert!(distance(&dense(&x, &weight, Some(&bias)), &(y + &bias)) < 1e-12);
            let dy = noise(&[m, n], 0.4);
            prop_assert!(distance(&dense_input_gradient(&dy, &weight), &dy.matmul(&weight.t())) < 1e-12);
            let rows = first.min(k)..k;
            let expected = x.t().matmul(&dy).narrow(0, rows.start, rows.len()).to_vec();
            let mut found = vec![0.0; rows.len() * n];
            product_rows(&x.t(), &dy, rows.start, &mut found);
            prop_assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn products_in_bands_equal_the_plain_ones_for_any_number_of_threads() {
        let (x, weight, dy) = (noise::<f32>(&[9, 5000], 0.1), noise(&[5000, 70], 0.2), noise(&[9, 70], 0.3));
        const { assert!(9 * 5000 * 70 > 4 * BAND_WORK) };
        assert!(distance(&dense(&x, &weight, None), &x.matmul(&weight)) < 1e-3);
        assert!(distance(&dense_input_gradient(&dy, &weight), &dy.matmul(&weight.t())) < 1e-4);
        let run = || vec![dense(&x, &weight, None), dense_input_gradient(&dy, &weight)];
        assert!(same_bits_for_any_threads(run));
    }

    #[test]
    #[should_panic(expected = "dense: x [2, 3] weight [4, 5] + bias None; expected [M, K] [K, N] + [N]")]
    fn shapes_that_do_not_fit_are_named() {
        dense(&noise::<f32>(&[2, 3], 0.0), &noise(&[4, 5], 0.0), None);
    }
}

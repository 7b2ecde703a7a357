//! Layer normalisation: every row by its own mean and variance (Ba, Kiros and Hinton, "Layer Normalization", 2016).
//!
//! A row stays in the first-level cache between the passes over it, so that each array is read from memory once.

use super::last_extent;
use crate::array::reduce::sum_of;
use crate::memory::rows::rewrite_rows;
use crate::parallel::{PIECE, map_ranges};
use crate::{Element, Tensor};

/// `y = gamma (x - mean) / √(variance + eps) + beta` along the last dimension, with the biased variance. Overwrites `x`
/// when it is the only owner.
///
/// # Panics
/// If `gamma` or `beta` is not as long as a row of `x`.
#[track_caller]
pub fn layer_norm<T: Element>(x: Tensor<T>, gamma: &Tensor<T>, beta: &Tensor<T>, eps: f64) -> Tensor<T> {
    let row = row_of("layer_norm", &x, [gamma, beta]);
    let (gamma, beta) = (gamma.to_vec(), beta.to_vec());
    rewrite_rows(x, row, |_, piece| {
        for x in piece.chunks_exact_mut(row) {
            let [mean, inv_std] = statistics(x, eps);
            for ((x, &gamma), &beta) in x.iter_mut().zip(&gamma).zip(&beta) {
                *x = (*x - mean) * inv_std * gamma + beta;
            }
        }
    })
}

/// The vector-Jacobian product of [`layer_norm`]: `(dx, dgamma, dbeta)`. With `x̂ = (x - mean) / std` and
/// `g = dy gamma`:
///
/// ```text
/// dx     = (g - mean(g) - x̂ mean(g x̂)) / std
/// dgamma = sum dy x̂
/// dbeta  = sum dy
/// ```
///
/// `x` and `dy` `[.., C]`, `gamma [C]`. The statistics are computed again, which costs less than to read them. `dx`
/// overwrites `dy` when that is the only owner.
///
/// # Panics
/// If `x` and `dy` differ in shape, or `gamma` is not as long as a row.
#[track_caller]
pub fn layer_norm_backward<T: Element>(
    x: &Tensor<T>,
    dy: Tensor<T>,
    gamma: &Tensor<T>,
    eps: f64,
) -> (Tensor<T>, Tensor<T>, Tensor<T>) {
    assert_eq!(x.shape(), dy.shape(), "layer_norm_backward: x and dy must have the same shape");
    let row = row_of("layer_norm_backward", x, [gamma, gamma]);
    let (source, dy) = (x.contiguous(), if dy.is_contiguous() { dy } else { dy.contiguous() });
    let (x, scale) = (source.data(), gamma.to_vec());
    let [dgamma, dbeta] = sums(x, dy.data(), row, eps);
    let count = T::from_f64(row.max(1) as f64);
    let dx = rewrite_rows(dy, row, |start, piece| {
        for (dy, x) in piece.chunks_exact_mut(row).zip(x[start..].chunks_exact(row)) {
            let [mean, inv_std] = statistics(x, eps);
            dy.iter_mut().zip(&scale).for_each(|(dy, &gamma)| *dy *= gamma);
            let offset = sum_of(dy, |g| g) / count;
            let slope = dot(dy, x, mean) * inv_std / count;
            for (g, &x) in dy.iter_mut().zip(x) {
                *g = (*g - offset - (x - mean) * inv_std * slope) * inv_std;
            }
        }
    });
    (dx, Tensor::from_vec(dgamma, &[row]), Tensor::from_vec(dbeta, &[row]))
}

/// `sum dy x̂` and `sum dy` over the rows, piece by piece in a fixed order.
fn sums<T: Element>(x: &[T], dy: &[T], row: usize, eps: f64) -> [Vec<T>; 2] {
    let rows = x.len().checked_div(row).unwrap_or(0);
    let pieces = map_ranges(rows, (PIECE / row.max(1)).max(1), |range| {
        let mut sums = [vec![T::ZERO; row], vec![T::ZERO; row]];
        let range = range.start * row..range.end * row;
        for (x, dy) in x[range.clone()].chunks_exact(row).zip(dy[range].chunks_exact(row)) {
            let [mean, inv_std] = statistics(x, eps);
            let [dgamma, dbeta] = &mut sums;
            for (((dgamma, dbeta), &x), &dy) in dgamma.iter_mut().zip(dbeta).zip(x).zip(dy) {
                *dgamma += dy * (x - mean) * inv_std;
                *dbeta += dy;
            }
        }
        sums
    });
    [0, 1].map(|which| {
        let total = |c: usize| pieces.iter().map(|piece| piece[which][c].as_f64()).sum();
        (0..row).map(|c| T::from_f64(total(c))).collect()
    })
}

/// The mean and `1 / √(variance + eps)`.
fn statistics<T: Element>(row: &[T], eps: f64) -> [T; 2] {
    let count = T::from_f64(row.len() as f64);
    let mean = sum_of(row, |x| x) / count;
    let variance = sum_of(row, |x| (x - mean) * (x - mean)) / count;
    [mean, T::ONE / (variance + T::from_f64(eps)).sqrt()]
}

/// `Σ g (x - mean)`, in lanes as [`sum_of`].
fn dot<T: Element>(g: &[T], x: &[T], mean: T) -> T {
    let mut lanes = [T::ZERO; 16];
    let (gs, xs) = (g.chunks_exact(16), x.chunks_exact(16));
    let tail: T = gs.remainder().iter().zip(xs.remainder()).map(|(&g, &x)| g * (x - mean)).sum();
    for (g, x) in gs.zip(xs) {
        for ((lane, &g), &x) in lanes.iter_mut().zip(g).zip(x) {
            *lane += g * (x - mean);
        }
    }
    lanes.iter().copied().sum::<T>() + tail
}

/// The length of a row.
#[track_caller]
fn row_of<T: Element>(operation: &str, x: &Tensor<T>, parameters: [&Tensor<T>; 2]) -> usize {
    let row = last_extent(operation, x);
    for parameter in parameters {
        assert!(
            parameter.shape() == [row],
            "{operation}: scales and shifts {:?} must have one value for each of the {row} numbers of a row",
            parameter.shape()
        );
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use approx::assert_relative_eq;

    #[test]
    fn rows_are_as_by_the_definition() {
        for (rows, row) in [(5, 1), (3, 7), (300, 40), (2, 1000)] {
            let [x, gamma, beta] = [(&[rows, row][..], 0.1), (&[row], 0.2), (&[row], 0.3)]
                .map(|(s, seed)| noise::<f64>(s, seed));
            let y = layer_norm(x.clone(), &gamma, &beta, 0.01).to_vec();
            for (r, x) in x.to_vec().chunks(row).enumerate() {
                let mean = x.iter().sum::<f64>() / row as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row as f64;
                for (c, x) in x.iter().enumerate() {
                    let expected = gamma.data()[c] * (x - mean) / (variance + 0.01).sqrt() + beta.data()[c];
                    assert_relative_eq!(y[r * row + c], expected, epsilon = 1e-12);
                }
            }
        }
    }

    #[test]
    fn gradients_have_the_same_bits_for_any_number_of_threads() {
        let (x, dy, gamma) =
            (noise::<f32>(&[4001, 9], 0.1), noise::<f32>(&[4001, 9], 0.2), noise::<f32>(&[9], 0.3));
        let run = |threads: usize| {
            let pool = crate::parallel::pool(threads).unwrap();
            let (dx, dgamma, dbeta) = pool.install(|| layer_norm_backward(&x, dy.clone(), &gamma, 1e-5));
            [dx, dgamma, dbeta].map(|t| t.to_vec())
        };
        assert_eq!(run(1), run(4));
    }
}

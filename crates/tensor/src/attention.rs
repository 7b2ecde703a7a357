//! Scaled dot-product attention of a sequence with itself, head by head.
//!
//! The `L x L` weights of a head are made for a block of rows at a time, used and forgotten, so that memory grows with
//! `L` and not with its square; the backward pass makes them again from the logarithm of each row's sum (Dao, Fu, Ermon,
//! Rudra and Ré, "FlashAttention", 2022, section 3.1; here only rows are cut into blocks). Queries, keys and values are
//! read where the dense layer before wrote them, without a copy of each head.

use crate::parallel::for_each_at_least;
use crate::products::gemm::multiply;
use crate::products::strided::Strided;
use crate::{Element, Tensor};

/// Rows of weights that are made at a time.
const ROWS: usize = 128;

/// The sizes of an attention: images, positions, heads, channels of a head.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    images: usize,
    len: usize,
    heads: usize,
    width: usize,
}

/// `softmax(q kᵀ / √d) v` of every head, and the logarithm of the sum of each row's exponentials (Vaswani et al.,
/// "Attention Is All You Need", 2017, equation 1).
///
/// `qkv [N, L, 3 C]`: queries, keys and values, in each the `heads` heads of `d = C / heads` channels; to `[N, L, C]`
/// and `[N, heads, L]`.
///
/// # Panics
/// If the shapes are not these.
#[track_caller]
pub fn attention<T: Element>(qkv: &Tensor<T>, heads: usize) -> (Tensor<T>, Tensor<T>) {
    let sizes = Sizes::of(qkv, heads);
    let Sizes { images, len, width, .. } = sizes;
    let qkv = qkv.contiguous();
    let mut outputs = vec![T::ZERO; images * heads * len * width];
    let mut sums = vec![T::ZERO; images * heads * len];
    let parts = outputs.chunks_mut((len * width).max(1)).zip(sums.chunks_mut(len.max(1))).enumerate();
    for_each_at_least(1, parts, |(index, (y, sums))| {
        let head = Head::new(&qkv, sizes, index);
        let mut weights = vec![T::ZERO; ROWS.min(len) * len];
        for (block, (y, sums)) in y.chunks_mut(ROWS * width).zip(sums.chunks_mut(ROWS)).enumerate() {
            let weights = &mut weights[..sums.len() * len];
            head.logits(block * ROWS, weights);
            for (row, sum) in weights.chunks_exact_mut(len).zip(sums.iter_mut()) {
                let largest = row.iter().copied().fold(T::neg_infinity(), |a, b| if a > b { a } else { b });
                // Of a row of -inf, the exponentials are 0.
                let shift = if largest == T::neg_infinity() { T::ZERO } else { largest };
                row.iter_mut().for_each(|x| *x -= shift);
                T::exp_slice(row);
                let total: T = crate::array::reduce::sum_of(row, |x| x);
                let factor = if total == T::ZERO { T::ZERO } else { T::ONE / total };
                row.iter_mut().for_each(|x| *x *= factor);
                *sum = shift + total.ln();
            }
            multiply([sums.len(), len, width], (weights, [len, 1]), head.values(), y);
        }
    });
    let outputs = Tensor::from_vec(outputs, &[images, heads, len, width]);
    let outputs = outputs.permute(&[0, 2, 1, 3]).contiguous().reshape(&[images, len, heads * width]);
    (outputs, Tensor::from_vec(sums, &[images, heads, len]))
}

/// The vector-Jacobian product of [`attention`], from its inputs, its two results and the gradient `dy [N, L, C]` of
/// the first: `[N, L, 3 C]`. With the weights `P`, `dv = Pᵀ dy`, `dS = P (dy vᵀ - Σ_c dy y)`, `dq = dS k / √d`,
/// `dk = dSᵀ q / √d`.
///
/// # Panics
/// If the shapes are not those of the forward pass.
#[track_caller]
pub fn attention_backward<T: Element>(
    qkv: &Tensor<T>,
    heads: usize,
    (y, sums): (&Tensor<T>, &Tensor<T>),
    dy: &Tensor<T>,
) -> Tensor<T> {
    let sizes = Sizes::of(qkv, heads);
    let Sizes { images, len, width, .. } = sizes;
    assert_eq!(y.shape(), dy.shape(), "attention_backward: y and dy must have the same shape");
    let (qkv, y, dy) = (qkv.contiguous(), y.contiguous(), dy.contiguous());
    let sums = sums.contiguous();
    let size = len * width;
    let mut gradients = vec![T::ZERO; images * heads * 3 * size];
    for_each_at_least(1, gradients.chunks_mut((3 * size).max(1)).enumerate(), |(index, gradient)| {
        let head = Head::new(&qkv, sizes, index);
        let (dq, rest) = gradient.split_at_mut(size);
        let (dk, dv) = rest.split_at_mut(size);
        let (mut weights, mut slopes) =
            (vec![T::ZERO; ROWS.min(len) * len], vec![T::ZERO; ROWS.min(len) * len]);
        let mut part = vec![T::ZERO; size];
        for first in (0..len).step_by(ROWS) {
            let rows = ROWS.min(len - first);
            let (weights, slopes) = (&mut weights[..rows * len], &mut slopes[..rows * len]);
            head.logits(first, weights);
            let dy = head.rows_of(dy.data(), first);
            let y = head.rows_of(y.data(), first);
            let (values, [step, _]) = head.values();
            multiply([rows, width, len], dy, (values, [1, step]), slopes);
            let sums = &sums.data()[index * len + first..][..rows];
            for (row, ((weights, slopes), &sum)) in
                weights.chunks_exact_mut(len).zip(slopes.chunks_exact_mut(len)).zip(sums).enumerate()
            {
                let shift = if sum == T::neg_infinity() { T::ZERO } else { sum };
                weights.iter_mut().for_each(|x| *x -= shift);
                T::exp_slice(weights);
                let [dy, y] = [dy, y].map(|(x, [step, _])| &x[row * step..][..width]);
                let mean: T = dy.iter().zip(y).map(|(&dy, &y)| dy * y).sum();
                slopes.iter_mut().zip(&*weights).for_each(|(s, &p)| *s = p * (*s - mean) * head.scale);
            }
            multiply(
                [rows, len, width],
                (slopes, [len, 1]),
                head.keys(),
                &mut dq[first * width..][..rows * width],
            );
            multiply([len, rows, width], (slopes, [1, len]), head.rows(0, first), &mut part);
            dk.iter_mut().zip(&part).for_each(|(sum, &part)| *sum += part);
            multiply([len, rows, width], (weights, [1, len]), dy, &mut part);
            dv.iter_mut().zip(&part).for_each(|(sum, &part)| *sum += part);
        }
    });
    let gradients = Tensor::from_vec(gradients, &[images, heads, 3, len, width]);
    gradients.permute(&[0, 3, 2, 1, 4]).contiguous().reshape(&[images, len, 3 * heads * width])
}

impl Sizes {
    #[track_caller]
    fn of<T: Element>(qkv: &Tensor<T>, heads: usize) -> Self {
        let &[images, len, channels] = qkv.shape() else {
            panic!("self_attention: qkv {:?} must be [N, L, 3 C]", qkv.shape())
        };
        assert!(
            heads > 0 && channels.is_multiple_of(3 * heads),
            "self_attention: qkv {:?} must be [N, L, 3 C] with C a multiple of the {heads} heads",
            qkv.shape()
        );
        Self { images, len, heads, width: channels / (3 * heads) }
    }
}

/// One head of one image.
struct Head<'a, T> {
    qkv: &'a [T],
    sizes: Sizes,
    image: usize,
    head: usize,
    /// `1 / √d`.
    scale: T,
}

impl<'a, T: Element> Head<'a, T> {
    fn new(qkv: &'a Tensor<T>, sizes: Sizes, index: usize) -> Self {
        let (image, head) = (index / sizes.heads, index % sizes.heads);
        let scale = T::from_f64(1.0 / (sizes.width as f64).sqrt());
        Self { qkv: qkv.data(), sizes, image, head, scale }
    }

    /// The queries (0), keys (1) or values (2) from row `first` on.
    fn rows(&self, part: usize, first: usize) -> Strided<'a, T> {
        let Sizes { len, heads, width, .. } = self.sizes;
        let step = 3 * heads * width;
        let start = (self.image * len + first) * step + (part * heads + self.head) * width;
        (&self.qkv[start..], [step, 1])
    }

    fn keys(&self) -> Strided<'a, T> {
        self.rows(1, 0)
    }

    fn values(&self) -> Strided<'a, T> {
        self.rows(2, 0)
    }

    /// This head's part of `x [N, L, C]` from row `first` on.
    fn rows_of<'b>(&self, x: &'b [T], first: usize) -> Strided<'b, T> {
        let Sizes { len, heads, width, .. } = self.sizes;
        let step = heads * width;
        (&x[(self.image * len + first) * step + self.head * width..], [step, 1])
    }

    /// `q kᵀ / √d` of as many rows as `out` has, from row `first` on.
    fn logits(&self, first: usize, out: &mut [T]) {
        let Sizes { len, width, .. } = self.sizes;
        let (keys, [step, _]) = self.keys();
        multiply([out.len() / len, width, len], self.rows(0, first), (keys, [1, step]), out);
        out.iter_mut().for_each(|x| *x *= self.scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use approx::assert_relative_eq;

    /// By whole matrices.
    fn naive(qkv: &Tensor<f64>, heads: usize) -> Tensor<f64> {
        let &[n, len, channels] = qkv.shape() else { unreachable!() };
        let d = channels / 3 / heads;
        let parts = qkv.reshape(&[n, len, 3, heads, d]).permute(&[2, 0, 3, 1, 4]).contiguous();
        let part = |index| parts.narrow(0, index, 1).reshape(&[n, heads, len, d]);
        let logits = part(0).batched_matmul(&part(1).permute(&[0, 1, 3, 2])).scale(1.0 / (d as f64).sqrt());
        let y = crate::softmax::softmax(&logits).batched_matmul(&part(2));
        y.permute(&[0, 2, 1, 3]).contiguous().reshape(&[n, len, channels / 3])
    }

    #[test]
    fn heads_are_as_by_whole_matrices() {
        for (n, len, heads, d) in [(2, 5, 2, 3), (1, 300, 1, 8), (3, 1, 4, 2), (0, 4, 2, 2)] {
            let qkv = noise::<f64>(&[n, len, 3 * heads * d], 0.1);
            let (y, _) = attention(&qkv, heads);
            for (found, expected) in y.to_vec().into_iter().zip(naive(&qkv, heads).to_vec()) {
                assert_relative_eq!(found, expected, epsilon = 1e-12);
            }
        }
    }

    #[test]
    fn gradients_of_several_blocks_of_rows_are_those_of_finite_differences() {
        let (len, heads) = (ROWS + 3, 2);
        let qkv = noise::<f64>(&[1, len, 12], 0.1);
        let dy = noise::<f64>(&[1, len, 4], 0.2);
        let loss = |qkv: &Tensor<f64>| (attention(qkv, heads).0 * dy.clone()).sum_all().item();
        let (y, sums) = attention(&qkv, heads);
        let gradient = attention_backward(&qkv, heads, (&y, &sums), &dy).to_vec();
        for place in (0..qkv.len()).step_by(37) {
            let at = |by: f64| {
                loss(&Tensor::from_fn(qkv.shape(), |i| qkv.data()[i] + if i == place { by } else { 0.0 }))
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert_relative_eq!(gradient[place], difference, epsilon = 1e-8, max_relative = 1e-6);
        }
    }
}

//! Shared by the losses of aligned boxes: each is a weighted sum over pairs of a
//! predicted box and its target; only the term of a pair differs.

use cerberus_tensor::{Element, Tensor};

use super::pieces::rewrite_rows;
use super::{assert_normaliser, assert_same_shape};

/// The targets `[M, 4]` of predicted boxes, their weights `[M]`, and the divisor of the sum.
pub(super) struct BoxPairs<T: Element> {
    target: Tensor<T>,
    weights: Option<Tensor<T>>,
    normaliser: f64,
}

impl<T: Element> BoxPairs<T> {
    /// Pairs of boxes of `shape` with `target`, for the loss of this name.
    ///
    /// # Panics
    /// If the boxes are not `[M, 4]` in both tensors, the weights not `[M]`, or the
    /// normaliser not positive.
    #[track_caller]
    pub(super) fn new(
        loss: &str,
        shape: &[usize],
        target: Tensor<T>,
        weights: Option<Tensor<T>>,
        normaliser: f64,
    ) -> Self {
        assert!(shape.len() == 2 && shape[1] == 4, "{loss}: boxes must be [M, 4], found {shape:?}");
        assert_same_shape(loss, shape, "target", target.shape());
        assert_normaliser(loss, normaliser);
        if let Some(weights) = &weights {
            assert!(
                weights.shape() == [shape[0]],
                "{loss}: boxes of shape {shape:?} need weights of shape [{}], found {:?}",
                shape[0],
                weights.shape()
            );
        }
        let weights = weights.map(|weights| weights.contiguous());
        Self { target: target.contiguous(), weights, normaliser }
    }

    /// The weighted sum of `pair(box, target)` and its gradient, written over the boxes. `pair` gives a value
    /// and its derivatives with respect to the corners of the first box.
    pub(super) fn rewrite(
        &self,
        boxes: Tensor<T>,
        pair: impl Fn([f64; 4], [f64; 4]) -> (f64, [f64; 4]) + Sync,
    ) -> (f64, Tensor<T>) {
        let (target, weights) = (self.target.data(), self.weights.as_ref().map(|w| w.data()));
        let corners = |values: &[T]| std::array::from_fn(|corner| values[corner].as_f64());
        rewrite_rows(boxes, 4, |first, rows| {
            let mut sum = 0.0;
            for (place, row) in rows.chunks_exact_mut(4).enumerate() {
                let index = first + place;
                let weight = weights.map_or(1.0, |w| w[index].as_f64()) / self.normaliser;
                let (loss, gradient) = pair(corners(row), corners(&target[4 * index..]));
                sum += weight * loss;
                row.iter_mut().zip(gradient).for_each(|(x, dx)| *x = T::from_f64(weight * dx));
            }
            sum
        })
    }
}

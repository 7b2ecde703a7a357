//! Shared by the losses' samples: random boxes, and targets in the syntax of the
//! program that computes the reference values.

use cerberus_tensor::Element;

pub(super) use cerberus_autograd::proof::prelude::*;

/// A tensor in the syntax of the reference program, with all digits.
pub(super) fn python<T: Element>(x: &Tensor<T>) -> String {
    format!("constant({:?}, {:?})", x.to_vec(), x.shape())
}

/// Random boxes `x1, y1, x2, y2`, `[count, 4]`, for samples.
pub(super) fn sample_boxes(seed: u64, count: usize) -> Tensor<f64> {
    // Corners lie between -1.5 and 1.5, so these are in order.
    sample(seed, &[count, 4]) + Tensor::from_vec(vec![0.0, 0.0, 3.5, 3.5], &[4])
}

//! Losses: fused operations from predictions and targets to one number.
//!
//! A loss is the last operation, so the gradient that reaches it is a single
//! number and its own gradient can be computed together with its value, in the
//! same pass, and in the memory of the predictions if nothing else uses them. The
//! backward rule then only scales. Targets are plain tensors or class ids and are
//! never differentiated. Sums run in `f64`, piece by piece in a fixed order: the
//! same bits for any number of threads.
//!
//! Every loss has its samples beside it (feature `proofs`), in the list `cases`, in
//! the same way as the operations of `cerberus_autograd`.

#[cfg(feature = "proofs")]
use cerberus_autograd::gradcheck::Case;
#[cfg(feature = "proofs")]
use cerberus_autograd::proof::OpInfo;
use cerberus_autograd::{Gradient, one};
use cerberus_tensor::{Element, Tensor};

mod box_pairs;
pub mod class_weights;
pub(crate) mod labels;
mod logistic;
pub(crate) mod pieces;
#[cfg(feature = "proofs")]
mod samples;

macro_rules! losses {
    ($($module:ident::{$struct:ident, $($name:ident),*}),* $(,)?) => {
        $(mod $module; pub use $module::{$struct, $($name),*};)*

        /// Every loss, for the checks and the reference.
        #[cfg(feature = "proofs")]
        pub fn all() -> Vec<OpInfo> {
            vec![$(OpInfo::of::<$struct<f64>>()),*]
        }
    };
}

pub use labels::ClassId;

/// The samples of every loss, for the gradient check.
#[cfg(feature = "proofs")]
pub fn cases() -> Vec<Case> {
    all().into_iter().flat_map(|info| (info.cases)()).collect()
}

losses! {
    cross_entropy::{CrossEntropyLoss, CrossEntropy, cross_entropy, cross_entropy_with},
    binary_cross_entropy::{BinaryCrossEntropyLoss, binary_cross_entropy},
    focal::{FocalLoss, Focal, focal},
    gaussian_focal::{GaussianFocalLoss, gaussian_focal},
    smooth_l1::{SmoothL1Loss, smooth_l1, l1},
    giou::{GiouLoss, giou},
    box_iou::{BoxIouLoss, BoxOverlap, box_iou},
    dice::{DiceLoss, Dice, DiceForm, dice, dice_with},
}

/// What the forward rule of a fused loss saves for the backward rule: the
/// gradient for an incoming gradient of 1.
type SavedGradient<T> = Option<Tensor<T>>;

/// The result of a fused loss's backward rule: the saved gradient times `dy`.
fn scaled<T: Element>(kept: &SavedGradient<T>, dy: Tensor<T>) -> Vec<Option<Gradient<T>>> {
    let gradient = kept.clone().expect("the forward rule runs before the backward rule");
    let dy = dy.item();
    one(if dy == T::ONE { gradient } else { gradient.scale(dy) })
}

/// # Panics
/// If `other` does not have the shape of the predictions.
#[track_caller]
fn assert_same_shape(loss: &str, predictions: &[usize], what: &str, other: &[usize]) {
    assert!(
        predictions == other,
        "{loss}: predictions of shape {predictions:?} need a {what} of the same shape, found {other:?}"
    );
}

/// Weights stretched to one for every prediction.
///
/// # Panics
/// If they do not stretch to the shape of the predictions.
#[track_caller]
fn spread<T: Element>(loss: &str, predictions: &[usize], weights: Option<Tensor<T>>) -> Option<Tensor<T>> {
    weights.map(|weights| {
        let shape = cerberus_tensor::Shape::new(predictions);
        assert!(
            weights.dims().broadcast(&shape) == Some(shape),
            "{loss}: weights of shape {:?} do not stretch to the predictions' shape {predictions:?}",
            weights.shape()
        );
        weights.broadcast_to(predictions).contiguous()
    })
}

/// # Panics
/// Unless the normaliser is positive.
#[track_caller]
fn assert_normaliser(loss: &str, normaliser: f64) {
    assert!(
        normaliser.is_finite() && normaliser > 0.0,
        "{loss}: the normaliser {normaliser} must be a positive number; pass at least 1 when nothing is counted"
    );
}

#[cfg(all(test, feature = "proofs"))]
mod tests;

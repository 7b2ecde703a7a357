//! Losses: fused operations from predictions and targets to one number.
//!
//! A loss is the last operation, so the gradient that reaches it is a single
//! number and its own gradient can be computed together with its value, in the
//! same pass, and in the memory of the predictions if nothing else uses them. The
//! backward rule then only scales. Targets are plain tensors or class ids and are
//! never differentiated. Sums run in `f64`, piece by piece in a fixed order: the
//! same bits for any number of threads.
//!
//! Losses over pairs of vectors, and others that a network has few of, are plain
//! functions made of operations; they offer gradients of gradients too.
//!
//! Every loss returns one number, and its documentation says which: the mean over what
//! counts (PyTorch's `reduction="mean"`), or a sum divided by a normaliser that the
//! caller gives. A sum is the mean times the count, or the sum with 1 as normaliser.
//! There is no list of the terms (`"none"`): a fused loss saves the gradient of its
//! one number. Where terms are to be weighted, give the weights.
//!
//! Every loss has its samples beside it (feature `proofs`), in the list `cases`, in
//! the same way as the operations of `cerberus_autograd`.

#[cfg(feature = "proofs")]
use cerberus_autograd::gradcheck::Case;
#[cfg(feature = "proofs")]
use cerberus_autograd::proof::OpInfo;
use cerberus_autograd::{Gradient, Var, one};
use cerberus_tensor::{Element, Tensor};

mod box_pairs;
pub mod class_weights;
mod given_probabilities;
pub(crate) mod labels;
mod logistic;
pub(crate) mod pieces;
mod regions;
#[cfg(feature = "proofs")]
mod samples;

macro_rules! losses {
    ($($module:ident::{$struct:ident $(($composed:ident))?, $($name:ident),*}),* $(,)?) => {
        $(mod $module; pub use $module::{$struct, $($name),*};)*

        /// Every loss, for the checks and the reference.
        #[cfg(feature = "proofs")]
        pub fn all() -> Vec<OpInfo> {
            vec![$(losses!(@info $struct $($composed)?)),*]
        }
    };
    // A loss with a rule of its own has it for every element type; one that is composed of operations has none.
    (@info $struct:ident) => { OpInfo::of::<$struct<f64>>() };
    (@info $struct:ident $composed:ident) => { OpInfo::of::<$struct>() };
}

pub use labels::ClassId;

/// The samples of every loss, for the gradient check.
#[cfg(feature = "proofs")]
pub fn cases() -> Vec<Case> {
    all().into_iter().flat_map(|info| (info.cases)()).collect()
}

losses! {
    cross_entropy::{CrossEntropyLoss, CrossEntropy, cross_entropy, cross_entropy_with},
    soft_cross_entropy::{SoftCrossEntropyLoss, cross_entropy_soft},
    nll::{NllLoss (composed), nll},
    kl_div::{KlDivLoss (composed), KlTarget, kl_div},
    binary_cross_entropy::{BinaryCrossEntropyLoss, binary_cross_entropy, binary_cross_entropy_with},
    focal::{FocalLoss, Focal, focal},
    gaussian_focal::{GaussianFocalLoss, gaussian_focal},
    mse::{MseLoss, mse},
    smooth_l1::{SmoothL1Loss, smooth_l1, l1, huber},
    hinge::{HingeLoss (composed), hinge, squared_hinge},
    multi_margin::{MultiMarginLoss (composed), MultiMargin, multi_margin},
    cosine_similarity::{CosineSimilarity (composed), cosine_similarity},
    cosine_embedding::{CosineEmbeddingLoss (composed), cosine_embedding},
    triplet_margin::{TripletMarginLoss (composed), TripletMargin, triplet_margin},
    contrastive::{ContrastiveLoss (composed), contrastive},
    supervised_contrastive::{SupervisedContrastiveLoss (composed), info_nce, nt_xent, supervised_contrastive},
    giou::{GiouLoss, giou},
    box_iou::{BoxIouLoss, BoxOverlap, box_iou},
    distribution_focal::{DistributionFocalLoss (composed), distribution_focal, expected_distance},
    dice::{DiceLoss, Dice, DiceForm, dice, dice_with},
    tversky::{TverskyLoss, Tversky, tversky},
    lovasz_softmax::{LovaszSoftmaxLoss, lovasz_softmax},
    lovasz_hinge::{LovaszHingeLoss, lovasz_hinge},
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
/// If there is not one label for each of the pairs of vectors of `shape`.
#[track_caller]
fn assert_labels_of_pairs(loss: &str, shape: &[usize], pairs: usize, same: &[bool]) {
    assert!(
        same.len() == pairs,
        "{loss}: vectors of shape {shape:?} need one label for each of {pairs} pairs, found {}",
        same.len()
    );
}

/// 1 where `same` is true and 0 elsewhere, and the reverse.
fn indicators<T: Element>(same: &[bool]) -> [Tensor<T>; 2] {
    [true, false]
        .map(|kind| Tensor::from_fn(&[same.len()], |i| if same[i] == kind { T::ONE } else { T::ZERO }))
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

/// The given normaliser, or the number of elements (at least 1).
///
/// # Panics
/// Unless the normaliser is positive.
#[track_caller]
fn normaliser_or_count(loss: &str, given: impl Into<Option<f64>>, count: usize) -> f64 {
    let normaliser = given.into().unwrap_or(count.max(1) as f64);
    assert_normaliser(loss, normaliser);
    normaliser
}

/// The mean of all elements, 0 if there are none.
fn mean<T: Element>(terms: Var<T>) -> Var<T> {
    let count = terms.value().len().max(1);
    terms.sum_all().scale(1.0 / count as f64)
}

/// For pairs of vectors `[.., D]`: the last axis and the number of pairs.
///
/// # Panics
/// If the shapes differ or there is no dimension.
#[track_caller]
fn pairs_of_vectors<T: Element>(loss: &str, a: &Var<T>, b: &Var<T>) -> (usize, usize) {
    let (a, b) = (a.shape(), b.shape());
    let Some((_, outer)) = a.split_last().filter(|_| a == b) else {
        panic!("{loss}: vectors must be [.., D], both of one shape, found {a:?} and {b:?}");
    };
    (outer.len(), outer.iter().product())
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

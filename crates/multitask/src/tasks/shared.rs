//! Shared by several heads: unpacking outputs, finding labels, and the loss of a
//! class, weighted against class imbalance.

use cerberus_autograd::Var;
use cerberus_data::{Batch, ClassId, IGNORED, Label};
use cerberus_nn::losses::{CrossEntropy, Focal, cross_entropy_with, focal};
use cerberus_tensor::conv::Padding;
use cerberus_tensor::pooling::{Pool2dSpec, max_pool2d};
use cerberus_tensor::{Element, Tensor, sigmoid};

use super::annotated::{held, judged, partly_annotated};
use super::{BBox, Detection, HeadOutput, Prediction};
use crate::features::select;
use crate::head_config::{HeadConfig, HeadOptions};
use cerberus_metrics::boxes;

/// The outputs as an array.
pub(super) fn outputs<T: Element, const N: usize>(output: HeadOutput<T>) -> [Var<T>; N] {
    let found = output.maps.len();
    output.maps.try_into().unwrap_or_else(|_| panic!("a head of {N} outputs was given {found}"))
}

/// The places of the labels that are present.
pub(super) fn present<V>(labels: &[Option<V>]) -> Vec<usize> {
    (0..labels.len()).filter(|&place| labels[place].is_some()).collect()
}

/// The class of every image under a label, in the form that the loss takes.
pub(super) fn class_targets(batch: &Batch, label: &str) -> Vec<ClassId> {
    let classes = batch.classes_of(label).into_iter();
    classes.map(|class| class.map_or(IGNORED, |class| class as ClassId)).collect()
}

/// The loss of logits `[N, C]` against the classes of a batch under the head's label: [`class_loss`], or, if samples
/// were mixed into shares of classes `q_ic`, the cross-entropy with those,
/// `1/W sum_i sum_c a_ic (ln sum_k exp(x_ik) - x_ic)` with `a_ic = (1 - s) w_c q_ic + s/C w_c`,
/// `W = sum_i sum_c w_c q_ic`, class weights `w` and label smoothing `s` (Zhang et al., "mixup", 2018).
/// For whole classes both are the same. The focal loss has no form for shares and takes the class with the largest
/// share.
///
/// For an image whose set does not [annotate](super::annotated) all classes, the sums over `c` and `k` are over the `C`
/// classes that are judged there.
#[track_caller]
pub(super) fn label_loss<T: Element>(logits: Var<T>, batch: &Batch, head: &HeadConfig) -> Var<T> {
    let mixed = batch.more.iter().any(|more| matches!(more.get(&head.label), Some(Label::Shares(_))));
    if !mixed && partly_annotated(batch, head).is_none() {
        return class_loss(logits, &class_targets(batch, &head.label), &head.options);
    }
    let classes = head.outputs();
    let shares = batch.shares_of(&head.label, classes);
    let share = |place: usize| shares[place / classes].as_ref().map(|own| f64::from(own[place % classes]));
    let shown = |place: usize| share(place).is_some_and(|share| share > 0.0);
    let judged = judged(batch, head, batch.len() * classes, shown);
    let logits = held(logits, judged.as_deref());
    if head.options.focal.is_some() {
        return class_loss(logits, &class_targets(batch, &head.label), &head.options);
    }
    share_loss(logits, share, judged.as_deref(), &head.options)
}

/// The cross-entropy of logits `[M, C]` with shares of classes; see [`label_loss`]. `share(place)` is the share of each
/// logit, `None` in rows that do not count; `judged` says which logits are judged.
#[track_caller]
pub(super) fn share_loss<T: Element>(
    logits: Var<T>,
    share: impl Fn(usize) -> Option<f64>,
    judged: Option<&[bool]>,
    options: &HeadOptions,
) -> Var<T> {
    let [rows, classes] = [logits.shape()[0], logits.shape()[1]];
    let weights = options.class_weights.clone().unwrap_or_else(|| vec![1.0; classes]);
    let smoothing = options.label_smoothing;
    let (mut target, mut total) = (Vec::with_capacity(rows * classes), 0.0);
    for row in 0..rows {
        let places = row * classes..(row + 1) * classes;
        let counts = |place: usize| judged.is_none_or(|judged| judged[place]);
        let spread = smoothing / places.clone().filter(|&place| counts(place)).count().max(1) as f64;
        for (place, weight) in places.zip(&weights) {
            let share = share(place).filter(|_| counts(place));
            total += weight * share.unwrap_or(0.0);
            target.push(weight * share.map_or(0.0, |share| (1.0 - smoothing) * share + spread));
        }
    }
    let scale = if total > 0.0 { -1.0 / total } else { 0.0 };
    let target = target.into_iter().map(|value| T::from_f64(value * scale)).collect();
    let target = Tensor::from_vec(target, &[rows, classes]);
    (adjusted(logits, options).log_softmax(1) * Var::constant(target)).sum_all()
}

/// The logits of heat maps `[N, rows, columns, C]` that are judged against a target: those of classes that are
/// annotated, and the centres of objects that are labelled anyway.
pub(super) fn judged_heat<T: Element>(
    heat: Var<T>,
    target: &Tensor<T>,
    batch: &Batch,
    head: &HeadConfig,
) -> Var<T> {
    let judged = judged(batch, head, target.len(), |place| target.data()[place] == T::ONE);
    held(heat, judged.as_deref())
}

/// The probabilities of a head whose only output is a logit per class, `[N, C]`.
pub(super) fn class_predictions<T: Element>(output: &HeadOutput<T>) -> Vec<Prediction> {
    let probabilities = output.maps[0].clone().detach().softmax(1).into_value();
    let row = |row: &[T]| Prediction::Classes(row.iter().map(|p| p.as_f64() as f32).collect());
    probabilities.contiguous().data().chunks_exact(probabilities.shape()[1]).map(row).collect()
}

/// The loss of logits `[.., C]` against class ids, without [`IGNORED`] ones: cross-entropy
/// with the head's class weights and smoothing, or, with a focal exponent, the sigmoid focal
/// loss of each class against the rest, a mean over elements that count, weights applied to
/// elements of their class. Logits are adjusted (Menon et al., "Long-tail learning via logit
/// adjustment", 2021, equation 10) in training only.
#[track_caller]
pub(super) fn class_loss<T: Element>(logits: Var<T>, target: &[ClassId], options: &HeadOptions) -> Var<T> {
    let logits = adjusted(logits, options);
    let Some(gamma) = options.focal else {
        let choices = CrossEntropy {
            class_weights: options.class_weights.clone(),
            label_smoothing: options.label_smoothing,
        };
        return cross_entropy_with(logits, target, &choices);
    };
    focal_by_class(logits, target, gamma, options.class_weights.as_deref())
}

/// The logits with each class's adjustment added.
#[track_caller]
fn adjusted<T: Element>(logits: Var<T>, options: &HeadOptions) -> Var<T> {
    let Some(adjustment) = &options.logit_adjustment else { return logits };
    let classes = *logits.shape().last().expect("logits have a rank");
    let values = adjustment.iter().map(|&v| T::from_f64(v)).collect();
    logits + Var::constant(Tensor::from_vec(values, &[classes]))
}

/// The focal loss of elements that count. A class weight `w` counts its elements
/// `w` times; they are gathered by class, because the loss has one weight.
fn focal_by_class<T: Element>(
    logits: Var<T>,
    target: &[ClassId],
    gamma: f64,
    weights: Option<&[f64]>,
) -> Var<T> {
    let classes = *logits.shape().last().expect("logits have a rank");
    let rows = logits.reshape(&[target.len(), classes]);
    let choices = Focal { alpha: 0.5, gamma };
    let even = vec![1.0; classes];
    let weights = weights.unwrap_or(&even);
    let counts = |row: &usize| usize::from(target[*row]) < classes;
    let total: f64 = target.iter().filter_map(|&id| weights.get(usize::from(id))).sum();
    let groups: Vec<(Vec<usize>, f64)> = if weights.iter().all(|weight| *weight == weights[0]) {
        vec![((0..target.len()).filter(counts).collect(), weights[0])]
    } else {
        let of = |class: usize| (0..target.len()).filter(|&row| usize::from(target[row]) == class).collect();
        weights.iter().enumerate().map(|(class, &weight)| (of(class), weight)).collect()
    };
    let mut sum: Option<Var<T>> = None;
    for (mine, weight) in groups {
        if mine.is_empty() || weight == 0.0 {
            continue;
        }
        let wanted = Tensor::from_fn(&[mine.len(), classes], |i| {
            if usize::from(target[mine[i / classes]]) == i % classes { T::ONE } else { T::ZERO }
        });
        // An alpha of 0.5 halves both sides.
        let part = focal(select(rows.clone(), &mine), wanted, &choices, 1.0).scale(2.0 * weight / total);
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
    }
    sum.unwrap_or_else(|| rows.sum_all().scale(0.0))
}

/// The most objects in one image, as in COCO's protocol.
pub(super) const MOST: usize = 100;

/// The local maxima of heat maps `[N, rows, columns, classes]` of logits as
/// objects, the highest first: the positions that are the highest in their 3x3
/// neighbourhood. `bbox(image, cell)` gives the box of a position.
pub(super) fn heat_peaks<T: Element>(
    heat: &Tensor<T>,
    bbox: impl Fn(usize, usize) -> BBox,
) -> Vec<Prediction> {
    let window = Pool2dSpec { kernel: [3, 3], stride: [1, 1], padding: Padding::all(1) };
    let (highest, _) = max_pool2d(heat, &window);
    let (classes, images) = (heat.shape()[3], heat.shape()[0]);
    let (heat, highest) = (heat.contiguous(), highest.contiguous());
    let per_image = heat.len() / images.max(1);
    let peaks = |image: usize| {
        let range = image * per_image..(image + 1) * per_image;
        let (heat, highest) = (&heat.data()[range.clone()], &highest.data()[range]);
        let mut found: Vec<usize> = (0..per_image).filter(|&i| heat[i] == highest[i]).collect();
        found.sort_by(|&a, &b| heat[b].as_f64().total_cmp(&heat[a].as_f64()).then(a.cmp(&b)));
        found.truncate(MOST);
        let detection = |&i: &usize| Detection {
            class: i % classes,
            score: sigmoid(heat[i]).as_f64() as f32,
            bbox: bbox(image, i / classes),
        };
        Prediction::Objects(found.iter().map(detection).collect())
    };
    (0..images).map(peaks).collect()
}

/// Non-maximum suppression: drops objects that overlap a more certain one of their class by more than `same`.
pub(super) fn suppressed(prediction: Prediction, same: f64) -> Prediction {
    let Prediction::Objects(found) = prediction else { return prediction };
    let bounds: Vec<_> = found.iter().map(|d| d.bbox).collect();
    let scores: Vec<_> = found.iter().map(|d| d.score).collect();
    let classes: Vec<_> = found.iter().map(|d| d.class).collect();
    let kept = boxes::class_wise_nms(&bounds, &scores, &classes, same);
    Prediction::Objects(kept.into_iter().take(MOST).map(|index| found[index]).collect())
}

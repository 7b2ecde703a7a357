//! How bad a prediction is, for the worst mistakes of a task.
//!
//! | prediction | worst first by |
//! |---|---|
//! | a class | the probability of a wrong class |
//! | several classes | the furthest that a probability is on the wrong side |
//! | boxes | the lowest quality, `sum of IoU / (matches + (missed + wrong) / 2)` over matches of one class, most certain first: the form of panoptic quality (Kirillov et al., "Panoptic Segmentation", 2019, equation 1), here without an IoU threshold |
//! | a mask | the lowest mean IoU over the classes of the truth or the prediction |
//! | numbers | the largest mean absolute error |

use std::collections::BTreeMap;

use cerberus_data::{Batch, IGNORED};
use cerberus_metrics::argmax;
use cerberus_metrics::boxes::iou;
use cerberus_multitask::config::HeadConfig;
use cerberus_multitask::tasks::{Detection, Prediction};

use crate::report::SHOWN;

/// How bad a prediction for the sample at a place of a batch is (larger is worse), and what is wrong with it. `None` if
/// nothing is wrong, or there is no label.
pub(super) fn judge(
    head: &HeadConfig,
    prediction: &Prediction,
    at: (&Batch, usize),
) -> Option<(f64, String)> {
    let (batch, place) = at;
    let label = &head.label;
    let name = |class: usize| class_name(head, class);
    let judged = prediction.judged(head, batch, place);
    match judged.as_ref().unwrap_or(prediction) {
        Prediction::Classes(shares) => {
            let truth = batch.classes_of(label)[place]?;
            let best = argmax(shares)?;
            let sure = shares[best].into();
            (best != truth).then(|| (sure, format!("{} taken for {} ({sure:.2})", name(truth), name(best))))
        }
        Prediction::ClassSet(shares) => {
            let truth = batch.class_sets_of(label)[place]?;
            let miss = |(&share, &there): (&f32, &bool)| if there { 1.0 - share } else { share };
            let misses = shares.iter().zip(truth).map(miss).enumerate();
            let (class, miss) = misses.max_by(|a, b| a.1.total_cmp(&b.1))?;
            let what = if truth[class] { "not seen" } else { "seen where it is not" };
            (miss > 0.5).then(|| (miss.into(), format!("{} {what} ({:.2})", name(class), shares[class])))
        }
        Prediction::Objects(found) => {
            let objects = batch.objects_of(label)[place]?;
            let truth: Vec<_> = objects.iter().filter(|o| !o.crowd).map(|o| (o.class, o.bbox)).collect();
            let found: Vec<_> = found.iter().filter(|detection| detection.score >= SHOWN).collect();
            let (overlap, matches) = matched(&truth, &found);
            let (missed, wrong) = (truth.len() - matches, found.len() - matches);
            let all = matches as f64 + (missed + wrong) as f64 / 2.0;
            let quality = if all > 0.0 { overlap / all } else { 1.0 };
            let told = format!("quality {quality:.2}: {matches} of {} found, {wrong} too many", truth.len());
            // If nothing matches, the picture with more objects is worse.
            let badness = 1.0 - quality + 1e-6 * (missed + wrong) as f64;
            (quality < 1.0).then_some((badness, told))
        }
        Prediction::Mask(found) => {
            let truth = batch.masks_of(label)[place]?;
            let (mean, worst) = mean_iou(&truth.classes, found)?;
            let worst = if worst == 0 { "background".into() } else { name(worst - 1) };
            (mean < 1.0).then(|| (1.0 - mean, format!("mean IoU {mean:.2}, lowest: {worst}")))
        }
        Prediction::Values(found) => {
            let truth = batch.values_of(label)[place]?;
            mean_error(truth, found).map(|error| (error, format!("mean absolute error {error:.4}")))
        }
        Prediction::ValueMap(found) => {
            let truth = batch.value_maps_of(label)[place]?;
            mean_error(&truth.values, found).map(|error| (error, format!("mean absolute error {error:.4}")))
        }
    }
}

/// The sum of the overlaps and the number of matches between objects and detections of their class, each matched once,
/// the most certain detections first.
fn matched(truth: &[(usize, [f32; 4])], found: &[&Detection]) -> (f64, usize) {
    let mut free: Vec<bool> = vec![true; truth.len()];
    let (mut sum, mut matches) = (0.0, 0);
    for detection in found {
        let open = (0..truth.len()).filter(|&place| free[place] && truth[place].0 == detection.class);
        let overlaps = open.map(|place| (place, iou(&truth[place].1, &detection.bbox)));
        let best = overlaps.max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((place, overlap)) = best.filter(|(_, overlap)| *overlap > 0.0) {
            free[place] = false;
            sum += overlap;
            matches += 1;
        }
    }
    (sum, matches)
}

/// The mean IoU over the classes of both masks, and the class of the truth with the lowest IoU (of equal ones, the
/// largest class); `None` if no pixel counts.
fn mean_iou(truth: &[u16], found: &[u16]) -> Option<(f64, usize)> {
    // Of each class: pixels of both, of the truth, and of the prediction.
    let mut counts: BTreeMap<u16, [u64; 3]> = BTreeMap::new();
    for (&t, &p) in truth.iter().zip(found).filter(|(t, _)| **t != IGNORED) {
        counts.entry(t).or_default()[0] += u64::from(t == p);
        counts.entry(t).or_default()[1] += 1;
        counts.entry(p).or_default()[2] += 1;
    }
    let iou = |[both, t, p]: &[u64; 3]| *both as f64 / (t + p - both) as f64;
    let of_truth = counts.iter().filter(|(_, counts)| counts[1] > 0);
    let lowest = of_truth.min_by(|(_, a), (_, b)| iou(a).total_cmp(&iou(b)).then(b[1].cmp(&a[1])))?;
    Some((counts.values().map(iou).sum::<f64>() / counts.len() as f64, usize::from(*lowest.0)))
}

/// The mean error over the known values; `None` if none is known, or nothing is wrong.
fn mean_error(truth: &[f32], found: &[f32]) -> Option<f64> {
    let errors =
        truth.iter().zip(found).map(|(t, p)| f64::from((t - p).abs())).filter(|error| error.is_finite());
    let (sum, count) = errors.fold((0.0, 0_u32), |(sum, count), error| (sum + error, count + 1));
    (sum > 0.0).then(|| sum / f64::from(count))
}

fn class_name(head: &HeadConfig, class: usize) -> String {
    head.classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(class: usize, bbox: [f32; 4], score: f32) -> Detection {
        Detection { class, score, bbox }
    }

    #[test]
    fn each_object_is_matched_once_by_a_box_of_its_class() {
        let here = [0.0, 0.0, 10.0, 10.0];
        let half = [0.0, 0.0, 10.0, 5.0];
        let found = [detection(0, half, 0.9), detection(0, here, 0.8), detection(1, here, 0.7)];
        let found: Vec<&Detection> = found.iter().collect();
        assert_eq!(matched(&[(0, here)], &found), (0.5, 1), "the most certain takes it");
        assert_eq!(matched(&[(0, here), (0, half)], &found[..1]), (1.0, 1), "and takes the one it fits best");
        assert_eq!(matched(&[(2, here)], &found), (0.0, 0));
    }

    #[test]
    fn the_iou_of_a_picture_counts_the_classes_of_either_mask_and_no_ignored_pixel() {
        assert_eq!(mean_iou(&[0, 0, 1, IGNORED], &[0, 2, 1, 5]), Some(((0.5 + 1.0 + 0.0) / 3.0, 0)));
        assert_eq!(mean_iou(&[IGNORED], &[0]), None);
        assert_eq!(mean_error(&[1.0, f32::NAN], &[0.5, 0.0]), Some(0.5));
        assert_eq!(mean_error(&[f32::NAN], &[0.5]), None);
    }
}

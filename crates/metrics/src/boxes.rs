//! Axis-aligned boxes: area, overlap, clipping, and non-maximum suppression.
//!
//! A box is four numbers `x1, y1, x2, y2` in pixels; the right and bottom edges are exclusive, so its width is `x2 -
//! x1` without "+ 1". Coordinates are `f32`, as the network gives them. Overlaps are computed in `f64`, because a
//! comparison with a threshold should not depend on the rounding of a product of two lengths.

use std::cmp::Ordering;

/// A box as `[x1, y1, x2, y2]` in pixels, right and bottom edges exclusive.
pub type BBox = [f32; 4];

/// Area of a box in square pixels; 0 if it is empty, inverted or NaN.
///
/// ```
/// assert_eq!(cerberus_metrics::boxes::area(&[1.0, 1.0, 4.0, 3.0]), 6.0);
/// ```
pub fn area(bbox: &BBox) -> f64 {
    let [x1, y1, x2, y2] = bbox.map(f64::from);
    positive(x2 - x1) * positive(y2 - y1)
}

/// Intersection over union of two boxes, in [0, 1]; 0 if the union is empty or a coordinate is NaN.
///
/// ```
/// let iou = cerberus_metrics::boxes::iou(&[0.0, 0.0, 2.0, 2.0], &[1.0, 0.0, 3.0, 2.0]);
/// assert_eq!(iou, 2.0 / 6.0);
/// ```
pub fn iou(a: &BBox, b: &BBox) -> f64 {
    let [ax1, ay1, ax2, ay2] = a.map(f64::from);
    let [bx1, by1, bx2, by2] = b.map(f64::from);
    let intersection = positive(ax2.min(bx2) - ax1.max(bx1)) * positive(ay2.min(by2) - ay1.max(by1));
    let union = area(a) + area(b) - intersection;
    if union > 0.0 { intersection / union } else { 0.0 }
}

/// The part of a box inside an image of `width` x `height` pixels. A box completely outside becomes an empty box on the
/// border; a NaN coordinate becomes 0.
pub fn clip_to_image(bbox: &BBox, width: f32, height: f32) -> BBox {
    // Not `clamp`, which panics if the upper limit is below the lower one or NaN.
    let within = |value: f32, limit: f32| value.max(0.0).min(limit.max(0.0));
    [within(bbox[0], width), within(bbox[1], height), within(bbox[2], width), within(bbox[3], height)]
}

/// Greedy non-maximum suppression: takes boxes in descending order of score and drops those whose IoU with a box
/// already kept is **greater** than `iou_threshold`. Returns the indices kept, in descending order of score.
///
/// With equal scores, the lower index goes first. A NaN score counts as the lowest.
///
/// # Panics
/// When there are not as many scores as boxes.
#[track_caller]
pub fn nms(boxes: &[BBox], scores: &[f32], iou_threshold: f64) -> Vec<usize> {
    suppress(boxes, scores, iou_threshold, |_, _| true)
}

/// [`nms`] in which a box is only suppressed by boxes of its own class. Returns the indices kept, in descending order
/// of score over all classes.
///
/// # Panics
/// When the numbers of boxes, scores and classes differ.
#[track_caller]
pub fn class_wise_nms(boxes: &[BBox], scores: &[f32], classes: &[usize], iou_threshold: f64) -> Vec<usize> {
    assert!(
        boxes.len() == classes.len(),
        "class_wise_nms: {} boxes but {} classes; there must be one class per box",
        boxes.len(),
        classes.len()
    );
    suppress(boxes, scores, iou_threshold, |i, j| classes[i] == classes[j])
}

/// The greedy loop of both suppressions; `compete(i, j)` tells whether box `i` may suppress box `j`.
#[track_caller]
fn suppress(
    boxes: &[BBox],
    scores: &[f32],
    iou_threshold: f64,
    compete: impl Fn(usize, usize) -> bool,
) -> Vec<usize> {
    assert!(
        boxes.len() == scores.len(),
        "nms: {} boxes but {} scores; there must be one score per box",
        boxes.len(),
        scores.len()
    );
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|&i, &j| by_falling_score(scores[i].into(), scores[j].into()));
    let mut kept: Vec<usize> = Vec::new();
    for j in order {
        if !kept.iter().any(|&i| compete(i, j) && iou(&boxes[i], &boxes[j]) > iou_threshold) {
            kept.push(j);
        }
    }
    kept
}

/// Orders scores from high to low, NaN last (as numpy sorts `-scores`); with a stable sort, ties keep their order.
pub(crate) fn by_falling_score(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// A length, or 0 if it is negative or NaN.
fn positive(length: f64) -> f64 {
    length.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disjoint_touching_and_degenerate_boxes_do_not_overlap() {
        let unit = [0.0, 0.0, 1.0, 1.0];
        for other in [
            [2.0, 2.0, 3.0, 3.0],
            [1.0, 0.0, 2.0, 1.0],
            [0.5, 0.5, 0.5, 0.9],
            [0.9, 0.9, 0.1, 0.1],
            [f32::NAN, 0.0, 1.0, 1.0],
        ] {
            assert_eq!(iou(&unit, &other), 0.0, "{other:?}");
        }
        assert_eq!(iou(&unit, &unit), 1.0);
        assert_eq!(iou(&[0.0; 4], &[0.0; 4]), 0.0);
    }

    #[test]
    fn clipping_keeps_the_part_inside_the_image() {
        assert_eq!(clip_to_image(&[-3.0, 2.0, 70.0, 30.0], 64.0, 32.0), [0.0, 2.0, 64.0, 30.0]);
        assert_eq!(area(&clip_to_image(&[70.0, 2.0, 90.0, 30.0], 64.0, 32.0)), 0.0);
        assert_eq!(clip_to_image(&[f32::NAN; 4], 64.0, 32.0), [0.0; 4]);
    }

    #[test]
    fn equal_scores_keep_the_lower_index_and_nan_scores_come_last() {
        let same = [[0.0, 0.0, 4.0, 4.0]; 3];
        assert_eq!(nms(&same, &[0.5, 0.5, 0.5], 0.5), [0]);
        assert_eq!(nms(&same, &[f32::NAN, f32::NEG_INFINITY, f32::NAN], 1.0), [1, 0, 2]);
        assert_eq!(nms(&[], &[], 0.5), [] as [usize; 0]);
    }

    #[test]
    fn suppression_needs_an_overlap_strictly_above_the_threshold() {
        let boxes = [[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]]; // IoU exactly 0.5
        assert_eq!(nms(&boxes, &[0.9, 0.8], 0.5), [0, 1]);
        assert_eq!(nms(&boxes, &[0.9, 0.8], 0.49), [0]);
    }

    #[test]
    fn boxes_of_different_classes_do_not_suppress_each_other() {
        let same = [[0.0, 0.0, 4.0, 4.0]; 3];
        assert_eq!(class_wise_nms(&same, &[0.5, 0.9, 0.7], &[0, 1, 0], 0.5), [1, 2]);
    }
}

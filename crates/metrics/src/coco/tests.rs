//! Properties of the COCO metrics that the reference vectors do not cover.

use super::*;
use approx::assert_abs_diff_eq;

const BOX: BBox = [10.0, 10.0, 30.0, 30.0];

fn evaluate(images: &[(&[GroundTruth], &[Detection])], classes: usize) -> CocoReport {
    let mut evaluator = CocoEvaluator::new(classes);
    for (truths, detections) in images {
        evaluator.add_image(truths, detections);
    }
    evaluator.evaluate()
}

#[test]
fn nothing_to_find_scores_minus_one() {
    let report = evaluate(&[(&[], &[Detection::from_corners(0, BOX, 0.9)]), (&[], &[])], 1);
    assert_eq!(report.summary.map, -1.0);
    assert_eq!(report.summary.ar100, -1.0);
    assert_eq!(report.per_class[0].ap50, -1.0);
    assert_eq!(evaluate(&[], 0).summary.map, -1.0);
}

#[test]
fn objects_without_detections_score_zero_and_classes_without_objects_are_left_out() {
    let truth = [GroundTruth::from_corners(0, BOX)];
    let report = evaluate(&[(&truth, &[Detection::from_corners(2, BOX, 0.9)])], 3);
    assert_eq!((report.summary.map, report.summary.ar1), (0.0, 0.0));
    assert_eq!(report.per_class.iter().map(|class| class.ap).collect::<Vec<_>>(), [0.0, -1.0, -1.0]);
}

#[test]
fn nan_scores_and_boxes_do_not_panic_and_rank_last() {
    let truth = [GroundTruth::from_corners(0, BOX)];
    let wrong = Detection::from_corners(0, [50.0, 50.0, 60.0, 60.0], f32::NAN);
    let broken = Detection::from_corners(0, [f32::NAN, 10.0, 30.0, f32::NAN], 0.1);
    let right = Detection::from_corners(0, BOX, f32::NEG_INFINITY);
    let report = evaluate(&[(&truth, &[wrong, broken, right])], 1);
    assert!((report.summary.map - 0.5).abs() < 1e-12, "one miss before the hit, not two");
    evaluate(&[(&[GroundTruth::from_corners(0, [f32::NAN; 4])], &[wrong, broken, right])], 1);
}

#[test]
fn each_object_is_found_once_and_duplicates_are_misses() {
    let truth = [GroundTruth::from_corners(0, BOX), GroundTruth::from_corners(0, [40.0, 40.0, 60.0, 60.0])];
    let twice = [Detection::from_corners(0, BOX, 0.9), Detection::from_corners(0, BOX, 0.8)];
    assert_abs_diff_eq!(evaluate(&[(&truth, &twice)], 1).summary.ar100, 0.5, epsilon = 1e-12);
}

#[test]
fn a_difficult_object_is_neither_owed_nor_a_false_alarm() {
    let difficult = GroundTruth { ignore: true, ..GroundTruth::from_corners(0, BOX) };
    let other = [60.0, 60.0, 80.0, 80.0];
    let truth = [difficult, GroundTruth::from_corners(0, other)];
    let both = [Detection::from_corners(0, BOX, 0.9), Detection::from_corners(0, other, 0.8)];
    let report = evaluate(&[(&truth, &both)], 1);
    assert_abs_diff_eq!(report.summary.map, 1.0, epsilon = 1e-12);
    assert_eq!(report.per_class[0].ground_truths, 1);
}

#[test]
fn only_the_hundred_best_detections_of_an_image_and_class_count() {
    let truth = [GroundTruth::from_corners(0, BOX)];
    let mut many = vec![Detection::from_corners(0, [90.0, 90.0, 95.0, 95.0], 0.9); 100];
    many.push(Detection::from_corners(0, BOX, 0.1));
    assert_eq!(evaluate(&[(&truth, &many)], 1).summary.ar100, 0.0);
    many.swap_remove(0);
    assert_eq!(evaluate(&[(&truth, &many)], 1).summary.ar100, 1.0);
}

#[test]
#[should_panic(expected = "class 5, but there are 2 classes")]
fn a_class_beyond_the_evaluator_is_named() {
    CocoEvaluator::new(2).add_image(&[], &[Detection::from_corners(5, BOX, 0.5)]);
}

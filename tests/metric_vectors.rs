//! Accuracy, confusion-matrix scores and non-maximum suppression against `vectors/losses_metrics.json`,
//! computed in float64 with the field's reference libraries.

use cerberus::multitask::boxes::{BBox, nms};
use cerberus::multitask::metrics::{ConfusionMatrix, TopKAccuracy};
use serde_json::Value;

fn section(name: &str) -> Value {
    let file: Value = serde_json::from_str(include_str!("vectors/losses_metrics.json")).expect("valid JSON");
    file[name].clone()
}

/// The numbers of a list nested to any depth, in order.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(entries) => entries.iter().flat_map(flat).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

fn assert_close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().expect("a number");
    assert!((found - expected).abs() < 1e-12, "{what}: {found} but the reference gives {expected}");
}

fn assert_all_close(found: &[Option<f64>], expected: &Value, what: &str) {
    let expected = expected.as_array().expect("a list");
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert_close(f.expect("a value"), e, what);
    }
}

#[test]
fn segmentation_scores_equal_the_reference() {
    let case = section("segmentation_metrics");
    let mask = |key: &str| flat(&case[key]).iter().map(|&id| id as u8).collect::<Vec<u8>>();
    let mut matrix = ConfusionMatrix::new(case["num_classes"].as_u64().expect("a count") as usize);
    matrix.update(&mask("gt(ignore 255)"), &mask("pred"));

    let counts: Vec<f64> = (0..16).map(|index| matrix.count(index / 4, index % 4) as f64).collect();
    assert_eq!(counts, flat(&case["confusion[gt,pred]"]));
    assert_all_close(&matrix.iou_per_class(), &case["iou_per_class"], "IoU per class");
    assert_all_close(&matrix.dice_per_class(), &case["dice_per_class"], "Dice per class");
    assert_close(matrix.mean_iou(), &case["mIoU_nanmean(all classes with union>0)"], "mIoU");
    assert_close(matrix.mean_iou_of_present(), &case["mIoU_only_classes_in_gt"], "mIoU of present classes");
    assert_close(matrix.pixel_accuracy(), &case["pixel_acc"], "pixel accuracy");
    assert_close(matrix.mean_class_accuracy(), &case["mean_class_acc(gt present)"], "mean class accuracy");
    assert_close(matrix.frequency_weighted_iou(), &case["freq_weighted_iou"], "frequency weighted IoU");
}

#[test]
fn top_k_accuracy_and_classification_confusion_equal_the_reference() {
    let case = section("classification_metrics");
    let logits: Vec<f32> = flat(&case["logits"]).iter().map(|&x| x as f32).collect();
    let labels: Vec<usize> = flat(&case["y"]).iter().map(|&y| y as usize).collect();
    for (k, expected) in case["topk_acc"].as_object().expect("a map") {
        let mut accuracy = TopKAccuracy::new(k.parse().expect("a count"));
        accuracy.update(&logits, 5, &labels);
        assert_close(accuracy.value(), expected, &format!("top-{k} accuracy"));
    }

    let mut matrix = ConfusionMatrix::new(5);
    for (row, &label) in logits.chunks_exact(5).zip(&labels) {
        let best = (0..5).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("five classes");
        matrix.record(label, best);
    }
    let counts: Vec<f64> = (0..25).map(|index| matrix.count(index / 5, index % 5) as f64).collect();
    assert_eq!(counts, flat(&case["confusion[gt,pred]"]));
    assert_all_close(&matrix.accuracy_per_class(), &case["recall"], "recall");
    assert_all_close(&matrix.dice_per_class(), &case["f1"], "F1");
    assert_close(matrix.mean_dice(), &case["macro_f1"], "macro F1");
    assert_close(matrix.mean_class_accuracy(), &case["balanced_acc"], "balanced accuracy");
}

#[test]
fn suppression_keeps_the_boxes_the_reference_keeps() {
    for case in section("nms").as_array().expect("a list of cases") {
        let rows = case["boxes"].as_array().expect("boxes").iter();
        let boxes: Vec<BBox> = rows
            .map(|row| {
                let corners: Vec<f32> = flat(row).iter().map(|&x| x as f32).collect();
                corners.try_into().expect("four numbers")
            })
            .collect();
        let scores: Vec<f32> = flat(&case["scores"]).iter().map(|&x| x as f32).collect();
        let threshold = case["iou_thr"].as_f64().expect("a threshold");
        let kept: Vec<f64> = nms(&boxes, &scores, threshold).iter().map(|&index| index as f64).collect();
        assert_eq!(kept, flat(&case["keep"]), "IoU threshold {threshold}");
    }
}

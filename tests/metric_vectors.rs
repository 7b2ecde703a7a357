//! Accuracy, confusion-matrix scores and non-maximum suppression against `vectors/losses_metrics.json`,
//! computed in float64 with the field's reference libraries.

use cerberus::metrics::boxes::{BBox, nms};
use cerberus::metrics::{Calibration, ConfusionMatrix, TopKAccuracy, fit_temperature};
use cerberus::multitask::tasks::{centre_ness, gaussian_radius};
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
    let mask = |key: &str| {
        flat(&case[key])
            .iter()
            .map(|&id| if id == 255.0 { u16::MAX } else { id as u16 })
            .collect::<Vec<u16>>()
    };
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
    assert_all_close(&matrix.precision_per_class(), &case["precision"], "precision");
    assert_all_close(&matrix.accuracy_per_class(), &case["recall"], "recall");
    assert_all_close(&matrix.dice_per_class(), &case["f1"], "F1");
    assert_close(matrix.mean_dice(), &case["macro_f1"], "macro F1");
    assert_close(matrix.mean_class_accuracy(), &case["balanced_acc"], "balanced accuracy");
}

#[test]
fn calibration_equals_the_reference() {
    let case = section("classification_metrics");
    let logits = flat(&case["logits"]);
    let labels: Vec<usize> = flat(&case["y"]).iter().map(|&y| y as usize).collect();
    let measured = |bins: usize, temperature: f64| {
        let mut calibration = Calibration::new(bins);
        for (row, &label) in logits.chunks_exact(5).zip(&labels) {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = row.iter().map(|z| ((z - largest) / temperature).exp()).collect();
            let total: f64 = weights.iter().sum();
            let probabilities: Vec<f64> = weights.iter().map(|w| w / total).collect();
            calibration.record(&probabilities, label);
        }
        calibration
    };
    assert_close(measured(10, 1.0).expected_error(), &case["ece10"], "ECE, 10 bins");
    let calibration = measured(15, 1.0);
    assert_close(calibration.expected_error(), &case["ece15"], "ECE, 15 bins");
    assert_close(calibration.maximum_error(), &case["mce15"], "MCE, 15 bins");
    assert_close(calibration.negative_log_likelihood(), &case["nll"], "NLL");
    assert_close(calibration.brier(), &case["brier(sum over classes, mean over samples)"], "Brier");
    let scaling = &case["temperature_scaling"];
    let temperature = fit_temperature(&logits, 5, &labels);
    // The reference's own optimiser stops about 1e-8 from the minimum, where the likelihood is flat.
    assert!((temperature - scaling["T*"].as_f64().expect("a number")).abs() < 1e-6, "{temperature}");
    assert_close(measured(15, temperature).negative_log_likelihood(), &scaling["nll_at_T*"], "NLL at T*");
}

#[test]
fn detection_targets_equal_the_reference() {
    for case in section("gaussian_radius_min_overlap").as_array().expect("a list of cases") {
        let [h, w, overlap] = ["h", "w", "min_overlap"].map(|key| case[key].as_f64().expect("a number"));
        assert_close(gaussian_radius(h, w, overlap), &case["radius_float"], &format!("radius of {h} x {w}"));
    }
    let cases = section("fcos_centerness sqrt(min(l,r)/max(l,r)*min(t,b)/max(t,b)) (l,t,r,b)");
    for case in cases.as_array().expect("a list of cases") {
        let sides = flat(&case["ltrb"]);
        assert_close(centre_ness(sides[0], sides[1], sides[2], sides[3]), &case["c"], &format!("{sides:?}"));
    }
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

//! COCO scores against values computed with pycocotools 2.0.11 (`vectors/coco_map.json`): a case made by hand,
//! one with crowds and equal scores, and random ones.

use cerberus::metrics::coco::{CocoEvaluator, CocoReport, Detection, GroundTruth};
use serde_json::Value;

fn cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("vectors/coco_map.json")).expect("valid JSON");
    file["cases"].as_array().expect("a list of cases").clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// An image's entries of a list, as (class index, x, y, width, height, entry).
fn of_image<'a>(case: &'a Value, list: &str, image: &Value) -> Vec<(usize, [f64; 4], &'a Value)> {
    let categories = case["categories"].as_array().expect("categories");
    let entries = case[list].as_array().expect("a list").iter().filter(|entry| entry["image_id"] == *image);
    entries
        .map(|entry| {
            let class = categories.iter().position(|id| *id == entry["category_id"]).expect("a known class");
            (class, numbers(&entry["bbox"]).try_into().expect("four numbers"), entry)
        })
        .collect()
}

fn evaluator(case: &Value) -> CocoEvaluator {
    let mut evaluator = CocoEvaluator::new(case["categories"].as_array().expect("categories").len());
    for image in case["images"].as_array().expect("images") {
        let truths: Vec<GroundTruth> = of_image(case, "ground_truth", image)
            .into_iter()
            .map(|(class, xywh, entry)| GroundTruth {
                class,
                xywh,
                area: entry["area"].as_f64().expect("an area"),
                crowd: entry["iscrowd"] == 1,
                ignore: false,
            })
            .collect();
        let detections: Vec<Detection> = of_image(case, "detections", image)
            .into_iter()
            .map(|(class, xywh, entry)| {
                let score = entry["score"].as_f64().expect("a score");
                Detection { class, xywh, score }
            })
            .collect();
        evaluator.add_image(&truths, &detections);
    }
    evaluator
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() < 1e-12, "{what}, entry {index}: {f} but pycocotools gives {e}");
    }
}

#[test]
fn summaries_equal_those_of_pycocotools() {
    for case in cases() {
        let CocoReport { summary: s, .. } = evaluator(&case).evaluate();
        let found = [
            s.map,
            s.map50,
            s.map75,
            s.map_small,
            s.map_medium,
            s.map_large,
            s.ar1,
            s.ar10,
            s.ar100,
            s.ar_small,
            s.ar_medium,
            s.ar_large,
        ];
        let expected = numbers(&case["stats[AP,AP50,AP75,APs,APm,APl,AR1,AR10,AR100,ARs,ARm,ARl]"]);
        assert_close(&found, &expected, &case["name"].to_string());
    }
}

#[test]
fn scores_per_class_equal_those_of_pycocotools() {
    for case in cases() {
        let report = evaluator(&case).evaluate();
        let expected = case["per_category"].as_array().expect("per_category");
        assert_eq!(report.per_class.len(), expected.len());
        for (class, expected) in report.per_class.iter().zip(expected) {
            let wanted = ["AP", "AP50", "AP75"].map(|key| expected[key].as_f64().expect("a number"));
            assert_close(&[class.ap, class.ap50, class.ap75], &wanted, &case["name"].to_string());
        }
    }
}

#[test]
fn precision_curves_equal_those_of_pycocotools() {
    for case in cases() {
        let found = evaluator(&case).precision_curve(0, 0).expect("the first class has ground truth");
        assert_close(&found, &numbers(&case["precision_iou50_cat0_101pts"]), &case["name"].to_string());
    }
}

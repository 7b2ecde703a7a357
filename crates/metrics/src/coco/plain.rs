//! A slow, plain evaluator that checks the fast one: COCO's protocol step by step, with every list kept and every
//! combination of class, size and threshold computed from the start. The property test compares the two on random
//! images with ties, crowds, and empty images.

use proptest::prelude::*;

use super::*;

type Image = (Vec<GroundTruth>, Vec<Detection>);

/// Summary in COCO's order, then per class AP, AP50, AP75, APs, APm, APl, and the first class's curve at 0.5.
struct Plain<'a> {
    images: &'a [Image],
    classes: usize,
}

/// The results of one class, area range and threshold.
struct Outcome {
    precision: Option<Vec<f64>>,
    recall: Option<f64>,
}

impl Plain<'_> {
    fn outcome(&self, class: usize, area: (f64, f64), threshold: f64, limit: usize) -> Outcome {
        let outside = |a: f64| a < area.0 || a > area.1;
        let mut all: Vec<(f64, bool, bool)> = Vec::new(); // score, matched, ignored
        let mut objects = 0;
        for (truths, detections) in self.images {
            let mut truths: Vec<(&GroundTruth, bool)> = truths
                .iter()
                .filter(|t| t.class == class)
                .map(|t| (t, t.crowd || t.ignore || outside(t.area)))
                .collect();
            truths.sort_by_key(|(_, ignored)| *ignored);
            objects += truths.iter().filter(|(_, ignored)| !ignored).count();
            let mut found: Vec<&Detection> = detections.iter().filter(|d| d.class == class).collect();
            found.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap());
            found.truncate(limit);
            let mut matched = vec![false; truths.len()];
            for d in found {
                let mut best: Option<usize> = None;
                let mut best_iou = threshold.min(1.0 - 1e-10);
                for (g, (truth, ignored)) in truths.iter().enumerate() {
                    if matched[g] && !truth.crowd {
                        continue;
                    }
                    if best.is_some_and(|b| !truths[b].1) && *ignored {
                        break;
                    }
                    let iou = plain_iou(&d.xywh, &truth.xywh, truth.crowd);
                    if iou < best_iou {
                        continue;
                    }
                    best_iou = iou;
                    best = Some(g);
                }
                let ignored = match best {
                    Some(g) => truths[g].1,
                    None => outside(d.xywh[2] * d.xywh[3]),
                };
                if let Some(g) = best {
                    matched[g] = true;
                }
                all.push((d.score, best.is_some(), ignored));
            }
        }
        if objects == 0 {
            return Outcome { precision: None, recall: None };
        }
        all.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap());
        let (mut tp, mut fp) = (0.0, 0.0);
        let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
        for (_, hit, ignored) in all {
            if !ignored {
                if hit { tp += 1.0 } else { fp += 1.0 }
            }
            recalls.push(tp / objects as f64);
            precisions.push(tp / (fp + tp + f64::EPSILON));
        }
        for i in (1..precisions.len()).rev() {
            if precisions[i] > precisions[i - 1] {
                precisions[i - 1] = precisions[i];
            }
        }
        let at = |recall: f64| {
            let first = recalls.iter().position(|&r| r >= recall);
            first.map_or(0.0, |i| precisions[i])
        };
        let curve = (0..RECALLS).map(|i| at(i as f64 * 0.01)).collect();
        Outcome { precision: Some(curve), recall: Some(recalls.last().copied().unwrap_or(0.0)) }
    }

    /// The mean over the existing values of all classes, thresholds and recalls, or -1.
    fn ap(&self, classes: std::ops::Range<usize>, area: usize, thresholds: std::ops::Range<usize>) -> f64 {
        let outcomes = classes.flat_map(|c| thresholds.clone().map(move |t| (c, t)));
        let curves =
            outcomes.filter_map(|(c, t)| self.outcome(c, RANGES[area], iou_threshold(t), 100).precision);
        mean_of(curves.flatten().collect())
    }

    fn ar(&self, area: usize, limit: usize) -> f64 {
        let outcomes = (0..self.classes).flat_map(|c| (0..THRESHOLDS).map(move |t| (c, t)));
        let recall = |(c, t)| self.outcome(c, RANGES[area], iou_threshold(t), limit).recall;
        mean_of(outcomes.filter_map(recall).collect())
    }
}

const RANGES: [(f64, f64); 4] =
    [(0.0, 1e10), (0.0, 32.0 * 32.0), (32.0 * 32.0, 96.0 * 96.0), (96.0 * 96.0, 1e10)];

fn mean_of(values: Vec<f64>) -> f64 {
    if values.is_empty() { -1.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn plain_iou(d: &[f64; 4], g: &[f64; 4], crowd: bool) -> f64 {
    let w = (d[0] + d[2]).min(g[0] + g[2]) - d[0].max(g[0]);
    let h = (d[1] + d[3]).min(g[1] + g[3]) - d[1].max(g[1]);
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let union = if crowd { d[2] * d[3] } else { d[2] * d[3] + g[2] * g[3] - w * h };
    w * h / union
}

/// Boxes on a coarse grid, so that equal overlaps, and overlaps exactly on a threshold, are common.
fn a_box() -> impl Strategy<Value = [f64; 4]> {
    (0..8u8, 0..8u8, 1..6u8, 1..6u8, prop_oneof![Just(8.0), Just(25.0)])
        .prop_map(|(x, y, w, h, unit)| [x, y, w, h].map(|v| f64::from(v) * unit))
}

fn a_truth() -> impl Strategy<Value = GroundTruth> {
    (0..3usize, a_box(), prop::bool::weighted(0.2), 0.4..1.0f64).prop_map(|(class, xywh, crowd, fill)| {
        GroundTruth { class, xywh, area: xywh[2] * xywh[3] * fill, crowd, ignore: false }
    })
}

fn an_image() -> impl Strategy<Value = Image> {
    // Only a few distinct scores: ties within and across images.
    let detection = (0..3usize, a_box(), 0..6u8);
    let detection =
        detection.prop_map(|(class, xywh, score)| Detection { class, xywh, score: f64::from(score) / 5.0 });
    // A third of the detections coincide exactly with an object.
    let parts = (prop::collection::vec(a_truth(), 0..6), prop::collection::vec(detection, 0..10), 0..6usize);
    parts.prop_map(|(truths, mut found, copies)| {
        for (truth, detection) in truths.iter().zip(&mut found).take(copies) {
            (detection.xywh, detection.class) = (truth.xywh, truth.class);
        }
        (truths, found)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_fast_evaluator_equals_the_plain_one(images in prop::collection::vec(an_image(), 0..6)) {
        let mut fast = CocoEvaluator::new(3);
        images.iter().for_each(|(truths, found)| fast.add_image(truths, found));
        let report = fast.evaluate();
        let plain = Plain { images: &images, classes: 3 };
        let s = report.summary;
        let mut pairs = vec![
            (s.map, plain.ap(0..3, ALL, 0..10)),
            (s.map50, plain.ap(0..3, ALL, 0..1)),
            (s.map75, plain.ap(0..3, ALL, 5..6)),
            (s.map_small, plain.ap(0..3, SMALL, 0..10)),
            (s.map_medium, plain.ap(0..3, MEDIUM, 0..10)),
            (s.map_large, plain.ap(0..3, LARGE, 0..10)),
            (s.ar1, plain.ar(ALL, 1)),
            (s.ar10, plain.ar(ALL, 10)),
            (s.ar100, plain.ar(ALL, 100)),
            (s.ar_small, plain.ar(SMALL, 100)),
            (s.ar_medium, plain.ar(MEDIUM, 100)),
            (s.ar_large, plain.ar(LARGE, 100)),
        ];
        for (class, scores) in report.per_class.iter().enumerate() {
            let one = class..class + 1;
            pairs.push((scores.ap, plain.ap(one.clone(), ALL, 0..10)));
            pairs.push((scores.ap75, plain.ap(one.clone(), ALL, 5..6)));
            for (size, ap) in SIZES.into_iter().zip(scores.ap_by_size) {
                pairs.push((ap, plain.ap(one.clone(), size, 0..10)));
            }
            let curve = plain.outcome(class, RANGES[ALL], iou_threshold(4), 100).precision;
            match (fast.precision_curve(class, 4), curve) {
                (Some(found), Some(expected)) => pairs.extend(found.into_iter().zip(expected)),
                (found, expected) => prop_assert!(found.is_none() && expected.is_none()),
            }
        }
        for (index, (found, expected)) in pairs.into_iter().enumerate() {
            prop_assert!((found - expected).abs() < 1e-12, "figure {}: {} but plainly {}", index, found, expected);
        }
    }
}

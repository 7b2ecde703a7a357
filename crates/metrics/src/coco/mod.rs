//! COCO detection metrics, equal to those of pycocotools 2.0.11 (`COCOeval`, `bbox`).
//!
//! Definition: the detections of a class are taken from all images in descending order of score. Each is a hit if it
//! can be matched to a ground-truth box of its class and image with an IoU above a threshold, otherwise a miss. This
//! gives a precision-recall curve. Its precision is made monotone and read at 101 recalls; the mean is the average
//! precision (AP). mAP is the mean of AP over the classes and the ten IoU thresholds 0.50, 0.55 .. 0.95. Recall (AR) is
//! the share of ground truth found with at most 1, 10 or 100 detections per image and class. Small, medium and large
//! restrict the ground truth to areas of up to 32^2, 32^2 to 96^2, and above 96^2 square pixels.
//!
//! Computation: [`CocoEvaluator::add_image`] matches each image when it is added (`matching.rs`). For each detection it
//! keeps only its score and two bits per area range and threshold. [`CocoEvaluator::evaluate`] sorts these per class
//! and computes the curves (`curve.rs`).

mod curve;
mod matching;

use crate::boxes::BBox;
use curve::ClassCurves;
use matching::{ClassRecords, MAX_DETECTIONS, match_image};

/// Number of IoU thresholds.
pub const THRESHOLDS: usize = 10;
/// Index of IoU threshold 0.75.
const AT_75: usize = 5;
/// Number of area ranges: all, small, medium, large.
pub(crate) const AREAS: usize = 4;
const ALL: usize = 0;
const SMALL: usize = 1;
const MEDIUM: usize = 2;
const LARGE: usize = 3;
const SIZES: [usize; 3] = [SMALL, MEDIUM, LARGE];
/// Number of recalls at which the precision is read: 0, 0.01 .. 1.
pub const RECALLS: usize = 101;

/// The IoU threshold of an index, computed as `numpy.linspace(0.5, 0.95, 10)` does, to the last bit (0.9 is
/// 0.8999999999999999 there).
pub fn iou_threshold(index: usize) -> f64 {
    0.5 + index as f64 * ((0.95 - 0.5) / 9.0)
}

/// One object of the ground truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroundTruth {
    /// Class index, from 0.
    pub class: usize,
    /// Left, top, **width, height** in pixels, as in COCO's files: conversion to corners and back would round.
    pub xywh: [f64; 4],
    /// Area in square pixels, which decides between small, medium and large. COCO annotates the area of the object's
    /// mask; [`GroundTruth::from_corners`] uses the area of the box.
    pub area: f64,
    /// The box surrounds a crowd: it may match any number of detections, which then count neither as hits nor as
    /// misses, and it is not a target. Overlap with it is measured as a share of the detection.
    pub crowd: bool,
    /// The object is not a target, and a detection matched to it does not count ("difficult" in Pascal VOC).
    /// pycocotools overwrites this flag with `crowd`: leave it `false` to get the same scores.
    pub ignore: bool,
}

impl GroundTruth {
    /// An ordinary object with box `x1, y1, x2, y2` and the area of the box.
    pub fn from_corners(class: usize, bbox: BBox) -> Self {
        let xywh = corners_to_xywh(bbox);
        Self { class, xywh, area: xywh[2] * xywh[3], crowd: false, ignore: false }
    }
}

/// One detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Class index, from 0.
    pub class: usize,
    /// Left, top, **width, height** in pixels.
    pub xywh: [f64; 4],
    /// Confidence: only the order matters. NaN counts as the lowest.
    pub score: f64,
}

impl Detection {
    /// A detection with box `x1, y1, x2, y2`.
    pub fn from_corners(class: usize, bbox: BBox, score: f32) -> Self {
        Self { class, xywh: corners_to_xywh(bbox), score: score.into() }
    }
}

fn corners_to_xywh(bbox: BBox) -> [f64; 4] {
    let [x1, y1, x2, y2] = bbox.map(f64::from);
    [x1, y1, x2 - x1, y2 - y1]
}

/// The twelve numbers of COCO's summary, in its order. Each is in [0, 1], or **-1** if there is no ground truth to
/// score (for example no large objects).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CocoSummary {
    /// AP, mean over IoU 0.50 to 0.95: COCO's main metric.
    pub map: f64,
    /// AP at IoU 0.50.
    pub map50: f64,
    /// AP at IoU 0.75.
    pub map75: f64,
    /// AP of objects up to 32^2 square pixels.
    pub map_small: f64,
    /// AP of objects of 32^2 to 96^2 square pixels.
    pub map_medium: f64,
    /// AP of objects from 96^2 square pixels.
    pub map_large: f64,
    /// Recall with one detection per image and class, mean over IoU 0.50 to 0.95.
    pub ar1: f64,
    /// Recall with ten detections per image and class.
    pub ar10: f64,
    /// Recall with a hundred detections per image and class.
    pub ar100: f64,
    /// Recall of objects up to 32^2 square pixels, with a hundred detections.
    pub ar_small: f64,
    /// Recall of objects of 32^2 to 96^2 square pixels, with a hundred detections.
    pub ar_medium: f64,
    /// Recall of objects from 96^2 square pixels, with a hundred detections.
    pub ar_large: f64,
}

/// The scores of one class; -1 if it has no ground truth.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClassAp {
    /// AP, mean over IoU 0.50 to 0.95.
    pub ap: f64,
    /// AP at IoU 0.50.
    pub ap50: f64,
    /// AP at IoU 0.75.
    pub ap75: f64,
    /// AP of small, medium and large objects, mean over IoU 0.50 to 0.95.
    pub ap_by_size: [f64; 3],
    /// Recall with a hundred detections per image, mean over IoU 0.50 to 0.95.
    pub ar100: f64,
    /// The same recall of small, medium and large objects.
    pub ar_by_size: [f64; 3],
    /// Number of objects that count as ground truth.
    pub ground_truths: u64,
}

/// What [`CocoEvaluator::evaluate`] returns.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CocoReport {
    /// Means over the classes that have ground truth.
    pub summary: CocoSummary,
    /// By class index.
    pub per_class: Vec<ClassAp>,
}

/// Collects images and computes their COCO scores.
///
/// ```
/// use cerberus_metrics::coco::{CocoEvaluator, Detection, GroundTruth};
/// let mut evaluator = CocoEvaluator::new(1);
/// let bbox = [10.0, 10.0, 30.0, 30.0];
/// evaluator.add_image(&[GroundTruth::from_corners(0, bbox)], &[Detection::from_corners(0, bbox, 0.9)]);
/// assert!((evaluator.evaluate().summary.map - 1.0).abs() < 1e-12);
/// ```
#[derive(Clone, Debug)]
pub struct CocoEvaluator {
    classes: Vec<ClassRecords>,
}

impl CocoEvaluator {
    /// An evaluator of `classes` classes, with no images.
    pub fn new(classes: usize) -> Self {
        Self { classes: vec![ClassRecords::default(); classes] }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Adds an image's objects and detections, in any order. Per class, only the 100 detections with the highest scores
    /// are used.
    ///
    /// Detections with equal scores keep the order given, and images the order in which they were added: to get
    /// pycocotools' results when scores tie, add images in ascending order of id. A box with a NaN coordinate matches
    /// nothing.
    ///
    /// # Panics
    /// When a class index is not below the number of classes.
    #[track_caller]
    pub fn add_image(&mut self, ground_truths: &[GroundTruth], detections: &[Detection]) {
        let classes = self.classes.len();
        let given = ground_truths.iter().map(|g| g.class).chain(detections.iter().map(|d| d.class));
        if let Some(class) = given.max().filter(|&class| class >= classes) {
            panic!("COCO evaluation: an image holds class {class}, but there are {classes} classes, from 0");
        }
        match_image(&mut self.classes, ground_truths, detections);
    }

    /// The scores of all images added so far.
    pub fn evaluate(&self) -> CocoReport {
        let curves: Vec<ClassCurves> = self.classes.iter().map(ClassCurves::new).collect();
        let ap = |area: usize, thresholds: std::ops::Range<usize>| {
            mean(curves.iter().map(|c| c.ap(area, thresholds.clone())))
        };
        let ar = |area: usize, limit: usize| mean(curves.iter().map(|c| c.recall(area, limit)));
        let every = 0..THRESHOLDS;
        let summary = CocoSummary {
            map: ap(ALL, every.clone()),
            map50: ap(ALL, 0..1),
            map75: ap(ALL, AT_75..AT_75 + 1),
            map_small: ap(SMALL, every.clone()),
            map_medium: ap(MEDIUM, every.clone()),
            map_large: ap(LARGE, every.clone()),
            ar1: ar(ALL, 1),
            ar10: ar(ALL, 10),
            ar100: ar(ALL, MAX_DETECTIONS),
            ar_small: ar(SMALL, MAX_DETECTIONS),
            ar_medium: ar(MEDIUM, MAX_DETECTIONS),
            ar_large: ar(LARGE, MAX_DETECTIONS),
        };
        let per_class = curves
            .iter()
            .zip(&self.classes)
            .map(|(curves, records)| ClassAp {
                ap: curves.ap(ALL, every.clone()).unwrap_or(-1.0),
                ap50: curves.ap(ALL, 0..1).unwrap_or(-1.0),
                ap75: curves.ap(ALL, AT_75..AT_75 + 1).unwrap_or(-1.0),
                ap_by_size: SIZES.map(|area| curves.ap(area, every.clone()).unwrap_or(-1.0)),
                ar100: curves.recall(ALL, MAX_DETECTIONS).unwrap_or(-1.0),
                ar_by_size: SIZES.map(|area| curves.recall(area, MAX_DETECTIONS).unwrap_or(-1.0)),
                ground_truths: records.positives[ALL],
            })
            .collect();
        CocoReport { summary, per_class }
    }

    /// The precision of `class` at recalls 0, 0.01 .. 1 and IoU threshold `0.5 + 0.05 * threshold_index`, over objects
    /// of all sizes; `None` for a class without ground truth, or for an index out of range.
    pub fn precision_curve(&self, class: usize, threshold_index: usize) -> Option<[f64; RECALLS]> {
        let records = self.classes.get(class)?;
        if threshold_index >= THRESHOLDS || records.positives[ALL] == 0 {
            return None;
        }
        Some(curve::precision_curve(records, &records.by_falling_score(), ALL, threshold_index))
    }
}

/// The mean over the classes that have a value; -1 if none has.
fn mean(values: impl Iterator<Item = Option<f64>>) -> f64 {
    let (sum, count) = values.flatten().fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { -1.0 } else { sum / f64::from(count) }
}

#[cfg(test)]
mod plain;
#[cfg(test)]
mod tests;

//! Computes precision-recall curves and their averages from hits and misses.
//!
//! After n detections in descending order of score, `precision = hits / (hits + misses)` and `recall = hits / objects`.
//! Precision goes up and down; it is replaced by its maximum at the same or any higher recall, and read at 101 recalls
//! (0 where the curve does not reach them). Ignored detections change neither count and are left out.

use super::matching::{ClassRecords, MAX_DETECTIONS};
use super::{ALL, AREAS, RECALLS, THRESHOLDS};
use std::ops::Range;

/// The curves of one class, reduced to their averages.
pub(super) struct ClassCurves {
    /// Average precision per area range and threshold; `None` for a range without objects.
    precision: [Option<[f64; THRESHOLDS]>; AREAS],
    /// Recall with 100 detections per image, mean over the thresholds, per area range.
    recall: [Option<f64>; AREAS],
    /// Recall with 1 and 10 detections per image, mean over the thresholds, over objects of all sizes.
    recall_at_1_and_10: [Option<f64>; 2],
}

impl ClassCurves {
    /// Sorts the class's detections once and computes every curve.
    pub fn new(records: &ClassRecords) -> Self {
        let order = records.by_falling_score();
        let precision = std::array::from_fn(|area| {
            (records.positives[area] > 0).then(|| {
                std::array::from_fn(|threshold| {
                    let curve = precision_curve(records, &order, area, threshold);
                    curve.iter().sum::<f64>() / RECALLS as f64
                })
            })
        });
        Self {
            precision,
            recall: std::array::from_fn(|area| mean_recall(records, area, MAX_DETECTIONS)),
            recall_at_1_and_10: [1, 10].map(|limit| mean_recall(records, ALL, limit)),
        }
    }

    /// Average precision over the given thresholds.
    pub fn ap(&self, area: usize, thresholds: Range<usize>) -> Option<f64> {
        let precision = &self.precision[area].as_ref()?[thresholds];
        Some(precision.iter().sum::<f64>() / precision.len() as f64)
    }

    /// Recall with at most `limit` detections per image: 1 or 10 (only for all sizes) or 100.
    pub fn recall(&self, area: usize, limit: usize) -> Option<f64> {
        match limit {
            1 => self.recall_at_1_and_10[0],
            10 => self.recall_at_1_and_10[1],
            _ => self.recall[area],
        }
    }
}

/// Precision at the 101 recalls, with the records in the given order.
pub(super) fn precision_curve(
    records: &ClassRecords,
    order: &[usize],
    area: usize,
    threshold: usize,
) -> [f64; RECALLS] {
    let bit = 1 << threshold;
    let objects = records.positives[area] as f64;
    let (mut hits, mut misses) = (0.0, 0.0);
    // One point per hit is enough: while recall stays equal, precision only falls, so its maximum is at the hit that
    // reached this recall. (Before the first hit precision is 0, and the maximum to the right is used.)
    let mut points: Vec<(f64, f64)> = Vec::new(); // (recall, precision)
    for &index in order {
        let record = &records.records[index];
        if record.hits[area] & bit != 0 {
            hits += 1.0;
            points.push((hits / objects, hits / (misses + hits + f64::EPSILON)));
        } else if record.ignored[area] & bit == 0 {
            misses += 1.0;
        }
    }
    for index in (1..points.len()).rev() {
        points[index - 1].1 = points[index - 1].1.max(points[index].1);
    }
    let mut curve = [0.0; RECALLS];
    let mut next = 0;
    for (index, precision) in curve.iter_mut().enumerate() {
        let recall = index as f64 * 0.01; // numpy.linspace(0, 1, 101), to the last bit
        while next < points.len() && points[next].0 < recall {
            next += 1;
        }
        match points.get(next) {
            Some(point) => *precision = point.1,
            None => break,
        }
    }
    curve
}

/// The share of objects found by the first `limit` detections of each image, mean over the thresholds.
fn mean_recall(records: &ClassRecords, area: usize, limit: usize) -> Option<f64> {
    let objects = records.positives[area];
    if objects == 0 {
        return None;
    }
    let hits: u64 = records
        .records
        .iter()
        .filter(|record| record.rank < limit)
        .map(|record| u64::from(record.hits[area].count_ones()))
        .sum();
    Some(hits as f64 / (objects * THRESHOLDS as u64) as f64)
}

//! Decides which detections of an image are hits: COCO's greedy matching.
//!
//! For every class, the IoU of each detection with each object is computed once. Then, for each area range and each IoU
//! threshold, detections choose in descending order of score: each takes the free object with the largest overlap, if
//! that is at least the threshold. Objects outside the area range are ignored: they are tried last, a detection matched
//! to one is ignored, and so is an unmatched detection that is itself outside the range.

use super::{AREAS, Detection, GroundTruth, THRESHOLDS, iou_threshold};
use crate::boxes::by_falling_score;

/// Detections used per image and class.
pub(super) const MAX_DETECTIONS: usize = 100;

/// Smallest and largest area of each range, both inclusive, in square pixels: all, small, medium, large.
const AREA_RANGES: [(f64, f64); AREAS] = [(0.0, 1e10), (0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10)];

/// The data kept for one detection after matching.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub score: f64,
    /// Rank among its image's detections of this class, in descending order of score.
    pub rank: usize,
    /// Per area range, bit t: a hit at IoU threshold t.
    pub hits: [u16; AREAS],
    /// Per area range, bit t: neither hit nor miss at IoU threshold t. Disjoint from `hits`.
    pub ignored: [u16; AREAS],
}

/// The data kept for one class over all images.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassRecords {
    /// In the order of the images; within an image in descending order of score.
    pub records: Vec<Record>,
    /// Objects that count as ground truth, per area range.
    pub positives: [u64; AREAS],
}

impl ClassRecords {
    /// Indices of the records in descending order of score; ties keep the order of the images.
    pub fn by_falling_score(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.records.len()).collect();
        order.sort_by(|&i, &j| by_falling_score(self.records[i].score, self.records[j].score));
        order
    }
}

/// Matches one image's detections, class by class, and appends the outcome to `classes`.
pub(super) fn match_image(
    classes: &mut [ClassRecords],
    ground_truths: &[GroundTruth],
    detections: &[Detection],
) {
    let mut truths: Vec<&GroundTruth> = ground_truths.iter().collect();
    truths.sort_by_key(|truth| truth.class);
    let mut found: Vec<&Detection> = detections.iter().collect();
    found.sort_by(|a, b| a.class.cmp(&b.class).then_with(|| by_falling_score(a.score, b.score)));

    let (mut truths, mut found) = (truths.as_slice(), found.as_slice());
    for (class, records) in classes.iter_mut().enumerate() {
        let (of_class, rest) = truths.split_at(truths.partition_point(|truth| truth.class <= class));
        truths = rest;
        let (of_class_found, rest) = found.split_at(found.partition_point(|d| d.class <= class));
        found = rest;
        match_class(records, of_class, &of_class_found[..of_class_found.len().min(MAX_DETECTIONS)]);
    }
}

/// Matches one image and class. `detections` are in descending order of score.
fn match_class(records: &mut ClassRecords, truths: &[&GroundTruth], detections: &[&Detection]) {
    // overlaps: [detections, truths]
    let overlaps: Vec<f64> = detections
        .iter()
        .flat_map(|detection| truths.iter().map(|truth| overlap(&detection.xywh, &truth.xywh, truth.crowd)))
        .collect();
    let first = records.records.len();
    records.records.extend(detections.iter().enumerate().map(|(rank, detection)| Record {
        score: detection.score,
        rank,
        hits: [0; AREAS],
        ignored: [0; AREAS],
    }));
    let new = &mut records.records[first..];

    for (area, range) in AREA_RANGES.iter().enumerate() {
        let outside = |value: f64| value < range.0 || value > range.1;
        let candidates = candidates(truths, outside);
        records.positives[area] += candidates.iter().filter(|candidate| !candidate.ignored).count() as u64;
        if !truths.is_empty() {
            for threshold in 0..THRESHOLDS {
                match_at(new, area, threshold, &candidates, &overlaps);
            }
        }
        for (record, detection) in new.iter_mut().zip(detections) {
            if outside(detection.xywh[2] * detection.xywh[3]) {
                record.ignored[area] |= ALL_THRESHOLDS & !record.hits[area];
            }
        }
    }
}

const ALL_THRESHOLDS: u16 = (1 << THRESHOLDS) - 1;

/// An object for one area range.
struct Candidate {
    /// Its column in the overlap matrix.
    truth: usize,
    crowd: bool,
    ignored: bool,
}

/// The objects in the order of matching: those that count first, then the ignored ones.
fn candidates(truths: &[&GroundTruth], outside: impl Fn(f64) -> bool) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = truths
        .iter()
        .enumerate()
        .map(|(index, truth)| Candidate {
            truth: index,
            crowd: truth.crowd,
            ignored: truth.crowd || truth.ignore || outside(truth.area),
        })
        .collect();
    candidates.sort_by_key(|candidate| candidate.ignored);
    candidates
}

/// The greedy choice at one IoU threshold; sets the bits of `records`.
fn match_at(
    records: &mut [Record],
    area: usize,
    threshold: usize,
    candidates: &[Candidate],
    overlaps: &[f64],
) {
    let lowest = iou_threshold(threshold).min(1.0 - 1e-10);
    let bit = 1 << threshold;
    let mut taken = vec![false; candidates.len()];
    for (record, overlaps) in records.iter_mut().zip(overlaps.chunks_exact(candidates.len())) {
        let mut best = lowest;
        let mut chosen: Option<usize> = None;
        for (index, candidate) in candidates.iter().enumerate() {
            if taken[index] && !candidate.crowd {
                continue;
            }
            // Ignored objects come last: once a real match is found, they are not tried.
            if candidate.ignored && chosen.is_some_and(|chosen| !candidates[chosen].ignored) {
                break;
            }
            // Equal overlaps go to the later object, as in the reference.
            if overlaps[candidate.truth] >= best {
                best = overlaps[candidate.truth];
                chosen = Some(index);
            }
        }
        if let Some(chosen) = chosen {
            taken[chosen] = true;
            let bits = if candidates[chosen].ignored { &mut record.ignored } else { &mut record.hits };
            bits[area] |= bit;
        }
    }
}

/// IoU of two boxes `x, y, width, height`; for a crowd, the share of the detection inside it. The order of the
/// operations is the reference's, because an overlap may lie exactly on a threshold.
fn overlap(detection: &[f64; 4], truth: &[f64; 4], crowd: bool) -> f64 {
    let side = |axis: usize| {
        let end = (detection[axis] + detection[axis + 2]).min(truth[axis] + truth[axis + 2]);
        end - detection[axis].max(truth[axis])
    };
    let (width, height) = (side(0), side(1));
    if width > 0.0 && height > 0.0 {
        let intersection = width * height;
        let detection_area = detection[2] * detection[3];
        let union = if crowd { detection_area } else { detection_area + truth[2] * truth[3] - intersection };
        intersection / union
    } else {
        0.0
    }
}

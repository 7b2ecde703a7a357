//! Top-k accuracy: how often the true class is among the k highest logits.
//!
//! No sorting is needed. The rank of the true class is the number of classes that come before it: those with a higher
//! logit, and those with an equal logit and a lower index. With this rule, top-1 is `argmax` with the first maximum.

use crate::boxes::by_falling_score;
use std::cmp::Ordering;

/// The class with the highest logit or probability, the first of equal ones; `None` without classes.
///
/// ```
/// assert_eq!(cerberus_metrics::argmax(&[0.1, 0.7, 0.7]), Some(1));
/// ```
pub fn argmax(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
}

/// Streaming top-k accuracy.
///
/// ```
/// use cerberus_metrics::TopKAccuracy;
/// let mut top1 = TopKAccuracy::new(1);
/// // Two samples, three classes: right, wrong.
/// top1.update(&[0.1, 0.9, 0.0, 0.8, 0.1, 0.1], 3, &[1, 2]);
/// assert_eq!(top1.value(), 0.5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopKAccuracy {
    k: usize,
    correct: u64,
    total: u64,
}

impl TopKAccuracy {
    /// An empty count for the `k` highest logits. If `k` is at least the number of classes, every sample is right; if
    /// it is 0, none is.
    pub fn new(k: usize) -> Self {
        Self { k, correct: 0, total: 0 }
    }

    /// Counts a batch: `logits` `[N, classes]` row by row (or probabilities: only their order matters), and
    /// `N` labels.
    ///
    /// # Panics
    /// When `logits` does not hold `classes` values per label, or a label is not below `classes`.
    #[track_caller]
    pub fn update(&mut self, logits: &[f32], classes: usize, labels: &[usize]) {
        assert!(
            logits.len() == labels.len() * classes,
            "top-k accuracy: logits hold {} values, but {} labels of {classes} classes need {}",
            logits.len(),
            labels.len(),
            labels.len() * classes
        );
        for (index, &label) in labels.iter().enumerate() {
            self.record(&logits[index * classes..(index + 1) * classes], label);
        }
    }

    /// Counts one sample with its `logits` `[classes]`. NaN logits rank below all others.
    ///
    /// # Panics
    /// When `label` is not below the number of logits.
    #[track_caller]
    pub fn record(&mut self, logits: &[f32], label: usize) {
        assert!(
            label < logits.len(),
            "top-k accuracy: label {label}, but there are {} classes",
            logits.len()
        );
        let goes_before = |class: usize| match by_falling_score(logits[class].into(), logits[label].into()) {
            Ordering::Less => true,
            Ordering::Equal => class < label,
            Ordering::Greater => false,
        };
        let rank = (0..logits.len()).filter(|&class| goes_before(class)).count();
        self.correct += u64::from(rank < self.k);
        self.total += 1;
    }

    /// The share of samples that were right, in [0, 1]; 0 before the first sample.
    pub fn value(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.correct as f64 / self.total as f64 }
    }

    /// The number of samples counted.
    pub fn samples(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topk(k: usize, logits: &[f32], label: usize) -> f64 {
        let mut accuracy = TopKAccuracy::new(k);
        accuracy.record(logits, label);
        accuracy.value()
    }

    #[test]
    fn equal_logits_rank_the_lower_index_first() {
        let logits = [1.0, 2.0, 2.0, 0.0];
        assert_eq!(topk(1, &logits, 1), 1.0);
        assert_eq!(topk(1, &logits, 2), 0.0);
        assert_eq!(topk(2, &logits, 2), 1.0);
    }

    #[test]
    fn nan_logits_rank_last() {
        let logits = [f32::NAN, f32::NEG_INFINITY, f32::NAN];
        assert_eq!(topk(1, &logits, 1), 1.0);
        assert_eq!(topk(1, &logits, 0), 0.0);
        assert_eq!(topk(2, &logits, 0), 1.0);
        assert_eq!(topk(2, &logits, 2), 0.0);
    }

    #[test]
    fn an_empty_count_is_zero_and_batches_add_up() {
        let mut accuracy = TopKAccuracy::new(1);
        assert_eq!(accuracy.value(), 0.0);
        accuracy.update(&[], 10, &[]);
        accuracy.update(&[0.0, 1.0], 2, &[1]);
        accuracy.update(&[0.0, 1.0, 1.0, 0.0, 1.0, 0.0], 2, &[1, 1, 1]);
        assert_eq!((accuracy.value(), accuracy.samples()), (0.5, 4));
    }

    #[test]
    #[should_panic(expected = "label 3, but there are 3 classes")]
    fn a_label_beyond_the_classes_is_named() {
        topk(1, &[0.0; 3], 3);
    }
}

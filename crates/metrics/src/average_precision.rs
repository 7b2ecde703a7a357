//! Average precision of the scores of one class against the rest, as in multi-label classification.
//!
//! Samples are sorted by descending score; `AP = sum_n (R_n - R_(n-1)) P_n` over the distinct scores, without
//! interpolation; samples with equal scores enter together. This is scikit-learn's `average_precision_score`, not
//! COCO's average over 101 recalls.
//!
//! An exact average precision needs every score, so memory grows with the number of samples (nine bytes each), never
//! with the number of pixels.

use crate::boxes::by_falling_score;

/// Scores and true labels of one class.
///
/// ```
/// use cerberus_metrics::AveragePrecision;
/// let mut precision = AveragePrecision::default();
/// for (score, positive) in [(0.1, false), (0.4, false), (0.35, true), (0.8, true)] {
///     precision.record(score, positive);
/// }
/// assert!((precision.value().unwrap() - 0.8333333333333333).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AveragePrecision {
    samples: Vec<(f64, bool)>,
}

impl AveragePrecision {
    /// Counts one sample; a NaN score ranks below all others.
    pub fn record(&mut self, score: f64, positive: bool) {
        self.samples.push((score, positive));
    }

    /// The average precision; `None` if no sample was positive.
    pub fn value(&self) -> Option<f64> {
        let curve = self.curve();
        let mut before = 0.0;
        let area = curve.iter().map(|[recall, precision]| {
            let width = recall - before;
            before = *recall;
            width * precision
        });
        let area = area.sum();
        (!curve.is_empty()).then_some(area)
    }

    /// Recall and precision after each distinct score, from the highest; empty if no sample was positive.
    pub fn curve(&self) -> Vec<[f64; 2]> {
        let positives = self.samples.iter().filter(|(_, positive)| *positive).count() as f64;
        if positives == 0.0 {
            return Vec::new();
        }
        let mut sorted = self.samples.clone();
        sorted.sort_by(|a, b| by_falling_score(a.0, b.0));
        let (mut hits, mut seen) = (0.0, 0.0);
        let mut points = Vec::new();
        for (index, (score, positive)) in sorted.iter().enumerate() {
            seen += 1.0;
            hits += f64::from(u8::from(*positive));
            // Equal scores give one point of the curve, after the last of them.
            let ties_with_next = sorted.get(index + 1).is_some_and(|(next, _)| next == score);
            if !ties_with_next {
                points.push([hits / positives, hits / seen]);
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[(f64, bool)]) -> Option<f64> {
        let mut precision = AveragePrecision::default();
        samples.iter().for_each(|&(score, positive)| precision.record(score, positive));
        precision.value()
    }

    #[test]
    fn equal_scores_enter_together_whatever_their_order() {
        assert_eq!(of(&[(0.5, true), (0.5, false)]), Some(0.5));
        assert_eq!(of(&[(0.5, false), (0.5, true)]), Some(0.5));
    }

    #[test]
    fn a_perfect_ranking_is_one_and_no_positives_is_nothing() {
        assert_eq!(of(&[(0.9, true), (0.8, true), (0.1, false)]), Some(1.0));
        assert_eq!(of(&[(0.9, false)]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(f64::NAN, false), (0.1, true)]), Some(1.0));
    }

    #[test]
    fn the_curve_has_a_point_for_every_distinct_score() {
        let mut precision = AveragePrecision::default();
        [(0.9, true), (0.5, false), (0.5, true), (0.1, false)]
            .iter()
            .for_each(|&(s, p)| precision.record(s, p));
        assert_eq!(precision.curve(), [[0.5, 1.0], [1.0, 2.0 / 3.0], [1.0, 0.5]]);
    }
}

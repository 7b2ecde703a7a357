//! Calibration: whether a classifier's probabilities agree with its accuracy.
//!
//! - **NLL**: mean of `-ln p_y`, with y the true class;
//! - **Brier score**: mean over samples of the sum over classes of `(p_c - [c = y])^2` (Brier, 1950);
//! - **ECE** and **MCE**: samples are binned by the probability of their most probable class, bins
//!   `(lo, hi]` of equal width; in each the mean of that probability is compared with the share that was
//!   right. ECE is the mean difference weighted by the bins' samples, MCE the largest (Guo et al., "On
//!   Calibration of Modern Neural Networks", 2017, equations 3 and 5). Other libraries bin `[lo, hi)`, which
//!   differs where a probability lies on an edge.
//!
//! [`fit_temperature`] finds the temperature by which logits should be divided (the same paper, section 4.2).
//! [`ClassSamples`] computes scores with a temperature that was fitted on other samples than those scored.

/// Streaming calibration metrics; they store only the bins.
///
/// ```
/// use cerberus_metrics::Calibration;
/// let mut calibration = Calibration::new(15);
/// calibration.record(&[0.8, 0.2], 0);
/// calibration.record(&[0.8, 0.2], 1);
/// assert!((calibration.expected_error() - 0.3).abs() < 1e-12); // confidence 0.8, half of them right
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    bins: Vec<Bin>,
    negative_log_likelihood: f64,
    brier: f64,
    samples: u64,
}

/// The statistics of the samples in one bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reliability {
    /// Their number, at least 1.
    pub samples: u64,
    /// The mean probability of their most probable class.
    pub confidence: f64,
    /// The share of them whose most probable class was right.
    pub accuracy: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    samples: u64,
    right: u64,
    confidence: f64,
}

impl Calibration {
    /// No samples yet, with `bins` bins (15 in the paper).
    ///
    /// # Panics
    /// When there is no bin.
    #[track_caller]
    pub fn new(bins: usize) -> Self {
        assert!(bins > 0, "calibration: there must be at least one bin");
        Self { bins: vec![Bin::default(); bins], negative_log_likelihood: 0.0, brier: 0.0, samples: 0 }
    }

    /// Counts one sample with its `probabilities` `[classes]`, which sum to one. Among equal probabilities, the first
    /// class counts as the most probable. In the likelihood, a probability of 0 for the true class counts as the
    /// smallest positive number, so that one sample cannot make it infinite.
    ///
    /// # Panics
    /// When `label` is not below the number of classes.
    #[track_caller]
    pub fn record(&mut self, probabilities: &[f64], label: usize) {
        let classes = probabilities.len();
        assert!(label < classes, "calibration: label {label}, but there are {classes} classes");
        let mut best = 0;
        for class in 1..classes {
            if probabilities[class] > probabilities[best] {
                best = class;
            }
        }
        let confidence = probabilities[best];
        // (lo, hi]: the bin of p is ceil(p * bins) - 1; 0 itself goes to the first.
        let place = (confidence * self.bins.len() as f64).ceil() as usize;
        let last = self.bins.len() - 1;
        let bin = &mut self.bins[place.saturating_sub(1).min(last)];
        bin.samples += 1;
        bin.right += u64::from(best == label);
        bin.confidence += confidence;
        self.samples += 1;
        self.negative_log_likelihood -= probabilities[label].max(f64::MIN_POSITIVE).ln();
        let miss = |(class, p): (usize, &f64)| (p - f64::from(u8::from(class == label))).powi(2);
        self.brier += probabilities.iter().enumerate().map(miss).sum::<f64>();
    }

    /// Expected calibration error; 0 before the first sample.
    pub fn expected_error(&self) -> f64 {
        let weighted = self.gaps().map(|(samples, gap)| samples / self.samples as f64 * gap);
        weighted.sum()
    }

    /// Maximum calibration error; 0 before the first sample.
    pub fn maximum_error(&self) -> f64 {
        self.gaps().map(|(_, gap)| gap).fold(0.0, f64::max)
    }

    /// Mean negative log-likelihood; 0 before the first sample.
    pub fn negative_log_likelihood(&self) -> f64 {
        self.negative_log_likelihood / self.samples.max(1) as f64
    }

    /// Brier score, from 0 to 2; 0 before the first sample.
    pub fn brier(&self) -> f64 {
        self.brier / self.samples.max(1) as f64
    }

    /// The points of a reliability diagram: each non-empty bin, in ascending order of confidence.
    pub fn reliability(&self) -> Vec<Reliability> {
        let filled = self.bins.iter().filter(|bin| bin.samples > 0);
        filled
            .map(|bin| Reliability {
                samples: bin.samples,
                confidence: bin.confidence / bin.samples as f64,
                accuracy: bin.right as f64 / bin.samples as f64,
            })
            .collect()
    }

    /// The number of samples of each non-empty bin, and the gap between its confidence and its accuracy.
    fn gaps(&self) -> impl Iterator<Item = (f64, f64)> {
        self.reliability().into_iter().map(|bin| (bin.samples as f64, (bin.accuracy - bin.confidence).abs()))
    }
}

/// The temperature `T` for which `softmax(logits / T)` has the smallest negative log-likelihood on these samples:
/// `logits` `[N, classes]` row by row, and `N` labels. Use samples on which the model was not trained. The search range
/// is 0.001 to 1000.
///
/// The negative log-likelihood is convex in `1/T`, with slope `mean(sum_c p_c z_c - z_y)`; bisection finds its zero.
/// Without samples `T` is 1.
///
/// # Panics
/// When `logits` does not hold `classes` values per label, or a label is not below `classes`.
#[track_caller]
pub fn fit_temperature(logits: &[f64], classes: usize, labels: &[usize]) -> f64 {
    assert!(
        logits.len() == labels.len() * classes && labels.iter().all(|&label| label < classes),
        "fit_temperature: {} logits and {} labels do not fit {classes} classes",
        logits.len(),
        labels.len()
    );
    if labels.is_empty() {
        return 1.0;
    }
    let slope = |inverse: f64| -> f64 {
        let rows = logits.chunks_exact(classes).zip(labels);
        rows.map(|(row, &label)| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weight = |z: f64| ((z - largest) * inverse).exp();
            let total: f64 = row.iter().map(|&z| weight(z)).sum();
            row.iter().map(|&z| weight(z) / total * z).sum::<f64>() - row[label]
        })
        .sum()
    };
    let (mut low, mut high) = (1e-3_f64.ln(), 1e3_f64.ln());
    // After a hundred bisections of the logarithm of 1/T, the interval cannot get smaller.
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if slope(middle.exp()) > 0.0 { high = middle } else { low = middle }
    }
    (-(low + high) / 2.0).exp()
}

/// Confidence bins in reports, as many as Guo et al. use.
pub const CALIBRATION_BINS: usize = 15;

/// The probabilities and true classes of single samples, to be scored again at other temperatures.
///
/// Probabilities determine their logits up to a constant, which softmax ignores: `z = ln p`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassSamples {
    classes: usize,
    /// `[samples, classes]`.
    probabilities: Vec<f32>,
    labels: Vec<usize>,
}

impl ClassSamples {
    /// An empty set for `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, probabilities: Vec::new(), labels: Vec::new() }
    }

    /// Adds a sample.
    ///
    /// # Panics
    /// If the number of probabilities differs from the number of classes, or the label is not below it.
    #[track_caller]
    pub fn record(&mut self, probabilities: &[f32], label: usize) {
        assert!(
            probabilities.len() == self.classes && label < self.classes,
            "class samples: {} probabilities and the label {label} do not fit {} classes",
            probabilities.len(),
            self.classes
        );
        self.probabilities.extend_from_slice(probabilities);
        self.labels.push(label);
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn logits(&self, sample: usize) -> Vec<f64> {
        let row = &self.probabilities[sample * self.classes..][..self.classes];
        // A probability that was rounded to 0 still gets a finite logit.
        row.iter().map(|&p| f64::from(p.max(f32::MIN_POSITIVE)).ln()).collect()
    }

    /// The [best temperature](fit_temperature) of the samples whose index `chosen` accepts; 1 if there are none.
    pub fn temperature(&self, chosen: impl Fn(usize) -> bool) -> f64 {
        let places: Vec<usize> = (0..self.len()).filter(|&sample| chosen(sample)).collect();
        let logits: Vec<f64> = places.iter().flat_map(|&sample| self.logits(sample)).collect();
        let labels: Vec<usize> = places.iter().map(|&sample| self.labels[sample]).collect();
        fit_temperature(&logits, self.classes, &labels)
    }

    /// The calibration with the logits of each sample divided by `temperature(index)`.
    pub fn calibration(&self, bins: usize, temperature: impl Fn(usize) -> f64) -> Calibration {
        let mut calibration = Calibration::new(bins);
        for sample in 0..self.len() {
            let temperature = temperature(sample);
            let scaled: Vec<f64> = self.logits(sample).iter().map(|z| z / temperature).collect();
            let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scaled.iter().map(|z| (z - largest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            let probabilities: Vec<f64> = powers.iter().map(|power| power / sum).collect();
            calibration.record(&probabilities, self.labels[sample]);
        }
        calibration
    }

    /// The calibration if there are no other samples to fit on: each half of the samples (even and odd indices) is
    /// scored at the temperature fitted on the other half. Also returns both temperatures.
    pub fn cross_fitted(&self, bins: usize) -> (Calibration, [f64; 2]) {
        let fitted = [1, 0].map(|half| self.temperature(|sample| sample % 2 == half));
        (self.calibration(bins, |sample| fitted[sample % 2]), fitted)
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    #[test]
    fn a_confidence_on_an_edge_belongs_to_the_lower_bin() {
        let mut calibration = Calibration::new(2);
        calibration.record(&[0.5, 0.5], 0); // (0, 0.5], right
        calibration.record(&[0.75, 0.25], 1); // (0.5, 1], wrong
        assert_eq!(calibration.expected_error(), 0.5 * 0.5 + 0.5 * 0.75);
        let bins = calibration.reliability();
        assert_eq!(
            bins.iter().map(|bin| (bin.confidence, bin.accuracy)).collect::<Vec<_>>(),
            [(0.5, 1.0), (0.75, 0.0)]
        );
        assert_eq!(calibration.maximum_error(), 0.75);
    }

    #[test]
    fn nothing_seen_scores_zero_and_certainty_of_the_wrong_stays_finite() {
        let mut calibration = Calibration::new(15);
        assert_eq!((calibration.expected_error(), calibration.brier()), (0.0, 0.0));
        calibration.record(&[1.0, 0.0], 1);
        assert!(calibration.negative_log_likelihood().is_finite());
        assert_eq!(calibration.brier(), 2.0);
    }

    #[test]
    fn the_temperature_of_sharpened_logits_is_the_sharpening() {
        // Two samples of class 0 and one of class 1 at logits whose softmax is exactly 2/3 to 1/3.
        let logits = [2.0_f64.ln(), 0.0].repeat(3);
        assert_abs_diff_eq!(fit_temperature(&logits, 2, &[0, 0, 1]), 1.0, epsilon = 1e-9);
        let sharp: Vec<f64> = logits.iter().map(|z| 5.0 * z).collect();
        assert_abs_diff_eq!(fit_temperature(&sharp, 2, &[0, 0, 1]), 5.0, epsilon = 1e-8);
        assert_eq!(fit_temperature(&[], 2, &[]), 1.0);
    }

    #[test]
    fn samples_at_temperature_one_score_as_their_probabilities_do() {
        let mut samples = ClassSamples::new(3);
        let mut plain = Calibration::new(15);
        for (row, label) in [([0.7f32, 0.2, 0.1], 0), ([0.1, 0.3, 0.6], 1), ([1.0, 0.0, 0.0], 2)] {
            samples.record(&row, label);
            plain.record(&row.map(f64::from), label);
        }
        let found = samples.calibration(15, |_| 1.0);
        assert_abs_diff_eq!(found.expected_error(), plain.expected_error(), epsilon = 1e-6);
        assert_abs_diff_eq!(found.brier(), plain.brier(), epsilon = 1e-6);
    }

    #[test]
    fn halves_are_scored_at_the_temperature_of_the_other_half() {
        // Samples with even indices are overconfident, those with odd indices underconfident: each half's own
        // temperature would make it perfect.
        let mut samples = ClassSamples::new(2);
        for place in 0..24 {
            let label = usize::from(place / 2 % 3 == 2);
            let p = if place % 2 == 0 { 0.9 } else { 0.55 };
            samples.record(&[p, 1.0 - p], label);
        }
        let own = [0, 1].map(|half| samples.temperature(|sample| sample % 2 == half));
        assert!(own[0] > 2.0 && own[1] < 0.5, "{own:?}");
        let (crossed, fitted) = samples.cross_fitted(15);
        assert_eq!(fitted, [own[1], own[0]]);
        let perfect = samples.calibration(15, |sample| own[sample % 2]);
        assert!(perfect.expected_error() < 1e-6 && crossed.expected_error() > 0.2);
        assert_eq!(ClassSamples::new(2).cross_fitted(15).1, [1.0; 2]);
    }
}

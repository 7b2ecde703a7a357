//! Whether a classifier's probabilities mean what they say.
//!
//! - **NLL**: mean of `-ln p_y`, with y the true class;
//! - **Brier score**: mean over samples of the sum over classes of `(p_c - [c = y])^2` (Brier, 1950);
//! - **ECE** and **MCE**: samples are binned by the probability of their most probable class, bins
//!   `(lo, hi]` of equal width; in each the mean of that probability is compared with the share that was
//!   right. ECE is the mean difference weighted by the bins' samples, MCE the largest (Guo et al., "On
//!   Calibration of Modern Neural Networks", 2017, equations 3 and 5). Other libraries bin `[lo, hi)`, which
//!   differs where a probability lies on an edge.
//!
//! [`fit_temperature`] finds the one number that logits should be divided by (the same paper, section 4.2).

/// Streaming calibration figures; the memory is that of the bins.
///
/// ```
/// use cerberus_multitask::metrics::Calibration;
/// let mut calibration = Calibration::new(15);
/// calibration.record(&[0.8, 0.2], 0);
/// calibration.record(&[0.8, 0.2], 1);
/// assert!((calibration.expected_error() - 0.3).abs() < 1e-12); // sure to 0.8, right in half
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    bins: Vec<Bin>,
    negative_log_likelihood: f64,
    brier: f64,
    samples: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    samples: u64,
    right: u64,
    confidence: f64,
}

impl Calibration {
    /// No samples yet, in `bins` bins (15 in the paper).
    ///
    /// # Panics
    /// When there is no bin.
    #[track_caller]
    pub fn new(bins: usize) -> Self {
        assert!(bins > 0, "calibration: there must be at least one bin");
        Self { bins: vec![Bin::default(); bins], negative_log_likelihood: 0.0, brier: 0.0, samples: 0 }
    }

    /// Counts one sample with its `probabilities` `[classes]`, summing to one. The most probable class is the
    /// first of equal ones. A probability of 0 for the true class counts as the smallest positive number in
    /// the likelihood, so that one sample cannot make it infinite.
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

    /// Samples of each bin that is not empty, and how far its confidence is from its accuracy.
    fn gaps(&self) -> impl Iterator<Item = (f64, f64)> {
        self.bins.iter().filter(|bin| bin.samples > 0).map(|bin| {
            let samples = bin.samples as f64;
            (samples, (bin.right as f64 / samples - bin.confidence / samples).abs())
        })
    }
}

/// The temperature `T` at which `softmax(logits / T)` has the smallest negative log-likelihood on these
/// samples: `logits` `[N, classes]` row by row, and `N` labels. Take samples the model was not trained on.
/// It is sought between 0.001 and 1000.
///
/// The likelihood is convex in `1/T`, with slope `mean(sum_c p_c z_c - z_y)`, whose zero is found by
/// bisection. Without samples `T` is 1.
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
    // Halving the logarithm of 1/T a hundred times leaves nothing to halve.
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if slope(middle.exp()) > 0.0 { high = middle } else { low = middle }
    }
    (-(low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confidence_on_an_edge_belongs_to_the_lower_bin() {
        let mut calibration = Calibration::new(2);
        calibration.record(&[0.5, 0.5], 0); // (0, 0.5], right
        calibration.record(&[0.75, 0.25], 1); // (0.5, 1], wrong
        assert_eq!(calibration.expected_error(), 0.5 * 0.5 + 0.5 * 0.75);
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
        assert!((fit_temperature(&logits, 2, &[0, 0, 1]) - 1.0).abs() < 1e-9);
        let sharp: Vec<f64> = logits.iter().map(|z| 5.0 * z).collect();
        assert!((fit_temperature(&sharp, 2, &[0, 0, 1]) - 5.0).abs() < 1e-8);
        assert_eq!(fit_temperature(&[], 2, &[]), 1.0);
    }
}

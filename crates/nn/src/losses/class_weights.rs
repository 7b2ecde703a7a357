//! Class weights and logit adjustments against class imbalance, from the counts
//! of each class.
//!
//! Weights go into [`cross_entropy`](super::cross_entropy)'s `class_weights`;
//! logit adjustments are added to logits in training. A class that never occurs
//! gets weight 0 (no example would use it) and the logit adjustment of a class
//! that occurs once.

/// `N / (C n_c)`, the inverse frequencies ("balanced" in scikit-learn).
pub fn inverse_frequency(counts: &[f64]) -> Vec<f64> {
    let total: f64 = counts.iter().sum();
    let classes = counts.len() as f64;
    counts.iter().map(|&n| if n > 0.0 { total / (classes * n) } else { 0.0 }).collect()
}

/// `(1 - beta) / (1 - beta^n_c)`, scaled to sum to the number of classes: the
/// inverse of the effective number of samples (Cui et al., "Class-Balanced Loss
/// Based on Effective Number of Samples", 2019, equation 2). `beta` is from 0
/// (no weighting) to below 1 (inverse frequency); 0.999 is usual.
///
/// # Panics
/// Unless `0 <= beta < 1`.
#[track_caller]
pub fn effective_number(counts: &[f64], beta: f64) -> Vec<f64> {
    assert!((0.0..1.0).contains(&beta), "effective_number: beta {beta} must be at least 0 and below 1");
    let raw = |&n: &f64| if n > 0.0 { (1.0 - beta) / (1.0 - beta.powf(n)) } else { 0.0 };
    let raw: Vec<f64> = counts.iter().map(raw).collect();
    let sum: f64 = raw.iter().sum();
    let scale = if sum > 0.0 { counts.len() as f64 / sum } else { 0.0 };
    raw.into_iter().map(|w| w * scale).collect()
}

/// `1 / ln(1.02 + p_c)`, with `p_c` the class's share (Paszke et al., "ENet",
/// 2016, section 5.2): at most 50.5, however rare the class.
pub fn enet(counts: &[f64]) -> Vec<f64> {
    let total: f64 = counts.iter().sum();
    let weight = |&n: &f64| if n > 0.0 { 1.0 / (1.02 + n / total).ln() } else { 0.0 };
    counts.iter().map(weight).collect()
}

/// `tau ln p_c`. Add it to the logits in training only: predictions without it
/// then favour the rare classes (Menon et al., "Long-tail learning via logit
/// adjustment", 2021, equation 10).
pub fn logit_adjustment(counts: &[f64], tau: f64) -> Vec<f64> {
    let total: f64 = counts.iter().sum::<f64>().max(1.0);
    counts.iter().map(|&n| tau * (n.max(1.0) / total).ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_do_not_occur_weigh_nothing() {
        let counts = [90.0, 10.0, 0.0];
        assert_eq!(inverse_frequency(&counts), [100.0 / 270.0, 100.0 / 30.0, 0.0]);
        assert_eq!(effective_number(&counts, 0.0), [1.5, 1.5, 0.0]);
        assert_eq!(enet(&counts)[2], 0.0);
        assert!(logit_adjustment(&counts, 1.0).iter().all(|v| v.is_finite()));
        assert_eq!(effective_number(&[0.0; 2], 0.9), [0.0; 2]);
    }

    #[test]
    fn enets_weight_is_bounded() {
        let weights = enet(&[1e9, 1.0]);
        assert!((weights[0] - 1.0 / 2.02_f64.ln()).abs() < 1e-6 && weights[1] < 50.51 && weights[1] > 50.0);
    }
}

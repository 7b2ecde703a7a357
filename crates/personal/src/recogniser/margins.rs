//! Margins of pictures that were left out, and the thresholds that follow from them.

use super::{Examples, largest};

/// The share of the base's own pictures that may be taken for one of the person's.
///
/// A hundredth for a base of eight classes and more. Of a base of two, a picture in three is of a class that the person
/// teaches if all classes are as frequent: a miss then weighs as much as several false alarms.
pub fn false_alarms(classes: usize) -> f64 {
    (0.08 / classes.max(1) as f64).clamp(0.01, 0.05)
}

/// The share of known pictures that may be called unknown.
pub const UNFAMILIAR: f64 = 0.02;

/// What a way does with pictures that it was not fitted to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Margins {
    /// For each of the person's pictures whose class has others: the margin, and whether its class is the nearest.
    pub own: Vec<(f64, bool)>,
    /// The margins of the base's pictures.
    pub strangers: Vec<f64>,
}

impl Margins {
    /// `scores(place)` gives the scores of the person's classes for an example that was left out, and that of the base's.
    pub fn of(examples: &Examples, scores: impl Fn(usize) -> (Vec<f64>, f64)) -> Self {
        let counts = examples.counts();
        let places = (0..examples.labels.len()).filter(|&place| counts[examples.labels[place]] > 1);
        let own = places.map(|place| {
            let (scores, own) = scores(place);
            let (nearest, score) = largest(&scores);
            (score - own, nearest == examples.labels[place])
        });
        Self { own: own.collect(), strangers: Vec::new() }
    }

    /// The share of the person's left-out pictures that are recognised with this threshold; `None` without any.
    pub fn recognised(&self, threshold: f64) -> Option<f64> {
        let right = self.own.iter().filter(|(margin, nearest)| *nearest && *margin > threshold).count();
        (!self.own.is_empty()).then(|| right as f64 / self.own.len() as f64)
    }
}

/// The value below which `share` of the sorted values lie; the smallest for a share of 0.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).copied()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The threshold, beside a base of so many classes: above all but [few](false_alarms) of its pictures; if the person's lie higher, half-way to their lower tenth.
pub(super) fn threshold_from(margins: &Margins, classes: usize) -> f64 {
    let strangers = sorted(margins.strangers.iter().copied());
    let Some(least) = quantile(&strangers, 1.0 - false_alarms(classes)) else { return 0.0 };
    let own = sorted(margins.own.iter().filter(|(_, nearest)| *nearest).map(|(margin, _)| *margin));
    match quantile(&own, 0.1) {
        Some(own) if own > least => 0.5 * (own + least),
        _ => least,
    }
}

/// The energy that only few pictures of the base's classes do not reach.
pub(super) fn familiar_from(energies: impl Iterator<Item = f64>) -> f64 {
    quantile(&sorted(energies), UNFAMILIAR).unwrap_or(f64::NEG_INFINITY)
}

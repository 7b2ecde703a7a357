//! Margins of pictures that were left out, and the thresholds that follow from them.

use super::{Examples, Recogniser, Shared, direction, largest};
use crate::heads::prototypes::unit;
use crate::knowledge::Known;
use crate::matrix::{Matrix, add_scaled, dot};

/// The share of the base's own pictures that may be taken for one of the person's.
pub const FALSE_ALARMS: f64 = 0.005;
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

/// The threshold: above all but few of the base's pictures; if the person's lie higher, half-way to their lower tenth.
pub(super) fn threshold_from(margins: &Margins) -> f64 {
    let strangers = sorted(margins.strangers.iter().copied());
    let Some(least) = quantile(&strangers, 1.0 - FALSE_ALARMS) else { return 0.0 };
    let own = sorted(margins.own.iter().filter(|(_, nearest)| *nearest).map(|(margin, _)| *margin));
    match quantile(&own, 0.1) {
        Some(own) if own > least => 0.5 * (own + least),
        _ => least,
    }
}

/// The cosine below which a picture is of no class that is known: the one that few pictures of known classes have, the
/// person's without themselves.
pub(super) fn familiar_from(
    recogniser: &Recogniser,
    shared: &Shared,
    rows: &[Vec<f64>],
    labels: &[usize],
    judged: &Known,
) -> f64 {
    if recogniser.prototypes.rows == 0 {
        return f64::NEG_INFINITY;
    }
    let base = judged.embeddings.iter().filter_map(|row| recogniser.familiarity(shared, row));
    let units: Vec<Vec<f64>> = rows.iter().map(|row| direction(row, &recogniser.centre)).collect();
    let mut sums = Matrix::zeros(recogniser.classes.len(), recogniser.centre.len());
    let mut counts = vec![0; recogniser.classes.len()];
    for (x, &label) in units.iter().zip(labels) {
        add_scaled(&mut sums.data[label * x.len()..(label + 1) * x.len()], x, 1.0);
        counts[label] += 1;
    }
    let own = units.iter().zip(labels).filter(|(_, label)| counts[**label] > 1).map(|(x, &label)| {
        let mut others = sums.row(label).to_vec();
        add_scaled(&mut others, x, -1.0);
        let shared = shared.prototypes.iter().map(|row| dot(row, x));
        shared.fold(dot(&unit(&others), x), f64::max)
    });
    quantile(&sorted(base.chain(own)), UNFAMILIAR).unwrap_or(f64::NEG_INFINITY)
}

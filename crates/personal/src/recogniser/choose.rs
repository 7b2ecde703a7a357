//! Which way suits what a person has shown: the one that recognises most of their pictures, each left out in turn.

use super::fit::attempt;
use super::{Examples, Recogniser, Shared, Way};

/// What one way did with the pictures that were left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The recogniser.
    pub recogniser: Recogniser,
    /// The share of the person's left-out pictures that it recognised; `None` if no class has two pictures.
    pub recognised: Option<f64>,
}

/// Every way that can be used, fitted and tried on the pictures that were left out.
pub fn trials(shared: &Shared, base_classes: &[String], examples: &Examples) -> Vec<Trial> {
    let tried = Way::ALL.into_iter().filter_map(|way| attempt(shared, base_classes, examples, way));
    tried
        .map(|found| Trial {
            recognised: found.margins.recognised(found.recogniser.threshold),
            recogniser: found.recogniser,
        })
        .collect()
}

/// A way is left for another one only if that recognises so much more: a few pictures tell little.
const CLEARLY: f64 = 0.1;

/// The trial of the first way, or of the one that recognised clearly more of the pictures that were left out. `None` if
/// there is no trial.
pub fn best(trials: Vec<Trial>) -> Option<Trial> {
    let better = |best: Trial, next: Trial| {
        let gain = next.recognised.unwrap_or(0.0) - best.recognised.unwrap_or(0.0);
        if gain > CLEARLY { next } else { best }
    };
    trials.into_iter().reduce(better)
}

/// The recogniser of the [best] way. `None` if there are no examples.
pub fn choose(shared: &Shared, base_classes: &[String], examples: &Examples) -> Option<Recogniser> {
    Some(best(trials(shared, base_classes, examples))?.recogniser)
}

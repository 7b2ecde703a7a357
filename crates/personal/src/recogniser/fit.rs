//! Fitting a recogniser by one way.

use super::margins::{Margins, familiar_from, threshold_from};
use super::{Examples, Recogniser, Shared, Way, direction, largest};
use crate::heads::gaussian::Gaussian;
use crate::heads::{Fitted, Linear, anchored, logistic, prototypes, ridge};
use crate::knowledge::{Knowledge, Known, narrow, wide};
use crate::matrix::Matrix;

/// The penalty of ridge heads on embeddings of length one.
const RIDGE: f64 = 1.0;
/// The strength of the examples of logistic heads on embeddings of length one.
const LOGISTIC: f64 = 10.0;
/// The strength of the examples of anchored heads, on embeddings as the base makes them.
const ANCHORED: f64 = 1.0;

/// A recogniser by one way, and the margins of the pictures that were left out of it.
pub(super) struct Attempt {
    pub recogniser: Recogniser,
    pub margins: Margins,
}

/// Fits a recogniser to examples by `way`. `base_classes` are the names of the base's classes: pictures of a class of the
/// base that the person teaches, too, do not count against it. `None` if the way cannot be used: without examples, with
/// numbers that are not finite, or if it needs what was not measured.
pub fn fit(shared: &Shared, base_classes: &[String], examples: &Examples, way: Way) -> Option<Recogniser> {
    Some(attempt(shared, base_classes, examples, way)?.recogniser)
}

pub(super) fn attempt(
    shared: &Shared,
    base_classes: &[String],
    examples: &Examples,
    way: Way,
) -> Option<Attempt> {
    if examples.embeddings.is_empty() {
        return None;
    }
    let imagined;
    let known = match &shared.knowledge {
        Some(known) => known,
        None if way.needs_measures() || shared.rows.weight.rows == 0 => return None,
        None => {
            imagined = Knowledge::imagine(&shared.rows, &examples.mean());
            &imagined
        }
    };
    let taught: Vec<bool> = base_classes.iter().map(|name| examples.classes.contains(name)).collect();
    let others = without(&known.rehearsal, &taught);
    let judged = without(&known.judged, &taught);
    let rows: Vec<Vec<f64>> = examples.embeddings.iter().map(|row| wide(row)).collect();
    let centre = centre(known, &rows, &others);
    let problem = Problem { shared, known, examples, rows: &rows, others: &others, centre: &centre };
    let (head, left_out) = problem.solve(way)?;
    let mut recogniser = Recogniser {
        classes: examples.classes.clone(),
        way,
        centre,
        head: rounded(head),
        threshold: 0.0,
        familiar: f64::NEG_INFINITY,
    };
    // Only pictures that the base knows can be lost.
    let right = |place: &usize| {
        !known.is_measured()
            || shared.rows.weight.rows == 0
            || largest(&shared.rows.scores(judged.embeddings.row(*place))).0 == judged.labels[*place]
    };
    let known_ones: Vec<usize> = (0..judged.labels.len()).filter(right).collect();
    let strangers = known_ones.iter().map(|&place| {
        let (scores, own) = recogniser.scores(shared, judged.embeddings.row(place));
        largest(&scores).1 - own
    });
    let margins = Margins { strangers: strangers.collect(), ..left_out };
    recogniser.threshold = threshold_from(&margins, base_classes.len());
    if known.is_measured() {
        let energies = known_ones.iter().filter_map(|&place| shared.energy(judged.embeddings.row(place)));
        recogniser.familiar = familiar_from(energies);
    }
    let numbers = recogniser.head.weight.data.iter().chain(&recogniser.head.bias).chain(&recogniser.centre);
    let finite = recogniser.threshold.is_finite() && numbers.into_iter().all(|number| number.is_finite());
    finite.then_some(Attempt { recogniser, margins })
}

/// Those of classes that the person does not teach, too.
fn without(known: &Known, taught: &[bool]) -> Known {
    let places: Vec<usize> = (0..known.labels.len()).filter(|&place| !taught[known.labels[place]]).collect();
    Known {
        embeddings: known.embeddings.select(&places),
        labels: places.iter().map(|&place| known.labels[place]).collect(),
    }
}

/// The base's centre if it was measured, otherwise the mean of all there is.
fn centre(known: &Knowledge, rows: &[Vec<f64>], others: &Known) -> Vec<f64> {
    if known.is_measured() {
        return known.centre.clone();
    }
    let count = rows.len() + others.labels.len();
    let mut mean = vec![0.0; known.centre.len()];
    for row in rows.iter().map(Vec::as_slice).chain(others.embeddings.iter()) {
        crate::matrix::add_scaled(&mut mean, row, 1.0 / count as f64);
    }
    wide(&narrow(&mean))
}

/// As it is saved.
fn rounded(head: Linear) -> Linear {
    let round = |values: &[f64]| wide(&narrow(values));
    Linear { weight: Matrix { data: round(&head.weight.data), ..head.weight }, bias: round(&head.bias) }
}

/// The examples, and what they are told from.
struct Problem<'a> {
    shared: &'a Shared,
    known: &'a Knowledge,
    examples: &'a Examples,
    rows: &'a [Vec<f64>],
    others: &'a Known,
    centre: &'a [f64],
}

impl Problem<'_> {
    fn classes(&self) -> usize {
        self.examples.classes.len()
    }

    /// The examples and then the base's, each changed by `change`.
    fn together(&self, change: impl Fn(&[f64]) -> Vec<f64>) -> (Matrix, Vec<Option<usize>>) {
        let own = self.rows.iter().map(Vec::as_slice);
        let rows: Vec<Vec<f64>> = own.chain(self.others.embeddings.iter()).map(change).collect();
        let none = std::iter::repeat_n(None, self.others.labels.len());
        (Matrix::of_rows(&rows), self.examples.labels.iter().copied().map(Some).chain(none).collect())
    }

    /// The head, and the margins of the examples without themselves.
    fn solve(&self, way: Way) -> Option<(Linear, Margins)> {
        let classes = self.classes();
        match way {
            Way::Gaussian => self.gaussian(),
            Way::Prototypes => {
                let (x, labels) = self.together(|row| direction(row, self.centre));
                let fitted = prototypes::prototypes(&x, &labels, classes);
                let own = |place: usize| largest(&self.shared.prototypes().times(x.row(place))).1;
                Some(self.with_margins(fitted, own))
            }
            Way::Ridge => {
                let (x, labels) = self.told_apart(|row| direction(row, self.centre))?;
                Some(self.with_margins(ridge::ridge(&x, &labels, classes, RIDGE, true)?, |_| 0.0))
            }
            Way::Logistic => {
                let (x, labels) = self.told_apart(|row| direction(row, self.centre))?;
                Some(self.with_margins(logistic::logistic(&x, &labels, classes, LOGISTIC, true)?, |_| 0.0))
            }
            Way::Anchored if self.shared.rows.weight.rows == 0 => None,
            Way::Anchored => {
                let (x, labels) = self.told_apart(<[f64]>::to_vec)?;
                let base = &self.shared.rows.weight;
                let start = base.transposed_times(&vec![1.0 / base.rows.max(1) as f64; base.rows]);
                let most: Vec<f64> = x.iter().map(|row| self.shared.most(row)).collect();
                let anchor = anchored::Anchor { start: &start, most: &most };
                // The left-out scores are margins already.
                let fitted = anchored::anchored(&x, &labels, classes, ANCHORED, &anchor)?;
                Some(self.with_margins(fitted, |_| 0.0))
            }
        }
    }

    /// [`together`](Self::together), if every class has something against it.
    fn told_apart(&self, change: impl Fn(&[f64]) -> Vec<f64>) -> Option<(Matrix, Vec<Option<usize>>)> {
        (self.classes() > 1 || !self.others.labels.is_empty()).then(|| self.together(change))
    }

    /// `own(place)` is the score of the base's classes for an example.
    fn with_margins(&self, fitted: Fitted, own: impl Fn(usize) -> f64) -> (Linear, Margins) {
        let scores = |place: usize| (fitted.left_out.row(place).to_vec(), own(place));
        let margins = Margins::of(self.examples, scores);
        (fitted.head, margins)
    }

    fn gaussian(&self) -> Option<(Linear, Margins)> {
        let whitening = self.known.whitening.as_ref()?;
        let white: Vec<Vec<f64>> = self.rows.iter().map(|row| whitening.apply(row)).collect();
        let found = Gaussian::of(&Matrix::of_rows(&white), &self.examples.labels, self.classes());
        let margins = Margins::of(self.examples, |place| {
            let class = self.examples.labels[place];
            let mut scores = found.left_out(&white[place], class);
            for (other, score) in scores.iter_mut().enumerate() {
                let count = found.counts[other] - f64::from(u8::from(other == class));
                *score -= self.shared.caution(&self.rows[place], count.max(1.0));
            }
            (scores, largest(&self.shared.gaussian().scores(&white[place])).1)
        });
        let finite = found.means.data.iter().all(|value| value.is_finite());
        finite.then_some((Linear { weight: found.means, bias: found.counts }, margins))
    }
}

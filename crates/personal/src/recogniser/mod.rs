//! A person's classes beside the base's: fitted to what they have shown, with thresholds, by a way that is chosen.
//!
//! A way gives each of the person's classes a score, and the base's classes together another, the largest. A picture is
//! of a person's class if the difference, its margin, is above a threshold; otherwise the base answers as it always did,
//! so what it knows can be lost only by a false alarm. The threshold is set by the margins of the base's own pictures, of
//! which hardly any may be above it, and, where they leave room, moved towards the margins that the person's pictures
//! have when they are left out.

mod choose;
mod fit;
mod margins;

use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::heads::Linear;
use crate::heads::gaussian::{Gaussian, densities};
use crate::heads::prototypes::unit;
use crate::knowledge::{Knowledge, wide};
use crate::matrix::Matrix;

pub use choose::{Trial, best, choose, trials};
pub use fit::fit;
pub use margins::{UNFAMILIAR, false_alarms};

/// How a person's classes are told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// [New rows](crate::heads::anchored) beside the base's.
    Anchored,
    /// [Means](crate::heads::gaussian) under the covariance that the base's classes have.
    Gaussian,
    /// [Logistic](crate::heads::logistic), one class against the rest.
    Logistic,
    /// [Ridge](crate::heads::ridge), one class against the rest.
    Ridge,
    /// [Class means](crate::heads::prototypes), by cosine.
    Prototypes,
}

impl Way {
    /// All ways, the one that is preferred among equals first.
    pub const ALL: [Way; 5] = [Way::Anchored, Way::Gaussian, Way::Logistic, Way::Ridge, Way::Prototypes];

    /// Its name in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Way::Gaussian => "gaussian",
            Way::Logistic => "logistic",
            Way::Ridge => "ridge",
            Way::Prototypes => "prototypes",
            Way::Anchored => "anchored",
        }
    }

    /// The way of this name.
    ///
    /// # Errors
    /// A sentence that lists the ways.
    pub fn find(name: &str) -> Result<Way, String> {
        let known: Vec<&str> = Self::ALL.iter().map(|way| way.name()).collect();
        let found = Self::ALL.into_iter().find(|way| way.name() == name);
        found.ok_or_else(|| {
            format!("there is no way {name:?} to tell classes; there are {}", known.join(", "))
        })
    }

    /// Whether it needs knowledge that was measured.
    pub fn needs_measures(self) -> bool {
        matches!(self, Way::Gaussian | Way::Prototypes)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a person has shown: embeddings and classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examples {
    /// The names of the person's classes.
    pub classes: Vec<String>,
    /// `[n]` embeddings of `D` numbers each.
    pub embeddings: Vec<Vec<f32>>,
    /// `[n]`, indices into `classes`, each of which occurs.
    pub labels: Vec<usize>,
}

impl Examples {
    /// How many there are of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.labels.iter().for_each(|&label| counts[label] += 1);
        counts
    }

    /// The mean of the classes' means, `[D]`.
    fn mean(&self) -> Vec<f64> {
        let counts = self.counts();
        let mut mean = vec![0.0; self.embeddings.first().map_or(0, Vec::len)];
        for (row, &label) in self.embeddings.iter().zip(&self.labels) {
            let share = 1.0 / (counts[label] * counts.len()) as f64;
            crate::matrix::add_scaled(&mut mean, &wide(row), share);
        }
        mean
    }
}

/// A person's classes beside the base's. Small, and all that a prediction needs of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Recogniser {
    /// The person's classes.
    pub classes: Vec<String>,
    /// How they are told.
    pub way: Way,
    /// The point from which directions are counted, `[D]`.
    pub centre: Vec<f64>,
    /// The person's rows; for [`Way::Gaussian`] means in whitened coordinates and the counts that they are of.
    pub head: Linear,
    /// A margin above this is one of the person's classes.
    pub threshold: f64,
    /// A picture that is none of the person's, and whose [energy](Shared::energy) is below this, is none of the base's
    /// either; `-∞` if nothing was measured.
    pub familiar: f64,
}

/// What is said of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// The person's class, or `None` if the picture is none of theirs.
    pub class: Option<usize>,
    /// The person's most likely class, even if it is not the answer.
    pub nearest: usize,
    /// How far that class is above the base's classes; compare it with the threshold.
    pub margin: f64,
    /// Whether it is neither one of theirs nor one of the base's.
    pub unknown: bool,
    /// How much the base finds of its classes; `None` for tasks without a last layer that could tell.
    pub familiarity: Option<f64>,
}

/// How much the energy counts beside the density of a class of one picture. The fewer pictures a mean is of, the more is
/// told by how little the base finds of its own classes. Chosen on fashion scenes, for 1 to 20 pictures.
const CAUTION: f64 = 8.0;

/// The base's part of what a recogniser compares with; the same for everybody.
pub struct Shared {
    /// What the base knows of its classes, if it was measured.
    pub knowledge: Option<Knowledge>,
    /// The classifier's last layer.
    pub rows: Linear,
    /// The base's classes as means in whitened coordinates; computed when first asked for, since of a thousand classes it
    /// takes longer than an answer.
    gaussian: OnceLock<Gaussian>,
    /// The base's prototypes, at length one from the centre.
    prototypes: OnceLock<Matrix>,
}

impl Shared {
    /// From the base's last layer and what was measured of it.
    pub fn new(rows: Linear, knowledge: Option<Knowledge>) -> Self {
        Self { knowledge, rows, gaussian: OnceLock::new(), prototypes: OnceLock::new() }
    }

    fn gaussian(&self) -> &Gaussian {
        self.gaussian.get_or_init(|| {
            let known = self.knowledge.as_ref();
            let Some((known, whitening)) = known.and_then(|known| Some((known, known.whitening.as_ref()?)))
            else {
                return Gaussian::default();
            };
            let means: Vec<Vec<f64>> = known.means.iter().map(|mean| whitening.apply(mean)).collect();
            Gaussian { means: Matrix::of_rows(&means), counts: known.counts.clone() }
        })
    }

    fn prototypes(&self) -> &Matrix {
        self.prototypes.get_or_init(|| {
            self.knowledge.as_ref().map_or_else(Matrix::default, |known| {
                let units: Vec<Vec<f64>> =
                    known.means.iter().map(|mean| direction(mean, &known.centre)).collect();
                Matrix::of_rows(&units)
            })
        })
    }

    /// How much the base finds of its classes, `ln Σ exp(logit)`: high for pictures of them, low for others (Liu et al.,
    /// "Energy-based out-of-distribution detection", 2020, equation 4). `None` without a last layer.
    pub fn energy(&self, x: &[f64]) -> Option<f64> {
        let logits = self.rows.scores(x);
        let most = largest(&logits).1;
        let sum = || logits.iter().map(|logit| (logit - most).exp()).sum::<f64>();
        (!logits.is_empty()).then(|| most + sum().ln())
    }

    /// What the base's energy takes from the score of a class whose mean is of `count` pictures.
    fn caution(&self, x: &[f64], count: f64) -> f64 {
        CAUTION / count * self.energy(x).unwrap_or(0.0)
    }

    /// The largest logit of the base, `-∞` without classes.
    fn most(&self, x: &[f64]) -> f64 {
        largest(&self.rows.scores(x)).1
    }
}

/// The direction of an embedding as seen from the centre.
fn direction(x: &[f64], centre: &[f64]) -> Vec<f64> {
    let shifted: Vec<f64> = x.iter().zip(centre).map(|(x, centre)| x - centre).collect();
    unit(&shifted)
}

/// The largest score and where it is, the first among equals; `-∞` without scores.
fn largest(scores: &[f64]) -> (usize, f64) {
    let better = |best: (usize, f64), (place, &score): (usize, &f64)| {
        if score > best.1 { (place, score) } else { best }
    };
    scores.iter().enumerate().fold((0, f64::NEG_INFINITY), better)
}

impl Recogniser {
    /// What is said of a picture with this embedding, given the base's part.
    pub fn recognise(&self, shared: &Shared, embedding: &[f32]) -> Recognised {
        let x = wide(embedding);
        let (scores, own) = self.scores(shared, &x);
        let (nearest, score) = largest(&scores);
        let margin = score - own;
        let familiarity = shared.energy(&x);
        let class = (margin > self.threshold).then_some(nearest);
        let unknown = class.is_none() && familiarity.is_some_and(|energy| energy < self.familiar);
        Recognised { class, nearest, margin, unknown, familiarity }
    }

    /// The scores of the person's classes, and the one of the base's classes together.
    fn scores(&self, shared: &Shared, x: &[f64]) -> (Vec<f64>, f64) {
        match self.way {
            Way::Gaussian => {
                let whitening = shared.knowledge.as_ref().and_then(|known| known.whitening.as_ref());
                let white = whitening.map_or_else(|| x.to_vec(), |whitening| whitening.apply(x));
                let mut scores = densities(&self.head.weight, &self.head.bias, &white);
                scores
                    .iter_mut()
                    .zip(&self.head.bias)
                    .for_each(|(score, &count)| *score -= shared.caution(x, count));
                (scores, largest(&shared.gaussian().scores(&white)).1)
            }
            Way::Prototypes => {
                let x = direction(x, &self.centre);
                (self.head.scores(&x), largest(&shared.prototypes().times(&x)).1)
            }
            Way::Ridge | Way::Logistic => (self.head.scores(&direction(x, &self.centre)), 0.0),
            Way::Anchored => (self.head.scores(x), shared.most(x)),
        }
    }
}

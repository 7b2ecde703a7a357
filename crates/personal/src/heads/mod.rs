//! Classifiers of embeddings, each from a few examples.
//!
//! | head | what it is | answer |
//! |---|---|---|
//! | [`prototypes`] | the mean of each class's examples, all of length one | cosine |
//! | [`ridge`] | one against the rest by least squares with a penalty | closed form |
//! | [`logistic`] | one against the rest by penalised likelihood | Newton |
//! | [`anchored`] | new rows beside the base's, pulled to where they start (L2-SP) | Newton |
//! | [`gaussian`] | means under the covariance that the base's classes have | closed form |
//!
//! Ridge and logistic work on the products of examples with each other, because there are fewer examples than numbers
//! in an embedding; both then know their leave-one-out answers at no further cost.

pub mod anchored;
mod dual;
pub mod gaussian;
pub mod logistic;
pub mod prototypes;
pub mod ridge;
#[cfg(test)]
mod tests;

pub use gaussian::Gaussian;

use crate::matrix::{Matrix, dot};

/// A linear head: a row of weights and a number for each class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Linear {
    /// `[classes, D]`.
    pub weight: Matrix,
    /// `[classes]`.
    pub bias: Vec<f64>,
}

impl Linear {
    /// The score of every class for an embedding of `D` numbers.
    pub fn scores(&self, x: &[f64]) -> Vec<f64> {
        self.weight.iter().zip(&self.bias).map(|(row, bias)| dot(row, x) + bias).collect()
    }
}

/// A linear head, and for each of its examples the scores of the head that was computed without that example.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The head.
    pub head: Linear,
    /// `[examples, classes]`.
    pub left_out: Matrix,
}

/// The weight of each example in a problem of one class against the rest in which both sides count alike: `n / 2` over
/// the size of its side, as in scikit-learn's `class_weight="balanced"`.
pub fn balanced(positive: &[bool]) -> Vec<f64> {
    let count = positive.iter().filter(|&&positive| positive).count();
    let sides = [positive.len() - count, count];
    let share = |positive: bool| positive_share(sides[usize::from(positive)], sides);
    positive.iter().map(|&positive| share(positive)).collect()
}

fn positive_share(side: usize, sides: [usize; 2]) -> f64 {
    (sides[0] + sides[1]) as f64 / (2 * side) as f64
}

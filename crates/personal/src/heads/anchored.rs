//! New rows beside those of the base, pulled to where they start.
//!
//! A new class's row `w` starts at the mean of the base's rows, `w₀`, and its score is compared with the largest score
//! that the base gives one of its own classes, `m_i`, which stays as it is:
//! `min ½ |w - w₀|² + C Σ s_i ln(1 + exp(-t_i (x_i·w + b - m_i)))`. The penalty is L2-SP of Li, Grandvalet and Davoine,
//! "Explicit inductive bias for transfer learning with convolutional networks", 2018: towards the starting
//! point, not towards 0. The base's own rows have an infinite penalty: they are everybody's.

use super::logistic::newton;
use super::{Fitted, Linear, balanced};
use crate::matrix::{Matrix, add_scaled, dot};

/// The base's rows, to which new ones are anchored.
pub struct Anchor<'a> {
    /// Where a new row starts, `[D]`.
    pub start: &'a [f64],
    /// For every example the largest score of the base, `[n]`.
    pub most: &'a [f64],
}

/// Fits one row for each of `classes` classes to examples `[n, D]`; see [`logistic`](super::logistic::logistic). The
/// scores of the head are on the scale of the base's; the left-out scores have the base's largest subtracted.
///
/// # Panics
/// As [`logistic`](super::logistic::logistic), and unless there is a base's score for each example.
#[track_caller]
pub fn anchored(
    x: &Matrix,
    labels: &[Option<usize>],
    classes: usize,
    strength: f64,
    anchor: &Anchor<'_>,
) -> Option<Fitted> {
    assert!(
        labels.len() == x.rows && anchor.most.len() == x.rows && anchor.start.len() == x.columns,
        "anchored: {} labels and {} scores for {} examples",
        labels.len(),
        anchor.most.len(),
        x.rows
    );
    let products = x.gram();
    let offset: Vec<f64> = x.iter().zip(anchor.most).map(|(x, most)| dot(x, anchor.start) - most).collect();
    let mut head = Linear { weight: Matrix::zeros(0, x.columns), bias: Vec::new() };
    let mut left_out = Matrix::zeros(x.rows, classes);
    for class in 0..classes {
        let positive: Vec<bool> = labels.iter().map(|&label| label == Some(class)).collect();
        assert!(
            positive.contains(&true) && positive.contains(&false),
            "anchored: class {class} has no example, or all"
        );
        let weights: Vec<f64> = balanced(&positive).iter().map(|weight| weight * strength).collect();
        let found = newton(&products, &positive, &weights, &offset)?;
        let mut row = x.transposed_times(&found.alpha);
        add_scaled(&mut row, anchor.start, 1.0);
        head.weight.data.extend(row);
        head.weight.rows += 1;
        head.bias.push(found.bias);
        for (i, score) in found.left_out.into_iter().enumerate() {
            left_out.data[i * classes + class] = score;
        }
    }
    Some(Fitted { head, left_out })
}

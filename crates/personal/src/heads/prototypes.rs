//! The mean of each class's examples, and the cosine with it.
//!
//! Snell, Swersky and Zemel, "Prototypical networks for few-shot learning", 2017, equation 1; with the cosine in place of
//! the distance, as in Gidaris and Komodakis, "Dynamic few-shot visual learning without forgetting", 2018, section 3.
//! Examples count alike whatever their length: each is brought to length one before the mean.

use super::{Fitted, Linear};
use crate::matrix::{Matrix, add_scaled, dot};

/// The vector at length one; unchanged if it is 0.
pub fn unit(x: &[f64]) -> Vec<f64> {
    let length = dot(x, x).sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 1.0 };
    x.iter().map(|x| x * scale).collect()
}

/// The rows are the classes' means at length one, so that the score of an embedding of length one is the cosine. Labels of
/// `None` are not used; their left-out scores are plain ones. The left-out score of a class's only example is -1.
///
/// # Panics
/// Unless there is a label for each example, and an example of each class.
#[track_caller]
pub fn prototypes(x: &Matrix, labels: &[Option<usize>], classes: usize) -> Fitted {
    assert!(labels.len() == x.rows, "prototypes: {} labels for {} examples", labels.len(), x.rows);
    let units: Vec<Vec<f64>> = x.iter().map(unit).collect();
    let mut sums = Matrix::zeros(classes, x.columns);
    let mut counts = vec![0_usize; classes];
    for (x, class) in units.iter().zip(labels).filter_map(|(x, label)| Some((x, (*label)?))) {
        add_scaled(&mut sums.data[class * x.len()..(class + 1) * x.len()], x, 1.0);
        counts[class] += 1;
    }
    assert!(!counts.contains(&0), "prototypes: a class has no example: {counts:?}");
    let rows: Vec<Vec<f64>> = sums.iter().map(unit).collect();
    let head =
        Linear { weight: Matrix { columns: x.columns, ..Matrix::of_rows(&rows) }, bias: vec![0.0; classes] };
    let mut left_out = Matrix::zeros(x.rows, classes);
    for (i, x) in units.iter().enumerate() {
        let mut scores = head.scores(x);
        if let Some(class) = labels[i] {
            let mut others = sums.row(class).to_vec();
            add_scaled(&mut others, x, -1.0);
            scores[class] = if counts[class] > 1 { dot(&unit(&others), x) } else { -1.0 };
        }
        left_out.data[i * classes..(i + 1) * classes].copy_from_slice(&scores);
    }
    Fitted { head, left_out }
}

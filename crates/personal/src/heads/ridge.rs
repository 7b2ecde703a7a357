//! One class against the rest by least squares with a penalty, in closed form.
//!
//! For each class `min λ |w|² + Σ s_i (t_i - x_i·w - b)²` with targets `t_i` of 1 and -1: scikit-learn's
//! `RidgeClassifier(alpha=λ)`, whose intercept is not penalised either (Hoerl and Kennard, 1970; for few examples on
//! frozen features, Bertinetto et al., "Meta-learning with differentiable closed-form solvers", 2019, section 3.2).

use super::dual::Dual;
use super::{Fitted, Linear, balanced};
use crate::matrix::Matrix;

/// Fits one row for each of `classes` classes to examples `[n, D]`; a label of `None` is of none of them. With `balance`,
/// both sides of each problem [count alike](balanced). `None` if an example is not finite.
///
/// # Panics
/// Unless there is a label for each example, `penalty` is positive, and every class has an example and one against it.
#[track_caller]
pub fn ridge(
    x: &Matrix,
    labels: &[Option<usize>],
    classes: usize,
    penalty: f64,
    balance: bool,
) -> Option<Fitted> {
    assert!(
        labels.len() == x.rows && penalty > 0.0,
        "ridge: {} labels for {} examples, penalty {penalty}",
        labels.len(),
        x.rows
    );
    let products = x.gram();
    let mut head = Linear { weight: Matrix::zeros(0, x.columns), bias: Vec::new() };
    let mut left_out = Matrix::zeros(x.rows, classes);
    let even = if balance { None } else { Some(Dual::new(&products, &vec![1.0 / penalty; x.rows])?) };
    for class in 0..classes {
        let positive: Vec<bool> = labels.iter().map(|&label| label == Some(class)).collect();
        assert!(
            positive.contains(&true) && positive.contains(&false),
            "ridge: class {class} has no example, or all"
        );
        let target: Vec<f64> = positive.iter().map(|&positive| if positive { 1.0 } else { -1.0 }).collect();
        let own;
        let dual = match &even {
            Some(dual) => dual,
            None => {
                let weights: Vec<f64> = balanced(&positive).iter().map(|weight| weight / penalty).collect();
                own = Dual::new(&products, &weights)?;
                &own
            }
        };
        let solution = dual.solve(&target);
        head.weight.data.extend(x.transposed_times(&solution.alpha));
        head.weight.rows += 1;
        head.bias.push(solution.bias);
        for (i, score) in dual.left_out(&target, &solution.alpha).into_iter().enumerate() {
            left_out.data[i * classes + class] = score;
        }
    }
    Some(Fitted { head, left_out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::logistic::logistic;

    fn examples() -> (Matrix, Vec<Option<usize>>) {
        let rows: Vec<Vec<f64>> = (0..9)
            .map(|i| (0..5).map(|j| ((i * 7 + j * 3) as f64 * 0.7).sin() + f64::from(i % 3 == j)).collect())
            .collect();
        (Matrix::of_rows(&rows), (0..9).map(|i| [Some(0), Some(1), None][i as usize % 3]).collect())
    }

    #[test]
    fn left_out_answers_are_those_of_heads_computed_without_the_example() {
        let (x, labels) = examples();
        let whole = ridge(&x, &labels, 2, 0.3, false).unwrap();
        for i in 0..x.rows {
            let others: Vec<usize> = (0..x.rows).filter(|&j| j != i).collect();
            let kept: Vec<Option<usize>> = others.iter().map(|&j| labels[j]).collect();
            let without = ridge(&x.select(&others), &kept, 2, 0.3, false).unwrap();
            for (a, b) in without.head.scores(x.row(i)).iter().zip(whole.left_out.row(i)) {
                assert!((a - b).abs() < 1e-10, "{a} {b}");
            }
        }
    }

    #[test]
    fn left_out_answers_of_logistic_heads_are_much_closer_than_plain_ones() {
        let (x, labels) = examples();
        let whole = logistic(&x, &labels, 2, 1.0, true).unwrap();
        let (mut off, mut plain) = (0.0, 0.0);
        for i in 0..x.rows {
            let others: Vec<usize> = (0..x.rows).filter(|&j| j != i).collect();
            let kept: Vec<Option<usize>> = others.iter().map(|&j| labels[j]).collect();
            let without = logistic(&x.select(&others), &kept, 2, 1.0, true).unwrap().head.scores(x.row(i));
            let with = whole.head.scores(x.row(i));
            for class in 0..2 {
                off += (without[class] - whole.left_out.row(i)[class]).abs();
                plain += (without[class] - with[class]).abs();
            }
        }
        assert!(off < 0.35 * plain, "{off} {plain}");
    }

    #[test]
    fn numbers_that_are_not_finite_give_no_head() {
        let (mut x, labels) = examples();
        x.data[3] = f64::NAN;
        assert!(ridge(&x, &labels, 2, 1.0, true).is_none() && logistic(&x, &labels, 2, 1.0, true).is_none());
    }
}

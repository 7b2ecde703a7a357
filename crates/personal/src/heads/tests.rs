//! The heads against scikit-learn, with the answers in `tests/parity/personal.json` (see `personal.py` beside it).

use serde::Deserialize;

use super::gaussian::{Gaussian, Whitening};
use super::logistic::logistic;
use super::prototypes::{prototypes, unit};
use super::ridge::ridge;
use crate::matrix::{Matrix, add_scaled};

#[derive(Deserialize)]
struct Case {
    examples: usize,
    width: usize,
    classes: usize,
    ridge: f64,
    logistic: f64,
    balance: bool,
    prototypes: Vec<Vec<f64>>,
    ridge_scores: Vec<Vec<f64>>,
    logistic_scores: Vec<Vec<f64>>,
    gaussian_scores: Vec<Vec<f64>>,
}

/// The examples of `personal.py`.
fn rows(count: usize, width: usize, shift: f64, classes: usize) -> Matrix {
    let value = |i: usize, j: usize| {
        let kind = (i % (classes + 1)) as f64;
        let (i, j) = (i as f64, j as f64);
        (0.7 * (7.0 * i + 3.0 * j) + shift).sin() + (1.1 * j * (kind + 1.0)).cos()
    };
    let rows: Vec<Vec<f64>> = (0..count).map(|i| (0..width).map(|j| value(i, j)).collect()).collect();
    Matrix::of_rows(&rows)
}

fn agree(what: &str, found: &[Vec<f64>], expected: &[Vec<f64>]) {
    assert_eq!((found.len(), found[0].len()), (expected.len(), expected[0].len()), "{what}");
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        let scale = expected.abs().max(1.0);
        assert!((found - expected).abs() <= 1e-8 * scale, "{what}: {found}, not {expected}");
    }
}

#[test]
fn parity_with_scikit_learn_of_every_head() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../../tests/parity/personal.json")).unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let Case { examples, width, classes, .. } = case;
        let (x, questions) = (rows(examples, width, 0.0, classes), rows(7, width, 0.4, classes));
        let labels: Vec<usize> = (0..examples).map(|i| i % (classes + 1)).collect();
        let own: Vec<Option<usize>> =
            labels.iter().map(|&label| (label < classes).then_some(label)).collect();

        let found = prototypes(&x, &own, classes).head;
        let cosines: Vec<Vec<f64>> = questions.iter().map(|q| found.scores(&unit(q))).collect();
        agree("prototypes", &cosines, &case.prototypes);

        let found = ridge(&x, &own, classes, case.ridge, case.balance).unwrap().head;
        let scores: Vec<Vec<f64>> = questions.iter().map(|q| found.scores(q)).collect();
        agree("ridge", &scores, &case.ridge_scores);

        let found = logistic(&x, &own, classes, case.logistic, case.balance).unwrap().head;
        let scores: Vec<Vec<f64>> = questions.iter().map(|q| found.scores(q)).collect();
        agree("logistic", &scores, &case.logistic_scores);

        let all = Gaussian::of(&x, &labels, classes + 1);
        let mut deviations = x.clone();
        for (i, &label) in labels.iter().enumerate() {
            add_scaled(&mut deviations.data[i * width..(i + 1) * width], all.means.row(label), -1.0);
        }
        let whitening = Whitening::of_deviations(&deviations, 0.1).unwrap();
        let white: Vec<Vec<f64>> = x.iter().map(|row| whitening.apply(row)).collect();
        let found = Gaussian::of(&Matrix::of_rows(&white), &labels, classes + 1);
        let scores: Vec<Vec<f64>> =
            questions.iter().map(|q| found.scores(&whitening.apply(q))[..classes].to_vec()).collect();
        agree("gaussian", &scores, &case.gaussian_scores);
    }
}

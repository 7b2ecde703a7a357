//! The two-parameter problem against known values, and strategies run on it.

use serde_json::Value;

use super::{combine, numbers, rows};
use crate::on_gramian::*;
use crate::strategies::Famo;
use crate::toy::{STARTS, above_bound, toy};
use crate::{Evidence, Gramian, Strategy, solvers::dot};

#[test]
fn losses_and_gradients_are_the_known_ones() {
    let text = include_str!("../../../../tests/vectors/toy.json");
    let file: Value = serde_json::from_str(text).expect("valid JSON");
    for point in file["points"].as_array().expect("points") {
        let x = numbers(&point["x"]);
        let (losses, jacobian) = toy([x[0], x[1]], point["scale_f1"].as_f64().unwrap());
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
        assert!(losses.iter().zip(numbers(&point["f"])).all(|(a, b)| near(*a, b)), "{x:?}: {losses:?}");
        for (found, expected) in jacobian.iter().zip(rows(&point["J"])) {
            assert!(found.iter().zip(&expected).all(|(a, b)| near(*a, *b)), "{x:?}: {found:?}, {expected:?}");
        }
    }
}

/// Where Adam at that rate ends after so many steps, weighted by the gradients.
fn descend(
    start: [f64; 2],
    scale: f64,
    schedule: [f64; 2],
    weights: impl Fn(&Gramian) -> Vec<f64>,
) -> [f64; 2] {
    walk(start, scale, schedule, |_, rows| weights(&Gramian::of_rows(rows).unwrap()))
}

/// The same for weights from losses and gradients.
fn walk(
    start: [f64; 2],
    scale: f64,
    [rate, steps]: [f64; 2],
    mut weights: impl FnMut([f64; 2], &[Vec<f64>; 2]) -> Vec<f64>,
) -> [f64; 2] {
    let mut x = start;
    let (mut first, mut second) = ([0.0; 2], [0.0; 2]);
    for step in 1..=steps as i32 {
        let (losses, rows) = toy(x, scale);
        let rows = rows.map(|row| row.to_vec());
        let d = combine(&rows, &weights(losses, &rows));
        for k in 0..2 {
            first[k] += 0.1 * (d[k] - first[k]);
            second[k] += 0.001 * (d[k] * d[k] - second[k]);
            let [a, b] = [first[k] / (1.0 - 0.9f64.powi(step)), second[k] / (1.0 - 0.999f64.powi(step))];
            x[k] -= rate * a / (b.sqrt() + 1e-8);
        }
    }
    x
}

#[test]
fn surgery_and_conflict_aversion_get_out_of_the_valley_that_equal_weights_are_stuck_in() {
    let pair = Orders::random(2, &mut cerberus_tensor::random::stream(1, "toy", 0, 0));
    let surgery = |gramian: &Gramian| pc_grad(gramian, &[1.0; 2], &pair);
    let averse = |gramian: &Gramian| ca_grad(gramian, &[0.5; 2], 0.4, Rescale::None);
    let equal = |_: &Gramian| vec![1.0; 2];
    // The steps of the authors' code, from the first start.
    let arrives = |weights: &dyn Fn(&Gramian) -> Vec<f64>, steps: i32| {
        let [x, y] = descend(STARTS[0], 1.0, [1e-3, f64::from(steps)], weights);
        (y + 8.0).abs() < 0.5 && x.abs() < 7.5
    };
    assert!(arrives(&surgery, 100_000) && arrives(&averse, 100_000));
    assert!(!arrives(&equal, 100_000) && !arrives(&averse, 35_000));
}

#[test]
fn the_bargain_reaches_the_pareto_set_from_every_start_whatever_the_scale_of_a_loss() {
    let nash = |gramian: &Gramian| fair_grad(gramian, &[1.0; 2], 1.0);
    for start in STARTS {
        for scale in [1.0, 0.1] {
            let [x, y] = descend(start, scale, [1e-2, 6000.0], nash);
            assert!((y + 8.0).abs() < 0.5 && x.abs() < 7.5, "from {start:?} to ({x}, {y})");
        }
    }
}

#[test]
fn famo_reaches_the_pareto_set_from_every_start_with_its_authors_bound_and_no_forgetting() {
    // The first loss ten times smaller, as in their code.
    let scale = 0.1;
    for start in STARTS {
        let mut famo = Famo::new(2, 0.025, 0.0);
        let weights = |losses: [f64; 2], _: &[Vec<f64>; 2]| {
            let losses = above_bound(losses, scale);
            Strategy::<f64>::after_step(&mut famo, &losses);
            let evidence = Evidence::<f64> {
                tasks: &[0, 1],
                losses: &losses,
                preference: &[0.5; 2],
                gradients: &[],
                gramian: None,
                lookahead: None,
                seed: [0; 2],
            };
            famo.decide(&evidence).unwrap().weights
        };
        let [x, y] = walk(start, scale, [1e-3, 35_000.0], weights);
        assert!((y + 8.0).abs() < 0.5 && x.abs() < 7.5, "from {start:?} to ({x}, {y})");
    }
}

#[test]
fn a_direction_that_hurts_no_task_lowers_both_losses_along_a_small_step() {
    for start in [STARTS[0], STARTS[2], STARTS[4]] {
        let (before, rows) = toy(start, 1.0);
        let rows = rows.map(|row| row.to_vec());
        let d = combine(&rows, &up_grad(&Gramian::of_rows(&rows).unwrap(), &[0.5; 2]));
        let step = 1e-5 / dot(&d, &d).sqrt();
        let (after, _) = toy([start[0] - step * d[0], start[1] - step * d[1]], 1.0);
        assert!(after[0] <= before[0] && after[1] <= before[1], "{before:?} to {after:?}");
    }
}

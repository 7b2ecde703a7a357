//! Lesson 9: tasks that disagree.
//!
//! `cargo run --release --example 09_tasks_that_disagree`
//!
//! Several losses on shared features move the same weights. If their gradients
//! conflict, one task gets better at the cost of another. `grad` computes each task's
//! gradient alone; here two of them are compared and added, and then each loses the
//! part that hurts the other task (Yu et al., "Gradient Surgery for Multi-Task
//! Learning", 2020).

use cerberus::prelude::*;
use cerberus_cli::say;

fn main() {
    let shared = Tensor::from_vec(vec![1.0f64, 1.0], &[2]);
    let gradients = |scale: f64| {
        let tape = Tape::new();
        let weights = tape.leaf(shared.clone());
        let [first, second] = losses(&weights, scale);
        [grad(&[&first], &[&weights]).remove(0), grad(&[&second], &[&weights]).remove(0)]
    };

    say!("-- Two tasks, one pair of weights");
    let [a, b] = gradients(1.0);
    let cosine = dot(&a, &b) / (length(&a) * length(&b));
    say!("first {:.2?}, second {:.2?}, cosine {cosine:.3}", a.to_vec(), b.to_vec());
    // prints: first [-1.00, 1.00], second [8.00, -4.00], cosine -0.949
    assert!(cosine < 0.0, "they disagree");

    say!("\n-- A step for both, and what it does to each");
    let sum = &a + &b;
    let change = |direction: &Tensor<f64>, task: usize| {
        let at = |weights: Tensor<f64>| losses(&Var::constant(weights), 1.0)[task].value().item();
        let mut moved = shared.clone();
        moved.add_scaled(-1e-3, direction);
        at(moved) - at(shared.clone())
    };
    say!("along the sum: first {:+.1e}, second {:+.1e}", change(&sum, 0), change(&sum, 1));
    // prints: along the sum: first +1.0e-2, second -6.8e-2
    assert!(change(&sum, 0) > 0.0 && change(&sum, 1) < 0.0, "the louder task wins");

    say!("\n-- Without what hurts the other");
    // Remove from each gradient its component against the other.
    let freed = |g: &Tensor<f64>, other: &Tensor<f64>| {
        let against = dot(g, other).min(0.0) / dot(other, other);
        g - &other.clone().scale(against)
    };
    let surgery = &freed(&a, &b) + &freed(&b, &a);
    say!("after surgery: first {:+.1e}, second {:+.1e}", change(&surgery, 0), change(&surgery, 1));
    // prints: after surgery: first -1.9e-4, second -8.0e-3
    assert!(change(&surgery, 0) < 0.0 && change(&surgery, 1) < 0.0, "both get better");

    say!("\n-- Weights are not only a matter of taste");
    // Measured in other units, the second loss is a hundred times smaller.
    let [a, b] = gradients(0.01);
    say!("gradient lengths: {:.3} and {:.3}", length(&a), length(&b));
    // prints: gradient lengths: 1.414 and 0.089
    assert!(length(&a) > 5.0 * length(&b), "now the first is the louder one");
}

/// Two parabolas with different minima; the second in any unit.
fn losses(weights: &Var<f64>, scale: f64) -> [Var<f64>; 2] {
    let distance = |x: f64, y: f64| {
        let centre = Var::constant(Tensor::from_vec(vec![x, y], &[2]));
        (weights.clone() - centre).square().sum_all()
    };
    [distance(1.5, 0.5), distance(-3.0, 3.0).scale(scale)]
}

fn dot(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    (a * b).sum_all().item()
}

fn length(a: &Tensor<f64>) -> f64 {
    dot(a, a).sqrt()
}

//! Lesson 7: normalisation.
//!
//! `cargo run --release --example 07_normalisation`
//!
//! Batch, layer, group and instance norm are one formula, `(x - mean) / std`,
//! over different sets of numbers. Which set decides what an image's result
//! depends on, what becomes invariant, and whether a batch of one makes sense.

use cerberus::prelude::*;
use cerberus_cli::say;

fn main() {
    // Two images of 2x2 pixels with four channels.
    let x: Tensor<f64> = Tensor::from_fn(&[2, 2, 2, 4], |i| (i as f64 * 1.3).sin() * 2.0 + i as f64 * 0.1);

    say!("-- Four sets of numbers");
    for kind in ["batch", "layer", "group", "instance"] {
        let y = normalised(kind, &x);
        // Over its own set, each has mean 0 and variance 1 (up to the small eps).
        let axes: &[usize] = match kind {
            "batch" => &[0, 1, 2],
            "layer" => &[3],
            _ => &[1, 2],
        };
        let mean = y.mean(axes).map(f64::abs).to_vec().into_iter().fold(0.0, f64::max);
        say!("{kind:<9} largest mean over axes {axes:?}: {mean:.1e}");
        // prints: batch largest mean over axes [0, 1, 2]: <1e-12
        // prints: layer largest mean over axes [3]: <1e-12
        // prints: group largest mean over axes [1, 2]: 2.9e-1
        // prints: instance largest mean over axes [1, 2]: <1e-12
        // Two channels share a group's statistics, so one alone need not be centred.
        assert!(mean < 1e-12 || kind == "group");
    }

    say!("\n-- Who depends on whom");
    // Change the second image. What happens to the first?
    let changed = Tensor::from_fn(x.shape(), |i| x.data()[i] + if i < 16 { 0.0 } else { (i as f64).cos() });
    for (kind, expected) in [("batch", true), ("layer", false), ("group", false), ("instance", false)] {
        let first = |x: &Tensor<f64>| normalised(kind, x).narrow(0, 0, 1).to_vec();
        let depends = first(&x) != first(&changed);
        say!("{kind:<9} the first image's result depends on the second: {depends}");
        // prints: batch the first image's result depends on the second: true
        // prints: layer the first image's result depends on the second: false
        // prints: group the first image's result depends on the second: false
        // prints: instance the first image's result depends on the second: false
        assert_eq!(depends, expected);
    }

    say!("\n-- What it is blind to");
    // Instance norm sees no difference if an image is twice as bright with a
    // constant added.
    let brighter = x.clone().map(|x| 2.0 * x + 1.0);
    let difference = (normalised("instance", &x) - normalised("instance", &brighter)).map(f64::abs);
    let largest = difference.to_vec().into_iter().fold(0.0, f64::max);
    say!("instance norm of 2x + 1 and of x differ by {largest:.1e} at most");
    // prints: instance norm of 2x + 1 and of x differ by 7.0e-6 at most
    assert!(largest < 1e-4);

    say!("\n-- And so is its gradient");
    // If adding a constant to a channel changes nothing, the gradient along that
    // direction is zero: the gradients of a channel's pixels sum to zero.
    let tape = Tape::new();
    let leaf = tape.leaf(x.clone());
    let (gamma, beta) = ones_and_zeros();
    let y = leaf.clone().instance_norm(gamma, beta, 1e-5);
    let gradient = grad(&[&(y.clone() * y.sigmoid()).sum_all()], &[&leaf]).remove(0);
    let sums = gradient.sum(&[1, 2]).map(f64::abs).to_vec().into_iter().fold(0.0, f64::max);
    say!("largest sum of gradients over a channel: {sums:.1e}");
    // prints: largest sum of gradients over a channel: <1e-12
    assert!(sums < 1e-12);
}

fn ones_and_zeros() -> (Var<f64>, Var<f64>) {
    (Var::constant(Tensor::ones(&[4])), Var::constant(Tensor::zeros(&[4])))
}

fn normalised(kind: &str, x: &Tensor<f64>) -> Tensor<f64> {
    let (gamma, beta) = ones_and_zeros();
    let x = Var::constant(x.clone());
    let y = match kind {
        "batch" => x.batch_norm(gamma, beta, 1e-5).0,
        "layer" => x.layer_norm(gamma, beta, 1e-5),
        "group" => x.group_norm(2, gamma, beta, 1e-5),
        _ => x.instance_norm(gamma, beta, 1e-5),
    };
    y.into_value()
}

//! Lesson 5: optimisers.
//!
//! `cargo run --release --example 05_optimisers`
//!
//! A gradient says which way is down, not how far to go. Three ways to choose,
//! in a valley that is a hundred times steeper across than along: plain gradient
//! descent (SGD), with momentum, and Adam, which scales every direction by the
//! size its gradients have had (Kingma and Ba, 2015).

use cerberus::nn::Optimizer;
use cerberus::prelude::*;
use cerberus_cli::say;

/// A model with one parameter, a point in the plane.
struct Point<T: Element> {
    place: Parameter<T>,
}

module!(Point { place });

fn main() {
    say!("-- Down a narrow valley: loss = x² / 2 + 50 y², from (1, 1)");
    let plain = SgdOptions { momentum: 0.0, ..SgdOptions::default() };
    let heavy = SgdOptions { momentum: 0.9, ..SgdOptions::default() };
    // 0.02 is the largest rate at which the steep direction does not blow up.
    let sgd = descend(&mut Sgd::new(plain), 0.019, 100);
    let momentum = descend(&mut Sgd::new(heavy), 0.019, 100);
    let adam = descend(&mut Adam::new(AdamOptions::default()), 0.1, 100);
    say!("after 100 steps: SGD {sgd:.1e}, with momentum {momentum:.1e}, Adam {adam:.1e}");
    // prints: after 100 steps: SGD 1.1e-2, with momentum 1.3e-3, Adam 2.4e-4
    assert!(momentum < sgd / 5.0, "momentum adds up the small steps along the valley");

    say!("\n-- A step too long");
    let wild = descend(&mut Sgd::new(plain), 0.021, 100);
    say!("SGD at 0.021 instead of 0.019: {wild:.1e}");
    // prints: SGD at 0.021 instead of 0.019: 7.8e9
    // Each step multiplies y by 1 - 100 * 0.021 = -1.1.
    assert!(wild > 1e6);

    say!("\n-- Adam does not care about the scale of the loss");
    let large = descend_scaled(&mut Adam::new(AdamOptions::default()), 0.1, 100, 1000.0) / 1000.0;
    say!("the loss times 1000: {large:.1e}; as it was: {adam:.1e}");
    // prints: the loss times 1000: 2.4e-4; as it was: 2.4e-4
    assert!((large - adam).abs() < 0.05 * adam + 1e-4);
}

fn descend(optimizer: &mut dyn Optimizer, rate: f64, steps: u64) -> f64 {
    descend_scaled(optimizer, rate, steps, 1.0)
}

/// The loss at the last of `steps` steps.
fn descend_scaled(optimizer: &mut dyn Optimizer, rate: f64, steps: u64, scale: f64) -> f64 {
    let mut point = Point { place: Parameter::new(Tensor::ones(&[2])) };
    let steepness = Tensor::from_vec(vec![0.5, 50.0], &[2]);
    optimizer.set_learning_rate(rate);
    let mut last = 0.0;
    for _ in 0..steps {
        last = step(&mut point, optimizer, |point, context| {
            (context.parameter(&point.place).square() * &steepness).sum_all() * scale
        });
    }
    last
}

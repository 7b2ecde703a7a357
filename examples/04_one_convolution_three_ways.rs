//! Lesson 4: one convolution, three ways.
//!
//! `cargo run --release --example 04_one_convolution_three_ways`
//!
//! The definition as loops, a matrix product over copied windows, and the same
//! product read from the image in place. They must agree; and the two gradients of
//! a convolution are convolutions again, related to it by one identity:
//! `<conv(x), dy> = <x, input_gradient(dy)> = <weight, weight_gradient(x, dy)>`.

use cerberus::prelude::*;
use cerberus::tensor::conv::{Epilogue, im2col, implicit, plain, weight_gradient};
use cerberus_cli::say;

fn main() {
    let spec = Conv2dSpec { stride: [2, 1], ..Conv2dSpec::same(3) };
    let x = wave(&[2, 9, 8, 4], 0.1);
    let weight = wave(&[3, 3, 4, 8], 0.2);
    let nothing = Epilogue::default();

    say!("-- Three versions of x {:?} with weight {:?}", x.shape(), weight.shape());
    let loops = plain::conv2d(&x, &weight, &spec, &nothing);
    let product = im2col::conv2d(&x, &weight, &spec, &nothing);
    let in_place = implicit::conv2d(&x, &weight, &spec, &nothing);
    say!("output {:?}: a stride of 2 down, 1 across, and padding that keeps 9 rows as 5", loops.shape());
    // prints: output [2, 5, 8, 8]: a stride of 2 down, 1 across, and padding that keeps 9 rows as 5
    assert_eq!(loops.shape(), [2, 5, 8, 8]);
    for (name, y) in [("im2col", &product), ("implicit", &in_place)] {
        let difference = (y - &loops).map(f64::abs).to_vec().into_iter().fold(0.0, f64::max);
        say!("{name:<9} differs from the loops by at most {difference:.1e}");
        // prints: im2col differs from the loops by at most <1e-12
        // prints: implicit differs from the loops by at most <1e-12
        assert!(difference < 1e-12);
    }

    say!("\n-- One identity, three passes");
    let dy = wave(loops.shape(), 0.3);
    let dx = cerberus::tensor::conv::input_gradient(&dy, &weight, x.shape(), &spec);
    let dweight = weight_gradient(&x, &dy, weight.shape(), &spec);
    let dot = |a: &Tensor<f64>, b: &Tensor<f64>| (a * b).sum_all().item();
    let (forward, input, weights) = (dot(&loops, &dy), dot(&x, &dx), dot(&weight, &dweight));
    say!("<y, dy> = {forward:.12}\n<x, dx> = {input:.12}\n<w, dw> = {weights:.12}");
    // prints: <y, dy> = 12.2178167732
    // prints: <x, dx> = 12.2178167732
    // prints: <w, dw> = 12.2178167732
    assert!((forward - input).abs() < 1e-10 && (forward - weights).abs() < 1e-10);

    say!("\n-- What an edge finder sees");
    // A step from 0 to 1 in the middle, and the difference of neighbours as kernel.
    let step: Tensor<f64> = Tensor::from_fn(&[1, 1, 8, 1], |i| if i < 4 { 0.0 } else { 1.0 });
    let difference = Tensor::from_vec(vec![-1.0, 1.0], &[1, 2, 1, 1]);
    let edges = plain::conv2d(&step, &difference, &Conv2dSpec::default(), &nothing);
    say!("{:?}", edges.to_vec());
    // prints: [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert_eq!(edges.to_vec(), [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
}

fn wave(shape: &[usize], phase: f64) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| (i as f64 * 0.7 + phase).sin())
}

//! Lesson 6: gradients of gradients.
//!
//! `cargo run --release --example 06_gradients_of_gradients`
//!
//! `grad` gives numbers; `grad_with_graph` gives variables, recorded on the same
//! tape like any other result. Differentiating them again gives curvature: the
//! step Newton would take, the product of a Hessian with a vector without the
//! Hessian, and losses that contain a gradient.

use cerberus::autograd::grad_with_graph;
use cerberus::prelude::*;
use cerberus_cli::say;

fn main() {
    say!("-- The derivatives of sin at 1");
    let tape = Tape::new();
    let x = tape.leaf(Tensor::from_vec(vec![1.0f64], &[1]));
    let mut y = x.clone().sin();
    let (s, c) = 1.0f64.sin_cos();
    for (order, expected) in [c, -s, -c, s].into_iter().enumerate() {
        y = grad_with_graph(&[&y.sum_all()], &[&x]).remove(0);
        say!("order {}: {:.12}", order + 1, y.value().item());
        // prints: order 1: 0.540302305868
        // prints: order 2: -0.841470984808
        // prints: order 3: -0.540302305868
        // prints: order 4: 0.841470984808
        assert!((y.value().item() - expected).abs() < 1e-12);
    }

    say!("\n-- Newton's method for the minimum of eˣ - 2x, which is ln 2");
    let mut place = 0.0f64;
    for step in 1..=5 {
        let tape = Tape::new();
        let x = tape.leaf(Tensor::scalar(place));
        let loss = x.clone().exp() - x.clone().scale(2.0);
        let slope = grad_with_graph(&[&loss], &[&x]).remove(0);
        let curvature = grad(&[&slope], &[&x]).remove(0).item();
        place -= slope.value().item() / curvature;
        say!("step {step}: {place:.15}");
        // prints: step 1: 1.000000000000
        // prints: step 2: 0.735758882343
        // prints: step 3: 0.694042299919
        // prints: step 4: 0.693147581060
        // prints: step 5: 0.693147180560
    }
    assert!((place - 2.0f64.ln()).abs() < 1e-12, "five steps give twelve digits");

    say!("\n-- A Hessian times a vector, without the Hessian");
    // f = sum(x³): the Hessian is diagonal, 6x. One more backward pass over
    // <gradient, v> gives its product with v, whatever its size.
    let tape = Tape::new();
    let x = tape.leaf(Tensor::from_vec(vec![1.0f64, 2.0, 3.0], &[3]));
    let v = Var::constant(Tensor::from_vec(vec![1.0, -1.0, 0.5], &[3]));
    let gradient = grad_with_graph(&[&x.clone().powf(3.0).sum_all()], &[&x]).remove(0);
    let product = grad(&[&(gradient * v).sum_all()], &[&x]).remove(0);
    say!("{:?}", product.to_vec());
    // prints: [6.0, -12.0, 9.0]
    assert_eq!(product.to_vec(), [6.0, -12.0, 9.0]);

    say!("\n-- A loss that contains a gradient");
    // The penalty of Gulrajani et al. (2017) wants slopes of length 1. The best
    // line y = w x has |w| = 1: gradient descent on the penalty finds it.
    let mut w = Tensor::from_vec(vec![0.3f64, 0.2], &[2, 1]);
    for _ in 0..200 {
        let tape = Tape::new();
        let (weight, x) = (tape.leaf(w.clone()), tape.leaf(Tensor::from_vec(vec![0.5, -1.0], &[1, 2])));
        let slope = grad_with_graph(&[&x.clone().matmul(weight.clone()).sum_all()], &[&x]).remove(0);
        let penalty = slope.norm(&[0, 1]).affine(1.0, -1.0).square();
        w.add_scaled(-0.1, &grad(&[&penalty], &[&weight])[0]);
    }
    let length = w.clone().map(|w| w * w).sum_all().item().sqrt();
    say!("the slope's length after 200 steps: {length:.9}");
    // prints: the slope's length after 200 steps: 1.000000000
    assert!((length - 1.0).abs() < 1e-6);
}

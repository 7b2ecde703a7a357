//! Lesson 2: gradients.
//!
//! `cargo run --release --example 02_gradients`
//!
//! A tape records every operation on the values that need gradients. Reverse-mode
//! differentiation reads it backwards: the rule of each entry turns the gradient of
//! its output into the gradients of its inputs, and needs nothing of the rest. The
//! loop is in `crates/autograd/src/engine.rs`.

use std::process::Command;

use cerberus::autograd::gradcheck::{Case, gradcheck, sample};
use cerberus::prelude::*;
use cerberus_cli::say;

fn main() {
    if std::env::args().any(|argument| argument == USE_A_TAPE_TWICE) {
        return use_a_tape_twice();
    }
    a_first_gradient();
    an_input_used_twice();
    several_losses_on_one_tape();
    what_is_kept();
    a_drained_tape();
    checking_a_function_of_your_own();
    fitting_a_curve();
}

fn vector(values: &[f32]) -> Tensor {
    Tensor::from_vec(values.to_vec(), &[values.len()])
}

fn a_first_gradient() {
    say!("-- A first gradient");
    let tape = Tape::new();
    let x = tape.leaf(vector(&[1.0, 2.0, 3.0])); // recorded: its gradient can be computed
    let weights = Var::constant(vector(&[10.0, 20.0, 30.0])); // not recorded
    let loss = (x.clone() * weights).sum_all();
    say!("loss = sum(x * weights) = {}, {} entries on the tape", loss.value().item(), tape.len());
    // prints: loss = sum(x * weights) = 140, 3 entries on the tape
    assert_eq!(tape.len(), 3); // x, the product, the sum

    let gradients = backward(loss);
    let dx = gradients.of(&x).expect("the loss depends on x");
    say!("d loss / d x = {:?}: the weights, as it must be", dx.to_vec());
    // prints: d loss / d x = [10.0, 20.0, 30.0]: the weights, as it must be
    assert_eq!(dx.to_vec(), [10.0, 20.0, 30.0]);
}

fn an_input_used_twice() {
    say!("\n-- An input used twice");
    // Operations take their inputs by value; a clone is a second handle on the
    // same variable, not a second variable. Gradients of all uses add up.
    let tape = Tape::new();
    let x = tape.leaf(vector(&[3.0]));
    let y = x.clone() * x.clone() + x.clone(); // x^2 + x
    let gradients = backward(y.sum_all());
    let dx = gradients.of(&x).expect("y depends on x").item();
    say!("d (x^2 + x) / d x at 3 = {dx}");
    // prints: d (x^2 + x) / d x at 3 = 7
    assert_eq!(dx, 7.0);
}

fn several_losses_on_one_tape() {
    say!("\n-- Several losses on shared features");
    // One trunk, two heads, in miniature. `grad` keeps the tape, so each task's
    // gradient can be looked at alone; they add up to the gradient of the sum.
    let tape = Tape::new();
    let trunk = tape.leaf(vector(&[0.5, -1.0]));
    let features = trunk.clone().tanh();
    let first = features.clone().square().sum_all();
    let second = features.exp().sum_all();
    let one = grad(&[&first], &[&trunk]).remove(0);
    let two = grad(&[&second], &[&trunk]).remove(0);
    let both = grad(&[&first, &second], &[&trunk]).remove(0);
    say!("first {:?}\nsecond {:?}\nboth {:?}", one.to_vec(), two.to_vec(), both.to_vec());
    // prints: first [0.72686, -0.63970]
    // prints: second [1.24843, 0.19610]
    // prints: both [1.97529, -0.44360]
    let difference = (&one + &two - &both).map(f32::abs).sum_all().item();
    assert!(difference < 1e-6);
    // Their gradients agree in the first weight and conflict in the second:
    // balancing strategies start from such conflicts.
    assert!(one.at(&[0]) * two.at(&[0]) > 0.0 && one.at(&[1]) * two.at(&[1]) < 0.0);
}

fn what_is_kept() {
    say!("\n-- What the tape keeps");
    // A rule declares which values its backward pass needs. The derivative of exp
    // is its own output, so the tape keeps that; the derivative of a sum needs no
    // value.
    let tape = Tape::new();
    let x = tape.leaf(vector(&[0.0, 1.0]));
    let exp = x.clone().exp();
    let sum = x.clone() + exp.clone();
    say!("output of exp shared with the tape: {}", !exp.value().is_unique());
    // prints: output of exp shared with the tape: true
    say!("output of add shared with the tape: {}", !sum.value().is_unique());
    // prints: output of add shared with the tape: false
    assert!(!exp.value().is_unique() && sum.value().is_unique());
    // A value that is not kept may be overwritten in place by the next operation.
}

fn a_drained_tape() {
    say!("\n-- A drained tape");
    // `backward` frees each entry as it passes, so a tape serves one backward
    // pass. Using it again is a mistake that ends the program, so a second copy
    // of this one makes it; the message names both places.
    let program = std::env::current_exe().expect("this program has a path");
    let ended = Command::new(program).arg(USE_A_TAPE_TWICE).output().expect("it starts");
    let printed = String::from_utf8_lossy(&ended.stderr);
    let message = printed.lines().find(|line| line.contains("tape")).expect("a message");
    say!("{message}");
    assert!(message.contains("used up by `backward` at") && message.contains("used again at"));
}

/// What the second copy of this program is told.
const USE_A_TAPE_TWICE: &str = "use-a-tape-twice";

fn use_a_tape_twice() {
    let tape = Tape::new();
    let x = tape.leaf(vector(&[1.0]));
    backward(x.clone().square().sum_all());
    let _ = x.exp();
}

fn checking_a_function_of_your_own() {
    say!("\n-- Checking a function of your own");
    // Nudge each input a little up and a little down, and see whether the
    // output changes as the gradient says. In f64 the two agree to many digits.
    let swish = Case::unary("swish", sample(1, &[2, 3]), |x| x.clone() * x.sigmoid());
    let error = gradcheck(&swish);
    say!("x * sigmoid(x): relative error {error:.1e}");
    // prints: x * sigmoid(x): relative error <1e-6
    assert!(error < 1e-6);

    // `detach` cuts the gradient: here half of it is missing, as the check shows.
    let cut = Case::unary("cut", sample(1, &[2, 3]), |x| x.clone() * x.detach().sigmoid());
    let error = gradcheck(&cut);
    say!("the same with the gradient cut in one place: {error:.1e}");
    // prints: the same with the gradient cut in one place: 2.5e-1
    assert!(error > 1e-2);
}

fn fitting_a_curve() {
    say!("\n-- Fitting a curve");
    // A network of one hidden layer, written out: 16 tanh units fit a sine.
    let x: Tensor = Tensor::from_fn(&[64, 1], |i| i as f32 / 10.5 - 3.0); // -3 to 3
    let target = x.clone().map(f32::sin);
    let mut init = Init::new(1);
    let mut weights: [Tensor; 4] = [
        init.normal(&[1, 16], 1.0), // into the hidden layer
        init.normal(&[16], 1.0),
        init.normal(&[16, 1], 0.25), // and out of it
        Tensor::zeros(&[1]),
    ];
    let mut losses = Vec::new();
    for step in 0..=2000 {
        let tape = Tape::new();
        let leaves = weights.clone().map(|w| tape.leaf(w));
        let [w1, b1, w2, b2] = leaves.clone();
        let hidden = (Var::constant(x.clone()).matmul(w1) + b1).tanh();
        let error = hidden.matmul(w2) + b2 - Var::constant(target.clone());
        let loss = error.square().mean_all();
        losses.push(loss.value().item());
        if step % 400 == 0 {
            say!("step {step:>4}: mean squared error {:.5}", losses[step]);
        }
        let gradients = backward(loss);
        for (weight, leaf) in weights.iter_mut().zip(&leaves) {
            weight.add_scaled(-0.1, gradients.of(leaf).expect("every weight matters"));
        }
    }
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < first / 100.0, "from {first} only to {last}");
}

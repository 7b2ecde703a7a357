//! The loss of classes that were mixed.

use approx::assert_relative_eq;
use cerberus_autograd::{Tape, backward};
use cerberus_tensor::Tensor;

use super::super::shared::{class_loss, label_loss};
use super::*;

/// A batch whose images have these shares of the three classes under the label `kind`.
fn batch(shares: &[[f32; 3]]) -> Batch {
    let sample = |shares: &[f32; 3]| Sample {
        more: BTreeMap::from([("kind".to_string(), Label::Shares(shares.to_vec()))]),
        image: Image { height: 1, width: 1, channels: 1, pixels: vec![0].into() },
        class: None,
        objects: None,
        mask: None,
        inputs: BTreeMap::new(),
    };
    let samples: Vec<Sample> = shares.iter().map(sample).collect();
    Batch::assemble(&samples, (0..samples.len()).collect()).unwrap()
}

fn head(options: HeadOptions) -> HeadConfig {
    HeadConfig {
        name: "kind".into(),
        kind: "classify".into(),
        label: "kind".into(),
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        weight: 1.0,
        options,
    }
}

fn options() -> HeadOptions {
    HeadOptions {
        class_weights: Some(vec![1.0, 0.5, 3.0]),
        label_smoothing: 0.1,
        logit_adjustment: Some(vec![0.2, -1.0, 0.5]),
        ..HeadOptions::default()
    }
}

/// Value and gradient of a loss of logits.
fn of(values: &Tensor<f64>, loss: impl Fn(Var<f64>) -> Var<f64>) -> (f64, Vec<f64>) {
    let tape = Tape::new();
    let logits = tape.leaf(values.clone());
    let loss = loss(logits.clone());
    let value = loss.value().item();
    (value, backward(loss).of(&logits).unwrap().to_vec())
}

#[test]
fn with_whole_classes_the_loss_is_that_of_class_ids() {
    let logits = Tensor::from_fn(&[3, 3], |i| (i as f64 * 0.9).sin());
    let batch = batch(&[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
    for options in [HeadOptions::default(), options()] {
        let (soft, soft_gradient) = of(&logits, |x| label_loss(x, &batch, &head(options.clone())));
        let (hard, hard_gradient) = of(&logits, |x| class_loss(x, &[1, 0, 2], &options));
        assert_relative_eq!(soft, hard, max_relative = 1e-12);
        for (soft, hard) in soft_gradient.iter().zip(&hard_gradient) {
            assert_relative_eq!(soft, hard, epsilon = 1e-12);
        }
    }
}

#[test]
fn the_loss_of_shares_is_the_mean_of_the_classes_losses_by_their_shares() {
    let logits = Tensor::from_fn(&[1, 3], |i| (i as f64 * 0.9).sin());
    let plain = HeadOptions::default();
    let (mixed, _) = of(&logits, |x| label_loss(x, &batch(&[[0.25, 0.0, 0.75]]), &head(plain.clone())));
    let alone = |class| of(&logits, |x| class_loss(x, &[class], &plain)).0;
    assert_relative_eq!(mixed, 0.25 * alone(0) + 0.75 * alone(2), max_relative = 1e-12);
}

#[test]
fn the_gradient_of_shares_agrees_with_differences() {
    let logits = Tensor::from_fn(&[2, 3], |i| (i as f64 * 0.7).cos());
    let batch = batch(&[[0.3, 0.6, 0.1], [0.0, 0.5, 0.5]]);
    let loss = |x: Var<f64>| label_loss(x, &batch, &head(options()));
    let (_, gradient) = of(&logits, loss);
    for (i, found) in gradient.iter().enumerate() {
        let at = |by: f64| {
            let mut moved = logits.clone();
            moved.data_mut()[i] += by;
            of(&moved, loss).0
        };
        assert_relative_eq!(*found, (at(1e-5) - at(-1e-5)) / 2e-5, epsilon = 1e-8);
    }
}

//! Attention against its formula, pair by pair.

use super::*;
use crate::module::{Module, ModuleTensorMut};

const CHANNELS: usize = 6;
const HEADS: usize = 2;

/// A layer with weights and biases that are not 0.
fn layer() -> MultiHeadSelfAttention<f64> {
    let mut layer = MultiHeadSelfAttention::new(CHANNELS, HEADS, &mut Init::new(1));
    layer.visit_mut("", &mut |_, mut entry| {
        let shape = entry.value_mut().shape().to_vec();
        *entry.value_mut() = Tensor::from_fn(&shape, |i| (0.9 * i as f64 + shape.len() as f64).sin());
    });
    layer
}

/// The formula for the samples of `x: [N, L, C]`, with the pairs that take part: sample, position, key.
fn naive(
    layer: &MultiHeadSelfAttention<f64>,
    x: &Tensor<f64>,
    attends: impl Fn(usize, usize, usize) -> bool,
) -> Tensor<f64> {
    let &[n, len, _] = x.shape() else { unreachable!() };
    let qkv = crate::predict(&layer.qkv, x.clone()).to_vec();
    let d = CHANNELS / HEADS;
    let part = |sample: usize, position: usize, which: usize, channel: usize| {
        qkv[(sample * len + position) * 3 * CHANNELS + which * CHANNELS + channel]
    };
    let mixed = Tensor::from_fn(&[n, len, CHANNELS], |place| {
        let (sample, position, channel) = (place / CHANNELS / len, place / CHANNELS % len, place % CHANNELS);
        let head = channel / d * d..channel / d * d + d;
        let weight = |key: usize| {
            let products = head.clone().map(|c| part(sample, position, 0, c) * part(sample, key, 1, c));
            if attends(sample, position, key) {
                (products.sum::<f64>() / (d as f64).sqrt()).exp()
            } else {
                0.0
            }
        };
        let total: f64 = (0..len).map(weight).sum();
        let sum: f64 = (0..len).map(|key| weight(key) * part(sample, key, 2, channel)).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    });
    crate::predict(&layer.projection, mixed)
}

fn assert_close(found: &Tensor<f64>, expected: &Tensor<f64>) {
    for (found, expected) in found.to_vec().into_iter().zip(expected.to_vec()) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }
}

#[test]
fn masked_attention_is_its_formula_over_the_pairs_that_take_part() {
    let (n, len) = (3, 5);
    let layer = layer();
    let x = Tensor::from_fn(&[n, len, CHANNELS], |i| (0.4 * i as f64).cos());
    let masked = |mask| layer.forward_masked((&x).into(), mask, &mut Context::evaluation()).into_value();
    assert_close(&crate::predict(&layer, x.clone()), &naive(&layer, &x, |_, _, _| true));

    let causal = |position: usize, key: usize| key <= position;
    let pairs: Vec<bool> = (0..len * len).map(|place| causal(place / len, place % len)).collect();
    assert_close(&masked(AttentionMask::Pairs(&pairs)), &naive(&layer, &x, |_, p, k| causal(p, k)));

    // The last sample is nothing but padding.
    let there = |sample: usize, key: usize| key < [5, 2, 0][sample];
    let keys: Vec<bool> = (0..n * len).map(|place| there(place / len, place % len)).collect();
    assert_close(&masked(AttentionMask::Keys(&keys)), &naive(&layer, &x, |s, _, k| there(s, k)));
}

#[test]
fn padding_has_no_influence_on_what_is_there_nor_a_gradient() {
    let layer = layer();
    let tape = cerberus_autograd::Tape::new();
    let x = tape.leaf(Tensor::from_fn(&[1, 4, CHANNELS], |i| (0.4 * i as f64).cos()));
    let mask = AttentionMask::Keys(&[true, true, true, false]);
    let y = layer.forward_masked(x.clone(), mask, &mut Context::evaluation()).narrow(1, 0, 3);
    let alone = layer.forward(x.clone().narrow(1, 0, 3), &mut Context::evaluation());
    assert_close(y.value(), alone.value());
    let dx = cerberus_autograd::grad(&[&y.sum_all()], &[&x])[0].to_vec();
    assert!(dx[3 * CHANNELS..].iter().all(|&slope| slope == 0.0), "{dx:?}");
    assert!(dx[..3 * CHANNELS].iter().any(|&slope| slope != 0.0), "{dx:?}");
}

#[test]
fn dropout_drops_weights_of_pairs_in_training_and_keeps_their_mean() {
    // Without queries and keys all weights are 1 / L; with values of 1, an output is the sum of those that are kept.
    let (len, rate) = (40, 0.25);
    let mut layer = MultiHeadSelfAttention::<f64>::new(CHANNELS, HEADS, &mut Init::new(1)).with_dropout(rate);
    layer.visit_mut("", &mut |path, mut entry: ModuleTensorMut<f64>| {
        let shape = entry.value_mut().shape().to_vec();
        *entry.value_mut() = Tensor::from_fn(&shape, |i| match path.as_str() {
            "qkv.bias" => f64::from(u8::from(i >= 2 * CHANNELS)),
            "projection.weight" => f64::from(u8::from(i / CHANNELS == i % CHANNELS)),
            _ => 0.0,
        });
    });
    let x = Tensor::<f64>::zeros(&[8, len, CHANNELS]);
    assert_close(&crate::predict(&layer, x.clone()), &Tensor::ones(&[8, len, CHANNELS]));
    let y = layer.forward(x.into(), &mut Context::training(3, 0)).into_value().to_vec();
    let kept = y.iter().map(|y| y * len as f64 * (1.0 - rate));
    assert!(kept.clone().all(|kept| (kept - kept.round()).abs() < 1e-9), "a weight was not dropped whole");
    assert!(
        kept.clone().any(|count| count.round() as usize != kept.clone().next().unwrap().round() as usize)
    );
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    assert!((mean - 1.0).abs() < 0.02, "mean {mean}");
    let heads: Vec<bool> = y.chunks(CHANNELS).map(|row| row[0] == row[CHANNELS - 1]).collect();
    assert!(heads.contains(&false), "every head drops for itself");
}

#[test]
#[should_panic(expected = "a mask of 3 values for x of [2, 3, C]: it must be [2, 3]")]
fn a_mask_without_a_value_for_every_key_is_named_with_both_shapes() {
    let x = Var::constant(Tensor::zeros(&[2, 3, CHANNELS]));
    layer().forward_masked(x, AttentionMask::Keys(&[true; 3]), &mut Context::evaluation());
}

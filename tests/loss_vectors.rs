//! Losses and their gradients against `vectors/losses_metrics.json`, computed
//! in float64 with the field's reference libraries.

use cerberus::autograd::{Tape, Var, backward};
use cerberus::nn::losses::{BoxOverlap, box_iou, class_weights};
use cerberus::nn::losses::{
    CrossEntropy, Dice, DiceForm, Focal, binary_cross_entropy, cross_entropy, cross_entropy_with, dice_with,
    focal, gaussian_focal, giou,
};
use cerberus::tensor::Tensor;
use serde_json::Value;

fn section(name: &str) -> Value {
    let file: Value = serde_json::from_str(include_str!("vectors/losses_metrics.json")).expect("valid JSON");
    file[name].clone()
}

/// The numbers of a list nested to any depth, in order.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(entries) => entries.iter().flat_map(flat).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

fn tensor(value: &Value) -> Tensor<f64> {
    let mut shape = Vec::new();
    let mut inner = value;
    while let Value::Array(entries) = inner {
        shape.push(entries.len());
        inner = &entries[0];
    }
    Tensor::from_vec(flat(value), &shape)
}

/// Compares `loss` at `x` and its gradient there with the reference, to 1e-9.
fn assert_loss(
    what: &str,
    x: Tensor<f64>,
    loss: impl Fn(Var<f64>) -> Var<f64>,
    value: f64,
    gradient: &[f64],
) {
    let x = Tape::new().leaf(x);
    let y = loss(x.clone());
    let found = y.value().item();
    assert!((found - value).abs() < 1e-9, "{what}: {found} but the reference gives {value}");
    let dx = backward(y).of(&x).expect("a gradient").to_vec();
    assert_eq!(dx.len(), gradient.len(), "{what}");
    for (place, (found, expected)) in dx.iter().zip(gradient).enumerate() {
        assert!(
            (found - expected).abs() < 1e-9,
            "{what}, gradient {place}: {found} but the reference gives {expected}"
        );
    }
}

#[test]
fn cross_entropy_equals_the_reference() {
    let case = section("cross_entropy");
    let target: Vec<i64> = flat(&case["target(ignore -100)"]).iter().map(|&t| t as i64).collect();
    let weights = Some(flat(&case["weights"]));
    let (plain, smooth) = (CrossEntropy::default(), 0.1);
    let options = [
        ("plain", plain.clone()),
        (
            "class_weights_mean(weighted mean: /sum w_y)",
            CrossEntropy { class_weights: weights.clone(), ..plain.clone() },
        ),
        ("label_smoothing_0.1", CrossEntropy { label_smoothing: smooth, ..plain.clone() }),
        ("weights+smoothing", CrossEntropy { class_weights: weights, label_smoothing: smooth }),
    ];
    for (name, options) in &options {
        let reference = &case[*name];
        let value = reference["loss"].as_f64().expect("a number");
        let loss = |x| cross_entropy_with(x, &target, options);
        assert_loss(name, tensor(&case["logits"]), loss, value, &flat(&reference["grad"]));
    }
    // The sum over the four labelled rows is four times their mean.
    let value = case["sum"]["loss"].as_f64().expect("a number");
    let sum = |x| cross_entropy_with(x, &target, &plain).scale(4.0);
    assert_loss("sum", tensor(&case["logits"]), sum, value, &flat(&case["sum"]["grad"]));
}

#[test]
fn remedies_against_class_imbalance_equal_the_reference() {
    let case = section("cross_entropy");
    let counts = flat(&case["counts"]);
    let close = |found: Vec<f64>, key: &str| {
        for (found, expected) in found.iter().zip(flat(&case[key])) {
            assert!((found - expected).abs() < 1e-9, "{key}: {found} but the reference gives {expected}");
        }
    };
    close(class_weights::inverse_frequency(&counts), "inverse_freq_weights N/(C*n_c) (sklearn balanced)");
    let key = "class_balanced_weights_beta.999 (Cui 2019; normalised to sum C)";
    close(class_weights::effective_number(&counts, 0.999), key);

    let reference = &case["logit_adjust_tau1 (Menon 2021; logits+tau*log prior)"];
    let target: Vec<i64> = flat(&case["target(ignore -100)"]).iter().map(|&t| t as i64).collect();
    let adjustment = Tensor::from_vec(class_weights::logit_adjustment(&counts, 1.0), &[4]);
    let loss = |x| cross_entropy(x + Var::constant(adjustment.clone()), &target);
    let value = reference["loss"].as_f64().expect("a number");
    assert_loss("logit adjustment", tensor(&case["logits"]), loss, value, &flat(&reference["grad"]));
}

#[test]
fn iou_diou_and_ciou_equal_the_reference() {
    let case = section("box_losses(pred,target aligned; eps=1e-7)");
    let target = || tensor(&case["target"]);
    for (overlap, name) in [(BoxOverlap::Diou, "diou_loss"), (BoxOverlap::Ciou, "ciou_loss")] {
        let (losses, gradient) = (flat(&case[name]), flat(&case[format!("{name}_grad_pred")]));
        let loss = |x| box_iou(overlap, x, target(), None, 1.0);
        assert_loss(name, tensor(&case["pred"]), loss, losses.iter().sum(), &gradient);
    }
    for (which, expected) in flat(&case["iou_loss=-ln(iou)"]).into_iter().enumerate() {
        let only = |tensor: Tensor<f64>| tensor.narrow(0, which, 1);
        let loss =
            box_iou(BoxOverlap::Iou, Var::constant(only(tensor(&case["pred"]))), only(target()), None, 1.0);
        assert!((loss.value().item() - expected).abs() < 1e-9, "box {which}: {}", loss.value().item());
    }
}

#[test]
fn binary_cross_entropy_equals_the_reference() {
    let case = section("bce_logits_pos_weight3_mean");
    let loss = |x| binary_cross_entropy(x, tensor(&case["y"]), None, Some(3.0));
    let value = case["loss"].as_f64().expect("a number");
    assert_loss("binary cross-entropy", tensor(&case["logits"]), loss, value, &flat(&case["grad"]));
}

#[test]
fn focal_equals_the_reference() {
    let case = section("sigmoid_focal_a.25_g2");
    let loss = |x| focal(x, tensor(&case["target"]), &Focal::default(), 1.0);
    let value = case["sum"].as_f64().expect("a number");
    assert_loss("focal", tensor(&case["logits"]), loss, value, &flat(&case["grad_of_sum"]));
}

#[test]
fn gaussian_focal_equals_the_reference() {
    let case = section("gaussian_focal_alpha2_gamma4");
    let target = &case["heatmap_target(centers (x=2,y=2,r=2),(5,4,r=1))"];
    let value = case["loss=sum/num_pos"].as_f64().expect("a number");
    for normaliser in [None, case["num_pos"].as_f64()] {
        let loss = |x| gaussian_focal(x, tensor(target), normaliser);
        assert_loss("gaussian focal", tensor(&case["logits"]), loss, value, &flat(&case["grad_logits"]));
    }
}

#[test]
fn giou_equals_the_reference() {
    let case = section("box_losses(pred,target aligned; eps=1e-7)");
    let target = || tensor(&case["target"]);
    let (losses, gradient) = (flat(&case["giou_loss"]), flat(&case["giou_loss_grad_pred"]));
    assert_loss(
        "giou",
        tensor(&case["pred"]),
        |x| giou(x, target(), None, 1.0),
        losses.iter().sum(),
        &gradient,
    );
    // One box at a time, selected by the weights.
    for (which, &value) in losses.iter().enumerate() {
        let only = |index: usize| if index == which { 1.0 } else { 0.0 };
        let gradient: Vec<f64> = gradient.iter().enumerate().map(|(place, g)| g * only(place / 4)).collect();
        let weights = || Some(Tensor::from_fn(&[losses.len()], only));
        let loss = |x| giou(x, target(), weights(), 1.0);
        assert_loss("giou of one box", tensor(&case["pred"]), loss, value, &gradient);
    }
}

/// The reference has the Dice loss of one foreground class per mask. Here such
/// a mask has two classes. The background's probabilities equal its target, so
/// its own Dice coefficient is known: `background`.
#[test]
fn dice_equals_the_reference_in_both_forms() {
    let case = section("dice");
    let (p, y) = (tensor(&case["pred"]), tensor(&case["target"]));
    let forms = [
        (DiceForm::Linear, "soft_dice_smooth1", "grad_sum_soft"),
        (DiceForm::Squared, "vnet_dice_eps1e-3 (mmdet naive_dice=False)", "grad_sum_vnet"),
    ];
    for (form, values, gradients) in forms {
        let gradients = tensor(&case[gradients]);
        for (mask, value) in flat(&case[values]).into_iter().enumerate() {
            let one = |x: &Tensor<f64>| x.narrow(0, mask, 1).to_vec();
            let (p, y, expected) = (one(&p), one(&y), one(&gradients));
            let two = Tensor::from_fn(&[p.len(), 2], |i| if i % 2 == 1 { p[i / 2] } else { 1.0 - y[i / 2] });
            let target: Vec<u8> = y.iter().map(|&y| y as u8).collect();
            let pixels = y.iter().filter(|&&y| y == 0.0).count() as f64;
            let background = match form {
                DiceForm::Linear => 1.0,
                DiceForm::Squared => pixels / (pixels + 1e-3),
            };
            let x = Tape::new().leaf(two);
            let loss = dice_with(x.clone(), &target, &Dice { form }).scale(2.0);
            let found = loss.value().item() - (1.0 - background);
            assert!((found - value).abs() < 1e-9, "{form:?}: {found} but the reference gives {value}");
            let dx = backward(loss).of(&x).expect("a gradient").to_vec();
            for (found, expected) in dx.iter().skip(1).step_by(2).zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-9,
                    "{form:?}: {found} but the reference gives {expected}"
                );
            }
        }
    }
}

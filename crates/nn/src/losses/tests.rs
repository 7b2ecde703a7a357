//! Properties of the losses that need no reference values.

use approx::assert_abs_diff_eq;
use cerberus_autograd::gradcheck::gradcheck;
use cerberus_autograd::{Tape, Var, backward};
use cerberus_tensor::Tensor;

use super::*;

#[test]
fn every_loss_gradient_matches_finite_differences() {
    for case in cases().iter().filter(|case| !case.special) {
        let error = gradcheck(case);
        assert!(error < 1e-6, "{}: {error:.1e}", case.name);
    }
}

/// The value and the gradient of `loss` at `x`.
fn at(x: Tensor, loss: impl Fn(Var) -> Var) -> (f32, Tensor) {
    let x = Tape::new().leaf(x);
    let value = loss(x.clone());
    (value.value().item(), backward(value).of(&x).unwrap().clone())
}

type Loss = Box<dyn Fn(Var) -> Var>;

#[test]
fn extreme_logits_give_finite_values_and_gradients() {
    let logits = || Tensor::from_vec(vec![1e4, -1e4, 0.0, -1e4, 1e4, 1e4], &[2, 3]);
    let target = || Tensor::from_vec(vec![0.0, 1.0, 1.0, 0.0, 0.0, 1.0], &[2, 3]);
    let soft = || Tensor::from_vec(vec![0.1, 0.9, 0.0, 0.0, 0.0, 1.0], &[2, 3]);
    let losses: [(&str, Loss); 6] = [
        ("cross_entropy_soft", Box::new(move |x| cross_entropy_soft(x, soft(), &CrossEntropy::default()))),
        ("cross_entropy", Box::new(|x| cross_entropy(x, &[1, 0]))),
        (
            "smoothed",
            Box::new(|x| {
                cross_entropy_with(x, &[1, 0], &CrossEntropy { label_smoothing: 0.1, ..Default::default() })
            }),
        ),
        ("binary_cross_entropy", Box::new(move |x| binary_cross_entropy(x, target(), None, None))),
        ("focal", Box::new(move |x| focal(x, target(), &Focal::default(), 1.0))),
        ("gaussian_focal", Box::new(move |x| gaussian_focal(x, target(), None))),
    ];
    for (name, loss) in &losses {
        let (value, gradient) = at(logits(), loss);
        assert!(value.is_finite() && value > 1e3, "{name}: {value}");
        assert!(gradient.all_finite(), "{name}: {gradient:?}");
    }
}

#[test]
fn nothing_labelled_is_a_loss_of_zero_with_zero_gradient() {
    let x = || Tensor::from_vec(vec![0.2, 0.8, 0.5, 0.5], &[2, 2]);
    let none = [255u8, 255];
    let losses: [Loss; 7] = [
        Box::new(move |x| cross_entropy(x, &none)),
        Box::new(move |x| nll(x, &none, None)),
        Box::new(move |x| multi_margin(x, &none, &MultiMargin::default())),
        Box::new(move |x| dice(x, &none)),
        Box::new(move |x| tversky(x, &none, &Tversky::default())),
        Box::new(move |x| lovasz_softmax(x, &none)),
        Box::new(move |x| lovasz_hinge(x, &[255u8; 4])),
    ];
    for (value, gradient) in losses.iter().map(|loss| at(x(), loss)) {
        assert_eq!((value, gradient.to_vec()), (0.0, vec![0.0; 4]));
    }
    let empty = Tensor::zeros(&[0, 3]);
    assert_eq!(at(empty.clone(), |x| cross_entropy(x, &[0u8; 0])).0, 0.0);
    assert_eq!(at(empty.clone(), |x| binary_cross_entropy(x, Tensor::zeros(&[0, 3]), None, None)).0, 0.0);
    let losses: [Loss; 9] = [
        Box::new(|x| cross_entropy_soft(x, Tensor::zeros(&[0, 3]), &CrossEntropy::default())),
        Box::new(|x| kl_div(x, KlTarget::Probabilities(Tensor::zeros(&[0, 3])))),
        Box::new(|x| mse(x, Tensor::zeros(&[0, 3]), None, None)),
        Box::new(|x| huber(x, Tensor::zeros(&[0, 3]), 1.0, None, None)),
        Box::new(|x| hinge(x, Tensor::zeros(&[0, 3]))),
        Box::new(|x| cosine_embedding(x.clone(), x, &[], 0.0)),
        Box::new(|x| triplet_margin(x.clone(), x.clone(), x, &TripletMargin::default())),
        Box::new(|x| {
            nt_xent(x.clone(), x, 1.0)
                + info_nce(Tensor::zeros(&[0, 3]).into(), Tensor::zeros(&[0, 3]).into(), 1.0)
        }),
        Box::new(|x| distribution_focal(x, Tensor::zeros(&[0]), None, None)),
    ];
    for loss in &losses {
        assert_eq!(at(empty.clone(), loss).0, 0.0);
    }
    assert_eq!(at(Tensor::zeros(&[0, 4]), |x| giou(x, Tensor::zeros(&[0, 4]), None, 1.0)).0, 0.0);
}

#[test]
fn a_loss_and_its_gradient_scale_with_what_follows() {
    let x = Tensor::from_vec(vec![0.3, -0.4, 1.2], &[1, 3]);
    let plain = at(x.clone(), |x| cross_entropy(x, &[2])).1;
    let tripled = at(x, |x| cross_entropy(x, &[2]).scale(3.0)).1;
    for (a, b) in plain.data().iter().zip(tripled.data()) {
        assert_abs_diff_eq!(3.0 * a, b, epsilon = 1e-6);
    }
}

#[test]
fn predictions_that_others_hold_are_left_as_they_were() {
    let x = Tensor::from_vec(vec![0.3, -0.4, 1.2], &[1, 3]);
    cross_entropy(Var::constant(x.clone()), &[2]);
    assert_eq!(x.to_vec(), [0.3, -0.4, 1.2]);
}

#[test]
fn a_batch_of_many_pieces_is_the_mean_of_its_rows() {
    let (rows, classes) = (5000, 11);
    let x: Tensor<f64> = Tensor::from_fn(&[rows, classes], |i| (i as f64 * 0.7).sin() * 3.0);
    let target: Vec<u8> = (0..rows).map(|i| if i % 13 == 0 { 255 } else { (i % classes) as u8 }).collect();
    let whole = cross_entropy(Var::constant(x.clone()), &target).value().item();
    let mut sum = (0.0, 0.0);
    for (row, &class) in x.data().chunks(classes).zip(&target).filter(|(_, class)| **class != 255) {
        let total: f64 = row.iter().map(|v| v.exp()).sum();
        sum = (sum.0 + total.ln() - row[class as usize], sum.1 + 1.0);
    }
    assert_abs_diff_eq!(whole, sum.0 / sum.1, epsilon = 1e-12);
}

#[test]
#[should_panic(expected = "cross_entropy: class id 3 at row 1 is outside the 3 classes of shape [2, 3]")]
fn a_class_id_outside_the_classes_is_named_with_its_place() {
    cross_entropy(Var::constant(Tensor::<f32>::zeros(&[2, 3])), &[0, 3]);
}

#[test]
#[should_panic(
    expected = "dice: predictions of shape [2, 2, 3] need one class id for each of 4 rows, found 3"
)]
fn too_few_class_ids_are_named_with_both_counts() {
    dice(Var::constant(Tensor::<f32>::zeros(&[2, 2, 3])), &[0, 1, 2]);
}

#[test]
#[should_panic(expected = "smooth_l1: predictions of shape [2] need a target of the same shape, found [3]")]
fn a_target_of_another_shape_is_named_with_both_shapes() {
    smooth_l1(Var::constant(Tensor::<f32>::zeros(&[2])), Tensor::zeros(&[3]), 1.0, None, 1.0);
}

#[test]
fn boxes_without_height_or_width_have_finite_losses_and_gradients() {
    let flat =
        [[1.0, 2.0, 3.0, 2.0], [1.0, 2.0, 1.0, 4.0], [2.0, 2.0, 2.0, 2.0], [1.0, 2.0, 3.0, 2.0 + 1e-38]];
    let whole = [1.0, 1.0, 3.0, 4.0];
    let tensor = |corners: [f32; 4]| Tensor::from_vec(corners.to_vec(), &[1, 4]);
    for degenerate in flat {
        for overlap in [BoxOverlap::Iou, BoxOverlap::Diou, BoxOverlap::Ciou] {
            for (x, t) in [(degenerate, whole), (whole, degenerate), (degenerate, degenerate)] {
                let (value, gradient) = at(tensor(x), |x| box_iou(overlap, x, tensor(t), None, 1.0));
                assert!(
                    value.is_finite() && gradient.all_finite(),
                    "{overlap:?} of {x:?} and {t:?}: {gradient:?}"
                );
            }
        }
        let (value, gradient) = at(tensor(degenerate), |x| giou(x, tensor(whole), None, 1.0));
        assert!(value.is_finite() && gradient.all_finite(), "giou of {degenerate:?}");
    }
}

#[test]
fn soft_targets_of_ones_and_zeros_are_class_ids() {
    let x = || Tensor::from_fn(&[40, 5], |i| (i as f32 * 0.7).sin() * 3.0);
    let ids: Vec<usize> = (0..40).map(|row| row * 3 % 5).collect();
    let target = || Tensor::from_fn(&[40, 5], |i| f32::from(u8::from(ids[i / 5] == i % 5)));
    let options = CrossEntropy { label_smoothing: 0.2, ..Default::default() };
    let (soft, soft_gradient) = at(x(), |x| cross_entropy_soft(x, target(), &options));
    let (hard, hard_gradient) = at(x(), |x| cross_entropy_with(x, &ids, &options));
    assert_abs_diff_eq!(soft, hard, epsilon = 1e-5);
    for (a, b) in soft_gradient.data().iter().zip(hard_gradient.data()) {
        assert_abs_diff_eq!(a, b, epsilon = 1e-7);
    }
}

#[test]
fn a_class_that_is_ruled_out_costs_nothing_where_the_target_rules_it_out_too() {
    let x = Tensor::from_vec(vec![0.0, f32::NEG_INFINITY, 0.0], &[1, 3]);
    let target = Tensor::from_vec(vec![1.0, 0.0, 0.0], &[1, 3]);
    let (value, gradient) = at(x, |x| cross_entropy_soft(x, target.clone(), &CrossEntropy::default()));
    assert_abs_diff_eq!(value, 2.0_f32.ln(), epsilon = 1e-6);
    assert_eq!(gradient.to_vec(), [-0.5, 0.0, 0.5]);
}

#[test]
fn cross_entropy_is_the_likelihood_of_a_softmax() {
    let x = || Tensor::from_fn(&[2, 3, 4], |i| (i as f32 * 1.3).cos() * 2.0);
    let (ids, weights) = ([0u8, 3, 255, 1, 1, 2], vec![1.0, 0.5, 2.0, 3.0]);
    let options = CrossEntropy { class_weights: Some(weights.clone()), ..Default::default() };
    let fused = at(x(), |x| cross_entropy_with(x, &ids, &options));
    let parts = at(x(), |x| nll(x.log_softmax(2), &ids, Some(&weights)));
    assert_abs_diff_eq!(fused.0, parts.0, epsilon = 1e-6);
    for (a, b) in fused.1.data().iter().zip(parts.1.data()) {
        assert_abs_diff_eq!(a, b, epsilon = 1e-6);
    }
}

#[test]
fn tversky_with_equal_weights_of_a_half_is_dice() {
    let p: Tensor<f64> = Tensor::from_fn(&[6, 3], |i| (i as f64 * 0.37).sin().abs());
    let ids = [0u8, 2, 1, 255, 2, 0];
    // Dice adds 1 to twice the overlap, Tversky to the overlap itself.
    let halves = Tversky { alpha: 0.5, beta: 0.5, gamma: 1.0 };
    let tversky = tversky(Var::constant(p.clone()), &ids, &halves).value().item();
    let known: Vec<(usize, u8)> = ids.into_iter().enumerate().filter(|(_, id)| *id != 255).collect();
    let coefficient = |class: u8| {
        let sum = |own: bool| -> f64 {
            let rows = known.iter().filter(|(_, id)| !own || *id == class);
            rows.map(|(row, _)| p.data()[row * 3 + class as usize]).sum()
        };
        let count = known.iter().filter(|(_, id)| *id == class).count() as f64;
        (2.0 * sum(true) + 2.0) / (sum(false) + count + 2.0)
    };
    let mean = (0..3).map(coefficient).sum::<f64>() / 3.0;
    assert_abs_diff_eq!(tversky, 1.0 - mean, epsilon = 1e-12);
}

#[test]
fn a_perfect_mask_has_no_loss_and_a_finite_gradient() {
    let p = || Tensor::from_vec(vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0], &[3, 2]);
    let ids = [0u8, 1, 0];
    let focal = Tversky { gamma: 0.75, ..Tversky::default() };
    let losses: [Loss; 3] = [
        Box::new(move |p| tversky(p, &ids, &focal)),
        Box::new(move |p| lovasz_softmax(p, &ids)),
        Box::new(move |p| lovasz_hinge(p.affine(4.0, -2.0), &[1u8, 0, 0, 1, 1, 0])),
    ];
    for loss in &losses {
        let (value, gradient) = at(p(), loss);
        assert!(value == 0.0 && gradient.all_finite(), "{value} {gradient:?}");
    }
}

#[test]
fn the_lovasz_softmax_of_a_mask_of_zeros_and_ones_is_its_mean_jaccard_loss() {
    // Class 0: 2 pixels in both, 4 in either; class 1: 1 in both, 3 in either.
    let predicted = [0usize, 0, 0, 1, 1];
    let p =
        Var::constant(Tensor::<f64>::from_fn(&[5, 2], |i| f64::from(u8::from(predicted[i / 2] == i % 2))));
    let loss = lovasz_softmax(p, &[0u8, 0, 1, 0, 1]).value().item();
    assert_abs_diff_eq!(loss, 1.0 - (2.0 / 4.0 + 1.0 / 3.0) / 2.0, epsilon = 1e-12);
}

#[test]
fn the_gradient_of_a_lovasz_loss_of_nan_is_no_zero_in_disguise() {
    let x = || Tensor::from_vec(vec![f32::NAN, 0.3, 0.7, 0.1], &[2, 2]);
    assert!(at(x(), |x| lovasz_softmax(x, &[0u8, 1])).0.is_nan());
    assert!(at(x(), |x| lovasz_hinge(x, &[0u8, 1, 1, 0])).0.is_nan());
}

#[test]
fn a_distribution_at_the_distance_has_the_least_loss_and_decodes_to_it() {
    // All of the probability in bins 1 and 2, as the distance of 1.25 divides it.
    let logits = Tensor::from_vec(vec![-1e3, 0.75_f64.ln(), 0.25_f64.ln(), -1e3], &[1, 4]);
    let decoded = expected_distance(Var::constant(logits.clone())).value().item();
    assert_abs_diff_eq!(decoded, 1.25, epsilon = 1e-12);
    let x = Tape::new().leaf(logits);
    let loss = distribution_focal(x.clone(), Tensor::from_vec(vec![1.25], &[1]), None, None);
    let gradient = backward(loss).of(&x).unwrap().to_vec();
    assert!(gradient.iter().all(|dx| dx.abs() < 1e-12), "{gradient:?}");
}

#[test]
fn vectors_of_one_direction_are_alike_whatever_their_length() {
    let a = Var::constant(Tensor::from_vec(vec![1e-3f32, 2e-3, 0.0, -5.0], &[2, 2]));
    let b = Var::constant(Tensor::from_vec(vec![10.0, 20.0, 0.0, 2.0], &[2, 2]));
    let cosines = cosine_similarity(a, b).value().to_vec();
    assert_abs_diff_eq!(cosines[0], 1.0, epsilon = 1e-6);
    assert_abs_diff_eq!(cosines[1], -1.0, epsilon = 1e-6);
}

/// A mistake in the calling code, and what its message says.
type Mistake = (&'static str, fn());

#[test]
fn options_out_of_range_are_named_with_their_value() {
    fn zeros() -> Var<f64> {
        Var::constant(Tensor::zeros(&[2, 2]))
    }
    fn target() -> Tensor<f64> {
        Tensor::zeros(&[2, 2])
    }
    let mistakes: [Mistake; 8] = [
        ("cross_entropy_soft: label smoothing 1.5 is outside 0 to 1", || {
            let options = CrossEntropy { label_smoothing: 1.5, ..Default::default() };
            let _ = cross_entropy_soft(zeros(), target(), &options);
        }),
        (
            "cross_entropy: predictions of shape [2, 2] need 2 finite, non-negative class weights, found [1.0]",
            || {
                let options = CrossEntropy { class_weights: Some(vec![1.0]), ..Default::default() };
                let _ = cross_entropy_with(zeros(), &[0u8, 1], &options);
            },
        ),
        ("huber: delta must be a positive number, found 0", || {
            let _ = huber(zeros(), target(), 0.0, None, None);
        }),
        ("mse: the normaliser 0 must be a positive number", || {
            let _ = mse(zeros(), target(), None, 0.0);
        }),
        ("squared_hinge: the targets of shape [2, 2] must be -1 or 1, found 0 at place 0", || {
            let _ = squared_hinge(zeros(), target());
        }),
        ("tversky: alpha and beta must be at least 0 and gamma positive, found", || {
            let options = Tversky { gamma: 0.0, ..Tversky::default() };
            let _ = tversky(zeros(), &[0u8, 1], &options);
        }),
        ("supervised_contrastive: the temperature must be a positive number, found 0", || {
            let _ = supervised_contrastive(zeros(), &[0u8, 0], 0.0);
        }),
        ("cosine_similarity: vectors must be [.., D], both of one shape, found [] and []", || {
            let scalar = || Var::constant(Tensor::<f64>::zeros(&[]));
            let _ = cosine_similarity(scalar(), scalar());
        }),
    ];
    for (expected, mistake) in mistakes {
        let panic = std::panic::catch_unwind(mistake).expect_err(expected);
        let message = panic.downcast::<String>().expect("a message with values");
        assert!(message.contains(expected), "{message:?} instead of {expected:?}");
    }
}

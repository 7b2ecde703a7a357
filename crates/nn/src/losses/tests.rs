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
    let losses: [(&str, Loss); 5] = [
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
    for (value, gradient) in [at(x(), |x| cross_entropy(x, &none)), at(x(), |x| dice(x, &none))] {
        assert_eq!((value, gradient.to_vec()), (0.0, vec![0.0; 4]));
    }
    let empty = Tensor::zeros(&[0, 3]);
    assert_eq!(at(empty.clone(), |x| cross_entropy(x, &[0u8; 0])).0, 0.0);
    assert_eq!(at(empty.clone(), |x| binary_cross_entropy(x, Tensor::zeros(&[0, 3]), None, None)).0, 0.0);
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

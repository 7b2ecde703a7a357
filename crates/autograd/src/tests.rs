//! The engine itself: sharing, broadcasting, draining, memory.

use approx::assert_abs_diff_eq;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cerberus_tensor::Tensor;

use crate::gradcheck::{self, sample};
use crate::{
    ErrorCase, Facts, Gradient, GradientSink, Group, Inputs, Leaf, Operation, ParamId, Proof, Saved,
    SavedVars, Saves, Tape, Var, backward, backward_into, depends_on, grad, grad_each, grad_with_graph,
};

fn close(a: &Tensor<f64>, b: &Tensor<f64>) -> bool {
    a.shape() == b.shape() && a.to_vec().iter().zip(b.to_vec()).all(|(a, b)| (a - b).abs() < 1e-12)
}

#[test]
fn the_gradient_check_rejects_a_wrong_rule() {
    // |x| treated as the identity: a wrong rule for negative inputs.
    let case = gradcheck::Case::unary("wrong", sample(1, &[6]), |x| {
        let sign = x.value().clone().map(|x| if x < 0.0 { -1.0 } else { 1.0 });
        x.clone().abs() + (x.clone() - x.clone().detach()) - (x.clone() - x.detach()) * Var::constant(sign)
    });
    assert!(gradcheck::gradcheck(&case) > 0.1);
}

#[test]
fn backward_and_grad_agree_and_grad_can_be_repeated() {
    let tape = Tape::new();
    let (a, b) = (tape.leaf(sample(1, &[3, 2])), tape.leaf(sample(2, &[2, 4])));
    let hidden = a.clone().matmul(b.clone()).tanh();
    let first = hidden.clone().square().sum_all();
    let second = hidden.clone().exp().mean_all();
    let one = grad(&[&first], &[&a, &b, &hidden]);
    let two = grad(&[&second], &[&a, &b]);
    let both = grad(&[&first, &second], &[&a, &b]);
    assert!(close(&both[0], &(&one[0] + &two[0])) && close(&both[1], &(&one[1] + &two[1])));
    assert!(close(&one[2], &hidden.value().clone().scale(2.0)), "gradient of an intermediate result");
    let gradients = backward(first + second);
    assert!(close(gradients.of(&a).unwrap(), &both[0]) && close(gradients.of(&b).unwrap(), &both[1]));
}

#[test]
fn several_outputs_at_once_give_the_gradients_that_each_gives_alone() {
    let tape = Tape::new();
    let (a, b, c) =
        (tape.leaf(sample(1, &[3, 2])), tape.leaf(sample(2, &[2, 4])), tape.leaf(sample(3, &[4])));
    let hidden = a.clone().matmul(b.clone()).tanh();
    // The second output does not depend on `c`, which is broadcast; `hidden` is used twice in the third.
    let outputs = [
        (hidden.clone() * c.clone()).sum_all(),
        hidden.clone().exp().mean_all(),
        (hidden.clone() * hidden.clone() + c.clone()).square().sum_all(),
    ];
    let (outputs, wrt): (Vec<_>, _) = (outputs.iter().collect(), [&a, &b, &c, &hidden, &a]);
    let mut visited = Vec::new();
    grad_each(&outputs, &wrt, |place, gradients| {
        visited.push(place);
        for (output, gradient) in outputs.iter().zip(gradients) {
            let alone = &grad(&[output], &wrt)[place];
            match gradient {
                Some(gradient) => assert!(close(&gradient.into_dense(), alone)),
                None => assert_eq!((place, alone.to_vec()), (2, vec![0.0; 4])),
            }
        }
    });
    assert_eq!(visited, [3, 2, 1, 0, 4], "in reverse order of recording");
    assert_eq!(depends_on(&outputs[1..2], &wrt), [true, true, false, true, true]);
    let unrelated = tape.leaf(sample(4, &[2]));
    assert_eq!(depends_on(&outputs, &[&unrelated, &c]), [false, true]);
    grad_each(&outputs, &[&unrelated], |_, _| panic!("no output depends on it"));
}

#[test]
fn products_of_gradients_are_the_same_from_factors_and_from_elements() {
    let product = |seed| Gradient::Product { left: sample(seed, &[5, 3]), right: sample(seed + 1, &[3, 4]) };
    let (a, b): (Gradient<f64>, Gradient<f64>) = (product(1), product(3));
    let dense = |gradient: &Gradient<f64>| Gradient::Dense(gradient.clone().into_dense());
    let expected: f64 = std::iter::zip(a.clone().into_dense().to_vec(), b.clone().into_dense().to_vec())
        .map(|(a, b)| a * b)
        .sum();
    for found in [a.dot(&b), dense(&a).dot(&b), a.dot(&dense(&b)), dense(&a).dot(&dense(&b))] {
        assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn a_recomputed_value_is_made_again_by_the_backward_pass_and_not_kept() {
    let tape = Tape::new();
    let value = sample(1, &[5]);
    let x = tape.leaf(value.clone());
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let twice = x.clone().affine(2.0, 0.0).recomputed(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        value.clone().scale(2.0)
    });
    let loss = twice.square().sum_all();
    assert_eq!(made.load(Ordering::Relaxed), 0, "nothing needs it yet");
    let gradients = backward(loss);
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert!(close(gradients.of(&x).unwrap(), &x.value().clone().scale(8.0)));
}

#[test]
fn a_variable_the_output_does_not_depend_on_gets_zeros_from_grad_and_nothing_from_backward() {
    let tape = Tape::new();
    let (a, b) = (tape.leaf(sample(1, &[2])), tape.leaf(sample(2, &[3])));
    let loss = a.sum_all();
    assert_eq!(grad(&[&loss], &[&b])[0].to_vec(), [0.0; 3]);
    assert!(backward(loss).of(&b).is_none());
}

#[test]
#[should_panic(expected = "the tape was used up by `backward` at")]
fn using_a_drained_tape_is_refused_and_names_both_calls() {
    let tape = Tape::<f64>::new();
    let x = tape.leaf(sample(1, &[2]));
    backward(x.clone().sum_all());
    let _ = x.exp();
}

#[test]
#[should_panic(expected = "the inputs are on different tapes")]
fn mixing_tapes_is_refused() {
    let (a, b) = (Tape::<f64>::new().leaf(sample(1, &[2])), Tape::new().leaf(sample(2, &[2])));
    let _ = a + b;
}

#[test]
fn constants_are_not_recorded() {
    let tape = Tape::<f64>::new();
    let x = tape.leaf(sample(1, &[2]));
    let before = tape.len();
    let y = Var::constant(sample(2, &[2])).exp().tanh();
    assert_eq!(tape.len(), before);
    assert!(!y.is_recorded() && (x + y).is_recorded());
}

#[test]
fn a_dense_layers_gradient_arrives_as_two_factors_unless_it_is_used_twice() {
    struct Kinds(Vec<bool>);
    impl GradientSink<f64> for Kinds {
        fn accept(&mut self, _: Leaf, gradient: Gradient<f64>) {
            self.0.push(matches!(gradient, Gradient::Product { .. }));
        }
    }
    let kinds = |uses: usize| {
        let tape = Tape::new();
        let weight = tape.parameter(ParamId::fresh(), sample(1, &[3, 3]));
        let y = (0..uses).fold(Var::constant(sample(2, &[2, 3])), |x, _| x.matmul(weight.clone()));
        let mut kinds = Kinds(Vec::new());
        backward_into(y.sum_all(), &mut kinds);
        kinds.0
    };
    assert_eq!(kinds(1), [true]);
    assert_eq!(kinds(2), [false]);
}

#[test]
fn gradients_arrive_in_reverse_order_of_recording() {
    struct Order(Vec<Option<ParamId>>);
    impl GradientSink<f64> for Order {
        fn accept(&mut self, leaf: Leaf, _: Gradient<f64>) {
            self.0.push(leaf.parameter);
        }
    }
    let tape = Tape::new();
    let ids = [ParamId::fresh(), ParamId::fresh(), ParamId::fresh()];
    let [a, b, c] = ids.map(|id| tape.parameter(id, sample(1, &[2])));
    let mut order = Order(Vec::new());
    backward_into((c * (a.clone() + b) * a).sum_all(), &mut order);
    assert_eq!(order.0, [Some(ids[2]), Some(ids[1]), Some(ids[0])]);
}

#[test]
fn clipping_scales_to_the_limit_and_leaves_smaller_gradients_alone() {
    let tape = Tape::new();
    let id = ParamId::fresh();
    let x = tape.parameter(id, Tensor::from_vec(vec![3.0f64, 4.0], &[2]));
    let mut gradients = backward(x.square().sum_all().scale(0.5));
    assert_eq!(gradients.clip_global_norm(10.0), 5.0);
    assert_eq!(gradients.parameter(id).unwrap().to_vec(), [3.0, 4.0]);
    gradients.clip_global_norm(1.0);
    assert_abs_diff_eq!(gradients.global_norm(), 1.0, epsilon = 1e-12);
}

#[test]
fn clipping_by_value_cuts_off_large_values_of_either_sign_and_keeps_nan() {
    let ids = [ParamId::fresh(), ParamId::fresh()];
    let dense = Tensor::from_vec(vec![3.0f64, -4.0, 0.5, f64::NAN], &[4]);
    let mut gradients: crate::Gradients<f64> =
        [(ids[0], dense), (ids[1], Tensor::scalar(-1.0))].into_iter().collect();
    gradients.clip_values(2.0);
    let clipped = gradients.parameter(ids[0]).unwrap().to_vec();
    assert_eq!(clipped[..3], [2.0, -2.0, 0.5]);
    assert!(clipped[3].is_nan());
    assert_eq!(gradients.parameter(ids[1]).unwrap().item(), -1.0);
    gradients.clip_values(0.0);
    assert_eq!(gradients.parameter(ids[1]).unwrap().item(), 0.0);
}

#[test]
fn clipping_by_value_multiplies_out_a_gradient_in_two_factors() {
    let (tape, id) = (Tape::new(), ParamId::fresh());
    let weight = tape.parameter(id, sample(1, &[5, 4]));
    let (x, c) = (sample(2, &[1, 5]), sample(3, &[1, 4]));
    let mut gradients =
        backward((Var::constant(x.clone()).matmul(weight) * Var::constant(c.clone())).sum_all());
    assert!(matches!(gradients.factored(id), Some(Gradient::Product { .. })));
    gradients.clip_values(0.25);
    let expected = x.t().matmul(&c).map(|g| g.clamp(-0.25, 0.25));
    assert!(close(gradients.parameter(id).unwrap(), &expected));
}

#[test]
fn selected_gradients_are_those_of_the_named_parameters_alone() {
    let [a, b] = [ParamId::fresh(), ParamId::fresh()];
    let all: crate::Gradients<f64> =
        [(a, Tensor::scalar(1.0)), (b, Tensor::scalar(2.0))].into_iter().collect();
    let selected = all.select(|id| id == b);
    assert!(selected.parameter(a).is_none());
    assert_eq!(selected.parameter(b).unwrap().item(), 2.0);
}

/// `y = x`, whose rules forget the gradient.
struct Forgetful;

impl Operation<f64> for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<f64>) -> Tensor<f64> {
        let [x] = inputs.take();
        x
    }

    fn backward(&self, _: Saved<f64>, _: Tensor<f64>, _: &[bool]) -> Vec<Option<Gradient<f64>>> {
        vec![None]
    }

    fn backward_graph(&self, _: SavedVars<f64>, _: Var<f64>, _: &[bool]) -> Option<Vec<Option<Var<f64>>>> {
        Some(vec![None])
    }
}

impl Proof for Forgetful {
    fn facts() -> Facts {
        Facts::new("forgetful", Group::Elementwise, "y = x", "none, by mistake")
    }

    fn cases() -> Vec<gradcheck::Case> {
        Vec::new()
    }

    fn error_cases() -> Vec<ErrorCase> {
        Vec::new()
    }
}

#[test]
#[should_panic(expected = "forgetful: the backward rule left out a gradient that was asked for")]
fn a_rule_that_leaves_out_a_gradient_is_refused() {
    let x = Tape::new().leaf(sample(1, &[2]));
    backward(Var::apply(Forgetful, vec![x]).sum_all());
}

#[test]
#[should_panic(expected = "forgetful: the backward rule left out a gradient that was asked for")]
fn a_recorded_rule_that_leaves_out_a_gradient_is_refused() {
    let x = Tape::new().leaf(sample(1, &[2]));
    grad_with_graph(&[&Var::apply(Forgetful, vec![x.clone()]).sum_all()], &[&x]);
}

#[test]
#[should_panic(expected = "backward: the output has shape [2]; only a single number can be differentiated")]
fn more_than_one_number_is_not_differentiated() {
    backward(Tape::new().leaf(sample(1, &[2])));
}

#[test]
#[should_panic(expected = "backward: the output is a constant")]
fn a_constant_is_not_differentiated() {
    backward(Var::constant(Tensor::scalar(1.0f64)));
}

#[test]
fn gradients_are_collected_from_parts_and_read_as_they_are() {
    let ids = [ParamId::fresh(), ParamId::fresh()];
    let parts = ids.map(|id| (id, Tensor::from_vec(vec![3.0f64, 4.0], &[2])));
    let mut gradients: crate::Gradients<f64> = parts.clone().into_iter().take(1).collect();
    gradients.extend(parts.into_iter().skip(1));
    assert_eq!(gradients.parameters().count(), 2);
    assert!(gradients.parameters().all(|(id, g)| ids.contains(&id) && g.to_vec() == [3.0, 4.0]));
    assert_eq!(gradients.global_norm(), 50f64.sqrt());
}

#[test]
fn a_gradient_in_two_factors_is_worth_their_product() {
    // The gradient of a weight [5, 4] from one row is an outer product: smaller as its factors.
    let (tape, id) = (Tape::new(), ParamId::fresh());
    let weight = tape.parameter(id, sample(1, &[5, 4]));
    let (x, c) = (sample(2, &[1, 5]), sample(3, &[1, 4]));
    let y = Var::constant(x.clone()).matmul(weight) * Var::constant(c.clone());
    let mut gradients = backward(y.sum_all());
    let expected = x.t().matmul(&c);
    assert!(close(gradients.parameter(id).unwrap(), &expected));
    let norm = expected.squared_norm().sqrt();
    assert_abs_diff_eq!(gradients.global_norm(), norm, epsilon = 1e-12);
    gradients.clip_global_norm(0.5);
    assert!(close(gradients.parameter(id).unwrap(), &expected.scale(0.5 / norm)));
    for (left, right) in [(sample(1, &[9, 3]), sample(2, &[3, 2])), (sample(1, &[2, 3]), sample(2, &[3, 9]))]
    {
        let product = left.matmul(&right);
        let factors = || Gradient::Product { left: left.clone(), right: right.clone() };
        assert!(matches!(factors().in_smaller_form(), Gradient::Dense(ref dense) if close(dense, &product)));
        assert!(close(&factors().scale(3.0).into_dense(), &product.clone().scale(3.0)));
    }
}

#[test]
fn variables_and_tapes_say_what_they_are() {
    let tape = Tape::default();
    assert!(tape.is_empty());
    let x = tape.leaf(Tensor::from_vec(vec![1.5f64], &[1]));
    assert!(!tape.is_empty());
    assert_eq!(format!("{x:?}"), "Var(node 0, Tensor<f64>[1] [1.5])");
    assert_eq!(format!("{:?}", x.detach()), "Var(constant, Tensor<f64>[1] [1.5])");
}

#[test]
fn gradients_of_gradients_can_be_taken_again_and_agree_with_grad() {
    let tape = Tape::new();
    let x = tape.leaf(Tensor::from_vec(vec![0.5f64, -1.5], &[2]));
    let loss = (x.clone().square() * x.clone()).sum_all(); // x³
    let first = grad_with_graph(&[&loss], &[&x]).remove(0);
    assert!(close(first.value(), &grad(&[&loss], &[&x])[0]));
    let second = grad_with_graph(&[&first.sum_all()], &[&x]).remove(0);
    let third = grad(&[&second.clone().sum_all()], &[&x]).remove(0);
    assert_eq!(second.value().to_vec(), [3.0, -9.0]); // 6x
    assert_eq!(third.to_vec(), [6.0, 6.0]);
}

/// More rows than one thread takes at a time.
#[test]
fn long_running_sums_are_those_of_each_row() {
    let x = sample(1, &[71, 101, 5]);
    let y = Var::constant(x.clone()).cumsum(1).into_value();
    for row in [0, 31, 32, 33, 70] {
        let alone = Var::constant(x.narrow(0, row, 1)).cumsum(1).into_value();
        assert!(close(&y.narrow(0, row, 1), &alone), "row {row}");
    }
}

#[test]
fn the_gradient_of_a_quotient_neither_overflows_nor_vanishes_where_the_answer_does_not() {
    for (operand, expected) in [(2e19f32, -5e-20f32), (1e-25, -1e25)] {
        for with_graph in [false, true] {
            let tape = Tape::new();
            let (a, b) = (tape.leaf(Tensor::scalar(operand)), tape.leaf(Tensor::scalar(operand)));
            let y = a / &b;
            let db = if with_graph {
                grad_with_graph(&[&y], &[&b]).remove(0).into_value()
            } else {
                grad(&[&y], &[&b]).remove(0)
            };
            approx::assert_relative_eq!(db.item(), expected, max_relative = 1e-6);
        }
    }
}

//! Results must not depend on how an input is stored, how often it is used, its
//! precision or the number of threads. Also: the effects of misuse and NaN.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cerberus_autograd::Var;
use cerberus_autograd::gradcheck::{Case, gradients};
use cerberus_autograd::proof::ANY_SHAPE;
use cerberus_tensor::parallel::PIECE;
use cerberus_tensor::{Element, Tensor};

use crate::{all, distance, operation_cases, value_and_gradients};

/// The same values as a transposed view, as a part of a larger tensor, and, if
/// the tensor repeats itself along its first dimension, as a broadcast view.
fn views(x: &Tensor<f64>) -> Vec<Tensor<f64>> {
    let rank = x.rank();
    let backwards: Vec<usize> = (0..rank).rev().collect();
    let mut views = vec![x.permute(&backwards).contiguous().permute(&backwards)];
    if rank > 0 {
        let extent = x.shape()[rank - 1];
        let rows = x.len().checked_div(extent).unwrap_or(0);
        let padded = Tensor::from_fn(&[rows, extent + 3], |i| {
            let (row, column) = (i / (extent + 3), i % (extent + 3));
            // What lies around the view must not be read: NaN would show.
            if (1..=extent).contains(&column) {
                x.contiguous().data()[row * extent + column - 1]
            } else {
                f64::NAN
            }
        });
        let mut wide = x.shape().to_vec();
        wide[rank - 1] = extent + 3;
        views.push(if x.is_empty() { x.clone() } else { padded.reshape(&wide).narrow(rank - 1, 1, extent) });
    }
    views
}

fn assert_same(case: &Case, inputs: &[Tensor<f64>], expected: &[Tensor<f64>], what: &str) {
    let found = value_and_gradients(&*case.function, inputs);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.shape(), expected.shape(), "{}: {what}", case.name);
        let distance = distance(found, expected);
        assert!(distance < 1e-12, "{}: {what}: {distance:.1e}", case.name);
    }
}

#[test]
fn views_give_what_contiguous_copies_give() {
    for (_, case) in operation_cases() {
        let expected = value_and_gradients(&*case.function, &case.inputs);
        for which in 0..case.inputs.len() {
            for view in views(&case.inputs[which]) {
                let mut inputs = case.inputs.clone();
                inputs[which] = view;
                assert_same(&case, &inputs, &expected, "a view as input");
            }
            // The first position along the first axis, everywhere: as a copy and as a broadcast view.
            let x = &case.inputs[which];
            if x.rank() > 0 && !x.is_empty() {
                let stretched = x.narrow(0, 0, 1).broadcast_to(x.shape());
                let mut inputs = case.inputs.clone();
                inputs[which] = stretched.contiguous();
                let expected = value_and_gradients(&*case.function, &inputs);
                inputs[which] = stretched;
                assert_same(&case, &inputs, &expected, "a stretched view as input");
            }
        }
    }
}

#[test]
fn an_input_used_twice_gets_the_gradients_of_both_uses() {
    for (_, case) in operation_cases().filter(|(_, case)| !case.special) {
        let once = value_and_gradients(&*case.function, &case.inputs);
        let twice =
            |inputs: Vec<Var<f64>>| (case.function)(inputs.clone()) + (case.function)(inputs).scale(2.0);
        let c = cerberus_autograd::gradcheck::cotangent(once[0].shape());
        for (found, once) in gradients(&twice, &case.inputs, &c).iter().zip(&once[1..]) {
            let distance = distance(found, &once.clone().scale(3.0));
            assert!(distance < 1e-12, "{}: {distance:.1e}", case.name);
        }
    }
}

#[test]
fn single_precision_agrees_with_double() {
    for (_, case) in operation_cases() {
        let single = case.single.as_ref().expect("written with `case!`");
        // Both start from the same numbers.
        let inputs: Vec<Tensor<f32>> = case.inputs.iter().map(Tensor::cast).collect();
        let rounded: Vec<Tensor<f64>> = inputs.iter().map(Tensor::cast).collect();
        let expected = value_and_gradients(&*case.function, &rounded);
        for (found, expected) in value_and_gradients(single, &inputs).iter().zip(&expected) {
            let size =
                expected.to_vec().into_iter().filter(|x| x.is_finite()).fold(1.0, |a: f64, b| a.max(b.abs()));
            let distance = distance(found, expected) / size;
            assert!(distance < 1e-4, "{}: {distance:.1e}", case.name);
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    fn bits<T: Element>(tensors: Vec<Tensor<T>>) -> Vec<u64> {
        tensors.into_iter().flat_map(|x| x.to_vec()).map(|x| x.as_f64().to_bits()).collect()
    }
    let run = |threads: usize| -> Vec<(String, Vec<u64>)> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let cases = all().into_iter().flat_map(|info| (info.large_cases)());
            let of = |case: Case| {
                let mut found = bits(value_and_gradients(&*case.function, &case.inputs));
                let inputs: Vec<Tensor<f32>> = case.inputs.iter().map(Tensor::cast).collect();
                found.extend(bits(value_and_gradients(
                    case.single.as_ref().expect("written with `case!`"),
                    &inputs,
                )));
                (case.name, found)
            };
            cases.map(of).collect()
        })
    };
    let one = run(1);
    for threads in [2, 3] {
        for ((name, one), (_, other)) in one.iter().zip(run(threads)) {
            assert!(*one == other, "{name}: {threads} threads give other bits than one");
        }
    }
}

#[test]
fn every_operation_has_a_sample_that_is_split_among_threads() {
    let mut short = Vec::new();
    for info in all() {
        let (name, cases) = (info.facts.name, (info.large_cases)());
        assert!(!cases.is_empty(), "{name} has no large sample: list shapes with `Facts::large`");
        for case in cases {
            let y = (case.function)(case.inputs.iter().cloned().map(Var::constant).collect());
            let longest = case.inputs.iter().map(Tensor::len).fold(y.value().len(), usize::max);
            if longest <= PIECE {
                short.push(format!("{name}: {longest}"));
            }
        }
    }
    assert!(short.is_empty(), "no more elements than one piece of {PIECE}: {short:?}");
}

#[test]
fn misuse_is_refused_with_the_operation_and_the_shapes() {
    let mut count = 0;
    for info in all() {
        let errors = (info.error_cases)();
        let name = info.facts.name;
        assert!(!errors.is_empty() || info.facts.shapes == ANY_SHAPE, "{name}: which misuse does it refuse?");
        for error in errors {
            count += 1;
            let panic = catch_unwind(AssertUnwindSafe(error.misuse)).expect_err(error.message);
            let message = panic.downcast_ref::<String>().cloned();
            let message =
                message.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).expect("a message");
            assert!(
                message.contains(error.message),
                "{name}: expected {:?}, found {message:?}",
                error.message
            );
            assert!(message.contains('[') || message.contains("rank"), "{name}: no shapes in {message:?}");
        }
    }
    println!("{count} misuses");
}

#[test]
fn nothing_but_nan_gives_nothing_but_nan_where_no_other_policy_is_documented() {
    for (info, case) in operation_cases().filter(|(info, case)| info.facts.nan.is_empty() && !case.special) {
        if case.inputs.iter().any(Tensor::is_empty) {
            continue; // A sum over nothing is 0.
        }
        let inputs = case.inputs.iter().map(|x| Var::constant(Tensor::full(f64::NAN, x.shape()))).collect();
        let y = (case.function)(inputs).into_value();
        let numbers = y.to_vec().into_iter().filter(|y| !y.is_nan()).count();
        assert!(numbers == 0, "{}: {numbers} numbers from NaN; document it in `Facts::nan`", info.facts.name);
    }
}

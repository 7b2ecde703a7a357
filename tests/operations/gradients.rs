//! Gradients against finite differences, first and second order, and the
//! adjoint identity of linear operations.

use cerberus_autograd::gradcheck::{
    Case, cotangent, errors, gradcheck, gradients, sample, second_order_error,
};
use cerberus_autograd::ops;
use cerberus_autograd::{Tape, Var, grad, grad_with_graph};
use cerberus_nn::losses;

use crate::{all, operation_cases};

/// The largest error a rule may have.
pub const LIMIT: f64 = 1e-6;

#[test]
fn every_operation_and_loss_agrees_with_finite_differences_to_the_order_it_offers() {
    println!("{:<24} {:>5}  {:>8}  {:>8}  worst case", "operation", "cases", "first", "second");
    let mut failed = Vec::new();
    for info in all() {
        let cases: Vec<Case> = (info.cases)().into_iter().filter(|case| !case.special).collect();
        // For the first and the second order: the largest error, and its sample.
        let worst = |error: &dyn Fn(&Case) -> f64| {
            cases.iter().map(|case| (error(case), &case.name)).fold((0.0, &cases[0].name), |worst, found| {
                // A NaN must not hide behind a comparison that is false.
                if found.0.is_nan() || found.0 > worst.0 { found } else { worst }
            })
        };
        let first = worst(&gradcheck);
        let second = info.facts.second_order.then(|| worst(&second_order_error));
        let shown = second.map_or("-".to_string(), |(error, _)| format!("{error:.1e}"));
        println!("{:<24} {:>5}  {:>8.1e}  {shown:>8}  {}", info.facts.name, cases.len(), first.0, first.1);
        for (error, name) in std::iter::once(first).chain(second) {
            if error.is_nan() || error >= LIMIT {
                failed.push(format!("{name}: {error:.1e}"));
            }
        }
    }
    assert!(failed.is_empty(), "not below {LIMIT:.0e}: {failed:#?}");
}

/// Special values too, if they are finite: a rule for gradients of gradients must take the same side of a
/// kink.
#[test]
fn a_gradient_with_its_graph_is_the_gradient_without() {
    let same =
        |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(1.0);
    let mut failed = Vec::new();
    for info in all().into_iter().filter(|info| info.facts.second_order) {
        for case in (info.cases)() {
            let tape = Tape::new();
            let leaves: Vec<Var<f64>> = case.inputs.iter().map(|x| tape.leaf(x.clone())).collect();
            let wrt: Vec<&Var<f64>> = leaves.iter().collect();
            let y = (case.function)(leaves.clone());
            let c = cotangent(y.shape());
            let objective = (y * Var::constant(c)).sum_all();
            let with = grad_with_graph(&[&objective], &wrt);
            for (which, (without, with)) in grad(&[&objective], &wrt).iter().zip(with).enumerate() {
                let x = case.inputs[which].to_vec();
                // At an infinite input the other side of a kink gives 0 times infinity.
                let agrees = |((a, b), x): ((f64, f64), f64)| !x.is_finite() || same(a, b);
                if !without.to_vec().into_iter().zip(with.value().to_vec()).zip(x).all(agrees) {
                    failed.push(format!("{}: input {which}: {without:?}\n{:?}", case.name, with.value()));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn no_sample_has_a_gradient_of_zero_that_is_not_declared_and_none_is_declared_in_vain() {
    for case in all().iter().flat_map(|info| (info.cases)()).filter(|case| !case.special) {
        let y = (case.function)(case.inputs.iter().cloned().map(Var::constant).collect());
        let found = gradients(&*case.function, &case.inputs, &cotangent(y.shape()));
        for (which, gradient) in found.iter().enumerate() {
            let zero = gradient.to_vec().iter().all(|&g| g == 0.0);
            let declared = case.zero_gradient.contains(&which) || gradient.is_empty();
            assert!(
                zero == declared || gradient.is_empty(),
                "{}: input {which}: gradient {gradient:?}",
                case.name
            );
        }
    }
}

#[test]
fn linear_operations_satisfy_the_adjoint_identity() {
    let mut checked = 0;
    for (info, case) in operation_cases().filter(|(_, case)| !case.special && !case.composed) {
        for &which in info.facts.linear_in.iter().filter(|&&which| which < case.inputs.len()) {
            // The operation may also add something: A x = f(x) - f(0).
            let f = |x| {
                let mut inputs = case.inputs.clone();
                inputs[which] = x;
                (case.function)(inputs.into_iter().map(Var::constant).collect()).into_value()
            };
            let x = &case.inputs[which];
            let image = f(x.clone()) - f(x.clone().scale(0.0));
            let y = sample(5, image.shape());
            let adjoint = gradients(&*case.function, &case.inputs, &y).swap_remove(which);
            let (left, right) = ((&image * &y).sum_all().item(), (x * &adjoint).sum_all().item());
            let size = (image * y).map(f64::abs).sum_all().item().max(1.0);
            let error = (left - right).abs() / size;
            assert!(error < 1e-12, "{}: input {which}: <Ax, y> = {left}, <x, A'y> = {right}", case.name);
            checked += 1;
        }
    }
    println!("{checked} adjoint identities");
    assert!(checked > 100);
}

#[test]
fn gradients_through_an_operation_without_second_order_are_refused_by_name() {
    for info in all().iter().filter(|info| !info.facts.second_order) {
        let case = (info.cases)().swap_remove(0);
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| second_order_error(&case)));
        let message = *refused.expect_err("refused").downcast::<String>().expect("a message");
        let expected = format!("grad_with_graph: {} has no differentiable backward rule", info.facts.name);
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn the_check_sees_a_gradient_that_is_cut_in_one_place() {
    let cut = Case::unary("cut", sample(1, &[6]), |x| x.clone() * x.detach().sigmoid());
    assert!(gradcheck(&cut) > 1e-2);
}

#[test]
fn the_check_tells_which_input_is_wrong() {
    let case =
        Case::binary("wrong", sample(1, &[3]), sample(2, &[3]), |a, b| a + b.clone().scale(2.0) - b.detach());
    let found = errors(&case);
    assert!(found[0] < LIMIT && found[1] > 0.1, "{found:?}");
}

#[test]
fn every_operation_brings_what_the_suite_needs() {
    for info in ops::all() {
        let (facts, cases) = (&info.facts, (info.cases)());
        let name = facts.name;
        assert!(!cases.is_empty(), "{name} has no samples");
        assert!(!facts.torch.is_empty(), "{name}: what does PyTorch call it?");
        for case in &cases {
            assert!(case.single.is_some() && !case.torch.is_empty(), "{}: write it with `case!`", case.name);
        }
        let empty = cases.iter().any(|case| case.inputs.iter().any(|x| x.is_empty()));
        assert!(
            empty == facts.never_empty.is_empty(),
            "{name}: a sample with an empty batch, or why there is none"
        );
    }
}

#[test]
fn every_sample_of_a_loss_has_its_expression_for_the_reference() {
    for case in losses::cases() {
        assert!(!case.torch.is_empty(), "{}: add `with_torch`", case.name);
    }
}

#[test]
fn every_operation_goes_by_the_name_of_its_facts() {
    let entries = all();
    let known: Vec<&str> = entries.iter().map(|info| info.facts.name).collect();
    for info in &entries {
        let name = info.facts.name;
        let recorded: Vec<&str> = (info.cases)().into_iter().flat_map(names).collect();
        let unknown = recorded.iter().find(|recorded| !known.contains(recorded));
        assert!(unknown.is_none(), "{name}: the tape has {unknown:?}, which no facts describe");
        assert!(
            recorded.contains(&name) != info.facts.composed,
            "{name}: the tape has {recorded:?}; an operation has its own name there, what is made of others is \
             declared with `Facts::composed`"
        );
    }
}

/// The names of the operations that a sample records.
fn names(case: Case) -> Vec<&'static str> {
    let tape = Tape::new();
    (case.function)(case.inputs.into_iter().map(|x| tape.leaf(x)).collect());
    tape.operations()
}

//! Proof of every backward rule: analytic gradients against central differences.
//!
//! The cases live beside the operations and losses they prove; this test only
//! runs over the two lists. What is compared, and how the error is defined, is
//! told in `crates/autograd/src/gradcheck.rs`.
//!
//! `cargo test --workspace --test gradient_check -- --nocapture` prints the table: for each
//! operation the case with the largest error.

use std::collections::BTreeMap;
use std::rc::Rc;

use cerberus::autograd::gradcheck::{Case, errors, gradcheck, sample};
use cerberus::autograd::{Gradient, Inputs, Operation, Saved, Saves, Var, one, ops};
use cerberus::nn::losses;
use cerberus::tensor::Tensor;

/// The largest error a rule may have.
const LIMIT: f64 = 1e-6;

/// Cases whose gradient is zero as it should be, such as a loss without a label.
const ZERO_ON_PURPOSE: [&str; 1] = ["cross_entropy: all ignored"];

fn all_cases() -> Vec<Case> {
    ops::cases().into_iter().chain(losses::cases()).collect()
}

/// What stands before the colon: `conv2d` of `conv2d: stride 2`.
fn operation(case: &Case) -> &str {
    case.name.split(':').next().unwrap_or(&case.name)
}

#[test]
fn every_operation_and_loss_agrees_with_finite_differences() {
    // By operation: number of cases, the worst one and its error.
    let mut table: BTreeMap<String, (usize, String, f64)> = BTreeMap::new();
    for case in all_cases() {
        let error = gradcheck(&case);
        let row = table.entry(operation(&case).to_string()).or_insert((0, String::new(), -1.0));
        row.0 += 1;
        // A NaN must not hide behind a comparison that is false.
        if error.is_nan() || error > row.2 {
            (row.1, row.2) = (case.name, error);
        }
    }
    println!("{:<24} {:>5}  {:>8}  worst case", "operation", "cases", "error");
    for (operation, (cases, worst, error)) in &table {
        println!("{operation:<24} {cases:>5}  {error:>8.1e}  {worst}");
    }
    let failed: Vec<_> = table.values().filter(|(_, _, error)| error.is_nan() || *error >= LIMIT).collect();
    assert!(failed.is_empty(), "not below {LIMIT:.0e} (cases, worst, error): {failed:?}");
}

#[test]
fn a_gradient_off_by_one_in_ten_thousand_is_caught_at_every_input_of_every_case() {
    let mut unseen = Vec::new();
    for Case { name, inputs, function } in all_cases() {
        let function = Rc::new(function);
        for which in 0..inputs.len() {
            let function = Rc::clone(&function);
            let spoiled = Case::new(name.clone(), inputs.clone(), move |mut inputs| {
                inputs[which] = Var::apply(Skew, vec![inputs[which].clone()]);
                function(inputs)
            });
            let error = errors(&spoiled)[which];
            if error < 10.0 * LIMIT && !ZERO_ON_PURPOSE.contains(&name.as_str()) {
                unseen.push(format!("{name}: input {which}: {error:.1e}"));
            }
        }
    }
    assert!(unseen.is_empty(), "spoiled rules went unseen: these cases prove too little: {unseen:#?}");
}

#[test]
fn a_rule_with_the_wrong_sign_is_caught() {
    let cases = Wrong::cases();
    let found = errors(&cases[0]);
    assert!(found[0] < LIMIT && found[1] > 1.0, "{found:?}");
}

/// `y = x`, with a gradient a little too large.
struct Skew;

impl Operation<f64> for Skew {
    fn name(&self) -> &'static str {
        "skew"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<f64>) -> Tensor<f64> {
        let [x] = inputs.take();
        x
    }

    fn backward(&self, _: Saved<f64>, dy: Tensor<f64>, _: &[bool]) -> Vec<Option<Gradient<f64>>> {
        one(dy.scale(1.0001))
    }

    fn cases() -> Vec<Case> {
        Vec::new() // It has none to pass.
    }
}

/// `y = a - b` whose rule forgets the minus.
struct Wrong;

impl Operation<f64> for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<f64>) -> Tensor<f64> {
        let [a, b] = inputs.take();
        a - b
    }

    fn backward(&self, _: Saved<f64>, dy: Tensor<f64>, _: &[bool]) -> Vec<Option<Gradient<f64>>> {
        vec![Some(dy.clone().into()), Some(dy.into())]
    }

    fn cases() -> Vec<Case> {
        vec![Case::binary("wrong", sample(1, &[3]), sample(2, &[3]), |a, b| Var::apply(Wrong, vec![a, b]))]
    }
}

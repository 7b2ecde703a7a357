//! Every check over every operation.
//!
//! The samples live beside the operations and losses they prove; these tests
//! run over the lists of both, `ops::all()` and `losses::all()`. A new
//! operation needs no change here.
//!
//! `cargo test --workspace --test operations -- --nocapture` prints, for each operation, the
//! sample with the largest error of either order.

mod engine;
mod extremes;
mod gradients;
mod inputs;
mod limits;
mod parity;
mod reference;
mod spoiled;

use cerberus_autograd::gradcheck::{Case, cotangent, gradients};
use cerberus_autograd::ops;
use cerberus_autograd::proof::OpInfo;
use cerberus_nn::losses;
use cerberus_tensor::{Element, Tensor};

/// Operations and losses.
fn all() -> Vec<OpInfo> {
    ops::all().into_iter().chain(losses::all()).collect()
}

/// The samples of all operations (not of the losses) with their infos.
fn operation_cases() -> impl Iterator<Item = (OpInfo, Case)> {
    cases_of(ops::all())
}

/// The samples of all operations and losses with their infos.
fn all_cases() -> impl Iterator<Item = (OpInfo, Case)> {
    cases_of(all())
}

fn cases_of(infos: Vec<OpInfo>) -> impl Iterator<Item = (OpInfo, Case)> {
    infos.into_iter().flat_map(|info| {
        (info.cases)().into_iter().map(move |case| {
            let OpInfo { ref facts, cases, error_cases, large_cases } = info;
            (OpInfo { facts: facts.clone(), cases, error_cases, large_cases }, case)
        })
    })
}

/// The value of a sample and the gradients of its inputs, for the usual cotangent.
fn value_and_gradients<T: Element>(
    function: &dyn Fn(Vec<cerberus_autograd::Var<T>>) -> cerberus_autograd::Var<T>,
    inputs: &[Tensor<T>],
) -> Vec<Tensor<T>> {
    let constants = inputs.iter().cloned().map(cerberus_autograd::Var::constant).collect();
    let value = function(constants).into_value();
    let c = cotangent(value.shape()).cast();
    let mut all = gradients(function, inputs, &c);
    all.insert(0, value);
    all
}

/// The largest `|a - b| / max(1, |b|)`; equal infinities and NaN in the same places count as equal.
fn distance<T: Element>(a: &Tensor<T>, b: &Tensor<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let pairs = a.to_vec().into_iter().map(T::as_f64).zip(b.to_vec());
    pairs.fold(0.0, |worst: f64, (a, b)| {
        let same = a == b || (a.is_nan() && b.is_nan());
        let difference = if same { 0.0 } else { (a - b).abs() / b.abs().max(1.0) };
        if difference.is_nan() { f64::INFINITY } else { worst.max(difference) }
    })
}

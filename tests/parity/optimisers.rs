//! Runs of every optimiser and schedule against those of PyTorch, or of the papers' algorithms where it has none.
//!
//! The reference file is made by `tests/parity/optimisers.py`; see `tests/parity/README.md`. Both sides compute the
//! gradients of one function from its closed formula. The options of a run are read from the file, so they cannot
//! differ. Running the test needs no Python.

use cerberus_autograd::{Gradients, Var};
use cerberus_nn::optim::{
    Adadelta, Adagrad, Adam, AdamW, Lamb, Lion, Lookahead, Muon, Optimizer, RmsProp, Sgd,
};
use cerberus_nn::schedule::{PlateauOptions, ReduceOnPlateau, Schedule};
use cerberus_nn::{Context, Module, Parameter, SamOptions, module, sam_step};
use cerberus_tensor::{Element, Tensor};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest `|a - b| / max(0.001, |b|)` allowed.
const LIMIT: f64 = 1e-10;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/optimisers.json");

struct Point<T: Element> {
    weight: Parameter<T>,
    kernel: Parameter<T>,
    bias: Parameter<T>,
}
module!(Point { weight, kernel, bias });

const SIZES: [usize; 3] = [6, 8, 2];
const SIZE: usize = SIZES[0] + SIZES[1] + SIZES[2];

fn each(f: impl Fn(f64) -> f64) -> [f64; SIZE] {
    std::array::from_fn(|i| f(i as f64))
}

fn goal() -> [f64; SIZE] {
    each(|i| (1.3 * i).sin())
}

fn steepness() -> [f64; SIZE] {
    each(|i| 0.4 + 0.15 * (i % 7.0))
}

fn mixed() -> [f64; SIZE] {
    each(|i| 0.3 * (0.7 * i).cos())
}

fn noise(step: u64) -> [f64; SIZE] {
    each(|i| 0.2 * (0.9 * step as f64 + 0.5 * i).sin())
}

/// Consecutive parts of all values, one for each parameter.
fn split(all: &[f64; SIZE]) -> [&[f64]; 3] {
    let (weight, rest) = all.split_at(SIZES[0]);
    let (kernel, bias) = rest.split_at(SIZES[1]);
    [weight, kernel, bias]
}

fn start() -> Point<f64> {
    let values = each(|i| (2.1 * i).cos());
    let [weight, kernel, bias] = split(&values).map(<[f64]>::to_vec);
    Point {
        weight: Parameter::new(Tensor::from_vec(weight, &[3, 2])),
        kernel: Parameter::new(Tensor::from_vec(kernel, &[2, 1, 2, 2])),
        bias: Parameter::new(Tensor::from_vec(bias, &[2])),
    }
}

fn values(model: &Point<f64>) -> Vec<f64> {
    model.tensors().into_iter().flat_map(|(_, tensor)| tensor.to_vec()).collect()
}

/// The gradients of `sum(steepness (x - goal)²) / 2 + (sum(mixed (x - goal)))² / 2 + sum(noise x)`; in every fourth
/// step, the bias has none.
fn gradients(model: &Point<f64>, step: u64) -> Gradients<f64> {
    let (x, goal, steepness, mixed, noise) = (values(model), goal(), steepness(), mixed(), noise(step));
    let sum: f64 = (0..SIZE).map(|i| mixed[i] * (x[i] - goal[i])).sum();
    let all = std::array::from_fn(|i| steepness[i] * (x[i] - goal[i]) + mixed[i] * sum + noise[i]);
    let with_gradient = |path: &str| path != "bias" || !step.is_multiple_of(4);
    let parameters = model.parameters().into_iter().zip(split(&all));
    parameters
        .filter(|((path, _), _)| with_gradient(path))
        .map(|((_, p), part)| (p.id(), Tensor::from_vec(part.to_vec(), p.value.shape())))
        .collect()
}

/// The function itself, recorded.
fn loss(model: &Point<f64>, context: &mut Context<f64>, step: u64) -> Var<f64> {
    let (goal, steepness, mixed, noise) = (goal(), steepness(), mixed(), noise(step));
    let parts = [split(&goal), split(&steepness), split(&mixed), split(&noise)];
    let mut own = Vec::new();
    let mut shared = Vec::new();
    for (index, (_, parameter)) in model.parameters().into_iter().enumerate() {
        let constant = |part: [&[f64]; 3]| {
            Var::constant(Tensor::from_vec(part[index].to_vec(), parameter.value.shape()))
        };
        let [goal, steepness, mixed, noise] = parts.map(constant);
        let x = context.parameter(parameter);
        let away = x.clone() - goal;
        own.push((away.clone().square() * steepness).sum_all().scale(0.5) + (x * noise).sum_all());
        shared.push((away * mixed).sum_all());
    }
    let sum = |terms: Vec<Var<f64>>| terms.into_iter().reduce(|a, b| a + b).expect("three parameters");
    sum(own) + sum(shared).square().scale(0.5)
}

fn options<O: DeserializeOwned>(value: &Value) -> O {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn make(kind: &str, o: &Value) -> Box<dyn Optimizer<f64>> {
    match kind {
        "sgd" => Box::new(Sgd::new(options(o))),
        "adam" => Box::new(Adam::new(options(o))),
        "adamw" => Box::new(AdamW::new(options(o))),
        "adagrad" => Box::new(Adagrad::new(options(o))),
        "rmsprop" => Box::new(RmsProp::new(options(o))),
        "adadelta" => Box::new(Adadelta::new(options(o))),
        "lion" => Box::new(Lion::new(options(o))),
        "lamb" => Box::new(Lamb::new(options(o))),
        "muon" => Box::new(Muon::new(options(o))),
        other => panic!("{FILE} has an optimiser called {other}"),
    }
}

fn file() -> Value {
    let text = std::fs::read_to_string(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{FILE}: {error}"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{FILE}: {name} is not a list"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// The largest relative distance.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let distance = |(a, b): (&f64, &f64)| {
        let distance = (a - b).abs() / b.abs().max(1e-3);
        if distance.is_nan() { f64::INFINITY } else { distance }
    };
    found.iter().zip(expected).map(distance).fold(0.0, f64::max)
}

#[test]
fn every_optimiser_walks_as_the_reference_does() {
    let file = file();
    let mut failed = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for case in list(&file, "optimisers") {
        let kind = case["optimizer"].as_str().expect("a name");
        let named = format!("{kind} {} {} {}", case["options"], case["lookahead"], case["sam"]);
        seen.insert(kind);
        let mut optimizer = make(kind, &case["options"]);
        if case["lookahead"].is_object() {
            optimizer = Box::new(Lookahead::new(optimizer, options(&case["lookahead"])));
        }
        let (mut model, rate) = (start(), case["options"]["learning_rate"].as_f64().expect("a rate"));
        let mut expected = list(case, "steps").iter().zip(list(case, "values"));
        let mut next = expected.next();
        for step in 1..=50 {
            optimizer.set_learning_rate(rate * (1.0 - (step - 1) as f64 / 100.0));
            if case["sam"].is_object() {
                let rho = case["sam"]["rho"].as_f64().expect("rho");
                let adaptive = case["sam"]["adaptive"] == true;
                let sam = SamOptions { rho, adaptive, ..SamOptions::default() };
                sam_step(&mut model, &mut *optimizer, sam, |model, context| loss(model, context, step));
            } else {
                let gradients = gradients(&model, step);
                optimizer.step(&mut model, &gradients);
            }
            if let Some((_, expected_values)) = next.filter(|(at, _)| **at == step) {
                let distance = distance(&values(&model), &numbers(expected_values));
                if distance > LIMIT {
                    failed.push(format!("{named}: {distance:.1e} in step {step}"));
                    break;
                }
                next = expected.next();
            }
        }
    }
    assert_eq!(seen.len(), 9, "an optimiser has no run in {FILE}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_schedule_gives_the_rates_of_the_reference() {
    let file = file();
    let mut kinds = std::collections::BTreeSet::new();
    for case in list(&file, "schedules") {
        let schedule = options::<Schedule>(&case["schedule"]).check().unwrap();
        kinds.insert(case["schedule"]["kind"].as_str().expect("a kind"));
        let expected = numbers(&case["rates"]);
        let found: Vec<f64> = (0..expected.len()).map(|step| schedule.rate(step)).collect();
        let distance = distance(&found, &expected);
        assert!(distance < LIMIT, "{schedule:?}: {distance:.1e}\n{found:?}\n{expected:?}");
    }
    assert_eq!(kinds.len(), 9, "a schedule has no run in {FILE}");
}

#[test]
fn a_rate_falls_on_a_plateau_as_in_the_reference() {
    for case in list(&file(), "plateaus") {
        let choices: PlateauOptions = options(&case["options"]);
        let mut rate = ReduceOnPlateau::new(case["rate"].as_f64().expect("a rate"), choices).unwrap();
        let found: Vec<f64> =
            numbers(&case["metrics"]).into_iter().map(|metric| rate.observe(metric)).collect();
        let distance = distance(&found, &numbers(&case["rates"]));
        assert!(distance < LIMIT, "{choices:?}: {distance:.1e}\n{found:?}\n{}", case["rates"]);
    }
}

#[test]
fn the_recorded_loss_has_the_gradient_of_the_formula() {
    let model = start();
    for step in [1, 2, 7] {
        let mut context = Context::training(0, 0);
        let recorded = cerberus_autograd::backward(loss(&model, &mut context, step));
        context.discard();
        let formula = gradients(&model, step);
        for (path, parameter) in model.parameters() {
            let [a, b] = [&recorded, &formula].map(|all| all.parameter(parameter.id()).unwrap().to_vec());
            assert!(distance(&a, &b) < 1e-12, "{path}: {a:?} {b:?}");
        }
    }
}

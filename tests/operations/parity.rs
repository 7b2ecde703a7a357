//! Values and gradients against those of PyTorch.
//!
//! The reference files are made by `tests/parity/reference.py` (operations) and
//! `tests/parity/losses.py` (losses) from the samples themselves, which this test writes where `CERBERUS_SAMPLES` says; see
//! `tests/parity/README.md`. Running the test needs no Python.

use std::collections::BTreeMap;

use cerberus_autograd::gradcheck::{Case, cotangent};
use cerberus_autograd::proof::OpInfo;
use cerberus_autograd::{Group, Var};
use cerberus_tensor::Tensor;
use serde_json::{Value, json};

use crate::{all_cases, distance, value_and_gradients};

/// The largest `|a - b| / max(1, |b|)` allowed.
pub const LIMIT: f64 = 1e-10;

/// Of the operations, and of the losses.
const FILES: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/reference.json"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/losses.json"),
];

/// Values and gradients by the samples' names.
pub struct Reference {
    cases: BTreeMap<String, (String, Vec<Tensor<f64>>)>,
}

impl Reference {
    /// The committed files.
    pub fn read() -> Self {
        let case = |(name, case): (&String, &Value)| {
            let results = case["results"].as_array().expect("results").iter().map(tensor).collect();
            (name.clone(), (case["fingerprint"].as_str().expect("a fingerprint").to_string(), results))
        };
        let read = |path: &str| -> Vec<_> {
            let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let file: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            file["cases"].as_object().expect("cases").iter().map(case).collect()
        };
        Self { cases: FILES.into_iter().flat_map(read).collect() }
    }

    /// The value and the gradients of a sample.
    pub fn of(&self, name: &str) -> &[Tensor<f64>] {
        &self.cases.get(name).unwrap_or_else(|| panic!("tests/parity has no {name:?}: make it again")).1
    }
}

/// A number; infinities and NaN are strings in JSON.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().and_then(|text| text.parse().ok()).expect("a number"))
}

fn tensor(value: &Value) -> Tensor<f64> {
    let shape: Vec<usize> =
        value["shape"].as_array().expect("a shape").iter().map(|extent| number(extent) as usize).collect();
    Tensor::from_vec(value["data"].as_array().expect("data").iter().map(number).collect(), &shape)
}

fn to_json(x: &Tensor<f64>) -> Value {
    let number = |x: f64| if x.is_finite() { json!(x) } else { json!(x.to_string()) };
    json!({ "shape": x.shape(), "data": x.to_vec().into_iter().map(number).collect::<Vec<_>>() })
}

/// A number that changes with the inputs or the expression (FNV-1a).
fn fingerprint(case: &Case) -> String {
    let bits = case.inputs.iter().flat_map(|x| x.to_vec()).flat_map(|x| x.to_bits().to_le_bytes());
    let bytes = case.torch.bytes().chain(bits);
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// Where our result differs from PyTorch's on purpose: the sample, by how much at most, and why.
const DIFFERENT: &[(&str, f64, &str)] = &[
    ("abs: special values", f64::INFINITY, "the gradient at NaN is NaN, not 0"),
    ("sign: special values", f64::INFINITY, "the sign of NaN is NaN, not 0"),
    ("clamp: special values", f64::INFINITY, "the gradient passes at both ends, and at NaN"),
    ("relu: special values", f64::INFINITY, "no gradient at NaN"),
    ("elu: special values", f64::INFINITY, "the gradient at NaN is NaN"),
    ("selu: special values", f64::INFINITY, "the gradient at NaN is NaN"),
    ("hardswish: special values", f64::INFINITY, "the gradient at NaN is NaN"),
    ("gelu_tanh: special values", f64::INFINITY, "the gradient at infinity is its limit, not NaN"),
    ("hardsigmoid", 1e-7, ONE_SIXTH),
    ("hardsigmoid: wider", 1e-7, ONE_SIXTH),
    ("hardsigmoid: rank 0", 1e-7, ONE_SIXTH),
    ("hardsigmoid: special values", 1e-7, ONE_SIXTH),
];

const ONE_SIXTH: &str = "PyTorch's gradient multiplies by a sixth rounded to single precision";

#[test]
fn values_and_gradients_agree_with_pytorch() {
    let (infos, cases): (Vec<OpInfo>, Vec<Case>) = all_cases().unzip();
    if let Some(path) = std::env::var_os("CERBERUS_SAMPLES") {
        let sample = |(info, case): (&OpInfo, &Case)| {
            let y = (case.function)(case.inputs.iter().cloned().map(Var::constant).collect());
            json!({
                "name": case.name,
                "loss": info.facts.group == Group::Loss,
                "torch": case.torch,
                "fingerprint": fingerprint(case),
                "inputs": case.inputs.iter().map(to_json).collect::<Vec<_>>(),
                "cotangent": to_json(&cotangent(y.shape())),
            })
        };
        let text = serde_json::to_string(&infos.iter().zip(&cases).map(sample).collect::<Vec<_>>())
            .expect("no map keys");
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        return;
    }
    let reference = Reference::read();
    let mut failed = Vec::new();
    let mut compared = 0;
    for case in &cases {
        let (made_from, expected) = reference.cases.get(&case.name).unwrap_or_else(|| {
            panic!("tests/parity has no {:?}: make it again, see tests/parity/README.md", case.name)
        });
        assert!(
            *made_from == fingerprint(case),
            "{}: the sample has changed since its result was computed: make it again, see tests/parity/README.md",
            case.name
        );
        let found = value_and_gradients(&*case.function, &case.inputs);
        assert_eq!(found.len(), expected.len(), "{}", case.name);
        for (which, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(found.shape(), expected.shape(), "{}: {which}", case.name);
            compared += found.len();
            let distance = distance(found, expected);
            let different = DIFFERENT.iter().find(|(name, ..)| *name == case.name);
            if distance > different.map_or(LIMIT, |(_, limit, _)| *limit) {
                let what = if which == 0 { "value".to_string() } else { format!("gradient {}", which - 1) };
                failed.push(format!("{}: {what}: {distance:.1e}\n{found:?}\n{expected:?}", case.name));
            }
        }
    }
    println!("{} samples, {compared} numbers", cases.len());
    assert_eq!(
        reference.cases.len(),
        cases.len(),
        "tests/parity has samples that are no longer there: make it again"
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

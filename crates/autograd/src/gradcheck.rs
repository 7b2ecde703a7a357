//! Proof by finite differences that a backward rule is the derivative of its
//! forward rule.
//!
//! In `f64`, for a random direction `c` of the output (a cotangent), the rule's
//! gradient of `sum(c * f(x))` is compared with central differences
//! `(f(x + h) - f(x - h)) / 2h` in every coordinate of every input. The error
//! of an input is `max|a - n| / max(max|a|, max|n|, 1e-3)`.

use cerberus_tensor::Tensor;
use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::{Tape, Var, grad};

/// The step: the differences' own error is then about 1e-10 for values of order 1.
const STEP: f64 = 1e-5;

/// A function of some inputs, as the check calls it.
pub type Function = Box<dyn Fn(Vec<Var<f64>>) -> Var<f64>>;

/// One sample of an operation: inputs and the function to check on them.
pub struct Case {
    /// What is checked: the operation's name and the sample's, as in `conv2d: stride 2`.
    pub name: String,
    /// The point, one tensor per differentiable input. Values of order 1, at
    /// least 1e-2 away from kinks.
    pub inputs: Vec<Tensor<f64>>,
    /// The function; anything that is not differentiated is captured.
    pub function: Function,
}

impl Case {
    /// A sample called `name`.
    pub fn new(
        name: impl Into<String>,
        inputs: Vec<Tensor<f64>>,
        function: impl Fn(Vec<Var<f64>>) -> Var<f64> + 'static,
    ) -> Self {
        Self { name: name.into(), inputs, function: Box::new(function) }
    }

    /// A sample of a function of one input.
    pub fn unary(
        name: impl Into<String>,
        x: Tensor<f64>,
        f: impl Fn(Var<f64>) -> Var<f64> + 'static,
    ) -> Self {
        Self::new(name, vec![x], move |inputs| {
            let [x] = arguments(inputs);
            f(x)
        })
    }

    /// A sample of a function of two inputs.
    pub fn binary(
        name: impl Into<String>,
        a: Tensor<f64>,
        b: Tensor<f64>,
        f: impl Fn(Var<f64>, Var<f64>) -> Var<f64> + 'static,
    ) -> Self {
        Self::new(name, vec![a, b], move |inputs| {
            let [a, b] = arguments(inputs);
            f(a, b)
        })
    }
}

/// The inputs of a [`Case`]'s function as an array.
///
/// # Panics
/// If there are not exactly `N`.
pub fn arguments<const N: usize>(inputs: Vec<Var<f64>>) -> [Var<f64>; N] {
    inputs.try_into().expect("a case calls its function with the inputs it lists")
}

/// Random values between -1.5 and 1.5, reproducible by `seed`, none within
/// 0.05 of zero or of another: far from the kinks of `abs`, `relu` and `max`.
pub fn sample(seed: u64, shape: &[usize]) -> Tensor<f64> {
    let count: usize = shape.iter().product();
    let mut rng = stream(seed, "gradient check", 0, count as u64);
    // A shuffled ladder with jitter keeps any two values apart.
    let mut ladder: Vec<f64> = (0..count).map(|i| (i as f64 + 0.5) / count as f64 * 2.9 - 1.45).collect();
    for i in (1..count).rev() {
        ladder.swap(i, rng.random_range(0..=i));
    }
    Tensor::from_vec(ladder.into_iter().map(|v: f64| v + v.signum() * 0.05).collect(), shape)
}

/// Like [`sample`], but between 0.1 and 1.6.
pub fn positive_sample(seed: u64, shape: &[usize]) -> Tensor<f64> {
    sample(seed, shape).map(|x| x.abs() + 0.05)
}

/// The error of every input of `case`, as defined at the top of this file.
///
/// # Panics
/// If the function does not return the same shape twice.
pub fn errors(case: &Case) -> Vec<f64> {
    let tape = Tape::new();
    let leaves: Vec<Var<f64>> = case.inputs.iter().map(|x| tape.leaf(x.clone())).collect();
    let y = (case.function)(leaves.clone());
    // All of one sign and none near zero: contributions that are added up must not cancel out.
    let cotangent = sample(99, y.shape()).map(|c| c.abs() + 0.5);
    let objective = (y * Var::constant(cotangent.clone())).sum_all();
    let analytic = grad(&[&objective], &leaves.iter().collect::<Vec<_>>());
    let evaluate = |inputs: &[Tensor<f64>]| -> f64 {
        let y = (case.function)(inputs.iter().cloned().map(Var::constant).collect()).into_value();
        (y * &cotangent).sum_all().item()
    };
    (0..case.inputs.len())
        .map(|which| {
            let mut inputs = case.inputs.clone();
            let (mut difference, mut size) = (0.0f64, 1e-3f64);
            for (place, &a) in analytic[which].contiguous().data().iter().enumerate() {
                let x = case.inputs[which].contiguous().data()[place];
                let mut shifted = |h: f64| {
                    inputs[which].data_mut()[place] = x + h;
                    evaluate(&inputs)
                };
                let n = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
                shifted(0.0);
                difference = if (a - n).is_nan() { f64::INFINITY } else { difference.max((a - n).abs()) };
                size = size.max(a.abs()).max(n.abs());
            }
            difference / size
        })
        .collect()
}

/// The largest error over all inputs of `case`.
pub fn gradcheck(case: &Case) -> f64 {
    errors(case).into_iter().fold(0.0, f64::max)
}

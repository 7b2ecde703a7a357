//! Proof by finite differences that a backward rule is the derivative of its
//! forward rule.
//!
//! In `f64`, every coordinate of every input is moved a little up and a little
//! down, which gives the columns `(f(x + h) - f(x - h)) / 2h` of the Jacobian.
//! The rule's gradient of `sum(c * f(x))` must be `c` times them, for a random
//! direction `c` of the output (a cotangent) and, when the output is small, for
//! every coordinate direction: then the whole Jacobian is compared. The error
//! of an input is `max|a - n| / max(max|a|, max|n|, 1e-3)` over all of it.
//!
//! Second order is checked in the same way, on the gradient as a function.

use cerberus_tensor::random::stream;
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;

use crate::{Tape, Var, grad, grad_with_graph};

/// The step: the differences' own error is then about 1e-10 for values of order 1.
const STEP: f64 = 1e-5;

/// The largest relative error that [`prove`] accepts: rounding alone gives about 1e-9.
const LIMIT: f64 = 1e-6;

/// Outputs up to this size are checked with their whole Jacobian.
const DENSE: usize = 32;

/// A function of some inputs, as the checks call it.
pub type Function<T = f64> = Box<dyn Fn(Vec<Var<T>>) -> Var<T>>;

/// One sample of an operation: inputs and the function to check on them.
pub struct Case {
    /// What is checked: the operation's name and the sample's, as in `conv2d: stride 2`.
    pub name: String,
    /// The point to check at, one tensor per differentiable input. Values of
    /// order 1, at least 1e-2 away from kinks.
    pub inputs: Vec<Tensor<f64>>,
    /// The function; anything that is not differentiated is captured.
    pub function: Function,
    /// The same source in single precision.
    pub single: Option<Function<f32>>,
    /// The same function as a Python expression of `a`, `b`, `c`, .. for the
    /// program that computes reference values with PyTorch.
    pub torch: String,
    /// Inputs of special values (kinks, infinities, NaN): compared with
    /// reference values, not with finite differences.
    pub special: bool,
    /// Axes of an input along which its gradient is the same everywhere.
    pub constant_along: Vec<(usize, usize)>,
    /// The function is not the operation alone, so facts such as its linearity do not apply.
    pub composed: bool,
    /// Inputs whose correct gradient is zero.
    pub zero_gradient: Vec<usize>,
}

impl Case {
    /// A sample called `name`.
    pub fn new(
        name: impl Into<String>,
        inputs: Vec<Tensor<f64>>,
        function: impl Fn(Vec<Var<f64>>) -> Var<f64> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            inputs,
            function: Box::new(function),
            single: None,
            torch: String::new(),
            special: false,
            constant_along: Vec::new(),
            composed: false,
            zero_gradient: Vec::new(),
        }
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

    /// The function in single precision.
    pub fn with_single(mut self, function: impl Fn(Vec<Var<f32>>) -> Var<f32> + 'static) -> Self {
        self.single = Some(Box::new(function));
        self
    }

    /// The function in Python, of the inputs `a`, `b`, `c`, ..
    pub fn with_torch(mut self, expression: impl Into<String>) -> Self {
        self.torch = expression.into();
        self
    }

    /// The same function with other random inputs, one for each of `shapes`.
    ///
    /// # Panics
    /// If the function does not have that many inputs.
    pub fn resized(mut self, shapes: &[&[usize]]) -> Self {
        assert!(
            shapes.len() == self.inputs.len(),
            "{}: shapes {shapes:?} are for another number of inputs than {}",
            self.name,
            self.inputs.len()
        );
        self.inputs = shapes.iter().zip(1..).map(|(shape, seed)| sample(seed, shape)).collect();
        self
    }

    /// Declares special values; see [`special`](Self::special).
    pub fn special(mut self) -> Self {
        self.special = true;
        self
    }

    /// Declares that the gradient of input `which` is the same everywhere along
    /// `axes`, because the operation treats all places there equally. The suite
    /// checks this.
    pub fn alike_along(mut self, which: usize, axes: &[usize]) -> Self {
        self.constant_along.extend(axes.iter().map(|&axis| (which, axis)));
        self
    }

    /// Declares that this is not the operation alone; see [`composed`](Self::composed).
    pub fn composed(mut self) -> Self {
        self.composed = true;
        self
    }

    /// Declares that the correct gradient of input `which` is zero.
    pub fn zero_gradient(mut self, which: usize) -> Self {
        self.zero_gradient.push(which);
        self
    }
}

/// A sample whose function is written once and compiled for `f64` and `f32`:
/// `case!("mul", "a * b", [sample(1, &[2]), sample(2, &[2])], |a, b| a * b)`.
/// Whatever the body captures must be `Copy`.
#[macro_export]
macro_rules! case {
    ($name:expr, $torch:expr, [$($input:expr),* $(,)?], |$($x:ident),*| $body:expr) => {
        $crate::gradcheck::Case::new($name, vec![$($input),*], move |inputs| {
            let [$($x),*] = $crate::gradcheck::arguments(inputs);
            $body
        })
        .with_single(move |inputs| {
            let [$($x),*] = $crate::gradcheck::arguments(inputs);
            $body
        })
        .with_torch($torch)
    };
}

/// Checks an operation of your own: panics unless its gradients agree with finite differences at every set of
/// inputs given. (For gradients of gradients see
/// [`second_order_error`](crate::gradcheck::second_order_error).) Inputs must have values of order 1, away
/// from kinks; [`sample`](crate::gradcheck::sample) makes such inputs.
///
/// ```
/// use cerberus_autograd::gradcheck::sample;
/// use cerberus_autograd::prove;
/// prove!(|x, w| (x * w).tanh(), [sample(1, &[3, 2]), sample(2, &[2])]);
/// ```
#[macro_export]
macro_rules! prove {
    (|$($x:ident),* $(,)?| $body:expr, $([$($input:expr),* $(,)?]),+ $(,)?) => {
        $crate::gradcheck::prove(
            stringify!($body),
            vec![$(vec![$($input),*]),+],
            move |inputs| {
                let [$($x),*] = $crate::gradcheck::arguments(inputs);
                $body
            },
        )
    };
}

/// What [`prove!`](crate::prove!) does: checks `function`, called `name` in messages, at
/// each of `points`.
///
/// # Panics
/// If a gradient is wrong; the message says by how much.
#[track_caller]
pub fn prove(
    name: &str,
    points: Vec<Vec<Tensor<f64>>>,
    function: impl Fn(Vec<Var<f64>>) -> Var<f64> + 'static,
) {
    let mut case = Case::new(name, Vec::new(), function);
    for inputs in points {
        case.inputs = inputs;
        let error = gradcheck(&case);
        assert!(error < LIMIT, "{name}: the gradient is off by {error:.1e}, relative to its largest entry");
    }
}

/// The inputs of a [`Case`]'s function as an array.
///
/// # Panics
/// If there are not exactly `N`.
pub fn arguments<T: Element, const N: usize>(inputs: Vec<Var<T>>) -> [Var<T>; N] {
    inputs.try_into().expect("a case calls its function with the inputs it lists")
}

/// Random values between -1.5 and 1.5, reproducible by `seed`, none within
/// 0.05 of zero or of another: far from the kinks of `abs`, `relu` and `max`.
pub fn sample(seed: u64, shape: &[usize]) -> Tensor<f64> {
    let count: usize = shape.iter().product();
    let mut rng = stream(seed, "gradient check", 0, count as u64);
    // Shuffled, evenly spaced values with jitter: no two are close.
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

/// The weights of an output's elements: all different and without equal sums, so that a gradient in
/// the wrong place is noticed; all positive and none near zero, so that contributions that are added
/// up do not cancel.
pub fn cotangent(shape: &[usize]) -> Tensor<f64> {
    sample(99, shape).map(|c| (0.3 * c).exp())
}

/// The gradients of `sum(c * f(inputs))` with respect to every input.
pub fn gradients<T: Element>(
    function: &dyn Fn(Vec<Var<T>>) -> Var<T>,
    inputs: &[Tensor<T>],
    c: &Tensor<T>,
) -> Vec<Tensor<T>> {
    let tape = Tape::new();
    let leaves: Vec<Var<T>> = inputs.iter().map(|x| tape.leaf(x.clone())).collect();
    let y = function(leaves.clone());
    let objective = (y * Var::constant(c.clone())).sum_all();
    grad(&[&objective], &leaves.iter().collect::<Vec<_>>())
}

/// Largest difference and largest size seen so far.
struct Error {
    difference: f64,
    size: f64,
}

impl Error {
    fn new() -> Self {
        Self { difference: 0.0, size: 1e-3 }
    }

    fn see(&mut self, a: f64, n: f64) {
        let difference = (a - n).abs();
        self.difference = if difference.is_nan() { f64::INFINITY } else { self.difference.max(difference) };
        self.size = self.size.max(a.abs()).max(n.abs());
    }

    fn relative(&self) -> f64 {
        self.difference / self.size
    }
}

/// The error of every input of `case`, as defined at the top of this file.
///
/// # Panics
/// If the function does not return the same shape twice.
pub fn errors(case: &Case) -> Vec<f64> {
    let tape = Tape::new();
    let leaves: Vec<Var<f64>> = case.inputs.iter().map(|x| tape.leaf(x.clone())).collect();
    let y = (case.function)(leaves.clone());
    let mut cotangents = vec![cotangent(y.shape())];
    if y.value().len() <= DENSE {
        let direction = |place| Tensor::from_fn(y.shape(), |i| f64::from(u8::from(i == place)));
        cotangents.extend((0..y.value().len()).map(direction));
    }
    let wrt: Vec<&Var<f64>> = leaves.iter().collect();
    // analytic[cotangent][input]
    let analytic: Vec<Vec<Tensor<f64>>> =
        cotangents.iter().map(|c| grad(&[&(y.clone() * Var::constant(c.clone())).sum_all()], &wrt)).collect();
    let evaluate = |inputs: &[Tensor<f64>]| -> Vec<f64> {
        (case.function)(inputs.iter().cloned().map(Var::constant).collect()).into_value().to_vec()
    };
    (0..case.inputs.len())
        .map(|which| {
            let mut inputs = case.inputs.clone();
            let rows: Vec<Vec<f64>> = analytic.iter().map(|of| of[which].to_vec()).collect();
            let mut error = Error::new();
            for (place, x) in case.inputs[which].to_vec().into_iter().enumerate() {
                let mut shifted = |h: f64| {
                    inputs[which].data_mut()[place] = x + h;
                    evaluate(&inputs)
                };
                let (up, down) = (shifted(STEP), shifted(-STEP));
                shifted(0.0);
                let column: Vec<f64> = up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * STEP)).collect();
                for (row, c) in rows.iter().zip(&cotangents) {
                    let n = column.iter().zip(c.data()).map(|(j, c)| j * c).sum();
                    error.see(row[place], n);
                }
            }
            error.relative()
        })
        .collect()
}

/// The largest error over all inputs of `case`.
pub fn gradcheck(case: &Case) -> f64 {
    errors(case).into_iter().fold(0.0, f64::max)
}

/// The error of the second order: the gradient of `sum(v * gradient)` with
/// respect to every input and to the cotangent, against central differences of
/// the first-order gradient.
///
/// # Panics
/// If an operation on the way has no second-order rule; the message names it.
pub fn second_order_error(case: &Case) -> f64 {
    let count = case.inputs.len();
    let y = (case.function)(case.inputs.iter().cloned().map(Var::constant).collect());
    // The point: the inputs and the cotangent, in which the gradient is linear.
    let mut point = case.inputs.clone();
    point.push(cotangent(y.shape()));
    let weights: Vec<Tensor<f64>> = case
        .inputs
        .iter()
        .enumerate()
        .map(|(i, x)| sample(70 + i as u64, x.shape()).map(|v| v.abs() + 0.3))
        .collect();

    let tape = Tape::new();
    let leaves: Vec<Var<f64>> = point.iter().map(|x| tape.leaf(x.clone())).collect();
    let y = (case.function)(leaves[..count].to_vec());
    let objective = (y * leaves[count].clone()).sum_all();
    let first = grad_with_graph(&[&objective], &leaves[..count].iter().collect::<Vec<_>>());
    let weighted = first.iter().zip(&weights).map(|(g, v)| (g.clone() * Var::constant(v.clone())).sum_all());
    let total = weighted.reduce(|a, b| a + b).expect("a case has inputs");
    // A linear function's gradient does not depend on its input at all.
    let analytic = if total.is_recorded() {
        grad(&[&total], &leaves.iter().collect::<Vec<_>>())
    } else {
        point.iter().map(|x| Tensor::zeros(x.shape())).collect()
    };

    let evaluate = |point: &[Tensor<f64>]| -> f64 {
        let first = gradients(&*case.function, &point[..count], &point[count]);
        first.into_iter().zip(&weights).map(|(g, v)| (g * v).sum_all().item()).sum()
    };
    let mut error = Error::new();
    for which in 0..point.len() {
        let mut moved = point.clone();
        for (place, (x, a)) in point[which].to_vec().into_iter().zip(analytic[which].to_vec()).enumerate() {
            let mut shifted = |h: f64| {
                moved[which].data_mut()[place] = x + h;
                evaluate(&moved)
            };
            let n = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
            shifted(0.0);
            error.see(a, n);
        }
    }
    // The differentiable rule must also agree with the fast one.
    for (fast, graph) in gradients(&*case.function, &point[..count], &point[count]).iter().zip(&first) {
        for (a, n) in fast.to_vec().into_iter().zip(graph.value().to_vec()) {
            error.see(a, n);
        }
    }
    error.relative()
}

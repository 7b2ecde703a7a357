//! DeepLIFT with the rescale rule: differences instead of gradients.
//!
//! Picture and baseline run as the two halves of one batch. On the way back, an operation that is linear in
//! what depends on the input passes on its own gradient; a non-linear one of single numbers the slope between
//! its two values, `dy (f(x) - f(b)) / (x - b)`, in place of the slope at one of them. The sum over the pixels
//! is then exactly the difference of the two answers. What is neither (a product of two parts that both depend
//! on the input, a softmax, a norm that measures its input) is refused.

use std::any::Any;
use std::sync::Arc;

use cerberus_autograd::ops::{Mapped, Origin, Permute};
use cerberus_autograd::{Answer, Gradient, Rule, Step};
use cerberus_tensor::{Element, Tensor};

use crate::baseline::Baseline;
use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures};

/// Where the two halves differ by less, the operation's own gradient is used, as in captum; and where they differ by no
/// more than rounding does, a few units in the last place, whose quotients would be noise.
const LEAST: f64 = 1e-10;
const UNITS: f64 = 4.0;

/// Operations that are linear in all inputs.
const LINEAR: [&str; 11] = [
    "add",
    "sub",
    "affine",
    "sum",
    "cumsum",
    "reshape",
    "expand",
    "narrow",
    "concat",
    "global_avg_pool",
    "resize",
];

/// Operations that are linear in each input if the others are constant.
const PRODUCTS: [&str; 6] = ["mul", "matmul", "linear", "batched_matmul", "conv2d", "conv_transpose2d"];

/// Operations of single numbers: those of one input, or of two of which one is constant.
const SINGLE: [&str; 32] = [
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "hardsigmoid",
    "hardswish",
    "sigmoid",
    "log_sigmoid",
    "softplus",
    "tanh",
    "clamp",
    "minimum",
    "maximum",
    "abs",
    "square",
    "sqrt",
    "rsqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "erf",
    "sin",
    "cos",
    "powf",
    "pow",
    "sign",
    "div",
];

/// Operations that pass on the largest of some values.
const LARGEST: [&str; 3] = ["max_pool2d", "max_pool", "adaptive_max_pool"];

struct Rescale;

impl<T: Element> Rule<T> for Rescale {
    fn reads(&self, operation: &str) -> bool {
        SINGLE.contains(&operation) || LARGEST.contains(&operation)
    }

    fn backward(&self, step: &Step<'_, T>, dy: &Tensor<T>) -> Answer<T> {
        let name = step.operation.name();
        let operation: &dyn Any = step.operation;
        let varying = step.wants.iter().filter(|&&wanted| wanted).count();
        let refused = |reason: &str| Answer::Refused(reason.into());
        if let Some(permute) = operation.downcast_ref::<Permute>() {
            return if permute.order.first() == Some(&0) {
                Answer::Own
            } else {
                refused(
                    "it moves the dimension of the pictures, by which DeepLIFT tells picture and baseline apart",
                )
            };
        }
        if let Some(mapped) = operation.downcast_ref::<Mapped>()
            && matches!(mapped.origin(), Origin::Given)
        {
            return if mapped.start() > 0 { Answer::Own } else { refused("it mixes pictures") };
        }
        if LINEAR.contains(&name) {
            return Answer::Own;
        }
        if varying > 1 {
            return refused("it combines two values that both depend on the picture, other than by a sum");
        }
        if PRODUCTS.contains(&name) {
            return Answer::Own;
        }
        let (Some(y), Some(place)) = (step.output, step.wants.iter().position(|&wanted| wanted)) else {
            return refused("it is neither linear nor a function of single numbers");
        };
        let x = &step.inputs[place];
        if x.shape().first().is_none_or(|n| n % 2 != 0) {
            return refused("its input is not split into picture and baseline");
        }
        let dx = if LARGEST.contains(&name) {
            largest(step, [x, y], dy)
        } else if x.shape() == y.shape() {
            rescaled(step, place, [x, y], dy)
        } else {
            return refused("its input is repeated to the shape of its output");
        };
        let mut gradients: Vec<Option<Gradient<T>>> = step.wants.iter().map(|_| None).collect();
        gradients[place] = Some(dx.into());
        Answer::Gradients(gradients)
    }
}

/// The difference of picture and baseline: the first half of the batch less the second.
fn difference<T: Element>(x: &Tensor<T>) -> Vec<T> {
    let x = x.contiguous();
    let (picture, baseline) = x.data().split_at(x.len() / 2);
    picture.iter().zip(baseline).map(|(&a, &b)| a - b).collect()
}

/// The [`difference`], but `None` where it is too small to divide by.
fn divisors<T: Element>(x: &Tensor<T>) -> Vec<Option<T>> {
    let x = x.contiguous();
    let (picture, baseline) = x.data().split_at(x.len() / 2);
    let (least, units) = (T::from_f64(LEAST), T::from_f64(UNITS) * T::epsilon());
    let large = |(&a, &b): (&T, &T)| {
        let limit = least.max(units * a.abs().max(b.abs()));
        Some(a - b).filter(|difference| difference.abs() >= limit)
    };
    picture.iter().zip(baseline).map(large).collect()
}

/// Input number `place`'s own gradient.
fn own<T: Element>(step: &Step<'_, T>, place: usize, dy: Tensor<T>) -> Tensor<T> {
    let mut gradients = (step.own)(dy);
    gradients[place].take().expect("a gradient that was asked for").into_dense().contiguous()
}

/// `dy (f(x) - f(b)) / (x - b)` in both halves (Shrikumar, Greenside and Kundaje, 2017, "the rescale rule").
fn rescaled<T: Element>(
    step: &Step<'_, T>,
    place: usize,
    [x, y]: [&Tensor<T>; 2],
    dy: &Tensor<T>,
) -> Tensor<T> {
    let (own, dy) = (own(step, place, dy.clone()), dy.contiguous());
    let (across, up) = (divisors(x), difference(y));
    let half = across.len();
    let slope = |i: usize| match across[i % half] {
        Some(dx) => dy.data()[i] * up[i % half] / dx,
        None => own.data()[i],
    };
    Tensor::from_vec((0..x.len()).map(slope).collect(), x.shape())
}

/// Max pooling, as captum has it. If picture and baseline have their largest value at different places, each place
/// gets the part of the difference that it makes: the picture's from the baseline's value up, the baseline's to
/// where it would be without the picture's.
fn largest<T: Element>(step: &Step<'_, T>, [x, y]: [&Tensor<T>; 2], dy: &Tensor<T>) -> Tensor<T> {
    let y = y.contiguous();
    let (picture, baseline) = y.data().split_at(y.len() / 2);
    let both = |i: usize| {
        let (a, b) = (picture[i % picture.len()], baseline[i % picture.len()]);
        let most = if a > b { a } else { b };
        if i < picture.len() { most - b } else { a - most }
    };
    let parts = Tensor::from_vec((0..y.len()).map(both).collect(), y.shape());
    let spread = own(step, 0, dy.clone() * parts);
    let own = own(step, 0, dy.clone());
    let across = divisors(x);
    let half = across.len();
    let slope = |i: usize| match across[i % half] {
        Some(dx) => (spread.data()[i % half] + spread.data()[half + i % half]) / dx,
        None => own.data()[i],
    };
    Tensor::from_vec((0..x.len()).map(slope).collect(), x.shape())
}

impl<T: Element> Explainer<'_, T> {
    /// DeepLIFT with the rescale rule (Shrikumar, Greenside and Kundaje, "Learning Important Features Through
    /// Propagating Activation Differences", 2017, equation 1 for the sum), with its gap: the sum is `f(x) - f(b)`
    /// but for rounding. One forward and one backward pass over picture and baseline. Max pooling is treated as in
    /// captum; where windows overlap, what comes to a place from several is added up, and captum keeps one of them.
    ///
    /// # Errors
    /// If the baseline does not fit, or the network has an operation for which the rule is not defined, such as
    /// attention; the message names it.
    pub fn deep_lift(
        &self,
        x: &Tensor<T>,
        baseline: &Baseline<T>,
    ) -> Result<Vec<Attribution<T>>, ExplainError> {
        let (baseline, count) = (baseline.of(x)?, x.shape()[0]);
        let batch = (self.batch(&Pictures::of(x).shape, count) / 2).max(1);
        let values = Self::in_batches(count, batch, |first, here| {
            let halves = [x.narrow(0, first, here), baseline.narrow(0, first, here)];
            let both = cerberus_tensor::concat::concat(&halves, 0);
            let found = self.gradients_by("DeepLIFT", Arc::new(Rescale), both)?;
            let difference = halves[0].clone() - halves[1].clone();
            Ok(found.into_iter().map(|found| found.narrow(0, 0, here) * difference.clone()).collect())
        })?;
        Ok(self.with_gaps(values, x, &baseline))
    }
}

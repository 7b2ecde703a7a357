//! Every strategy behind the one interface.
//!
//! Strategies without memory are a [`Rule`]: a function of the evidence. The
//! others are a struct each, with their constants as public fields. What they
//! remember of a task does not change in steps without that task.

mod adam;
mod auto_lambda;
mod db_mtl;
mod drop;
mod dtp;
mod dwa;
mod excess;
mod famo;
mod grad_norm;
mod grad_vac;
mod learned;
mod moco;
mod pcd;
mod rule;
mod scalarise;
mod smooth;
mod stch;
mod three_batches;

use cerberus_tensor::{Element, Tensor};

pub use auto_lambda::AutoLambda;
pub use db_mtl::DbMtl;
pub use drop::{grad_drop, trimmed_mean};
pub use dtp::Dtp;
pub use dwa::Dwa;
pub use excess::ExcessMtl;
pub use famo::Famo;
pub use grad_norm::GradNorm;
pub use grad_vac::GradVac;
pub use learned::{Learned, LearnedForm};
pub use moco::MoCo;
pub use pcd::Pcd;
pub use rule::Rule;
pub use scalarise::{cosmos, geometric_mean, pbi, scale_invariant, smooth_chebyshev, uncertainty_optimum};
pub use smooth::Smoothed;
pub use stch::Stch;
pub use three_batches::{MoDo, SdmGrad};

/// `exp(x_t) / Σ exp(x)`, shifted so that nothing overflows.
pub(crate) fn softmax(x: &[f64]) -> Vec<f64> {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = x.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The values of the tasks that take part in a step.
pub(crate) fn at(values: &[f64], tasks: &[usize]) -> Vec<f64> {
    tasks.iter().map(|&task| values[task]).collect()
}

/// The weights of the tasks that take part, scaled to sum to one, and the factor that undoes the scaling, where
/// `weights` sum to one over all tasks. Equal weights if those tasks had none.
pub(crate) fn shares_of(weights: &[f64], tasks: &[usize]) -> (Vec<f64>, f64) {
    let mine = at(weights, tasks);
    if tasks.len() == weights.len() {
        return (mine, 1.0);
    }
    let whole: f64 = mine.iter().sum();
    if whole > 0.0 {
        (mine.iter().map(|weight| weight / whole).collect(), whole)
    } else {
        (vec![1.0 / tasks.len() as f64; tasks.len()], 0.0)
    }
}

/// Writes the values of the tasks that took part back to their places.
pub(crate) fn put(values: &mut [f64], tasks: &[usize], new: impl IntoIterator<Item = f64>) {
    tasks.iter().zip(new).for_each(|(&task, new)| values[task] = new);
}

/// Rows of zeros shaped like `row`, until there is one for every place in `tasks`.
pub(crate) fn grow<T: Element>(rows: &mut Vec<Vec<Tensor<T>>>, row: &[Tensor<T>], tasks: &[usize]) {
    let needed = tasks.iter().max().map_or(0, |last| last + 1);
    while rows.len() < needed {
        rows.push(row.iter().map(|part| Tensor::zeros(part.shape())).collect());
    }
}

/// The gradient at `x` of a function of `softmax(x)`, from that with respect to `softmax(x)`.
pub(crate) fn softmax_backward(softmax: &[f64], dy: &[f64]) -> Vec<f64> {
    let mean: f64 = softmax.iter().zip(dy).map(|(s, dy)| s * dy).sum();
    softmax.iter().zip(dy).map(|(s, dy)| s * (dy - mean)).collect()
}

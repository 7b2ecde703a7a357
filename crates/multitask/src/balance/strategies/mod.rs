//! Every strategy behind the one interface.
//!
//! Those that remember nothing are a [`Rule`]: a function of the evidence. The
//! others are a struct each, with their constants as public fields.

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

/// The gradient at `x` of a function of `softmax(x)`, from that with respect to `softmax(x)`.
pub(crate) fn softmax_backward(softmax: &[f64], dy: &[f64]) -> Vec<f64> {
    let mean: f64 = softmax.iter().zip(dy).map(|(s, dy)| s * dy).sum();
    softmax.iter().zip(dy).map(|(s, dy)| s * (dy - mean)).collect()
}

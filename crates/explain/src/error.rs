//! What can be wrong with a request for an explanation.

use cerberus_autograd::Refusal;

/// A request that cannot be fulfilled, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExplainError {
    /// A method that is not defined for an operation of the network.
    #[error("{method} is not defined for this network: {refusal}")]
    Operation {
        /// The method's name.
        method: &'static str,
        /// The operation and the reason.
        refusal: Refusal,
    },
    /// A method that changes the gradient of ReLUs, for a network without any.
    #[error(
        "{0} changes the gradient of ReLUs, and there is none on the way to the target: it would be the plain gradient"
    )]
    NoRelu(&'static str),
    /// No layer of this path has run.
    #[error("no layer or map {path:?} has run on the way to the target")]
    NoLayer {
        /// The path that was asked for.
        path: String,
    },
    /// A layer whose output is not a map.
    #[error("the output of {path:?} is {shape:?}; a class activation map needs a map [N, H, W, C]")]
    NotAMap {
        /// The layer's path.
        path: String,
        /// The shape of its output.
        shape: Vec<usize>,
    },
    /// An option outside its range.
    #[error("{0}")]
    Option(String),
    /// A target that the head does not have; the sentence says which it has.
    #[error("{0}")]
    Target(String),
}

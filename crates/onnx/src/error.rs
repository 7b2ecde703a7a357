//! Why a network cannot be exported.

/// A network cannot be written as ONNX.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// An operation has no mapping.
    #[error(
        "the operation {operation} has no mapping to ONNX; docs/onnx.md lists those that have one: compute the same \
         with them, or leave the operation to the program that runs the network"
    )]
    Operation {
        /// The operation's name.
        operation: String,
    },
    /// An operation is used in a way that has no mapping.
    #[error("the operation {operation} cannot be exported as it is used here: {problem}")]
    Use {
        /// The operation's name.
        operation: String,
        /// What is in the way, and what to do.
        problem: String,
    },
    /// The computation is not one graph for all inputs.
    #[error("the network cannot be exported: {0}")]
    Network(String),
}

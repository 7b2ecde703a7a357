//! What can be wrong with a checkpoint, and what to do about it.

use std::path::PathBuf;

use super::{FORMAT_VERSION, LAYOUT};
use crate::files::WriteError;
use crate::optim::StateError;

/// A checkpoint could not be written, read or used; names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file could not be read.
    #[error("cannot read {path}: {source}; check that the path is right and the file readable")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "{path} is not a safetensors file ({reason}); give a .safetensors file that a training run wrote"
    )]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is shorter or longer than its header says.
    #[error(
        "{path} is damaged: its length is not what its header says; copy it again, or use another checkpoint"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// The tensors are in another order of dimensions.
    #[error("{path} has tensors in layout {found:?}, not {LAYOUT:?}; convert it before loading")]
    Layout {
        /// The file.
        path: PathBuf,
        /// What its metadata says.
        found: String,
    },
    /// The file is of a version that this code does not know.
    #[error(
        "{path} has format version {found:?}; this program reads up to {FORMAT_VERSION}: use a newer program"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What its metadata says.
        found: String,
    },
    /// A tensor cannot be loaded.
    #[error(
        "{path}: tensor {tensor:?} {problem}; convert the file, or give a checkpoint that a training run wrote"
    )]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The tensors are not those of the model.
    #[error(
        "{path}: this checkpoint is of another model: {differences}; build the model with the options it was trained with"
    )]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// The first few missing, unexpected and mis-shaped tensors.
        differences: String,
    },
    /// The optimiser's state does not fit.
    #[error("{path}: {source}")]
    Optimizer {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: StateError,
    },
}

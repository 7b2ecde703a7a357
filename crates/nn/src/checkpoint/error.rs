//! What can be wrong with a checkpoint, and what to do about it.

use std::path::PathBuf;

use super::{Differences, FORMAT_VERSION, LAYOUT, shortened};
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
    /// The file is one of PyTorch's own.
    #[error(
        "{path} is a pickle, which can run any program when it is read; convert it to safetensors where PyTorch is \
         installed: python -c \"import torch, safetensors.torch as s; d = torch.load('{file}', weights_only=True); \
         s.save_file({{k: v.contiguous() for k, v in d.items()}}, '{stem}.safetensors')\"",
        path = path.display(), file = path.display(), stem = path.with_extension("").display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// The file lists the files of a checkpoint that is spread over several.
    #[error(
        "{path} is the index of a checkpoint in {} files ({}), expected is one file with all tensors; join them: \
         python -c \"import safetensors.torch as s; d = {{}}; [d.update(s.load_file(f)) for f in ['{}']]; \
         s.save_file(d, 'model.safetensors')\"", parts.len(), shortened(parts),
        parts.join("', '")
    )]
    Index {
        /// The file.
        path: PathBuf,
        /// The files that it names.
        parts: Vec<String>,
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
    #[error(
        "{path} has tensors in layout {found:?}, not {LAYOUT:?}; convert a file of PyTorch with the import example first"
    )]
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
        /// The missing, unexpected and mis-shaped tensors.
        differences: Differences,
    },
    /// The file does not hold the state of a training loop.
    #[error(
        "{path} {problem}; give a file that save_training wrote for this model and optimiser (a run of the train \
         example continues with --resume)"
    )]
    Training {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
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

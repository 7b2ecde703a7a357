//! What can be wrong with weights from elsewhere.

use std::path::PathBuf;

use cerberus_nn::CheckpointError;
use cerberus_nn::checkpoint::{Differences, shortened};

/// Weights could not be carried over; names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No network has this name.
    #[error("there is no network {name:?}; there are {}", known.join(", "))]
    NoSuchNetwork {
        /// The name.
        name: String,
        /// The networks.
        known: Vec<&'static str>,
    },
    /// The tensors are those of no network.
    #[error(
        "{path}: its tensors ({}) are those of none of the networks {}; for the closest one, {closest}: {differences}. \
         Give a state dict of one of them with its classifier, saved by torchvision's or timm's names",
        shortened(found), known.join(", ")
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The names in it.
        found: Vec<String>,
        /// The networks.
        known: Vec<&'static str>,
        /// The network with the fewest differences.
        closest: &'static str,
        /// What differs from that.
        differences: Box<Differences>,
    },
    /// The tensors are not those of the network that was named.
    #[error(
        "{path}: its tensors are not those of {network}: {differences}; name the network that the file is of, or leave \
         the name out to find it"
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The network.
        network: &'static str,
        /// What differs.
        differences: Box<Differences>,
    },
    /// The description in a classifier's file is not one.
    #[error("{path}: its \"classifier\" entry {problem}; write the file again with the import example")]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

//! What can be wrong with a store, a base or a request, and what to do about it.

use std::io;
use std::path::PathBuf;

use cerberus_nn::checkpoint::CheckpointError;
use cerberus_nn::files::WriteError;

/// A personal store could not be read, written or used; names the file and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersonalError {
    /// A file or folder could not be read, locked or removed.
    #[error("cannot {action} {path}: {source}; check that it exists and that you may read and write it")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A tensor file could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file is not what it should be.
    #[error("{path}: expected {expected}, found {found}; {remedy}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        remedy: String,
    },
    /// The store was taught beside another base.
    #[error(
        "{path} was taught beside the base {name:?} with hash {stored:.16}, not beside one with hash {given:.16}: what was \
         learned fits only that base; give it with --model, or choose another --user folder"
    )]
    OtherBase {
        /// The store's index, or an exported file.
        path: PathBuf,
        /// The base's file name when it was first used.
        name: String,
        /// Its hash.
        stored: String,
        /// The hash of the base that was given.
        given: String,
    },
    /// There is no store.
    #[error("{path} holds no personal store; begin one with teach, adapt or import")]
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// A request that cannot be fulfilled; the sentence says why and what can.
    #[error("{0}")]
    Request(String),
}

impl PersonalError {
    /// For `map_err`: what was tried, and with which file.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

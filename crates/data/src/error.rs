//! Errors in data, written so that the reader knows what to do.
//!
//! Every message names the file (or option), the place in it, what was expected there, and what to
//! do. Input from outside must never cause a panic.

use std::io;
use std::path::{Path, PathBuf};

/// Data that could not be read, understood or put into a batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("cannot read {path}: {source}; {remedy}")]
    Read {
        /// The file, or the name of embedded data.
        path: PathBuf,
        /// The error of the operating system or the decompressor.
        source: io::Error,
        /// What to do about it.
        remedy: String,
    },
    /// A file was read but does not hold what it should.
    #[error("{path}, {place}: expected {expected}, found {found}; {remedy}")]
    Malformed {
        /// The file, or the name of embedded data.
        path: PathBuf,
        /// Where in the file.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        remedy: String,
    },
    /// A recording could not be read.
    #[error(transparent)]
    Sound(Box<cerberus_audio::AudioError>),
    /// [`open`](crate::open) does not know the name or folder of a data set.
    #[error("no data set \"{name}\": {reason}; understood are {understood}")]
    UnknownDataset {
        /// The name that was given.
        name: String,
        /// Why it is not a data set.
        reason: String,
        /// The list of accepted names and folders.
        understood: &'static str,
    },
    /// A sample was requested that the split does not have.
    #[error("the {split} split of {dataset} has {len} samples, number {index} was asked for; count from 0")]
    NoSuchSample {
        /// The data set's name.
        dataset: String,
        /// The split's name.
        split: &'static str,
        /// How many samples it has.
        len: usize,
        /// The requested index.
        index: usize,
    },
    /// An option of the loader that has an invalid value.
    #[error("{option} is {value}: {remedy}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The value given.
        value: String,
        /// What to give instead.
        remedy: String,
    },
    /// Samples that cannot be in one batch.
    #[error("cannot gather a batch: {reason}")]
    Batch {
        /// Which sample disagrees with what.
        reason: String,
    },
    /// A worker thread of the loader failed; the message is its own.
    #[error("a loader thread failed at batch {batch}: {message}; this is a fault of the data set's code")]
    Worker {
        /// The batch it was making.
        batch: usize,
        /// Its message when it failed.
        message: String,
    },
}

impl From<cerberus_audio::AudioError> for DataError {
    fn from(error: cerberus_audio::AudioError) -> Self {
        Self::Sound(Box::new(error))
    }
}

impl DataError {
    /// A file with wrong content, from the parts in the order of the message.
    pub(crate) fn malformed(
        path: &Path,
        place: &str,
        expected: &str,
        found: &str,
        remedy: &str,
    ) -> DataError {
        DataError::Malformed {
            path: path.into(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}

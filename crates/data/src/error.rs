//! What can be wrong with data, told so that the reader knows what to do.
//!
//! Every message names the file (or option), the place in it, what was expected
//! there, and says what to do. Nothing that comes from outside may panic.

use std::io;
use std::path::{Path, PathBuf};

/// Data that could not be read, understood or gathered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("cannot read {path}: {source}; {remedy}")]
    Read {
        /// The file, or the name of embedded data.
        path: PathBuf,
        /// What the operating system or the decompressor said.
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
    /// The name or folder of a data set means nothing to [`open`](crate::open).
    #[error("no data set \"{name}\": {reason}; understood are {understood}")]
    UnknownDataset {
        /// What was asked for.
        name: String,
        /// Why it is not one.
        reason: String,
        /// The list of what would be.
        understood: &'static str,
    },
    /// A sample was asked for that the split does not have.
    #[error("the {split} split of {dataset} has {len} samples, number {index} was asked for; count from 0")]
    NoSuchSample {
        /// The data set's name.
        dataset: String,
        /// The split's name.
        split: &'static str,
        /// How many samples it has.
        len: usize,
        /// The sample asked for.
        index: usize,
    },
    /// An option of the loader that cannot be followed.
    #[error("{option} is {value}: {remedy}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The value given.
        value: String,
        /// What to give instead.
        remedy: String,
    },
    /// Samples that cannot stand in one batch.
    #[error("cannot gather a batch: {reason}")]
    Batch {
        /// Which sample disagrees with what.
        reason: String,
    },
    /// A thread that makes batches failed; the message is its own.
    #[error("a loader thread failed at batch {batch}: {message}; this is a fault of the data set's code")]
    Worker {
        /// The batch it was making.
        batch: usize,
        /// What it said when it failed.
        message: String,
    },
}

impl DataError {
    /// A file that does not hold what it should, from its parts in the order of the message.
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

//! Errors of sound files, written so that the reader knows what to do.
//!
//! Every message names the file, the place in it, what was expected there, and what to do. Input from
//! outside must never cause a panic.

use std::io;
use std::path::{Path, PathBuf};

/// A sound file that could not be read, understood or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// A file could not be opened or read.
    #[error("cannot read {path}: {source}; check that it is a file that you may read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file was read but does not hold what it should.
    #[error("{path}, {place}: expected {expected}, found {found}; {remedy}")]
    Malformed {
        /// The file.
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
    /// A file could not be written; what was there before is untouched.
    #[error("cannot write {path}: {source}; check that the folder exists, is writable and has space left")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What is wrong at a place of a file, before the file's name is known.
#[derive(Debug)]
pub(crate) struct Fault {
    pub place: String,
    pub expected: String,
    pub found: String,
    pub remedy: &'static str,
}

impl Fault {
    pub fn new(
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        remedy: &'static str,
    ) -> Fault {
        Fault { place: place.into(), expected: expected.into(), found: found.into(), remedy }
    }

    pub fn of(self, path: &Path) -> AudioError {
        let Fault { place, expected, found, remedy } = self;
        AudioError::Malformed { path: path.into(), place, expected, found, remedy: remedy.into() }
    }
}

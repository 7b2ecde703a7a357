//! Writing files so that none is ever half-written.
//!
//! The bytes go to a temporary file in the same folder, are flushed to the
//! disk, and take the final name by a rename, which the operating system does
//! at once or not at all. A crash in between leaves the old file as it was.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file could not be written; says which, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}; check that the folder exists, is writable and has space left")]
pub struct WriteError {
    /// The file that was to be written.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// Writes `bytes` to `path`, replacing what was there in one step.
///
/// The folder must exist. Concurrent writers of the same path do not mix: the
/// last rename wins.
///
/// # Errors
/// [`WriteError`] when the temporary file cannot be made, filled or renamed;
/// the old content of `path` is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let fail = |source| WriteError { path: path.to_path_buf(), source };
    let name = path
        .file_name()
        .ok_or_else(|| fail(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file")))?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary_name);
    let result = fill(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // Report the first error, not one from this clean-up.
        let _ = fs::remove_file(&temporary);
    }
    result.map_err(fail)
}

/// Whether a file is a temporary one that [`write_atomically`] left behind because its program was killed.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    inner.and_then(|name| name.rsplit_once('.')).is_some_and(|(_, id)| id.parse::<u32>().is_ok())
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_old_content_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("a.json");
        let message = write_atomically(&path, b"x").unwrap_err().to_string();
        assert!(message.contains("a.json"), "{message}");
    }
}

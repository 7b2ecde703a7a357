//! The hash by which a base is known, and how a store remembers it.
//!
//! A base is known by SHA-256 of its file. To compute it takes as long as reading the file, and a program that answers for
//! one picture would spend much of its time on it. A store therefore remembers it with a [`Mark`] of the file: its
//! place, size and times. A file with the same mark is the same one; any other is hashed again.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::PersonalError;

/// SHA-256 of a file, as hexadecimal digits.
///
/// # Errors
/// If it cannot be read.
pub fn file_hash(path: &Path) -> Result<String, PersonalError> {
    Ok(bytes_hash(&fs::read(path).map_err(PersonalError::io("read", path))?))
}

/// SHA-256 of bytes, as hexadecimal digits.
pub fn bytes_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file of a store that remembers the hash of its base.
pub(crate) const REMEMBERED: &str = "base.json";

/// A file that was written a shorter time ago could be written again without another time: file systems count in steps, the
/// coarsest of two seconds.
const SETTLES: Duration = Duration::from_secs(3);

/// What the file system says of a file, hashed, so that it does not tell where the file is: its place, its size, the time
/// when it was written, and on Unix its number and the time when anything of it changed, which no program can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    digits: String,
    newest: SystemTime,
}

/// The content of [`REMEMBERED`].
#[derive(Serialize, Deserialize)]
struct Remembered {
    mark: String,
    hash: String,
}

impl Mark {
    /// The mark of a file.
    ///
    /// # Errors
    /// If the file system does not tell.
    pub fn of(path: &Path) -> Result<Self, PersonalError> {
        let fail = |source| PersonalError::io("read", path)(source);
        let place = fs::canonicalize(path).map_err(fail)?;
        let data = fs::metadata(path).map_err(PersonalError::io("read", path))?;
        let written = data.modified().map_err(PersonalError::io("read the time of", path))?;
        let (facts, changed) = more_of(&data);
        let newest = changed.map_or(written, |changed| written.max(changed));
        let digits =
            bytes_hash(format!("{place:?} {} {written:?} {changed:?} {facts}", data.len()).as_bytes());
        Ok(Self { digits, newest })
    }

    /// The hash that the store in this folder remembers of a file with this mark.
    pub fn hash_in(&self, store: &Path) -> Option<String> {
        let text = fs::read_to_string(store.join(REMEMBERED)).ok()?;
        let found: Remembered = serde_json::from_str(&text).ok()?;
        (found.mark == self.digits).then_some(found.hash)
    }

    /// Lets the store in this folder remember the hash of the file with this mark; not if the file, at the time `now`, is so
    /// new that it could still change and keep its mark. A store that cannot be written remembers nothing.
    pub fn remember_in(&self, store: &Path, hash: &str, now: SystemTime) {
        let settled = now.duration_since(self.newest).is_ok_and(|age| age >= SETTLES);
        let text = serde_json::to_string(&Remembered { mark: self.digits.clone(), hash: hash.into() });
        if let (true, Ok(text)) = (settled, text) {
            let _ = cerberus_nn::files::write_atomically(&store.join(REMEMBERED), text.as_bytes());
        }
    }
}

/// A file's number, and when anything of it changed.
#[cfg(unix)]
fn more_of(data: &Metadata) -> (u64, Option<SystemTime>) {
    use std::os::unix::fs::MetadataExt;
    let since = |seconds: i64, nanoseconds: i64| {
        let since = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
        UNIX_EPOCH.checked_add(since)
    };
    (data.ino(), since(data.ctime(), data.ctime_nsec()))
}

/// Nothing more.
#[cfg(not(unix))]
fn more_of(_: &Metadata) -> (u64, Option<SystemTime>) {
    (0, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_hash_is_that_of_the_same_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let [base, other] = ["base", "other"].map(|name| folder.path().join(name));
        fs::write(&base, "one").unwrap();
        fs::write(&other, "one").unwrap();
        let mark = Mark::of(&base).unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        let recalled = |path: &Path| Mark::of(path).unwrap().hash_in(folder.path());
        assert_eq!(recalled(&base), None);
        // A file that is still new may change again.
        mark.remember_in(folder.path(), "hash", SystemTime::now());
        assert_eq!(recalled(&base), None);
        mark.remember_in(folder.path(), "hash", later);
        assert_eq!((recalled(&base).as_deref(), recalled(&other)), (Some("hash"), None));
        // The same size and the same time of writing, as a copy may have.
        let written = fs::metadata(&base).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&base, "two").unwrap();
        fs::File::options().write(true).open(&base).unwrap().set_modified(written).unwrap();
        assert_eq!(recalled(&base), None, "a changed file");
        fs::write(folder.path().join(REMEMBERED), "{").unwrap();
        assert_eq!(recalled(&base), None, "a damaged memory");
        assert!(Mark::of(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}

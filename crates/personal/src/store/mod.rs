//! The folder of one person.
//!
//! | file | what it holds |
//! |---|---|
//! | `store.json` | the base's hash, and the [log](Log): which pictures were shown as what, and when |
//! | `learned-HASH.safetensors` | their embeddings, the [styles](crate::Style), the [adapters](crate::Adapted), and the [recognisers](crate::Recogniser) that were computed from them |
//! | `pictures/` | the pictures, only if they were asked to be kept |
//! | `base.json` | the base's hash beside a [mark](crate::hash::Mark) of its file; may be missing |
//! | `lock` | empty; held while a program reads or writes |
//!
//! The recogniser is a function of the log and of what the base knows, so a log without a class is a store without it,
//! bit for bit. What is learned has its content's hash in its name: equal stores have equal files. `store.json` is
//! renamed into place last; before that, nothing of a change is visible, and after it, nothing is missing. What a program
//! that was killed left behind is removed by the next one that writes.

mod files;
mod log;
mod portable;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::error::PersonalError;

pub use files::Learned;
pub use log::{Lesson, Log, Shown, Step, check_class};
pub use portable::Portable;

use files::{index_json, learned_bytes, read_index, read_learned};

/// The format of stores that this code writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
const INDEX: &str = "store.json";
const LOCK: &str = "lock";
const PICTURES: &str = "pictures";

/// The base as a store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseName {
    /// The name of its file when the store was begun.
    pub name: String,
    /// SHA-256 of that file.
    pub hash: String,
}

impl BaseName {
    /// What stores know of a base.
    pub fn of(base: &Base) -> Self {
        Self { name: base.name().into(), hash: base.hash().into() }
    }
}

/// One person's store, locked as long as this value lives.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// What the base is called.
    pub base: BaseName,
    /// What was shown.
    pub log: Log,
    /// What was learned when the store was last written.
    pub learned: Learned,
    lock: Option<File>,
    writes: bool,
}

impl Store {
    /// Opens a store to read it: other readers may read, too.
    ///
    /// # Errors
    /// If there is none, it is damaged, or it was taught beside another base.
    pub fn read(folder: &Path, base: &Base) -> Result<Self, PersonalError> {
        if !folder.join(INDEX).exists() {
            return Err(PersonalError::NoStore { path: folder.into() });
        }
        let lock = File::open(folder.join(LOCK)).ok();
        if let Some(lock) = &lock {
            lock.lock_shared().map_err(PersonalError::io("lock", folder.join(LOCK)))?;
        }
        Self::load(folder, base, (lock, false))
    }

    /// Opens a store to change it, and waits until nobody else reads or writes it; with `begin`, an empty one is made if
    /// there is none.
    ///
    /// # Errors
    /// As [`read`](Self::read), and if the folder cannot be written.
    pub fn write(folder: &Path, base: &Base, begin: bool) -> Result<Self, PersonalError> {
        if !begin && !folder.join(INDEX).exists() {
            return Err(PersonalError::NoStore { path: folder.into() });
        }
        fs::create_dir_all(folder).map_err(PersonalError::io("make", folder))?;
        let path = folder.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(PersonalError::io("open", &path))?;
        lock.lock().map_err(PersonalError::io("lock", &path))?;
        let store = Self::load(folder, base, (Some(lock), true))?;
        store.clean()?;
        Ok(store)
    }

    fn load(folder: &Path, base: &Base, (lock, writes): (Option<File>, bool)) -> Result<Self, PersonalError> {
        let path = folder.join(INDEX);
        let mut store = Self {
            folder: folder.into(),
            base: BaseName::of(base),
            log: Log::default(),
            learned: Learned::default(),
            lock,
            writes,
        };
        if !path.exists() {
            return Ok(store);
        }
        let index = read_index(&path)?;
        check_base(&path, &index.base, &store.base)?;
        store.base = index.base;
        store.log = index.log;
        if let Some(name) = &index.learned {
            store.learned = read_learned(&folder.join(name), &mut store.log)?;
        }
        Ok(store)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a kept picture is, or will be.
    pub fn picture(&self, file: &str) -> PathBuf {
        self.folder.join(PICTURES).join(file)
    }

    /// Keeps a picture's file; it is part of the store once a log that names it is [saved](Self::save).
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(&self, file: &str, bytes: &[u8]) -> Result<(), PersonalError> {
        let folder = self.folder.join(PICTURES);
        fs::create_dir_all(&folder).map_err(PersonalError::io("make", &folder))?;
        Ok(cerberus_nn::files::write_atomically(&folder.join(file), bytes)?)
    }

    /// Replaces the store's content by `log` and what was learned from it, in one step.
    ///
    /// # Errors
    /// If a file cannot be written; the store is then what it was.
    ///
    /// # Panics
    /// If the store was opened to be read.
    #[track_caller]
    pub fn save(&mut self, log: Log, learned: Learned) -> Result<(), PersonalError> {
        assert!(self.writes, "Store::save: this store was opened to be read");
        let bytes = learned_bytes(&log, &learned)?;
        let name = bytes.as_ref().map(|bytes| files::learned_name(bytes));
        if let (Some(name), Some(bytes)) = (&name, &bytes) {
            cerberus_nn::files::write_atomically(&self.folder.join(name), bytes)?;
        }
        let index = index_json(&self.base, &log, name.as_deref())?;
        cerberus_nn::files::write_atomically(&self.folder.join(INDEX), index.as_bytes())?;
        self.log = log;
        self.learned = learned;
        self.clean()
    }

    /// Replaces what was learned by what is learned from the same log now that the base knows more: here, and in the folder if
    /// that can be written and still holds that log. A lock on the store is given up.
    pub fn relearn(&mut self, base: &Base, learned: Learned) {
        self.learned = learned;
        // Two locks of one program would wait for each other.
        self.lock = None;
        if let Ok(mut now) = Self::write(&self.folder, base, false)
            && now.log == self.log
        {
            let _ = now.save(self.log.clone(), self.learned.clone());
        }
    }

    /// Removes what a program that was killed left behind, and what the store no longer names.
    fn clean(&self) -> Result<(), PersonalError> {
        let path = self.folder.join(INDEX);
        let (mut files, mut pictures) = (BTreeSet::new(), BTreeSet::new());
        if path.exists() {
            let index = read_index(&path)?;
            files.extend(index.learned);
            pictures.extend(index.log.kept());
        }
        let entries = |folder: &Path| -> Vec<PathBuf> {
            fs::read_dir(folder)
                .map_or_else(|_| Vec::new(), |all| all.flatten().map(|entry| entry.path()).collect())
        };
        let remove = |path: &Path| fs::remove_file(path).map_err(PersonalError::io("remove", path));
        for path in entries(&self.folder) {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let learned = name.starts_with("learned-") && name.ends_with(".safetensors");
            if (learned && !files.contains(&name)) || cerberus_nn::files::is_temporary(&path) {
                remove(&path)?;
            }
        }
        for path in entries(&self.folder.join(PICTURES)) {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            if !pictures.contains(&name) {
                remove(&path)?;
            }
        }
        if pictures.is_empty() {
            // It may hold what is not ours.
            let _ = fs::remove_dir(self.folder.join(PICTURES));
        }
        Ok(())
    }

    /// The bytes of the store's files.
    pub fn size(&self) -> u64 {
        let sizes = |folder: &Path| -> u64 {
            let entries = fs::read_dir(folder).map_or_else(|_| Vec::new(), |all| all.flatten().collect());
            entries
                .iter()
                .filter_map(|entry| entry.metadata().ok())
                .filter(fs::Metadata::is_file)
                .map(|data| data.len())
                .sum()
        };
        sizes(&self.folder) + sizes(&self.folder.join(PICTURES))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // Closing the file unlocks it, too.
            let _ = lock.unlock();
        }
    }
}

/// Checks that what was learned fits the base that is given.
fn check_base(path: &Path, stored: &BaseName, given: &BaseName) -> Result<(), PersonalError> {
    if stored.hash != given.hash {
        return Err(PersonalError::OtherBase {
            path: path.into(),
            name: stored.name.clone(),
            stored: stored.hash.clone(),
            given: given.hash.clone(),
        });
    }
    Ok(())
}

/// Text entries of a tensor file.
type Metadata = BTreeMap<String, String>;

//! A store in one file, to be taken along: the index as text and the embeddings.

use std::path::Path;

use cerberus_nn::checkpoint;

use super::files::{index_json, malformed, parse_index, restore_shown, shown_tensors};
use super::{BaseName, Log, Metadata, Store, check_base};
use crate::error::PersonalError;

/// What an exported file holds: what was shown, without pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Portable {
    /// The base that it fits.
    pub base: BaseName,
    /// What was shown.
    pub log: Log,
}

/// The entry with the index.
const ENTRY: &str = "personal";

impl Portable {
    /// What a store holds. Kept pictures stay in its folder.
    pub fn of(store: &Store) -> Self {
        let mut log = store.log.clone();
        log.pictures_mut().for_each(|picture| picture.kept = None);
        Self { base: store.base.clone(), log }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), PersonalError> {
        let metadata = Metadata::from([(ENTRY.to_string(), index_json(&self.base, &self.log, None)?)]);
        Ok(checkpoint::save(path, &shown_tensors(&self.log), &metadata)?)
    }

    /// Reads a file that was written beside this base.
    ///
    /// # Errors
    /// If it is damaged, something else, or was written beside another base.
    pub fn load(path: &Path, base: &BaseName) -> Result<Self, PersonalError> {
        let file = checkpoint::load::<f32>(path)?;
        let text = file.metadata().get(ENTRY).ok_or_else(|| {
            malformed(
                path,
                "a file that export of the personal program wrote",
                "another safetensors file".into(),
            )
        })?;
        let mut index = parse_index(path, text)?;
        check_base(path, &index.base, base)?;
        restore_shown(path, &file, &mut index.log)?;
        index.log.pictures_mut().for_each(|picture| picture.kept = None);
        Ok(Self { base: index.base, log: index.log })
    }
}

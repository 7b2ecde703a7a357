//! A store in one file, to be taken along: the index as text and the embeddings.

use std::path::Path;

use cerberus_nn::checkpoint;

use super::files::{embeddings, index_json, malformed, parse_index};
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
        let tensors = [("embeddings".to_string(), embeddings(&self.log, self.base.width))];
        Ok(checkpoint::save(path, &tensors, &metadata)?)
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
        let (count, width) = (index.log.pictures().count(), base.width);
        let found =
            file.under("").into_iter().find(|(name, _)| name == "embeddings").map(|(_, tensor)| tensor);
        let found = found.filter(|tensor| tensor.shape() == [count, width] && tensor.all_finite());
        let values = found
            .ok_or_else(|| {
                malformed(path, &format!("finite embeddings [{count}, {width}]"), "others, or none".into())
            })?
            .to_vec();
        for (picture, row) in index.log.pictures_mut().zip(values.chunks_exact(width.max(1))) {
            picture.embedding = row.to_vec();
            picture.kept = None;
        }
        Ok(Self { base: index.base, log: index.log })
    }
}

//! The common part of the YAML layouts: recognising the files, and lists of class names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::files;

/// Whether a file is YAML, by its extension.
pub(super) fn is_yaml(path: &Path) -> bool {
    path.is_file() && ["yaml", "yml"].contains(&files::ending(path).as_str()) && !files::is_hidden(path)
}

/// The YAML files of a folder, in order; none of one that cannot be read.
pub(super) fn in_folder(folder: &Path) -> Vec<PathBuf> {
    files::entries(folder).unwrap_or_default().into_iter().filter(|path| is_yaml(path)).collect()
}

/// Ids and names of classes in ascending order of ids, from a list or a map. Names are read directly as text, so that a
/// name that looks like a number stays as written.
pub(super) struct Names(pub BTreeMap<usize, String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a list of class names, or a map from ids to names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
        let mut names = BTreeMap::new();
        while let Some(name) = list.next_element()? {
            names.insert(names.len(), name);
        }
        Ok(Names(names))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
        let mut names = BTreeMap::new();
        while let Some((id, name)) = map.next_entry()? {
            if names.insert(id, name).is_some() {
                return Err(Error::custom(format!("the class id {id} stands there twice")));
            }
        }
        Ok(Names(names))
    }
}

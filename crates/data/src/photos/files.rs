//! Finds files: the pictures of a folder and of its subfolders, the part that a word names, and which pictures belong
//! to which label files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::reading::Reading;
use crate::FindingKind::LeftOut;
use crate::{DataError, Split};

/// Extensions of pictures that can be read.
const READ: [&str; 13] =
    ["jpg", "jpeg", "jfif", "jpe", "png", "webp", "bmp", "dib", "tif", "tiff", "gif", "mpo", "apng"];
/// Extensions of pictures that cannot be read.
const NOT_READ: [&str; 20] = [
    "heic", "heif", "avif", "jxl", "jp2", "j2k", "svg", "psd", "raw", "dng", "cr2", "nef", "arw", "exr",
    "hdr", "tga", "ico", "pgm", "ppm", "pnm",
];
/// Extensions of other files that lie beside pictures.
const OTHER: [&str; 24] = [
    "txt", "xml", "json", "csv", "tsv", "yaml", "yml", "toml", "md", "html", "pdf", "cache", "npy", "npz",
    "mat", "db", "ini", "log", "py", "zip", "gz", "tar", "lock", "xlsx",
];
/// The maximum depth of subfolders.
const DEPTH: usize = 24;

/// The part of a data set that a word names, in any of the common spellings; `None` for any other word.
pub(crate) fn part(word: &str) -> Option<Split> {
    let word = word.trim().to_lowercase();
    // Years and numbers are ignored: train2017, test-dev, trainval35k.
    let letters: String = word.chars().filter(|c| c.is_alphabetic()).collect();
    match letters.trim_end_matches('k') {
        "train" | "training" | "trainval" | "trn" | "tr" | "learn" | "traindata" | "trainset" => {
            Some(Split::Train)
        }
        "val" | "valid" | "validation" | "validate" | "validating" | "dev" | "minival" | "evaluation"
        | "eval" | "valset" => Some(Split::Validation),
        "test" | "testing" | "tst" | "testdev" | "teststd" | "heldout" | "holdout" | "testset" => {
            Some(Split::Test)
        }
        _ => None,
    }
}

/// The part that a file name contains among other words, as in `instances_val2017`; `Err(parts)` if it contains
/// several.
pub(crate) fn part_in(name: &str) -> Result<Option<Split>, Vec<Split>> {
    let words = name.split(|c: char| !c.is_alphanumeric());
    let parts: BTreeSet<usize> = words.filter_map(part).map(|part| part as usize).collect();
    let of = |place: usize| [Split::Train, Split::Validation, Split::Test][place];
    match parts.len() {
        0 | 1 => Ok(parts.first().copied().map(of)),
        _ => Err(parts.into_iter().map(of).collect()),
    }
}

/// Whether a file's name begins with a dot: hidden files, and the `._` files that macOS leaves behind.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// A path's extension in lower case.
pub(crate) fn ending(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The entries of a folder, sorted by name, without hidden ones.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read {
        path: folder.into(),
        source,
        remedy: "check the path and its permissions".into(),
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !is_hidden(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The folders in a folder, sorted by name; none if it cannot be read.
pub(crate) fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).unwrap_or_default().into_iter().filter(|path| path.is_dir()).collect()
}

/// The first folder in a folder with one of these names, given in lower case; upper and lower case do not matter.
pub(super) fn folder_named(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let folders = folders(folder);
    names.iter().find_map(|wanted| folders.iter().find(|path| name(path).to_lowercase() == *wanted).cloned())
}

/// The last component of a path as text.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
}

/// All files of a folder and its subfolders, sorted by path.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let (mut files, mut folders) = (Vec::new(), vec![(folder.to_path_buf(), 0)]);
    let mut seen = BTreeSet::new();
    while let Some((folder, depth)) = folders.pop() {
        // A link to a folder above is followed only once.
        let place = std::fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
        if depth > DEPTH || !seen.insert(place) {
            continue;
        }
        for path in entries(&folder)? {
            if path.is_dir() {
                folders.push((path, depth + 1));
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file is a picture in a format that can be read: by its extension or, if that is not conclusive, by its
/// first bytes.
pub(crate) fn is_picture(path: &Path) -> bool {
    let end = ending(path);
    READ.contains(&end.as_str())
        || !(OTHER.contains(&end.as_str()) || NOT_READ.contains(&end.as_str())) && looks_like_picture(path)
}

/// Whether a file's extension marks it as a picture or as another kind of file; compressed files may be data.
pub(crate) fn has_known_ending(path: &Path) -> bool {
    let end = ending(path);
    let known = READ.iter().chain(&NOT_READ).chain(&OTHER);
    end != "gz" && known.into_iter().any(|known| *known == end)
}

fn looks_like_picture(path: &Path) -> bool {
    use std::io::Read;
    let mut first = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut first));
    read.is_ok() && image::guess_format(&first).is_ok()
}

/// The pictures of a folder and its subfolders, sorted by path: files whose extension, or first bytes, show a format
/// that can be read.
///
/// # Errors
/// [`DataError::Read`] if a folder cannot be read.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(files_below(folder)?.into_iter().filter(|path| is_picture(path)).collect())
}

/// The pictures of a folder and its subfolders, sorted by path. Pictures in other formats become a finding.
pub(super) fn pictures(folder: &Path, reading: &mut Reading) -> Result<Vec<PathBuf>, DataError> {
    let mut pictures = Vec::new();
    for path in files_below(folder)? {
        if is_picture(&path) {
            pictures.push(path);
        } else if NOT_READ.contains(&ending(&path).as_str()) {
            reading.found += 1;
            let what = format!("pictures in a format that is not read (.{})", ending(&path));
            reading.findings.add(LeftOut, &what, path.display());
        }
    }
    Ok(pictures)
}

/// Files by the name that pictures and their labels share: the path below a folder, without extension.
pub(super) struct ByStem {
    exact: BTreeMap<OsString, PathBuf>,
    /// In lower case, if that is unambiguous.
    folded: BTreeMap<String, Option<OsString>>,
    used: BTreeSet<OsString>,
}

impl ByStem {
    /// The files below `folder` with one of the extensions.
    pub fn new(folder: &Path, endings: &[&str]) -> Result<ByStem, DataError> {
        let mut found = ByStem { exact: BTreeMap::new(), folded: BTreeMap::new(), used: BTreeSet::new() };
        for path in files_below(folder)? {
            if !endings.contains(&ending(&path).as_str()) {
                continue;
            }
            let stem = stem(folder, &path);
            let folded = stem.to_string_lossy().to_lowercase();
            found.folded.entry(folded).and_modify(|known| *known = None).or_insert(Some(stem.clone()));
            found.exact.insert(stem, path);
        }
        Ok(found)
    }

    /// The file with this name, even if upper and lower case differ.
    pub fn take(&mut self, name: &OsStr) -> Option<PathBuf> {
        let folded = || self.folded.get(&name.to_string_lossy().to_lowercase())?.clone();
        let stem = if self.exact.contains_key(name) { name.to_os_string() } else { folded()? };
        let path = self.exact.get(&stem)?.clone();
        self.used.insert(stem);
        Some(path)
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.exact.len()
    }

    /// The files that were not taken.
    pub fn left(&self) -> impl Iterator<Item = &PathBuf> {
        self.exact.iter().filter(|(stem, _)| !self.used.contains(*stem)).map(|(_, path)| path)
    }
}

/// A file's path below a folder, without extension.
pub(crate) fn stem(folder: &Path, path: &Path) -> OsString {
    path.strip_prefix(folder).unwrap_or(path).with_extension("").into_os_string()
}

/// A path without the `.` components that joining paths leaves.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| !matches!(part, std::path::Component::CurDir));
    let tidy: PathBuf = parts.collect();
    if tidy.as_os_str().is_empty() { PathBuf::from(".") } else { tidy }
}

/// Whether a file has a name of panoptic annotations.
pub(crate) fn is_panoptic(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.starts_with("panoptic") && ending(path) == "json"
}

/// The candidates for a path that annotations of any system may have written: unchanged, and with back-slashes as
/// slashes.
pub(super) fn as_written(name: &str) -> Vec<String> {
    let plain = name.trim().to_string();
    let turned = plain.replace('\\', "/");
    if turned == plain { vec![plain] } else { vec![plain, turned] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_set_are_known_by_many_words_and_no_other_word_is_taken_for_one() {
        for (words, split) in [
            (&["train", "Train", "TRAINING", "train2017", "trainval", "trainval35k"][..], Split::Train),
            (&["val", "VAL", "valid", "Validation", "val2017", "minival2014", "dev"], Split::Validation),
            (&["test", "Test", "TESTING", "test-dev2017"], Split::Test),
        ] {
            words.iter().for_each(|word| assert_eq!(part(word), Some(split), "{word}"));
        }
        for word in ["", "maybe", "contest", "values", "tests?x", "trained"] {
            assert_eq!(part(word), None, "{word}");
        }
        assert_eq!(part_in("instances_trainval35k"), Ok(Some(Split::Train)));
        assert_eq!(part_in("instances_val2017"), Ok(Some(Split::Validation)));
        assert_eq!(part_in("instances_default"), Ok(None));
        assert!(part_in("train_and_test").is_err());
    }

    #[test]
    fn labels_are_found_by_name_whatever_the_capitals() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["A.TXT", "b.txt", "C.txt", "c.TXT", "._b.txt", "d.json"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut files = ByStem::new(folder.path(), &["txt"]).unwrap();
        assert_eq!(files.len(), 4);
        assert!(files.take(OsStr::new("a")).unwrap().ends_with("A.TXT"));
        assert!(files.take(OsStr::new("c")).unwrap().ends_with("c.TXT"));
        assert!(files.take(OsStr::new("B")).is_some() && files.take(OsStr::new("d")).is_none());
        assert_eq!(files.left().count(), 1);
    }
}

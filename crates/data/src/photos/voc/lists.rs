//! `ImageSets`: text files that name the pictures of each part, one per line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::super::reading::Reading;
use super::super::{files, text};
use super::annotation::REMEDY;
use crate::FindingKind::{Changed, LabelLeftOut, Suspicious};
use crate::{DataError, Split};

/// Pictures by the names that lists and annotations use: the path below their folder, with or without extension, or its
/// last component if no other picture has the same.
#[derive(Default)]
pub(super) struct ByName {
    exact: HashMap<String, usize>,
    last: HashMap<String, Option<usize>>,
}

impl ByName {
    /// Adds the picture at `path`, in or below `folder`; [`ByName::find`] returns its `place`.
    pub fn add(&mut self, folder: &Path, path: &Path, place: usize) {
        let below = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/");
        let stem = files::stem(folder, path).to_string_lossy().replace('\\', "/");
        for name in [below, stem] {
            let last = name.rsplit('/').next().unwrap_or(&name).to_string();
            let known = self.last.entry(last).or_insert(Some(place));
            *known = known.filter(|&known| known == place);
            self.exact.insert(name, place);
        }
    }

    /// The picture with a name, even if the name has another extension or folder than the picture.
    pub fn find(&self, name: &str) -> Option<usize> {
        let name = name.trim().replace('\\', "/");
        let name = name.trim_start_matches("./");
        let without = Path::new(name).with_extension("");
        let without = without.to_string_lossy();
        let exact = [name, &without].into_iter().find_map(|name| self.exact.get(name).copied());
        let last = |name: &str| self.last.get(name.rsplit('/').next()?).copied().flatten();
        exact.or_else(|| last(name)).or_else(|| last(&without))
    }
}

/// The lists of a folder that are parts: those of `Main`, or else of `Segmentation`, or else of `ImageSets` itself.
/// Lists of single classes (`cat_train.txt`) do not count.
fn lists(folder: &Path) -> Vec<(PathBuf, Split)> {
    let Some(sets) = files::folder_named(folder, &["imagesets"]) else { return Vec::new() };
    let of = |folder: PathBuf| -> Vec<(PathBuf, Split)> {
        let entries = files::entries(&folder).unwrap_or_default().into_iter();
        let texts = entries.filter(|path| path.is_file() && files::ending(path) == "txt");
        texts
            .filter_map(|path| files::part(&path.file_stem()?.to_string_lossy()).map(|part| (path, part)))
            .collect()
    };
    let tried = ["main", "segmentation"].iter().filter_map(|name| files::folder_named(&sets, &[name]));
    tried.chain([sets.clone()]).map(of).find(|lists| !lists.is_empty()).unwrap_or_default()
}

/// Whether a list contains training and validation together.
fn is_both(list: &Path) -> bool {
    let stem = list.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().to_lowercase());
    stem.chars().filter(|c| c.is_alphabetic()).collect::<String>().starts_with("trainval")
}

/// The part of every picture that a list of the folder names; `None` if there are no lists, or only empty ones.
///
/// A picture in two lists gets the part that is furthest from training, so that no score is too good. `trainval` has no
/// effect on pictures that the separate train and val lists name.
///
/// # Errors
/// [`DataError::Malformed`] for a list that names no existing picture.
pub(super) fn parts(
    folder: &Path,
    pictures: &ByName,
    reading: &mut Reading,
) -> Result<Option<HashMap<usize, Split>>, DataError> {
    let mut lists = lists(folder);
    lists.sort_by_key(|(path, part)| (is_both(path), *part as usize));
    let divided = [Split::Train, Split::Validation]
        .iter()
        .all(|part| lists.iter().any(|(path, of)| of == part && !is_both(path)));
    let mut parts: HashMap<usize, Split> = HashMap::new();
    let mut any = false;
    for (path, part) in lists {
        let mut in_this: HashMap<usize, usize> = HashMap::new();
        let mut unknown: Option<(usize, String)> = None;
        for (index, line) in
            text::read(&path)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty())
        {
            any = true;
            let place = format!("line {} of {}", index + 1, path.display());
            let Some(picture) = named(line, pictures) else {
                let what = "names in lists of which there is no picture";
                reading.findings.add(LabelLeftOut, what, format!("{} on {place}", line.trim()));
                unknown.get_or_insert((index + 1, line.into()));
                continue;
            };
            if in_this.insert(picture, index).is_some() {
                reading.findings.add(Changed, "pictures that one list names twice, counted once", &place);
                continue;
            }
            let known = parts.get(&picture).copied();
            match known {
                Some(Split::Train | Split::Validation) if is_both(&path) => {}
                Some(known) => {
                    let what = "pictures that the lists of two parts name: they are kept from training";
                    reading.findings.add(Suspicious, what, &place);
                    let further = if part as usize > known as usize { part } else { known };
                    parts.insert(picture, further);
                }
                None => {
                    if is_both(&path) && divided {
                        let what = "pictures that only the list of both parts names, used for training";
                        reading.findings.add(Suspicious, what, &place);
                    }
                    parts.insert(picture, part);
                }
            }
        }
        if let Some((line, name)) = unknown.filter(|_| in_this.is_empty()) {
            return Err(text::wrong(
                &path,
                line,
                "the name of a picture, as at least one line has",
                &name,
                REMEDY,
            ));
        }
    }
    Ok(any.then_some(parts))
}

/// The picture that a line names. In VOC's lists for a class, ` 1`, ` 0` or ` -1` follows the name.
fn named(line: &str, pictures: &ByName) -> Option<usize> {
    let line = line.trim();
    let plain = |name: &str| pictures.find(name.trim().trim_matches('"'));
    let flagged = || {
        let (name, flag) = line.rsplit_once(char::is_whitespace)?;
        ["1", "0", "-1"].contains(&flag).then(|| plain(name)).flatten()
    };
    plain(line).or_else(flagged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_found_by_names_with_other_endings_and_folders_unless_two_fit() {
        let mut pictures = ByName::default();
        for (place, path) in
            ["set/a.b.jpg", "set/day/c.png", "set/night/c.png", "set/day/d.png"].iter().enumerate()
        {
            pictures.add(Path::new("set"), Path::new(path), place);
        }
        for (name, place) in [
            ("a.b", Some(0)),
            ("a.b.jpg", Some(0)),
            ("a.b.bmp", Some(0)),
            ("C:\\x\\a.b.jpg", Some(0)),
            ("a", None),
            ("c", None),
            ("night/c", Some(2)),
            ("./night\\c.jpg", Some(2)),
            ("d", Some(3)),
            ("elsewhere/d.png", Some(3)),
            ("", None),
        ] {
            assert_eq!(pictures.find(name), place, "{name}");
        }
        assert_eq!(named(" d  -1", &pictures), Some(3));
        assert_eq!(named("\"d\"", &pictures), Some(3));
        assert_eq!(named("d 2", &pictures), None);
    }
}

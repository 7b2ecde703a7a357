//! Lists of the classes in masks.
//!
//! | file | says |
//! |---|---|
//! | `classes.txt` | a name per line: line n, counted from 1, is id n; id 0 is background |
//! | the same, if its first line is not a class | the first line is id 0 |
//! | `classes.csv`, `class_dict.csv`, `colors.txt` and the like | `name,r,g,b` or `r,g,b,name`, or `id,name` or `name,id`; a header or none |
//!
//! Some names are not classes: `background` is background, and pixels named `void`, `ignore` or `unlabeled` are
//! ignored, because nobody has said what they are. If a list of ids does not contain them, 0 is background and 255
//! (65535 in 16 bits) is ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::painted::{Code, packed, shown};
use super::reading::{Reading, classes};
use super::text;
use crate::FindingKind::LabelLeftOut;
use crate::dataset::MASK;
use crate::{ClassId, DataError, IGNORED};

const NAMES: [&str; 1] = ["classes.txt"];
const TABLES: [&str; 8] = [
    "classes.csv",
    "class_dict.csv",
    "colors.csv",
    "colours.csv",
    "colors.txt",
    "colours.txt",
    "label_colors.txt",
    "_classes.csv",
];
const REMEDY: &str = "compare with the lists of classes in docs/data.md, and mend the list";

/// Whether a file has one of the names of class lists.
pub(super) fn is_list(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    NAMES.iter().chain(&TABLES).any(|list| *list == name)
}

/// The meaning of a name for the pixels that have it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Class,
    Background,
    NotJudged,
}

fn meaning(name: &str) -> Meaning {
    let letters: String = name.to_lowercase().chars().filter(|c| c.is_alphabetic()).collect();
    match letters.as_str() {
        "background" | "bg" | "none" => Meaning::Background,
        "void" | "ignore" | "ignored" | "unlabeled" | "unlabelled" | "dontcare" => Meaning::NotJudged,
        _ => Meaning::Class,
    }
}

/// A pixel value as messages show it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u32, bool);

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&shown(self.0, self.1))
    }
}

/// The classes of masks and their ids or colours.
pub(super) struct ClassList {
    path: PathBuf,
    /// Whether values are colours.
    pub colours: bool,
    /// In the order of the file.
    named: Vec<(u32, String)>,
}

impl ClassList {
    /// A list from ids and names that come from another source than a list file.
    pub fn of_ids(path: &Path, named: impl IntoIterator<Item = (usize, String)>) -> ClassList {
        let key = |(id, name)| (u32::try_from(id).unwrap_or(u32::MAX), name);
        ClassList { path: path.into(), colours: false, named: named.into_iter().map(key).collect() }
    }

    /// The list in one of these folders, if there is one.
    ///
    /// # Errors
    /// [`DataError`] when there are two, and naming the line when one is damaged.
    pub fn find(folders: &[&Path]) -> Result<Option<ClassList>, DataError> {
        let lists =
            folders.iter().flat_map(|folder| NAMES.iter().chain(&TABLES).map(|name| folder.join(name)));
        let mut lists: Vec<PathBuf> = lists.filter(|path| path.is_file()).collect();
        lists.dedup();
        match &lists[..] {
            [] => Ok(None),
            [path] => ClassList::read(path).map(Some),
            [path, other, ..] => Err(DataError::Malformed {
                path: path.clone(),
                place: "the file".into(),
                expected: "one list of the masks' classes".into(),
                found: format!("also {}", other.display()),
                remedy: "remove the one that does not belong to the masks".into(),
            }),
        }
    }

    fn read(path: &Path) -> Result<ClassList, DataError> {
        let content = text::read(path)?;
        if path.file_name().is_some_and(|name| NAMES.iter().any(|names| name == *names)) {
            let names: Vec<&str> = content.trim_end().lines().map(str::trim).collect();
            if let Some(blank) = names.iter().position(|name| name.is_empty()) {
                return Err(text::wrong(path, blank + 1, "a class name on every line", "", REMEDY));
            }
            let first = names.first().map_or(Meaning::Class, |name| meaning(name));
            let start = usize::from(first == Meaning::Class);
            let named = names.into_iter().enumerate().map(|(line, name)| (line + start, name.to_string()));
            return Ok(ClassList::of_ids(path, named));
        }
        let (mut named, mut colours) = (Vec::new(), None);
        for (line, fields) in rows(path, &content)? {
            let Some((key, name, colour)) = entry(&fields) else {
                // A header line is skipped.
                if named.is_empty() && line == 1 {
                    continue;
                }
                let expected = "a name and its id, or a name and red, green and blue from 0 to 255";
                return Err(text::wrong(path, line, expected, &fields.join(","), REMEDY));
            };
            if *colours.get_or_insert(colour) != colour {
                let expected = "colours for all classes, or ids for all";
                return Err(text::wrong(path, line, expected, &fields.join(","), REMEDY));
            }
            named.push((key, name));
        }
        Ok(ClassList { path: path.into(), colours: colours.unwrap_or(false), named })
    }

    /// The number of names that are classes.
    pub fn len(&self) -> usize {
        self.named.iter().filter(|(_, name)| meaning(name) == Meaning::Class).count()
    }

    /// The names of the classes, and the meaning of each pixel value; `binary` masks contain only 0 and 255.
    ///
    /// # Errors
    /// Those of [`classes`].
    pub fn code(&self, binary: bool, reading: &mut Reading) -> Result<(Vec<String>, Arc<Code>), DataError> {
        let mut of: BTreeMap<u32, ClassId> = BTreeMap::new();
        if !self.colours {
            of.extend([(0, 0), (255, IGNORED), (u32::from(u16::MAX), IGNORED)]);
        }
        let mut named = Vec::new();
        for (key, name) in &self.named {
            match meaning(name) {
                Meaning::Background => drop(of.insert(*key, 0)),
                Meaning::NotJudged => {
                    let what =
                        "names of pixels that are not judged, for they say that nobody knows what they are";
                    reading.findings.add(LabelLeftOut, what, name);
                    of.insert(*key, IGNORED);
                }
                Meaning::Class => {
                    // The one class of masks that contain only 0 and 255.
                    let key = if binary { 255 } else { *key };
                    named.push((Key(key, self.colours), name.clone()));
                }
            }
        }
        let (names, mut lists) = classes(MASK, vec![(&self.path, named)], reading)?;
        let classes = lists.pop().unwrap_or_default();
        of.extend(classes.into_iter().map(|(Key(key, _), class)| (key, class as ClassId + 1)));
        let what = if self.colours { "a colour" } else { "an id" };
        let code = Code {
            colours: self.colours,
            classes: of,
            expected: format!("{what} that {} lists", self.path.display()),
            remedy: "add it to the list with its name, or mend the mask",
        };
        Ok((names, Arc::new(code)))
    }
}

/// The fields of every non-empty line, with the line number.
fn rows(path: &Path, content: &str) -> Result<Vec<(usize, Vec<String>)>, DataError> {
    if path.extension().is_some_and(|end| end != "csv") {
        let fields = |line: &str| -> Vec<String> {
            line.split([' ', '\t', ',', ';']).filter(|field| !field.is_empty()).map(String::from).collect()
        };
        let lines = content.lines().enumerate().map(|(index, line)| (index + 1, fields(line)));
        return Ok(lines.filter(|(_, fields)| !fields.is_empty()).collect());
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(text::delimiter(content))
        .from_reader(content.as_bytes());
    let record = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, |place| place.line() as usize);
            text::wrong(path, line, "cells separated by commas", &error.to_string(), REMEDY)
        })?;
        let line = record.position().map_or(0, |place| place.line() as usize);
        Ok((line, record.iter().filter(|cell| !cell.is_empty()).map(String::from).collect()))
    };
    reader.records().map(record).collect()
}

/// The value, the name, and whether the value is a colour.
fn entry(fields: &[String]) -> Option<(u32, String, bool)> {
    let id = |field: &String| field.parse::<u32>().ok().filter(|&id| id <= u32::from(u16::MAX));
    let colour = |fields: &[String]| -> Option<u32> {
        let [r, g, b] = fields else { return None };
        Some(packed([r.parse().ok()?, g.parse().ok()?, b.parse().ok()?]))
    };
    if let [first, second] = fields {
        return match (id(first), id(second)) {
            (Some(id), _) => Some((id, second.clone(), false)),
            (None, Some(id)) => Some((id, first.clone(), false)),
            (None, None) => None,
        };
    }
    let count = fields.len();
    if count < 4 {
        return None;
    }
    // Where spaces separate fields, a name of several words is several fields.
    let (before, after) = (colour(&fields[..3]), colour(&fields[count - 3..]));
    match (before, after) {
        (_, Some(key)) => Some((key, fields[..count - 3].join(" "), true)),
        (Some(key), None) => Some((key, fields[3..].join(" "), true)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str, content: &str) -> Result<ClassList, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
        ClassList::find(&[folder.path()]).map(Option::unwrap).map_err(|error| error.to_string())
    }

    fn named(name: &str, content: &str) -> Vec<(u32, String)> {
        list(name, content).unwrap().named
    }

    #[test]
    fn names_are_counted_from_one_unless_the_first_is_no_class() {
        let expected = |named: &[(u32, &str)]| -> Vec<(u32, String)> {
            named.iter().map(|(id, name)| (*id, name.to_string())).collect()
        };
        assert_eq!(named("classes.txt", "sky\r\nroad\n\n"), expected(&[(1, "sky"), (2, "road")]));
        for first in ["background", "_background_", "unlabeled", "Void"] {
            let text = format!("{first}\nsky\n");
            assert_eq!(named("classes.txt", &text), expected(&[(0, first), (1, "sky")]));
        }
        assert!(list("classes.txt", "sky\n\nroad").err().unwrap().contains("classes.txt, line 2"));
    }

    #[test]
    fn colours_and_ids_stand_before_or_behind_the_name_with_a_header_or_without() {
        let sky = vec![(packed([1, 20, 255]), "blue sky".to_string())];
        for (file, text) in [
            ("class_dict.csv", "name,r,g,b\nblue sky,1,20,255\n"),
            ("classes.csv", "blue sky; 1; 20; 255\n"),
            ("colors.txt", "1 20 255\tblue sky\n"),
            ("label_colors.txt", "blue sky 1 20 255\n"),
            ("classes.csv", "r,g,b,name\n1,20,255,blue sky"),
        ] {
            assert_eq!(named(file, text), sky, "{file}: {text}");
        }
        for text in ["id,name\n7,tree\n", "tree,7\n", "Pixel Value, Class\n7, tree\n"] {
            assert_eq!(named("classes.csv", text), [(7, "tree".to_string())], "{text}");
        }
        for (text, words) in [
            ("name,r,g,b\nsky,1,20,256\n", ["line 2", "0 to 255"]),
            ("sky,1,20,2\nroad,7\n", ["line 2", "colours for all"]),
            ("sky,1,20,2\nroad\n", ["line 2", "road"]),
        ] {
            let message = list("classes.csv", text).err().unwrap();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    }
}

//! Finds the recordings of a folder, their classes and their parts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::photos::splits::name_hash;
use crate::{DataError, Split};

/// Folders that may hold the recordings of a set whose names tell the classes.
const INNER: [&str; 2] = ["recordings", "wavs"];
/// The spellings of parts.
const PARTS: [(&str, Split); 7] = [
    ("train", Split::Train),
    ("training", Split::Train),
    ("val", Split::Validation),
    ("valid", Split::Validation),
    ("validation", Split::Validation),
    ("test", Split::Test),
    ("testing", Split::Test),
];
/// Of how many recordings one is held back for validation, and where it is needed one for testing.
const HELD_BACK: u64 = 10;

/// A recording, its class and where it belongs.
pub(super) struct Recording {
    pub path: PathBuf,
    pub class: usize,
    /// The speaker, or whatever the second part of the name stands for.
    group: Option<String>,
    part: Option<Split>,
}

/// The recordings of a folder in the order of their paths, and the names of their classes.
pub(super) struct Layout {
    folder: PathBuf,
    pub recordings: Vec<Recording>,
    pub classes: Vec<String>,
}

/// What is known of a recording before the classes are numbered.
struct Found {
    path: PathBuf,
    class: String,
    group: Option<String>,
    part: Option<Split>,
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = |source| DataError::Read {
        path: folder.into(),
        source,
        remedy: "give a folder of WAV files that you may read".into(),
    };
    let entries = std::fs::read_dir(folder).map_err(read)?;
    let mut paths =
        entries.map(|entry| Ok(entry.map_err(read)?.path())).collect::<Result<Vec<_>, DataError>>()?;
    // Files beginning with a dot are the system's own.
    paths.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

fn is_wav(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ["wav", "wave"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
        && path.is_file()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The class and the group of a file called `CLASS_GROUP_NUMBER.wav`.
fn by_name(path: &Path) -> Option<[String; 2]> {
    let stem = path.file_stem()?.to_str()?;
    let parts: Vec<&str> = stem.split('_').collect();
    let [class, group, number] = parts[..] else { return None };
    let plain = !class.is_empty() && !group.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (plain && !number.is_empty()).then(|| [class.into(), group.into()])
}

/// The recordings in the folders of classes of `folder`.
fn of_classes(folder: &Path, part: Option<Split>) -> Result<Vec<Found>, DataError> {
    let mut found = Vec::new();
    for class in listed(folder)?.into_iter().filter(|path| path.is_dir()) {
        let wavs = listed(&class)?.into_iter().filter(|path| is_wav(path));
        found.extend(wavs.map(|path| Found { path, class: name(&class), group: None, part }));
    }
    Ok(found)
}

impl Layout {
    /// The recordings of a folder in one of the layouts.
    pub fn find(folder: &Path) -> Result<Layout, DataError> {
        let mut found = Vec::new();
        let part_of = |path: &Path| {
            let own = name(path).to_lowercase();
            PARTS.iter().find(|(spelling, _)| *spelling == own).map(|(_, part)| *part)
        };
        let inner = INNER.iter().map(|name| folder.join(name)).find(|inner| inner.is_dir());
        let flat = listed(inner.as_deref().unwrap_or(folder))?;
        for path in flat.iter().filter(|path| is_wav(path)) {
            let Some([class, group]) = by_name(path) else {
                let expected = "a name of three parts, CLASS_GROUP_NUMBER.wav, or folders of classes";
                let remedy = "put every class into a folder of its own, or rename the files";
                return Err(DataError::malformed(path, "its name", expected, &name(path), remedy));
            };
            found.push(Found { path: path.clone(), class, group: Some(group), part: None });
        }
        if found.is_empty() {
            for path in listed(folder)?.into_iter().filter(|path| path.is_dir()) {
                if let Some(part) = part_of(&path) {
                    found.extend(of_classes(&path, Some(part))?);
                }
            }
        }
        if found.is_empty() {
            found = of_classes(folder, None)?;
        }
        Self::numbered(folder, found)
    }

    fn numbered(folder: &Path, found: Vec<Found>) -> Result<Layout, DataError> {
        let classes: BTreeSet<String> = found.iter().map(|found| found.class.clone()).collect();
        let classes: Vec<String> = classes.into_iter().collect();
        if classes.len() < 2 {
            let found = match &classes[..] {
                [] => "no .wav file in any of them".into(),
                one => format!("one class, {}", one.join("")),
            };
            let expected = "recordings of two classes or more, as FOLDER/CLASS/*.wav, FOLDER/train/CLASS/*.wav or \
                            FOLDER/CLASS_GROUP_NUMBER.wav";
            let remedy = "put every class into a folder of its own";
            return Err(DataError::malformed(folder, "the folder", expected, &found, remedy));
        }
        let recordings = found.into_iter().map(|found| {
            let class = classes.binary_search(&found.class).expect("the list is made of the classes found");
            Recording { path: found.path, class, group: found.group, part: found.part }
        });
        Ok(Layout { folder: folder.into(), recordings: recordings.collect(), classes })
    }

    /// The groups in the order of their names.
    pub fn groups(&self) -> Vec<String> {
        let groups: BTreeSet<&String> =
            self.recordings.iter().filter_map(|found| found.group.as_ref()).collect();
        groups.into_iter().cloned().collect()
    }

    /// The places of the recordings of each part.
    pub fn parts(&self, test_group: Option<&str>) -> Result<[Vec<usize>; 3], DataError> {
        let groups: BTreeSet<&str> =
            self.recordings.iter().filter_map(|found| found.group.as_deref()).collect();
        let unknown = test_group.filter(|group| !groups.contains(group));
        if let Some(group) = unknown {
            let known: Vec<&str> = groups.iter().copied().collect();
            let remedy = if known.is_empty() {
                "only files called CLASS_GROUP_NUMBER.wav have groups; leave it out".into()
            } else {
                format!("give one of {}", known.join(", "))
            };
            return Err(DataError::Option {
                option: "group for testing",
                value: format!("{group:?}"),
                remedy,
            });
        }
        // With a single group nothing would be left to train on.
        let test_group = test_group.or(groups.last().copied().filter(|_| groups.len() > 1));
        let has_parts = self.recordings.iter().any(|found| found.part.is_some());
        let has_validation = self.recordings.iter().any(|found| found.part == Some(Split::Validation));
        let mut parts: [Vec<usize>; 3] = Default::default();
        for (place, recording) in self.recordings.iter().enumerate() {
            let drawn = name_hash(&name(&recording.path)) % HELD_BACK;
            let part = match (recording.part, &recording.group) {
                (Some(Split::Train), _) if !has_validation && drawn == 0 => Split::Validation,
                (Some(part), _) => part,
                (None, Some(group)) if Some(group.as_str()) == test_group => Split::Test,
                _ if drawn == 0 => Split::Validation,
                _ if drawn == 1 && !has_parts && test_group.is_none() => Split::Test,
                _ => Split::Train,
            };
            parts[part as usize].push(place);
        }
        self.check(&parts)?;
        Ok(parts)
    }

    /// Every class must occur in training.
    fn check(&self, parts: &[Vec<usize>; 3]) -> Result<(), DataError> {
        let mut counts: BTreeMap<usize, usize> = (0..self.classes.len()).map(|class| (class, 0)).collect();
        for &place in &parts[Split::Train as usize] {
            *counts.entry(self.recordings[place].class).or_default() += 1;
        }
        match counts.into_iter().find(|(_, count)| *count == 0) {
            None => Ok(()),
            Some((class, _)) => {
                let found = format!("none of {}", self.classes[class]);
                let remedy = "add recordings of it, or remove the class";
                Err(DataError::malformed(
                    &self.folder,
                    "training",
                    "recordings of every class",
                    &found,
                    remedy,
                ))
            }
        }
    }
}

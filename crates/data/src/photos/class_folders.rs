//! One folder of pictures per class: `FOLDER/CLASS/NAME.jpg`, or `FOLDER/train/CLASS/NAME.jpg` with folders for the
//! parts, in any of their spellings. Pictures in folders below a class belong to that class.
//!
//! | label | says |
//! |---|---|
//! | `class` | the name of the folder; the classes are in alphabetical order |
//!
//! Any folder with folders of pictures looks like this layout, so a folder is only recognised if nothing contradicts
//! it: it must have at least two folders with pictures, with names that are neither those of other layouts (`images`,
//! `labels`, `masks`, ..) nor those of parts, and no label files beside the pictures. `--format class-folders` reads
//! any other folder as well.
//!
//! A class whose folders are all empty is not a class. Pictures outside all class folders are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::reading::{Reading, classes};
use super::{Format, Photo, files};
use crate::FindingKind::{LeftOut, Suspicious};
use crate::dataset::{CLASS, LabelInfo, LabelKind};
use crate::{DataError, Split};

pub(super) const FORMAT: Format = Format {
    name: "class-folders",
    what: "a folder of pictures for each class, also in train/, val/ and test/",
    is_at,
    read,
};

/// Folder names of other layouts, in lower case; they are not taken for classes unless the format is given.
const OTHERS: [&str; 22] = [
    "images",
    "image",
    "imgs",
    "img",
    "jpegimages",
    "pictures",
    "photos",
    "labels",
    "label",
    "annotations",
    "annotation",
    "masks",
    "mask",
    "segmentations",
    "segmentationclass",
    "segmentationobject",
    "trimaps",
    "imagesets",
    "xml",
    "xmls",
    "json",
    "__macosx",
];
/// Extensions of label files that lie beside pictures.
const LABELS: [&str; 3] = ["xml", "txt", "json"];

/// The arrangement of the folders.
enum Layout {
    /// Folders of classes.
    Classes(Vec<PathBuf>),
    /// Folders of parts, and the other folders beside them.
    Parts(Vec<(Split, PathBuf)>, Vec<PathBuf>),
}

/// Whether a folder has a name that other layouts use.
fn is_other(folder: &Path) -> bool {
    OTHERS.contains(&files::name(folder).to_lowercase().as_str())
}

fn holds_loose_picture(folder: &Path) -> bool {
    files::entries(folder).unwrap_or_default().iter().any(|path| path.is_file() && files::is_picture(path))
}

/// Whether a picture is in the folder or below it; subfolders are searched as deep as [`files::files_below`] does.
fn holds_picture(folder: &Path) -> bool {
    holds_loose_picture(folder)
        || files::files_below(folder).is_ok_and(|files| files.iter().any(|path| files::is_picture(path)))
}

/// A folder with the name of a part is a part if its pictures are in subfolders. If the pictures are directly in it, it
/// is a class (`train`, beside `car`), unless there are folders of parts with classes beside it.
fn layout(path: &Path) -> Layout {
    let below = files::folders(path);
    let part = |folder: &PathBuf| files::part(&files::name(folder));
    let has_classes = |folder: &PathBuf| {
        files::folders(folder).iter().any(|class| !is_other(class) && holds_picture(class))
    };
    let divided = below
        .iter()
        .any(|folder| part(folder).is_some() && has_classes(folder) && !holds_loose_picture(folder));
    if !divided {
        return Layout::Classes(below);
    }
    let (parts, rest): (Vec<PathBuf>, Vec<PathBuf>) =
        below.into_iter().partition(|folder| part(folder).is_some());
    Layout::Parts(
        parts.into_iter().filter_map(|folder| part(&folder).map(|part| (part, folder))).collect(),
        rest,
    )
}

fn is_at(path: &Path) -> bool {
    if !path.is_dir() {
        return false;
    }
    let of = match layout(path) {
        Layout::Classes(classes) => classes,
        Layout::Parts(parts, _) => parts.iter().flat_map(|(_, folder)| files::folders(folder)).collect(),
    };
    let looks: Vec<(String, Look)> = of
        .iter()
        .filter(|folder| !is_other(folder))
        .map(|folder| (files::name(folder), Look::at(folder)))
        .collect();
    let names: BTreeSet<&String> =
        looks.iter().filter(|(_, look)| look.pictures && !look.is_set).map(|(name, _)| name).collect();
    // `train` alone may be a class. `train` and `test` together are parts with unsorted pictures.
    let like_parts = names.iter().filter(|name| files::part(name).is_some()).count();
    like_parts <= 1 && names.len() >= 2 + like_parts && !looks.iter().any(|(_, look)| look.labelled)
}

/// The contents of a folder that may be a class, and of the folders below it.
struct Look {
    pictures: bool,
    /// A subfolder has a name that other layouts use: `day/images` and `day/labels` are not pictures of a class "day".
    is_set: bool,
    /// A label file has the name of a picture beside it.
    labelled: bool,
}

impl Look {
    fn at(folder: &Path) -> Look {
        let found = files::files_below(folder).unwrap_or_default();
        let (labels, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
            found.iter().partition(|path| LABELS.contains(&files::ending(path).as_str()));
        let pictures: Vec<&PathBuf> = others.into_iter().filter(|path| files::is_picture(path)).collect();
        let labels: BTreeSet<PathBuf> = labels.iter().map(|path| path.with_extension("")).collect();
        let in_other =
            |path: &Path| path.ancestors().skip(1).take_while(|above| *above != folder).any(is_other);
        Look {
            pictures: !pictures.is_empty(),
            is_set: pictures.iter().any(|path| in_other(path)),
            labelled: !labels.is_empty()
                && pictures.iter().any(|path| labels.contains(&path.with_extension(""))),
        }
    }
}

fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    // Class, part and picture.
    let mut found: Vec<(String, Option<Split>, PathBuf)> = Vec::new();
    match layout(path) {
        Layout::Classes(folders) => {
            read_classes(path, &folders, None, &mut found, reading)?;
        }
        Layout::Parts(parts, rest) => {
            refuse_classes_beside_a_part(path, &parts, &rest)?;
            for folder in rest {
                for picture in files::pictures(&folder, reading)? {
                    leave_out(&picture, "pictures in folders that stand for no part", reading);
                }
            }
            leave_out_loose(path, reading)?;
            let mut seen = BTreeMap::new();
            for (part, folder) in parts {
                if let Some(first) = seen.insert(part as usize, folder.clone()) {
                    let both = format!("{} and {}", first.display(), folder.display());
                    reading.findings.add(Suspicious, "pairs of folders that stand for one part", both);
                }
                read_classes(&folder, &files::folders(&folder), Some(part), &mut found, reading)?;
            }
        }
    }
    if found.is_empty() {
        return Err(DataError::Malformed {
            path: path.into(),
            place: "the folder".into(),
            expected: "folders of pictures, one for each class".into(),
            found: "no picture in a folder of a class".into(),
            remedy: "compare with the layout in docs/data.md".into(),
        });
    }
    let names: BTreeSet<&String> = found.iter().map(|(class, _, _)| class).collect();
    let keyed: Vec<(String, String)> = names.into_iter().map(|name| (name.clone(), name.clone())).collect();
    tell_names_alike(&keyed, reading);
    let (names, mut of) = classes(CLASS, vec![(path, keyed)], reading)?;
    let of = of.pop().unwrap_or_default();
    for (class, part, picture) in found {
        let Some(size) = reading.header(&picture).map(|header| header.upright) else { continue };
        // Names are relative to the part: `cat/1` keeps its name if the part is renamed.
        let base = part
            .and_then(|_| picture.strip_prefix(path).ok()?.components().next())
            .map(|first| path.join(first));
        let stem = files::stem(base.as_deref().unwrap_or(path), &picture).to_string_lossy().into_owned();
        reading.photos.push(Photo { part, class: Some(of[&class]), ..Photo::new(stem, picture, size) });
    }
    reading.labels = vec![LabelInfo::new(CLASS, LabelKind::Class, &names)];
    Ok(())
}

/// The pictures of the class folders inside one folder.
fn read_classes(
    folder: &Path,
    classes: &[PathBuf],
    part: Option<Split>,
    found: &mut Vec<(String, Option<Split>, PathBuf)>,
    reading: &mut Reading,
) -> Result<(), DataError> {
    leave_out_loose(folder, reading)?;
    for class in classes {
        let pictures = files::pictures(class, reading)?;
        if pictures.is_empty() {
            reading.findings.add(Suspicious, "folders of classes without pictures", class.display());
        }
        for below in files::folders(class).iter().filter(|below| files::part(&files::name(below)).is_some()) {
            let what = "folders named like parts below a class: all of them are pictures of the class";
            reading.findings.add(Suspicious, what, below.display());
        }
        reading.found += pictures.len();
        found.extend(pictures.into_iter().map(|picture| (files::name(class), part, picture)));
    }
    Ok(())
}

fn leave_out(picture: &Path, what: &str, reading: &mut Reading) {
    reading.found += 1;
    reading.findings.add(LeftOut, what, picture.display());
}

/// Reports the pictures that lie beside the folders of classes or parts.
fn leave_out_loose(folder: &Path, reading: &mut Reading) -> Result<(), DataError> {
    for path in files::entries(folder)?.iter().filter(|path| path.is_file() && files::is_picture(path)) {
        leave_out(path, "pictures in no folder of a class", reading);
    }
    Ok(())
}

/// A single part beside folders of pictures may be a class with the name of a part, with folders below it.
fn refuse_classes_beside_a_part(
    path: &Path,
    parts: &[(Split, PathBuf)],
    rest: &[PathBuf],
) -> Result<(), DataError> {
    let beside: Vec<String> =
        rest.iter().filter(|folder| holds_picture(folder)).map(|folder| files::name(folder)).collect();
    let [(_, part)] = parts else { return Ok(()) };
    if beside.is_empty() {
        return Ok(());
    }
    let part = files::name(part);
    Err(DataError::Malformed {
        path: path.into(),
        place: "the folder".into(),
        expected: "folders of classes, or folders of parts".into(),
        found: format!("{part}, which is a part or a class, beside {}", beside.join(", ")),
        remedy: format!("put the other parts beside {part}, or rename it if it is a class"),
    })
}

/// Two spellings of one name would be two classes.
fn tell_names_alike(names: &[(String, String)], reading: &mut Reading) {
    let mut folded: BTreeMap<String, &String> = BTreeMap::new();
    for (name, _) in names {
        if let Some(other) = folded.insert(name.trim().to_lowercase(), name) {
            let what = "classes whose names differ in capitals alone";
            reading.findings.add(Suspicious, what, format!("{other} and {name}"));
        }
    }
}

//! The layout of Pascal VOC (Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", 2010): an XML file
//! of boxes for each picture.
//!
//! | where | what |
//! |---|---|
//! | `Annotations/NAME.xml` | a picture's objects; also in `annotations/`, `xml/`, `labels/` |
//! | `JPEGImages/NAME.jpg` | the pictures; also in `images/` and the like, or beside the XML files |
//! | `ImageSets/Main/train.txt`, `val.txt`, `test.txt`, `trainval.txt` | the names of each part's pictures |
//! | `SegmentationClass/NAME.png` | masks; see [`masks`] |
//! | `labelmap.txt`, `classes.txt` | the classes in order, if there is such a file |
//!
//! These files are in the folder itself, or in folders of the parts (`train/`, `valid/`, `test/`) or years (`VOC2007/`,
//! also in `VOCdevkit/`). If pictures and XML files are in the same folder, it is the folder itself or folders of the
//! parts.
//!
//! | label | says |
//! |---|---|
//! | `objects` | every object's box; see [`annotation::Corners`] for how boxes count pixels |
//! | `mask` | the class of every pixel |
//! | `present` | for each class, whether the picture shows it |
//!
//! A picture and an XML file with the same name belong together. `filename` is only used for XML files without such a
//! picture, because it often names another folder, or the picture before it was converted. If there are lists, pictures
//! in no list are left out. A picture without XML file and mask was not annotated: it is left out too. An XML file
//! without objects means that there are none.

pub(super) mod annotation;
mod folders;
mod lists;
pub(super) mod masks;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::annotation::{Corners, REMEDY};
use self::folders::{Entry, roots};
use self::masks::{ClassList, MaskValues, TWENTY};
use super::reading::{Reading, Thing, classes, object_labels, present};
use super::{Format, MaskSource, Photo};
use crate::FindingKind::{Changed, LabelLeftOut, Suspicious};
use crate::dataset::OBJECTS;
use crate::{DataError, IGNORED};

pub(super) const FORMAT: Format = Format {
    name: "voc",
    what: "Annotations/ of .xml files and JPEGImages/, or .xml files beside pictures",
    is_at,
    read,
};

/// The number of masks that are compared with the boxes of their pictures.
const COMPARED: usize = 32;

fn is_at(path: &Path) -> bool {
    !roots(path).is_empty()
}

fn wrong(path: &Path, place: &str, expected: &str, found: &str) -> DataError {
    DataError::malformed(path, place, expected, found, REMEDY)
}

fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let roots = roots(path);
    if roots.is_empty() {
        let expected = "Annotations/ with .xml files, or .xml files beside pictures";
        return Err(wrong(path, "the folder", expected, "neither"));
    }
    let mut entries = Vec::new();
    for root in &roots {
        entries.extend(root.entries(reading)?);
    }
    let folders = roots.iter().map(|root| root.folder.as_path()).chain([path]);
    let listed = ClassList::find(folders)?;
    let (names, of, masks) = class_names(path, listed, &mut entries, reading)?;
    let marked = entries.iter().map(|entry| {
        let objects = entry.annotation.as_ref().map_or(&[][..], |annotation| &annotation.objects);
        (objects, entry.size)
    });
    let corners = Corners::judge(marked, reading);
    let has_masks = masks.is_some() && entries.iter().any(|entry| entry.mask.is_some());
    for entry in entries {
        let mut more = BTreeMap::new();
        let mut objects = None;
        if let Some(annotation) = entry.annotation {
            let mut things = Vec::with_capacity(annotation.objects.len());
            for marked in annotation.objects {
                if marked.difficult {
                    let what = "objects marked as difficult: finding them is neither right nor wrong";
                    reading.findings.add(Changed, what, &marked.place);
                }
                // VOC's metric ignores a difficult object, whether it is found or missed; crowds are treated the same
                // way here.
                let bbox = corners.bbox(marked.corners);
                things.push(Thing {
                    crowd: marked.difficult,
                    ..Thing::new(of[&marked.name], bbox, marked.place)
                });
            }
            let shown = present(things.iter().map(|thing| thing.class), names.len());
            more.insert("present".to_string(), shown);
            objects = Some(reading.things(things, entry.size).0);
        }
        let mask = match (entry.mask, &masks) {
            (Some(path), Some(values)) => MaskSource::Classes(path, values.clone()),
            _ => MaskSource::Missing,
        };
        let photo = Photo::new(entry.name, entry.picture, entry.size);
        reading.photos.push(Photo { part: entry.part, sized: entry.sized, objects, mask, more, ..photo });
    }
    reading.labels = object_labels(&names, has_masks);
    Ok(())
}

/// The classes of a set, the class of each name, and the meaning of its mask pixels, if known.
type Known = (Vec<String>, BTreeMap<String, usize>, Option<Arc<MaskValues>>);

/// The classes that a file lists; otherwise VOC's twenty, if there are masks and all objects have VOC's names;
/// otherwise the names of the objects in alphabetical order. Masks that agree with none of these are removed from the
/// entries and reported.
fn class_names(
    path: &Path,
    listed: Option<ClassList>,
    entries: &mut [Entry],
    reading: &mut Reading,
) -> Result<Known, DataError> {
    let mut used: BTreeMap<String, (String, PathBuf)> = BTreeMap::new();
    for annotation in entries.iter().filter_map(|entry| entry.annotation.as_ref()) {
        for object in &annotation.objects {
            used.entry(object.name.clone())
                .or_insert_with(|| (object.place.clone(), annotation.path.clone()));
        }
    }
    let mut folded: BTreeMap<String, &String> = BTreeMap::new();
    for name in used.keys() {
        if let Some(other) = folded.insert(name.to_lowercase(), name) {
            let what = "classes whose names differ in capitals alone";
            reading.findings.add(Suspicious, what, format!("{other} and {name}"));
        }
    }
    let has_masks = entries.iter().any(|entry| entry.mask.is_some());
    let fits_twenty = !used.is_empty() && used.keys().all(|name| TWENTY.contains(&name.as_str()));
    let given = listed.is_some();
    let list = listed.or_else(|| (has_masks && fits_twenty).then(|| ClassList::twenty(path)));
    let (source, names): (&Path, Vec<String>) = match &list {
        Some(list) => (&list.path, list.names().cloned().collect()),
        None => (path, used.keys().cloned().collect()),
    };
    if names.is_empty() && has_masks {
        let expected = "labelmap.txt or classes.txt, which name the classes of the masks";
        return Err(wrong(path, "the folder", expected, "neither, and no object to tell them from"));
    }
    let keyed = names.iter().map(|name| (name.clone(), name.clone())).collect();
    if let Some((name, (place, file))) = used.iter().find(|(name, _)| !names.contains(name)) {
        let expected = format!("a class that {} lists", source.display());
        return Err(wrong(file, place, &expected, &format!("\"{name}\"")));
    }
    let (names, mut of) = classes(OBJECTS, vec![(source, keyed)], reading)?;
    let of = of.pop().unwrap_or_default();
    let values = list.map(|list| list.values(&of));
    let trusted = match &values {
        Some(values) if has_masks => agree(values, given, &of, entries)?,
        _ => false,
    };
    if !trusted {
        for entry in entries.iter_mut() {
            if let Some(mask) = entry.mask.take() {
                let what = "masks whose classes are not known, or are not those of their boxes: list the names in classes.txt";
                reading.findings.add(LabelLeftOut, what, mask.display());
            }
        }
        return Ok((names, of, None));
    }
    Ok((names, of, values.map(Arc::new)))
}

/// Whether most of the first masks agree with the boxes of their pictures. A mask does not say what its numbers mean:
/// masks of a user's own classes, read as VOC's classes, would teach the wrong classes without any error.
///
/// # Errors
/// The error of a mask that holds numbers outside a `given` list of classes.
fn agree(
    values: &MaskValues,
    given: bool,
    of: &BTreeMap<String, usize>,
    entries: &[Entry],
) -> Result<bool, DataError> {
    let (mut compared, mut other) = (0, 0);
    for entry in entries {
        let (Some(mask), Some(annotation)) = (&entry.mask, &entry.annotation) else { continue };
        if compared == COMPARED {
            break;
        }
        compared += 1;
        let boxed: BTreeSet<usize> = annotation.objects.iter().map(|object| of[&object.name]).collect();
        let shown = match values.read(mask, entry.size) {
            Ok(mask) => mask.classes,
            Err(error) if given => return Err(error),
            Err(_) => {
                other += 1;
                continue;
            }
        };
        let drawn: BTreeSet<u16> =
            shown.into_iter().filter(|&value| value != 0 && value != IGNORED).collect();
        other += usize::from(drawn.iter().any(|&value| !boxed.contains(&(usize::from(value) - 1))));
    }
    Ok(2 * other <= compared && (given || compared > 0))
}

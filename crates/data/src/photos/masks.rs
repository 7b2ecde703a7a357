//! Pictures and their masks in two folders, with files of the same names.
//!
//! | folder of pictures | folder of masks |
//! |---|---|
//! | `images`, `image`, `imgs`, `img` | `masks`, `mask`, `labels`, `annotations`, `gt` |
//!
//! The folders of the parts are above (`train/images`, `train/masks`) or below (`images/train`, `masks/train`). A mask
//! has the name of its picture, or that name with `_mask` or a similar suffix. Alternatively, a YAML file gives the
//! folders:
//!
//! ```yaml
//! train: { images: pictures/train, masks: masks/train }
//! val: { images: pictures/val, masks: masks/val }
//! classes: { 0: background, 1: cat, 7: dog }
//! ```
//!
//! Its paths are relative to it, to its `path`, or to a folder named after it. If both folders of a validation or test
//! part are missing, the part was not downloaded: it is left out, and the account says so.
//!
//! Masks hold ids or colours, and a [list](super::class_list) in the folder, or among the masks, names the classes.
//! With a list, opening the set reads masks until one contains a value other than 0 and 255; 255 is then ignored. Masks
//! that contain only these two values show one class. Without a list all masks are read, and the ids are the names of
//! the classes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::class_list::{ClassList, is_list};
use super::files::{self, ByStem};
use super::painted::{Code, different};
use super::reading::Reading;
use super::yaml::{self, Names};
use super::{Format, MaskSource, Photo, table, text};
use crate::FindingKind::{Changed, LabelLeftOut, LeftOut};
use crate::dataset::{LabelInfo, LabelKind, MASK};
use crate::image_file::Header;
use crate::{DataError, Split};

const PICTURES: [&str; 4] = ["images", "image", "imgs", "img"];
const MASKS: [&str; 5] = ["masks", "mask", "labels", "annotations", "gt"];
/// Formats that keep numbers exactly; JPEG does not.
const ENDINGS: [&str; 5] = ["png", "bmp", "tif", "tiff", "gif"];
/// Suffixes of a mask's name after the picture's name.
const SUFFIXES: [&str; 9] =
    ["", "_mask", "-mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation"];
const REMEDY: &str = "compare with the layout in docs/data.md";

pub(super) const FORMAT: Format =
    Format { name: "masks", what: "folders of pictures and of masks of the same names", is_at, read };

/// A folder of pictures and the folder of their masks.
struct Pair {
    pictures: PathBuf,
    masks: PathBuf,
    part: Option<Split>,
}

fn is_at(path: &Path) -> bool {
    if path.is_file() {
        return is_description(path);
    }
    // A table may assign the masks to the pictures.
    description_in(path).is_some() || !pairs(path).is_empty() && !table::names_masks(path)
}

/// Whether a YAML file describes folders of masks.
pub(super) fn is_description(path: &Path) -> bool {
    let names_masks = |text: String| text.lines().any(|line| line.contains("masks:"));
    yaml::is_yaml(path) && text::read(path).is_ok_and(names_masks)
}

/// The only YAML file of a folder, if it describes masks.
fn description_in(folder: &Path) -> Option<PathBuf> {
    let [only] = &yaml::in_folder(folder)[..] else { return None };
    is_description(only).then(|| only.clone())
}

/// The pairs of a folder, and those of its part folders.
fn pairs(folder: &Path) -> Vec<Pair> {
    let entries = files::entries(folder).unwrap_or_default();
    let folders: Vec<PathBuf> = entries.into_iter().filter(|path| path.is_dir()).collect();
    let mut found: Vec<Pair> = pair(folder, None).into_iter().collect();
    for below in folders {
        let name = below.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        found.extend(files::part(&name).and_then(|part| pair(&below, Some(part))));
    }
    found
}

fn pair(folder: &Path, part: Option<Split>) -> Option<Pair> {
    let entries = files::entries(folder).ok()?;
    let named = |names: &[&str]| -> Vec<PathBuf> {
        let is = |path: &&PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
            path.is_dir() && name.is_some_and(|name| names.contains(&name.as_str()))
        };
        entries.iter().filter(is).cloned().collect()
    };
    let pictures = named(&PICTURES).into_iter().next()?;
    let masks = named(&MASKS).into_iter().find(|folder| holds_masks(folder))?;
    Some(Pair { pictures, masks, part })
}

/// Whether a folder holds pictures and no annotations of another kind: other formats use folders with the same names.
fn holds_masks(folder: &Path) -> bool {
    let found = files::files_below(folder).unwrap_or_default();
    let is_mask = |path: &PathBuf| ENDINGS.contains(&files::ending(path).as_str());
    let is_other =
        |path: &PathBuf| ["json", "xml", "txt"].contains(&files::ending(path).as_str()) && !is_list(path);
    found.iter().any(is_mask) && !found.iter().any(is_other)
}

/// The content of the YAML file.
#[derive(Deserialize)]
struct Description {
    path: Option<String>,
    train: Place,
    #[serde(alias = "valid", alias = "validation")]
    val: Option<Place>,
    test: Option<Place>,
    #[serde(alias = "names")]
    classes: Option<Names>,
}

#[derive(Deserialize)]
struct Place {
    images: String,
    masks: String,
}

fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let yaml = if path.is_file() { Some(path.to_path_buf()) } else { description_in(path) };
    let (pairs, list) = match &yaml {
        Some(yaml) => described(yaml, reading)?,
        None => (pairs(path), None),
    };
    if pairs.is_empty() {
        let expected = format!("a folder {} and a folder {} in it", PICTURES.join("/"), MASKS.join("/"));
        return Err(wrong(path, "the folder", &expected, "no such pair"));
    }
    let list = match list {
        Some(list) => Some(list),
        None => {
            let home = yaml.as_deref().and_then(Path::parent).unwrap_or(path);
            let folders = pairs.iter().flat_map(|pair| [pair.masks.parent(), Some(&*pair.masks)]);
            let folders: BTreeSet<&Path> = folders.flatten().chain([home]).collect();
            ClassList::find(&folders.into_iter().collect::<Vec<_>>())?
        }
    };
    let mut matched = Vec::new();
    for pair in &pairs {
        matched.extend(match_up(pair, reading)?);
    }
    if !matched.iter().any(|found: &Found| found.part.unwrap_or(Split::Train) == Split::Train) {
        let folders: Vec<String> = pairs.iter().map(|pair| pair.masks.display().to_string()).collect();
        let expected = format!("masks for the training pictures, in {}", folders.join(" or "));
        return Err(wrong(path, "the folder", &expected, "none that is called like one of them"));
    }
    let masks: Vec<&Path> = matched.iter().map(|found| found.mask.as_path()).collect();
    let (names, code) = code(&masks, list, reading)?;
    for Found { name, picture, mask, part } in matched {
        // The mask's size shows in which orientation the picture was annotated.
        let size = Header::read(&mask)?.stored;
        if !reading.check(&picture, size)? {
            continue;
        }
        let mask = MaskSource::Painted(mask, Arc::clone(&code));
        reading.photos.push(Photo { part, sized: true, mask, ..Photo::new(name, picture, size) });
    }
    reading.labels = vec![LabelInfo::new(MASK, LabelKind::Mask, &names)];
    Ok(())
}

/// The pairs of a YAML file that exist, and its classes.
fn described(yaml: &Path, reading: &mut Reading) -> Result<(Vec<Pair>, Option<ClassList>), DataError> {
    let text = text::read(yaml)?;
    let description: Description = serde_saphyr::from_str(&text).map_err(|error| {
        let place = error.location().map_or("the file".into(), |at| format!("line {}", at.line()));
        let expected = "YAML with train, val and test, each with images and masks, and classes";
        wrong(yaml, &place, expected, error.to_string().lines().next().unwrap_or(""))
    })?;
    let beside = yaml.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = yaml.with_extension("");
    let bases = description.path.iter().map(|path| beside.join(path)).chain([beside.to_path_buf(), own]);
    let bases: Vec<PathBuf> = bases.collect();
    let mut pairs = Vec::new();
    for (key, place, part) in [
        ("train", Some(&description.train), Split::Train),
        ("val", description.val.as_ref(), Split::Validation),
        ("test", description.test.as_ref(), Split::Test),
    ] {
        let Some(place) = place else { continue };
        let tried = bases.iter().map(|base| [base.join(&place.images), base.join(&place.masks)]);
        let tried: Vec<[PathBuf; 2]> = tried.collect();
        if let Some([pictures, masks]) = tried.iter().find(|pair| pair.iter().all(|folder| folder.is_dir())) {
            pairs.push(Pair { pictures: pictures.clone(), masks: masks.clone(), part: Some(part) });
        } else if part != Split::Train && !tried.iter().flatten().any(|folder| folder.is_dir()) {
            let what = "parts of which there is neither the folder of pictures nor that of masks";
            reading.findings.add(LeftOut, what, format!("{key} of {}", yaml.display()));
        } else {
            let tried: Vec<String> = tried.iter().flatten().map(|path| path.display().to_string()).collect();
            let expected = format!("folders of images and masks, at {}", tried.join(" or "));
            return Err(wrong(yaml, key, &expected, "not both of them"));
        }
    }
    let list = description.classes.map(|names| ClassList::of_ids(yaml, names.0));
    Ok((pairs, list))
}

/// A picture and its mask.
struct Found {
    name: String,
    picture: PathBuf,
    mask: PathBuf,
    part: Option<Split>,
}

/// The pictures of a pair that have a mask; everything else becomes a finding.
fn match_up(pair: &Pair, reading: &mut Reading) -> Result<Vec<Found>, DataError> {
    let pictures = files::pictures(&pair.pictures, reading)?;
    reading.found += pictures.len();
    let mut masks = ByStem::new(&pair.masks, &ENDINGS)?;
    let mut found = Vec::new();
    let mut by_mask: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for picture in pictures {
        let stem = files::stem(&pair.pictures, &picture);
        let taken = SUFFIXES.iter().find_map(|suffix| {
            let mut name: OsString = stem.clone();
            name.push(suffix);
            masks.take(&name)
        });
        let Some(mask) = taken else {
            reading.findings.add(LeftOut, "pictures without a mask", picture.display());
            continue;
        };
        if let Some(other) = by_mask.insert(mask.clone(), picture.clone()) {
            let both = format!("{} and {}", other.display(), picture.display());
            return Err(wrong(&mask, "the file", "the mask of one picture", &both));
        }
        let below = picture.strip_prefix(&pair.pictures).ok().and_then(|path| path.components().next());
        let below = below.and_then(|first| files::part(&first.as_os_str().to_string_lossy()));
        let folder = (picture.parent() != Some(&pair.pictures)).then_some(below).flatten();
        let name = stem.to_string_lossy().into_owned();
        found.push(Found { name, picture, mask, part: pair.part.or(folder) });
    }
    for mask in masks.left() {
        reading.findings.add(LabelLeftOut, "masks that belong to no picture", mask.display());
    }
    Ok(found)
}

/// The classes of masks, and the meaning of their pixels.
pub(super) fn code(
    masks: &[&Path],
    list: Option<ClassList>,
    reading: &mut Reading,
) -> Result<(Vec<String>, Arc<Code>), DataError> {
    if let Some(list) = list.as_ref().filter(|list| list.colours) {
        return list.code(false, reading);
    }
    let mut ids = BTreeSet::new();
    for mask in masks {
        ids.extend(different(mask, false).map_err(with_colours_remedy)?);
        if list.is_some() && ids.iter().any(|&id| id != 0 && id != 255) {
            break;
        }
    }
    let binary = ids.contains(&255) && ids.iter().all(|&id| id == 0 || id == 255);
    if let Some(list) = list {
        let binary = binary && list.len() == 1;
        if binary {
            tell_binary(masks, reading);
        }
        return list.code(binary, reading);
    }
    if binary {
        tell_binary(masks, reading);
        return ClassList::of_ids(masks[0], [(255, "foreground".into())]).code(true, reading);
    }
    let named = ids.into_iter().filter(|&id| id != 0 && id != 255 && id != u32::from(u16::MAX));
    let named = named.map(|id| (id as usize, id.to_string()));
    ClassList::of_ids(masks[0], named).code(false, reading)
}

fn tell_binary(masks: &[&Path], reading: &mut Reading) {
    let what = "sets of masks that hold 0 and 255 alone: 255 is their one class, and all pixels are judged";
    reading.findings.add(Changed, what, masks[0].display());
}

/// Adds the remedy for masks in colours: they need a list of the colours.
fn with_colours_remedy(error: DataError) -> DataError {
    match error {
        DataError::Malformed { path, place, expected, found, .. } => {
            let remedy = "list the colours in classes.csv beside the masks: name,r,g,b for each class".into();
            DataError::Malformed { path, place, expected, found, remedy }
        }
        other => other,
    }
}

fn wrong(path: &Path, place: &str, expected: &str, found: &str) -> DataError {
    DataError::malformed(path, place, expected, found, REMEDY)
}

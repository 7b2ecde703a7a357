//! Renames classes and brings them into the order of an expected list, as `--map OLD=NEW` and [`PhotoOptions::classes`]
//! request. It applies to everything that was read.
//!
//! Readers know only the names in their files. Here each label's list of classes is renamed, and classes that get the
//! same name are merged. Annotations of dropped classes are removed: their objects are left out, a picture of a dropped
//! class has no class, and their pixels become background. If no class of the files maps to a class of the expected
//! list, that class is not annotated; samples record this under [`annotated_key`](crate::annotated_key).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reading::Reading;
use super::{MaskSource, Photo, PhotoOptions};
use crate::FindingKind::{Changed, LabelLeftOut, NotAnnotated, Suspicious};
use crate::account::Findings;
use crate::dataset::{CLASS, LabelKind, MASK, OBJECTS};
use crate::{ClassId, DataError, IGNORED, Label, LabelInfo, MOST_CLASSES, Object};

/// The name that drops a class.
const DROPPED: &str = "-";

/// The new index of each class of a label; `None` for a dropped class.
type Places = Vec<Option<usize>>;

/// Reads one renaming as on the command line: `OLD=NEW`, or `OLD=-`.
///
/// # Errors
/// A sentence that explains how to write it.
pub fn parse_map(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.into(), new.into())),
        _ => Err(format!(
            "{text:?} renames nothing; write OLD=NEW, such as kitten=cat, or OLD=- to drop a class"
        )),
    }
}

/// Renames the classes of all labels, and maps them to the lists that the options expect. If the files do not annotate
/// all classes of a label's list, the result says which ones they annotate.
///
/// # Errors
/// [`DataError::Option`] when a label has no class left, when a class is not in the expected list, or when that list is
/// too long.
pub(super) fn apply(
    options: &PhotoOptions,
    reading: &mut Reading,
) -> Result<BTreeMap<String, Vec<bool>>, DataError> {
    let Reading { photos, labels, findings, annotated: read, .. } = reading;
    for (old, new) in &options.map {
        if !labels.iter().any(|label| has_classes(label) && label.classes.contains(old)) {
            findings.add(Suspicious, "names to be mapped that are no class", old);
        } else if new != DROPPED {
            findings.add(Changed, "classes that got another name (--map)", format!("{old} to {new}"));
        }
    }
    let mut annotated: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for label in labels.iter_mut().filter(|label| has_classes(label)) {
        let (classes, places) = renamed(options, label)?;
        // Labels with the same list of classes are read under the name of one of them.
        let shared = || read.values().find(|(names, _)| *names == label.classes);
        let own = read
            .get(&label.name)
            .filter(|(names, _)| *names == label.classes)
            .or_else(shared)
            .map(|(_, own)| own.as_slice());
        let mut known = vec![false; classes.len()];
        for (class, place) in places.iter().enumerate() {
            if let Some(place) = place {
                known[*place] |= own.is_none_or(|own| own[class]);
            }
        }
        if places.iter().enumerate().any(|(class, place)| *place != Some(class)) {
            for photo in photos.iter_mut() {
                findings.picture = Some(photo.path.clone());
                move_label(photo, &label.name, &places, classes.len(), findings);
            }
        } else {
            lengthen(photos, &label.name, classes.len());
        }
        label.classes = classes;
        for (class, _) in label.classes.iter().zip(&known).filter(|(_, known)| !**known) {
            told.entry(class.clone()).or_default().push(label.name.clone());
        }
        if known.contains(&false) {
            annotated.insert(label.name.clone(), known);
        }
    }
    findings.picture = None;
    for (class, labels) in told {
        let what = "classes that are not held against what is found on these pictures";
        findings.add(NotAnnotated, what, format!("{class} of {}", labels.join(" and ")));
    }
    Ok(annotated)
}

/// Extends sets of classes to the number of classes of their label.
fn lengthen(photos: &mut [Photo], name: &str, count: usize) {
    for photo in photos {
        if let Some(Label::Classes(shown)) = photo.more.get_mut(name) {
            shown.resize(count, false);
        }
    }
}

/// Number labels have names, but no classes.
fn has_classes(label: &LabelInfo) -> bool {
    !matches!(label.kind, LabelKind::Values | LabelKind::ValueMap) && !label.classes.is_empty()
}

/// A label's new list of classes, and the new indices of its own classes.
fn renamed(options: &PhotoOptions, label: &LabelInfo) -> Result<(Vec<String>, Places), DataError> {
    let refuse =
        |value: &str, remedy: String| Err(DataError::Option { option: "--map", value: value.into(), remedy });
    let expected = options.classes.get(&label.name);
    if let Some(expected) = expected.filter(|expected| expected.len() > MOST_CLASSES) {
        return Err(DataError::Option {
            option: "classes",
            value: format!("{} of the label {}", expected.len(), label.name),
            remedy: format!(
                "a label has at most {MOST_CLASSES}; leave out a set, or bring classes together (--map)"
            ),
        });
    }
    let mut classes = expected.cloned().unwrap_or_default();
    let mut places = Vec::with_capacity(label.classes.len());
    for own in &label.classes {
        let name = options.map.get(own).unwrap_or(own);
        let known = classes.iter().position(|class| class == name);
        places.push(match known {
            _ if name == DROPPED => None,
            None if expected.is_some() => {
                let list = classes.join(", ");
                return refuse(
                    name,
                    format!(
                        "the label {} is to have the classes {list} alone; map {own} to one, or drop it",
                        label.name
                    ),
                );
            }
            None => {
                classes.push(name.clone());
                Some(classes.len() - 1)
            }
            known => known,
        });
    }
    match classes.is_empty() {
        true => refuse(
            &label.classes.join(", "),
            format!("it drops every class of the label {}; keep one", label.name),
        ),
        false => Ok((classes, places)),
    }
}

/// Maps one label of a photo to the new classes.
fn move_label(photo: &mut Photo, name: &str, places: &Places, count: usize, findings: &mut Findings) {
    let picture = photo.path.display().to_string();
    let mut objects = |found: Vec<Object>| -> Vec<Object> {
        let moved = found.into_iter().filter_map(|object| {
            let class = places[object.class];
            if class.is_none() {
                findings.add(LabelLeftOut, "objects of classes that are dropped (--map)", &picture);
            }
            class.map(|class| Object { class, ..object })
        });
        moved.collect()
    };
    match name {
        CLASS => photo.class = photo.class.and_then(|class| places[class]),
        OBJECTS => photo.objects = photo.objects.take().map(objects),
        MASK => {
            // Mask values are background, then the classes; ignored pixels stay ignored.
            let values = places.iter().map(|place| place.map_or(0, |place| place as ClassId + 1));
            let values: Arc<[ClassId]> = std::iter::once(0).chain(values).collect();
            photo.mask = match std::mem::replace(&mut photo.mask, MaskSource::Missing) {
                MaskSource::Missing => MaskSource::Missing,
                MaskSource::Outlines(mut outlines) => {
                    outlines
                        .iter_mut()
                        .for_each(|outline| map_mask(std::slice::from_mut(&mut outline.value), &values));
                    MaskSource::Outlines(outlines)
                }
                source => MaskSource::Mapped(Box::new(source), values),
            };
        }
        _ => {
            let Some(label) = photo.more.remove(name) else { return };
            let moved = match label {
                Label::Class(class) => places[class].map(Label::Class),
                Label::Objects(found) => Some(Label::Objects(objects(found))),
                Label::Classes(shown) => {
                    let mut all = vec![false; count];
                    for (place, shown) in places.iter().zip(shown) {
                        if let Some(place) = place {
                            all[*place] |= shown;
                        }
                    }
                    Some(Label::Classes(all))
                }
                other => Some(other),
            };
            photo.more.extend(moved.map(|label| (name.to_string(), label)));
        }
    }
}

/// Maps mask values to the new classes.
pub(super) fn map_mask(classes: &mut [ClassId], values: &[ClassId]) {
    for class in classes.iter_mut().filter(|class| **class != IGNORED) {
        *class = values.get(usize::from(*class)).copied().unwrap_or(*class);
    }
}

//! Classes under other names, and in the order of an expected list: what `--map OLD=NEW` and [`PhotoOptions::classes`] ask
//! for, done to everything that was read.
//!
//! Readers know the names of their files alone. Here each label's list of classes is renamed, classes that get the same
//! name become one, and those that are dropped go with what was annotated of them: objects are left out, a picture of
//! a dropped class has no class, pixels of it are background. Classes of an expected list that no class of the files goes to
//! are not annotated, which samples say under [`annotated_key`](crate::annotated_key).

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

/// For each class of a label its new place, `None` for one that is dropped.
type Places = Vec<Option<usize>>;

/// One renaming as it is written on command lines: `OLD=NEW`, or `OLD=-`.
///
/// # Errors
/// A sentence that says how to write it.
pub fn parse_map(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.into(), new.into())),
        _ => Err(format!(
            "{text:?} renames nothing; write OLD=NEW, such as kitten=cat, or OLD=- to drop a class"
        )),
    }
}

/// Renames the classes of all labels, and brings them to the lists that the options expect. Returns, for each label whose
/// list has classes that the files do not annotate, which ones they do.
///
/// # Errors
/// [`DataError::Option`] when a label has no class left, or one that its expected list has not, or when that is too long.
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
        // Labels that share a list of classes are read under the name of one of them.
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

/// Sets of classes get as many entries as their label has classes.
fn lengthen(photos: &mut [Photo], name: &str, count: usize) {
    for photo in photos {
        if let Some(Label::Classes(shown)) = photo.more.get_mut(name) {
            shown.resize(count, false);
        }
    }
}

/// Numbers have names, but no classes.
fn has_classes(label: &LabelInfo) -> bool {
    !matches!(label.kind, LabelKind::Values | LabelKind::ValueMap) && !label.classes.is_empty()
}

/// A label's new list of classes, and where its own go.
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

/// One label of a photo under its new classes.
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
            // Mask values are background, then the classes; what is not judged stays so.
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

/// Mask values under new classes.
pub(super) fn map_mask(classes: &mut [ClassId], values: &[ClassId]) {
    for class in classes.iter_mut().filter(|class| **class != IGNORED) {
        *class = values.get(usize::from(*class)).copied().unwrap_or(*class);
    }
}

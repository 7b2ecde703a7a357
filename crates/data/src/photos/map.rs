//! Classes under other names: what `--map OLD=NEW` asks for, done to everything that was read.
//!
//! Readers know the names of their files alone. Here each label's list of classes is renamed, classes that get the same
//! name become one, and those that are dropped go with what was annotated of them: objects are left out, a picture of
//! a dropped class has no class, pixels of it are background.

use std::sync::Arc;

use super::{MaskSource, Photo, PhotoOptions};
use crate::FindingKind::{Changed, LabelLeftOut, Suspicious};
use crate::account::Findings;
use crate::dataset::{CLASS, LabelKind, MASK, OBJECTS};
use crate::{ClassId, DataError, IGNORED, Label, LabelInfo, Object};

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

/// Renames the classes of all labels, and brings them to the lists that the options expect.
///
/// # Errors
/// [`DataError::Option`] when a label has no class left, or one that its expected list has not.
pub(super) fn apply(
    options: &PhotoOptions,
    photos: &mut [Photo],
    labels: &mut [LabelInfo],
    findings: &mut Findings,
) -> Result<(), DataError> {
    for (old, new) in &options.map {
        if !labels.iter().any(|label| has_classes(label) && label.classes.contains(old)) {
            findings.add(Suspicious, "names to be mapped that are no class", old);
        } else if new != DROPPED {
            findings.add(Changed, "classes that got another name (--map)", format!("{old} to {new}"));
        }
    }
    for label in labels.iter_mut().filter(|label| has_classes(label)) {
        let (classes, places) = renamed(options, label)?;
        for photo in photos.iter_mut() {
            findings.picture = Some(photo.path.clone());
            move_label(photo, &label.name, &places, classes.len(), findings);
        }
        label.classes = classes;
    }
    findings.picture = None;
    Ok(())
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

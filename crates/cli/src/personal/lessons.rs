//! Lessons from labelled data: the images, objects and pixels of a class, for every task that the base has for them.

use std::sync::Arc;

use cerberus::data::{Batch, Dataset, PhotoOptions, Split, open_photos};
use cerberus::personal::hash::bytes_hash;
use cerberus::personal::store::Lesson;
use cerberus::personal::{Base, Kind, Shown, labelled};
use cerberus::train::TrainError;

use super::failure::Failure;
use super::session::Session;

/// The first `samples` pictures of the data that show a class, as lessons.
pub(super) fn of_data(
    session: &Session,
    data: &str,
    class: &str,
    samples: usize,
) -> Result<Vec<Lesson>, Failure> {
    let photos = PhotoOptions {
        size: [session.config.model.image[0], session.config.model.image[1]],
        fit: session.config.fit(),
        repeats: 1,
        augment: 0.0,
        ..PhotoOptions::default()
    };
    let dataset = open_photos(data, session.config.seed, &photos)?;
    let split = if dataset.is_empty(Split::Train) { Split::Test } else { Split::Train };
    let lessons = lessons(&session.base, &dataset, (split, 0), class, samples)?;
    let can_learn = |task: &str| {
        let slot = session.base.slots().iter().find(|slot| slot.task == task);
        let possible = slot.is_some_and(|slot| slot.rows.weight.rows > 0 || slot.kind == Kind::Image);
        possible || session.shared.get(task).is_some_and(|shared| shared.knowledge.is_some())
    };
    let (kept, note) = learnable(lessons, can_learn, (data, class))?;
    if let Some(note) = note {
        eprintln!("note: {note}");
    }
    Ok(kept)
}

/// The lessons of tasks that can learn, and a sentence about the others, if there are any.
///
/// Boxes and pixels are told from the base's own by their embeddings, which `prepare` measures; a classifier at least has
/// a last layer.
fn learnable(
    lessons: Vec<Lesson>,
    can_learn: impl Fn(&str) -> bool,
    (data, class): (&str, &str),
) -> Result<(Vec<Lesson>, Option<String>), Failure> {
    let (kept, left): (Vec<Lesson>, Vec<Lesson>) =
        lessons.into_iter().partition(|lesson| can_learn(&lesson.task));
    let left: Vec<&str> = left.iter().map(|lesson| lesson.task.as_str()).collect();
    let why = format!(
        "{} cannot learn {class:?}: what this base knows of its own classes there was never measured, so that \
         nothing could be told from them; run the command prepare once, then teach again",
        left.join(" and ")
    );
    match (kept.is_empty(), left.is_empty()) {
        (false, true) => Ok((kept, None)),
        (false, false) => Ok((kept, Some(why))),
        (true, false) => Err(Failure::usage(format!("{data}: {why}"))),
        (true, true) => {
            Err(Failure::usage(format!("{data} shows no {class:?} under a label of this base's tasks")))
        }
    }
}

/// The lessons of the first `samples` pictures of a split and epoch that show a class.
///
/// # Errors
/// If a picture cannot be read.
pub fn lessons(
    base: &Base,
    dataset: &Arc<dyn Dataset>,
    (split, epoch): (Split, u64),
    class: &str,
    samples: usize,
) -> Result<Vec<Lesson>, TrainError> {
    let info = dataset.info();
    let mut lessons: Vec<Lesson> = Vec::new();
    let mut taken = 0;
    for index in 0..dataset.len(split) {
        if taken == samples {
            break;
        }
        let sample = dataset.sample(split, epoch, index)?;
        let digest = bytes_hash(&sample.image.to_picture().pixels)[..32].to_string();
        let batch = Batch::assemble(&[sample], vec![index])?;
        let wanted: Vec<_> = base
            .slots()
            .iter()
            .filter_map(|slot| {
                let place = info.label(&slot.label)?.classes.iter().position(|name| name == class)?;
                Some((slot, place + usize::from(slot.kind == Kind::Pixels)))
            })
            .collect();
        if !wanted.iter().any(|(slot, class)| shows(slot.kind, &batch, &slot.label, *class)) {
            continue;
        }
        taken += 1;
        let looked = base.look(batch.images.clone());
        for (slot, class_id) in wanted {
            let shown = labelled(slot, &looked, &batch).into_iter().filter(|shown| shown.class == class_id);
            let pictures = shown.map(|shown| Shown {
                name: format!("{} {split} {index}", info.name),
                digest: if slot.kind == Kind::Image {
                    digest.clone()
                } else {
                    format!("{digest}#{}", shown.part)
                },
                kept: None,
                embedding: shown.embedding,
            });
            let pictures: Vec<Shown> = pictures.collect();
            match lessons.iter_mut().find(|lesson| lesson.task == slot.task) {
                Some(lesson) => lesson.pictures.extend(pictures),
                None if pictures.is_empty() => {}
                None => lessons.push(Lesson { task: slot.task.clone(), class: class.into(), pictures }),
            }
        }
    }
    Ok(lessons)
}

/// The first `samples` pictures of data that are labelled for a task of the base, as one batch; `None` if there is none.
pub(super) fn labelled_batch(
    base: &Base,
    dataset: &dyn Dataset,
    samples: usize,
) -> Result<Option<Batch>, Failure> {
    let split = if dataset.is_empty(Split::Train) { Split::Test } else { Split::Train };
    let mut chosen = Vec::new();
    for index in 0..dataset.len(split) {
        if chosen.len() == samples {
            break;
        }
        let sample = dataset.sample(split, 0, index)?;
        let batch = Batch::assemble(std::slice::from_ref(&sample), vec![index])?;
        if base.model().tasks().iter().any(|task| !task.labelled(&batch).is_empty()) {
            chosen.push(sample);
        }
    }
    let places = (0..chosen.len()).collect();
    Ok(if chosen.is_empty() { None } else { Some(Batch::assemble(&chosen, places)?) })
}

/// Whether the only picture of a batch shows a class, without looking at it.
fn shows(kind: Kind, batch: &Batch, label: &str, class: usize) -> bool {
    match kind {
        Kind::Image => batch.classes_of(label)[0] == Some(class),
        Kind::Boxes => {
            batch.objects_of(label)[0].is_some_and(|objects| objects.iter().any(|o| o.class == class))
        }
        Kind::Pixels => batch.masks_of(label)[0]
            .is_some_and(|mask| mask.classes.iter().any(|&id| usize::from(id) == class)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_without_knowledge_is_named_and_refused_if_nothing_else_is_taught() {
        let lesson = |task: &str| Lesson { task: task.into(), class: "mug".into(), pictures: Vec::new() };
        let lessons = || vec![lesson("classify"), lesson("detect"), lesson("segment")];
        let told = |can: &dyn Fn(&str) -> bool| {
            learnable(lessons(), can, ("photos", "mug")).map_err(|failure| failure.to_string()).unwrap()
        };
        let (kept, note) = told(&|_| true);
        assert!(kept.len() == 3 && note.is_none());
        let (kept, note) = told(&|task| task == "classify");
        let note = note.unwrap();
        assert!(kept.len() == 1 && note.starts_with("detect and segment cannot"), "{note}");
        assert!(note.contains("prepare"), "{note}");
        let refused = |lessons| match learnable(lessons, |_| false, ("photos", "mug")) {
            Ok(_) => panic!("nothing can be learned"),
            Err(failure) => (failure.is_usage(), failure.to_string()),
        };
        let (is_usage, all) = refused(lessons());
        assert!(is_usage && all.starts_with("photos: detect") | all.starts_with("photos: classify"), "{all}");
        assert!(all.contains("prepare"), "{all}");
        let (_, none) = refused(Vec::new());
        assert!(none.contains("shows no \"mug\"") && !none.contains("prepare"), "{none}");
    }
}

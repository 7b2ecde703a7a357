//! The base's predictions for pictures, with the person's classes among them: one trunk pass gives both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cerberus::data::{ClassId, Image, normalise};
use cerberus::metrics::argmax;
use cerberus::multitask::{HeadConfig, Prediction};
use cerberus::nn::Context;
use cerberus::personal::base::Looked;
use cerberus::personal::recogniser::Shared;
use cerberus::personal::{Base, Kind, Recognised, Recogniser};
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::found::to_json;
use crate::look::brought_back;
use crate::pictures::{for_each, inputs};

/// The person's classes for each task.
type Own = BTreeMap<String, Recogniser>;

pub(super) fn run(session: &mut Session, threshold: f32, images: &[PathBuf]) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Failure::usage(format!("--threshold is {threshold}; give a number from 0 to 1")));
    }
    let images = inputs(images)?;
    let store = session.read()?;
    let own = store.learned.recognisers.clone();
    drop(store);
    // The classes that every task can now give: the base's, and the person's after them.
    let mut heads: Vec<HeadConfig> =
        session.base.model().tasks().iter().map(|task| task.config().clone()).collect();
    for slot in session.base.slots().iter().filter(|slot| slot.kind != Kind::Image) {
        if let (Some(index), Some(found)) = (slot.index, own.get(&slot.task)) {
            heads[index].classes.extend(found.classes.iter().cloned());
        }
    }
    let mut context = Context::evaluation();
    let failed = for_each(images.len(), |index| {
        let look = |image: &Image| session.base.look_within(normalise(&[image]), &mut context);
        one(session, &own, (&heads, threshold), &images[index], look).map(|line| Some(line.to_string()))
    });
    match failed {
        0 => Ok(()),
        _ => Err(Failure::from(cerberus::train::TrainError::Folder {
            path: images[0].parent().map_or_else(PathBuf::new, Path::to_path_buf),
            problem: format!("{failed} of {} pictures could not be done", images.len()),
        })),
    }
}

fn one(
    session: &Session,
    own: &Own,
    (heads, threshold): (&[HeadConfig], f32),
    path: &Path,
    look: impl FnOnce(&Image) -> Looked,
) -> Result<Value, Failure> {
    let picture = Image::read(path)?;
    let (placed, placement) = session.place(&picture);
    let looked = look(&placed);
    let predictions: Vec<Prediction> = with_own(&session.base, &session.shared, own, &looked)
        .into_iter()
        .filter_map(|mut batch| batch.pop())
        .map(|prediction| brought_back(prediction, &placement, threshold))
        .collect();
    let found: Vec<(&HeadConfig, &Prediction)> = heads.iter().zip(&predictions).collect();
    let mut line = to_json(path, &picture, &found);
    let base = session.base.classifier().and_then(|index| match &predictions[index] {
        Prediction::Classes(chances) => argmax(chances),
        _ => None,
    });
    let said = own.get(session.image_task());
    let said = said.map(|own| (own, own.recognise(session.image_shared(), &looked.embeddings[0])));
    line["answer"] = answer(session, said.as_ref(), base);
    Ok(line)
}

/// Every task's predictions for a batch, one list per task: an object or a pixel that is of one of the person's classes
/// has its number, after those of the base. What the base takes for background stays that.
pub fn with_own(
    base: &Base,
    shared: &BTreeMap<String, Shared>,
    own: &BTreeMap<String, Recogniser>,
    looked: &Looked,
) -> Vec<Vec<Prediction>> {
    let tasks = base.model().tasks().iter().zip(&looked.outputs);
    let mut predictions: Vec<Vec<Prediction>> = tasks.map(|(task, output)| task.decode(output)).collect();
    for slot in base.slots() {
        let (Some(index), Some(found)) = (slot.index, own.get(&slot.task)) else { continue };
        let recognise = |embedding: &[f32]| {
            found.recognise(&shared[&slot.task], embedding).class.map(|class| slot.classes.len() + class)
        };
        for (image, prediction) in predictions[index].iter_mut().enumerate() {
            match prediction {
                Prediction::Objects(objects) => {
                    for object in objects {
                        let class = recognise(&looked.of_box(image, object.bbox));
                        object.class = class.unwrap_or(object.class);
                    }
                }
                Prediction::Mask(mask) => {
                    let [rows, columns] = looked.cells();
                    // Each position is asked once, and only if the base finds something there.
                    let mut cells: Vec<Option<Option<usize>>> = vec![None; rows * columns];
                    let width = looked.size[1];
                    for (place, id) in mask.iter_mut().enumerate().filter(|(_, id)| **id != 0) {
                        let cell = looked.cell((place / width) as f32, (place % width) as f32);
                        let class = cells[cell[0] * columns + cell[1]]
                            .get_or_insert_with(|| recognise(&looked.of_pixel(image, cell)));
                        *id = class.map_or(*id, |class| (class + 1) as ClassId);
                    }
                }
                _ => {}
            }
        }
    }
    predictions
}

/// The class that is answered, and whose it is.
fn answer(session: &Session, said: Option<&(&Recogniser, Recognised)>, base: Option<usize>) -> Value {
    let base = base.map(|class| session.base.image().classes[class].as_str());
    let Some((own, said)) = said else { return json!({ "class": base, "from": "base" }) };
    let (class, from) = match said.class {
        Some(class) => (Some(own.classes[class].as_str()), "you"),
        None if said.unknown => (None, "nobody"),
        None => (base, "base"),
    };
    json!({
        "class": class,
        "from": from,
        "nearest": own.classes[said.nearest],
        "margin": said.margin - own.threshold,
        "familiarity": said.familiarity,
    })
}

//! The base's predictions for pictures, and the answer with the person's classes: one trunk pass gives both.

use std::path::{Path, PathBuf};

use cerberus::data::{Image, normalise};
use cerberus::metrics::argmax;
use cerberus::multitask::{HeadConfig, Prediction};
use cerberus::personal::{Recognised, Recogniser};
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::found::to_json;
use crate::look::brought_back;
use crate::pictures::{for_each, inputs};

pub(super) fn run(session: &Session, threshold: f32, images: &[PathBuf]) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Failure::usage(format!("--threshold is {threshold}; give a number from 0 to 1")));
    }
    let images = inputs(images)?;
    let store = session.read()?;
    let recogniser = session.recogniser(&store);
    drop(store);
    let failed = for_each(images.len(), |index| {
        one(session, recogniser.as_ref(), threshold, &images[index]).map(|line| Some(line.to_string()))
    });
    match failed {
        0 => Ok(()),
        _ => Err(Failure::from(cerberus::train::TrainError::Folder {
            path: images[0].parent().map_or_else(PathBuf::new, Path::to_path_buf),
            problem: format!("{failed} of {} pictures could not be done", images.len()),
        })),
    }
}

fn one(session: &Session, own: Option<&Recogniser>, threshold: f32, path: &Path) -> Result<Value, Failure> {
    let picture = Image::read(path)?;
    let (placed, placement) = session.place(&picture);
    let looked = session.base.look(normalise(&[&placed]));
    let tasks = session.base.model().tasks().iter().zip(&looked.outputs);
    let predictions: Vec<Prediction> = tasks
        .filter_map(|(task, output)| task.decode(output).pop())
        .map(|prediction| brought_back(prediction, &placement, threshold))
        .collect();
    let heads: Vec<&HeadConfig> = session.base.model().tasks().iter().map(|task| task.config()).collect();
    let found: Vec<(&HeadConfig, &Prediction)> = heads.into_iter().zip(&predictions).collect();
    let mut line = to_json(path, &picture, &found);
    let base = session.base.classifier().and_then(|index| match &predictions[index] {
        Prediction::Classes(chances) => argmax(chances),
        _ => None,
    });
    let said = own.map(|own| (own, own.recognise(&session.shared, &looked.embeddings[0])));
    line["answer"] = answer(session, said.as_ref(), base);
    Ok(line)
}

/// The class that is answered, and whose it is.
fn answer(session: &Session, said: Option<&(&Recogniser, Recognised)>, base: Option<usize>) -> Value {
    let base = base.map(|class| session.base.classes()[class].as_str());
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

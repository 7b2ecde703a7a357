//! Measures what a base knows of its own classes, once, for everybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus::data::{Dataset, EpochPlan, Loader, Split};
use cerberus::nn::Context;
use cerberus::personal::{Base, Kind, Knowledge, Slot, labelled};
use cerberus::train::{TrainConfig, TrainError};

use super::failure::Failure;
use super::session::Session;
use crate::say;

pub(super) fn run(session: &Session, data: Option<&str>, samples: usize) -> Result<(), Failure> {
    if samples == 0 {
        return Err(Failure::usage("--samples must be at least 1"));
    }
    let (dataset, splits) = match data {
        Some(data) => (session.config.open_other(data)?, [Split::Test, Split::Validation]),
        None => (unchanged(&session.config).open_data()?, [Split::Train, Split::Validation]),
    };
    let knowledge = measured(&session.base, &dataset, splits, samples)?;
    let path = session.knowledge_path();
    Knowledge::save(&knowledge, &path, &session.base)?;
    let tasks: Vec<&str> = knowledge.keys().map(String::as_str).collect();
    say!("{}: measured for {}", path.display(), tasks.join(", "));
    Ok(())
}

/// The configuration without what changes which pictures and labels there are. The pictures are augmented as in training:
/// of those that it saw unchanged, a base is surer than of new ones.
fn unchanged(config: &TrainConfig) -> TrainConfig {
    TrainConfig { sampler: None, missing: 0.0, ..config.clone() }
}

/// Embeddings and classes by the base's numbers.
type Found = (Vec<Vec<f32>>, Vec<usize>);

/// What a base knows of its own classes for every task, from at most `samples` pictures of a split, drawn at random but
/// always the same ones; it is judged by as many of another split, if that has any.
///
/// # Errors
/// If a picture cannot be read, or the pictures show too little.
pub fn measured(
    base: &Base,
    dataset: &Arc<dyn Dataset>,
    [learned, judged]: [Split; 2],
    samples: usize,
) -> Result<BTreeMap<String, Knowledge>, TrainError> {
    let slots: Vec<(&Slot, Vec<Option<usize>>)> =
        base.slots().iter().filter_map(|slot| Some((slot, places(slot, &**dataset)?))).collect();
    let learned = seen(base, dataset, (learned, samples), &slots)?;
    let judged = seen(base, dataset, (judged, samples), &slots)?;
    let mut all = BTreeMap::new();
    for (((slot, _), own), others) in slots.iter().zip(&learned).zip(&judged) {
        let [own, others] = [own, others].map(|(embeddings, labels)| (&embeddings[..], &labels[..]));
        let known = Knowledge::measure(own, others, slot.known().len()).map_err(|problem| {
            TrainError::Option(format!("{}: {problem}; give more with --data or --samples", slot.task))
        })?;
        all.insert(slot.task.clone(), known);
    }
    match all.is_empty() {
        true => Err(TrainError::Option(format!(
            "{} has no labels of this base's tasks: there is nothing to measure",
            dataset.info().name
        ))),
        false => Ok(all),
    }
}

/// What a split shows, for each slot with the base's numbers of the data's classes.
fn seen(
    base: &Base,
    dataset: &Arc<dyn Dataset>,
    (split, samples): (Split, usize),
    slots: &[(&Slot, Vec<Option<usize>>)],
) -> Result<Vec<Found>, TrainError> {
    let mut found: Vec<Found> = vec![Found::default(); slots.len()];
    if dataset.is_empty(split) {
        return Ok(found);
    }
    let plan = EpochPlan { limit: Some(samples), batch_size: 32, shuffle: true, ..EpochPlan::new(split) };
    let mut context = Context::evaluation();
    for batch in Loader::new(Arc::clone(dataset), plan)? {
        let batch = batch?;
        let looked = base.look_within(batch.images.clone(), &mut context);
        for ((slot, places), (embeddings, labels)) in slots.iter().zip(&mut found) {
            for shown in labelled(slot, &looked, &batch) {
                if let Some(class) = places.get(shown.class).copied().flatten() {
                    embeddings.push(shown.embedding);
                    labels.push(class);
                }
            }
        }
    }
    Ok(found)
}

/// For each class of the data, which may have others and in another order, the one of the base; `None` if the data lack
/// the slot's label, or the base its task.
fn places(slot: &Slot, dataset: &dyn Dataset) -> Option<Vec<Option<usize>>> {
    slot.index?;
    let names = &dataset.info().label(&slot.label)?.classes;
    let place = |name: &String| slot.classes.iter().position(|known| known == name);
    let own = names.iter().map(place);
    Some(match slot.kind {
        Kind::Pixels => std::iter::once(Some(0)).chain(own.map(|place| Some(place? + 1))).collect(),
        Kind::Image | Kind::Boxes => own.collect(),
    })
}

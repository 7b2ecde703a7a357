//! Measures what a base knows of its own classes, once, for everybody.

use std::sync::Arc;

use cerberus::data::{Dataset, EpochPlan, Loader, Split};
use cerberus::nn::Context;
use cerberus::personal::{Base, Knowledge};
use cerberus::train::{TrainConfig, TrainError};

use super::failure::Failure;
use super::session::Session;
use crate::say;

pub(super) fn run(session: &Session, data: Option<&str>, samples: usize) -> Result<(), Failure> {
    if session.base.label().is_none() {
        return Err(Failure::usage("this base gives images no class: there is nothing to measure"));
    }
    let (dataset, split) = match data {
        Some(data) => (session.config.open_other(data)?, Split::Test),
        None => (unchanged(&session.config).open_data()?, Split::Train),
    };
    let (embeddings, labels) = embeddings(&session.base, &dataset, split, samples)?;
    let knowledge = Knowledge::measure(&embeddings, &labels, session.base.classes().len())
        .map_err(|problem| Failure::usage(format!("{problem}; give more with --data or --samples")))?;
    let path = session.knowledge_path();
    knowledge.save(&path, &session.base)?;
    say!(
        "{}: measured on {} pictures of {} classes",
        path.display(),
        labels.len(),
        session.base.classes().len()
    );
    Ok(())
}

/// The configuration without what changes training pictures.
fn unchanged(config: &TrainConfig) -> TrainConfig {
    let mut config = config.clone();
    config.augment.operations.clear();
    config.sampler = None;
    config.missing = 0.0;
    if let Some(photos) = &mut config.photos {
        (photos.augment, photos.repeats) = (0.0, 1);
    }
    config
}

/// The embeddings of at most `samples` pictures of a split, in a random order that is always the same, and their classes
/// by the base's numbers.
///
/// # Errors
/// If a picture cannot be read.
pub fn embeddings(
    base: &Base,
    dataset: &Arc<dyn Dataset>,
    split: Split,
    samples: usize,
) -> Result<(Vec<Vec<f32>>, Vec<usize>), TrainError> {
    let (label, known) = base.label().map_or(("", &[][..]), |found| found);
    // The data may have other classes, too, in another order.
    let names = dataset.info().label(label).map_or(&[][..], |found| &found.classes);
    let places: Vec<Option<usize>> =
        names.iter().map(|name| known.iter().position(|known| known == name)).collect();
    let plan = EpochPlan { limit: Some(samples), batch_size: 32, shuffle: true, ..EpochPlan::new(split) };
    let (mut embeddings, mut labels) = (Vec::new(), Vec::new());
    let mut context = Context::evaluation();
    for batch in Loader::new(Arc::clone(dataset), plan)? {
        let batch = batch?;
        let looked = base.look_within(batch.images.clone(), &mut context);
        for (class, embedding) in batch.classes_of(label).into_iter().zip(looked.embeddings) {
            if let Some(class) = class.and_then(|class| places[class]) {
                embeddings.push(embedding);
                labels.push(class);
            }
        }
    }
    Ok((embeddings, labels))
}

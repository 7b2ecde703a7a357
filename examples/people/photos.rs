//! Real photographs: a base of some classes is taught another one from a few photographs, several times with others.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus::data::{PhotoOptions, Sample, normalise, open_photos};
use cerberus::metrics::{Estimate, argmax};
use cerberus::multitask::Prediction;
use cerberus::personal::recogniser::{Shared, choose};
use cerberus::personal::{Base, Examples};
use cerberus::prelude::*;
use cerberus::tensor::random::stream;
use cerberus::train::{TrainError, load_model};
use cerberus_cli::say;
use rand::seq::SliceRandom;

/// What is asked for.
pub struct Asked<'a> {
    /// The base's file.
    pub base: &'a Path,
    /// Photographs with the class that is taught.
    pub data: &'a str,
    /// That class.
    pub class: &'a str,
    pub seed: u64,
}

/// Photographs that are shown in a draw, those of each class that are scored, and draws.
const SHOWN: usize = 5;
const SCORED: usize = 30;
const DRAWS: u64 = 5;

/// An embedding and the base's class.
type Seen = (Vec<f32>, usize);

pub fn run(asked: &Asked) -> Result<(), TrainError> {
    let (config, model) = load_model(asked.base)?;
    let failed = |error: cerberus::personal::PersonalError| TrainError::Option(error.to_string());
    let base = Base::new(model, asked.base).map_err(failed)?;
    let image = base.image();
    // Training photographs as the base saw them, changed at random: of others it is surer than of new ones.
    let data = config.open_data()?;
    let mut known = cerberus_cli::personal::measured(&base, &data, [Split::Train, Split::Validation], 2000)?;
    let shared = Shared::new(image.rows.clone(), known.remove(&image.task));

    // What the base was not trained on: held-back photographs of its classes, and all of the new one.
    let mut held: Vec<(String, Vec<Seen>)> = Vec::new();
    for (class, name) in image.classes.iter().enumerate() {
        let seen = of_class(&base, &*data, Split::Test, class)?;
        held.push((name.clone(), seen.into_iter().take(SCORED).collect()));
    }
    let photos = PhotoOptions {
        size: [config.model.image[0], config.model.image[1]],
        fit: config.fit(),
        hold_back: 1.0,
        ..PhotoOptions::default()
    };
    let all = open_photos(asked.data, asked.seed, &photos)?;
    let names = all.info().label(&image.label).map_or(&[][..], |label| &label.classes);
    let Some(place) = names.iter().position(|name| name == asked.class) else {
        let names = names.join(", ");
        return Err(TrainError::Option(format!(
            "{} has no class {:?}; it has {names}",
            asked.data, asked.class
        )));
    };
    let new = of_class(&base, &*all, Split::Test, place)?;
    if new.len() < SHOWN + SCORED {
        return Err(TrainError::Option(format!("{} photographs of {} are too few", new.len(), asked.class)));
    }
    say!(
        "| draw | way | {} | {} | all |",
        held.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" | "),
        asked.class
    );
    let mut columns: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for draw in 0..DRAWS {
        let mut order: Vec<usize> = (0..new.len()).collect();
        order.shuffle(&mut stream(asked.seed, "photographs", draw, 0));
        let (shown, scored) = (&order[..SHOWN], &order[SHOWN..SHOWN + SCORED]);
        let examples = Examples {
            classes: vec![asked.class.into()],
            embeddings: shown.iter().map(|&place| new[place].0.clone()).collect(),
            labels: vec![0; SHOWN],
        };
        let Some(found) = choose(&shared, &image.classes, &examples) else { continue };
        let is_own = |seen: &Seen| found.recognise(&shared, &seen.0).class.is_some();
        let mut shares: Vec<f64> = Vec::new();
        for (class, (_, seen)) in held.iter().enumerate() {
            let right = seen.iter().filter(|seen| !is_own(seen) && seen.1 == class).count();
            shares.push(right as f64 / seen.len().max(1) as f64);
        }
        let right = scored.iter().filter(|&&place| is_own(&new[place])).count();
        shares.push(right as f64 / scored.len() as f64);
        shares.push(shares.iter().sum::<f64>() / shares.len() as f64);
        say!(
            "| {} | {} | {} |",
            draw + 1,
            found.way,
            shares.iter().map(|s| format!("{s:.3}")).collect::<Vec<_>>().join(" | ")
        );
        shares.iter().enumerate().for_each(|(column, &share)| columns.entry(column).or_default().push(share));
    }
    let means: Vec<String> = columns.values().map(|values| Estimate::of(values).percent()).collect();
    say!("| mean, % | | {} |", means.join(" | "));
    Ok(())
}

/// What the base sees of a class.
fn of_class(base: &Base, data: &dyn Dataset, split: Split, class: usize) -> Result<Vec<Seen>, TrainError> {
    let mut found = Vec::new();
    let index =
        base.classifier().ok_or_else(|| TrainError::Option("the base gives images no class".into()))?;
    for number in 0..data.len(split) {
        let sample: Sample = data.sample(split, 0, number)?;
        if sample.class != Some(class) {
            continue;
        }
        let looked = base.look(normalise(&[&sample.image]));
        let said = match base.model().tasks()[index].decode(&looked.outputs[index]).pop() {
            Some(Prediction::Classes(chances)) => argmax(&chances).unwrap_or(0),
            _ => 0,
        };
        found.push((looked.embeddings[0].clone(), said));
    }
    Ok(found)
}

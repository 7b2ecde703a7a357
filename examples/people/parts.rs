//! New classes for the heads that detect and segment: taught from five labelled scenes of each, in the person's style.

use std::collections::BTreeMap;
use std::fmt::Write;

use cerberus::data::{Sample, normalise};
use cerberus::metrics::Estimate;
use cerberus::metrics::boxes::iou;
use cerberus::multitask::Prediction;
use cerberus::personal::recogniser::{Shared, choose};
use cerberus::personal::{Base, Examples, Kind, Recogniser, Slot, Style, labelled};
use cerberus::prelude::*;
use cerberus::train::TrainError;
use cerberus_cli::personal::with_own;

use crate::person::{Person, Scenes};

/// Scenes of each class that are shown.
const SHOWN: usize = 5;
/// A box is found if it overlaps by this much, and is at least this sure.
const FOUND: (f64, f32) = (0.5, 0.1);

/// For one person, of the person's objects and of the base's: the share found by any box, and the share found as what
/// they are; and the IoU of the person's classes' pixels, and the pixels of the base's classes that are still right.
struct Line([f64; 6]);

pub fn run(
    base: &mut Base,
    shared: &BTreeMap<String, Shared>,
    scenes: &Scenes,
    (seed, people): (u64, u64),
) -> Result<String, TrainError> {
    let refused = |problem: String| TrainError::Option(problem);
    let original = Style::of(base.model());
    let mut lines = Vec::new();
    for number in 0..people {
        let pictures = Person::new(seed, number).pictures(scenes)?;
        let batch = normalise(&pictures.unlabelled.iter().map(|sample| &sample.image).collect::<Vec<_>>());
        let style = Style::measure(base.model_mut(), &[batch]).ok_or_else(|| refused("no style".into()))?;
        style.apply(base.model_mut()).map_err(refused)?;
        let mut own = BTreeMap::new();
        for slot in base.slots().iter().filter(|slot| slot.kind != Kind::Image) {
            let examples = examples(base, slot, scenes, &pictures.shown)?;
            own.extend(
                choose(&shared[&slot.task], &slot.known(), &examples).map(|found| (slot.task.clone(), found)),
            );
        }
        let scored = pictures.own.concat();
        lines.push([&BTreeMap::new(), &own].map(|own| line(base, shared, own, scenes, &scored)));
        original.apply(base.model_mut()).map_err(refused)?;
        eprintln!("person {} of {people}", number + 1);
    }
    let names = [
        "own objects found by any box",
        "own objects found as what they are",
        "other objects found by any box",
        "other objects found as what they are",
        "IoU of own classes' pixels",
        "other garments' pixels that are right",
    ];
    let mut text = String::from("| | base | taught |\n|---|---|---|\n");
    for (place, name) in names.iter().enumerate() {
        let of = |which: usize| {
            let values: Vec<f64> = lines.iter().map(|line| line[which].0[place]).collect();
            Estimate::of(&values).percent()
        };
        let _ = writeln!(text, "| {name} | {} | {} |", of(0), of(1));
    }
    Ok(text)
}

/// What the shown scenes teach a slot: the objects or pixels of the person's classes in them.
fn examples(
    base: &Base,
    slot: &Slot,
    scenes: &Scenes,
    shown: &[Vec<Sample>],
) -> Result<Examples, TrainError> {
    let mut found = Examples { classes: scenes.own_names(), ..Examples::default() };
    let background = usize::from(slot.kind == Kind::Pixels);
    for samples in shown.iter().map(|samples| &samples[..SHOWN]) {
        let batch = Batch::assemble(samples, (0..samples.len()).collect())?;
        let looked = base.look(batch.images.clone());
        for part in labelled(slot, &looked, &batch) {
            let class = part.class.checked_sub(background).and_then(|class| scenes.own_place(class));
            if let Some(class) = class {
                found.embeddings.push(part.embedding);
                found.labels.push(class);
            }
        }
    }
    Ok(found)
}

fn line(
    base: &Base,
    shared: &BTreeMap<String, Shared>,
    own: &BTreeMap<String, Recogniser>,
    scenes: &Scenes,
    samples: &[Sample],
) -> Line {
    let mut objects = [[0.0_f64; 3]; 2];
    let (mut both, mut either, mut right, mut others) = (0.0, 0.0, 0.0, 0.0);
    for sample in samples {
        let looked = base.look(normalise(&[&sample.image]));
        let predictions = with_own(base, shared, own, &looked).concat();
        // The numbers that predictions have: the base's, and the person's after them.
        let number = |class: usize| scenes.number(class);
        for prediction in &predictions {
            match prediction {
                Prediction::Objects(found) => {
                    for object in sample.objects.iter().flatten() {
                        let which = usize::from(scenes.own_place(object.class).is_none());
                        let there = |as_it_is: bool| {
                            found.iter().any(|one| {
                                one.score >= FOUND.1
                                    && iou(&one.bbox, &object.bbox) >= FOUND.0
                                    && (!as_it_is || one.class == number(object.class))
                            })
                        };
                        objects[which][0] += 1.0;
                        objects[which][1] += f64::from(u8::from(there(false)));
                        objects[which][2] += f64::from(u8::from(there(true)));
                    }
                }
                Prediction::Mask(mask) => {
                    for (&id, &said) in sample.mask.iter().flat_map(|mask| &mask.classes).zip(mask) {
                        let truth = id.checked_sub(1).map(|class| number(usize::from(class)));
                        let said = said.checked_sub(1).map(usize::from);
                        let is_own =
                            |class: Option<usize>| class.is_some_and(|class| class >= scenes.kept_count());
                        if is_own(truth) || is_own(said) {
                            either += 1.0;
                            both += f64::from(u8::from(truth == said));
                        }
                        if truth.is_some() && !is_own(truth) {
                            others += 1.0;
                            right += f64::from(u8::from(truth == said));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { f64::NAN };
    let [mine, theirs] = objects;
    Line([
        share(mine[1], mine[0]),
        share(mine[2], mine[0]),
        share(theirs[1], theirs[0]),
        share(theirs[2], theirs[0]),
        share(both, either),
        share(right, others),
    ])
}

//! Figures on labelled pictures with what was taught and without it: accuracy, average precision of boxes, IoU of masks;
//! over all classes, over the person's, over the base's.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus::data::{Batch, Dataset, EpochPlan, LabelInfo, Loader, PhotoOptions, Split, open_photos};
use cerberus::metrics::argmax;
use cerberus::multitask::tasks::metric_of;
use cerberus::multitask::{HeadConfig, Metric, Prediction};
use cerberus::nn::Context;
use cerberus::personal::base::Looked;
use cerberus::personal::recogniser::Shared;
use cerberus::personal::{Base, Kind, Recogniser, Slot};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::predict::with_own;
use super::session::Session;
use crate::say;

/// The person's classes for each task.
type Own = BTreeMap<String, Recogniser>;

pub(super) fn run(session: &mut Session, data: &str, samples: Option<usize>) -> Result<(), Failure> {
    if samples == Some(0) {
        return Err(Failure::usage("--samples must be at least 1"));
    }
    let store = session.read()?;
    let own = store.learned.recognisers.clone();
    drop(store);
    let dataset = opened(session, data, &own)?;
    let mut slots: Vec<Scored> = session
        .base
        .slots()
        .iter()
        .filter_map(|slot| Scored::new(slot, &session.base, &own, &*dataset))
        .collect();
    if slots.is_empty() {
        let labels: Vec<&str> = session.base.slots().iter().map(|slot| slot.label.as_str()).collect();
        return Err(Failure::usage(format!(
            "{data} has none of the labels {} that this base answers and that could be scored",
            labels.join(", ")
        )));
    }
    let plan = EpochPlan { limit: samples, batch_size: 32, ..EpochPlan::new(Split::Test) };
    let mut context = Context::evaluation();
    let (mut images, mut answers) = (0, Answers::default());
    for batch in Loader::new(dataset, plan)? {
        let batch = batch?;
        images += batch.len();
        let looked = session.base.look_within(batch.images.clone(), &mut context);
        let nothing = Own::new();
        let both = [&own, &nothing].map(|own| with_own(&session.base, &session.shared, own, &looked));
        for scored in &mut slots {
            if scored.slot.kind == Kind::Image {
                let own = own.get(&scored.slot.task).map(|own| (own, session.image_shared()));
                answers.add(scored, own, (&looked, &both[1]), &batch);
            } else {
                scored.add(&both, &batch);
            }
        }
    }
    say!(
        "{}",
        json!({ "images": images, "with": figures(&slots, 0), "base_alone": figures(&slots, 1), "answered_unknown": answers.unknown() })
    );
    Ok(())
}

/// The data, with the classes of the base and of the person for every label that both have.
fn opened(session: &Session, data: &str, own: &Own) -> Result<Arc<dyn Dataset>, Failure> {
    let photos = PhotoOptions {
        size: [session.config.model.image[0], session.config.model.image[1]],
        fit: session.config.fit(),
        hold_back: 1.0,
        classes: session
            .base
            .slots()
            .iter()
            .map(|slot| (slot.label.clone(), all_classes(slot, own)))
            .collect(),
        ..PhotoOptions::default()
    };
    Ok(open_photos(data, session.config.seed, &photos)?)
}

/// The base's classes, and the person's that it does not know.
fn all_classes(slot: &Slot, own: &Own) -> Vec<String> {
    let mut classes = slot.classes.clone();
    let mine = own.get(&slot.task).map_or(&[][..], |own| &own.classes);
    classes.extend(mine.iter().filter(|class| !slot.classes.contains(class)).cloned());
    classes
}

/// Right answers among all.
#[derive(Clone, Copy, Default)]
struct Share {
    right: usize,
    all: usize,
}

impl Share {
    fn value(self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }
}

/// How a task's answers are scored: with what was taught, and without.
enum Scores {
    /// Of each class of the data.
    Images([Vec<Share>; 2]),
    /// Boxes or masks.
    Parts([Box<dyn Metric>; 2]),
}

/// A task that is scored.
struct Scored<'a> {
    slot: &'a Slot,
    index: usize,
    /// The classes by the numbers of the data; those that the data do not have come last.
    names: Vec<String>,
    /// For each number that a prediction may have, the base's and the person's after them, the one of the data.
    places: Vec<usize>,
    mine: Vec<String>,
    scores: Scores,
}

impl<'a> Scored<'a> {
    /// `None` if the base does not answer, or the data lack the label.
    fn new(slot: &'a Slot, base: &Base, own: &Own, dataset: &dyn Dataset) -> Option<Self> {
        let index = slot.index?;
        let config = base.model().tasks()[index].config();
        let kind = cerberus::multitask::config::find_kind(&config.kind).ok()?.label;
        let info: &LabelInfo = dataset.info().label(&slot.label).filter(|info| info.kind == kind)?;
        let mut names = info.classes.clone();
        let mine = own.get(&slot.task).map_or_else(Vec::new, |own| own.classes.clone());
        let mut place = |name: &String| {
            names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            })
        };
        let places = slot.classes.iter().chain(&mine).map(&mut place).collect();
        let head = HeadConfig { classes: names.clone(), ..config.clone() };
        let size = [dataset.info().height, dataset.info().width];
        let scores = match slot.kind {
            Kind::Image => Scores::Images([(); 2].map(|()| vec![Share::default(); names.len()])),
            Kind::Boxes | Kind::Pixels => Scores::Parts([metric_of(&head, size)?, metric_of(&head, size)?]),
        };
        Some(Self { slot, index, names, places, mine, scores })
    }

    /// Scores boxes or masks: `[with, without]` what was taught, each one list per task.
    fn add(&mut self, predictions: &[Vec<Vec<Prediction>>; 2], batch: &Batch) {
        let Scores::Parts(metrics) = &mut self.scores else { return };
        for (metric, predictions) in metrics.iter_mut().zip(predictions) {
            let renamed: Vec<Prediction> =
                predictions[self.index].iter().map(|one| by_places(one, &self.places)).collect();
            metric.update(&renamed, batch);
        }
    }

    /// Writes the figures of one of the two.
    fn write(&self, which: usize, figures: &mut Map<String, Value>) {
        let per_class: Vec<(&'static str, Vec<Option<f64>>)> = match &self.scores {
            Scores::Images(shares) => {
                let of = |shares: &[Share]| Share {
                    right: shares.iter().map(|share| share.right).sum(),
                    all: shares.iter().map(|share| share.all).sum(),
                };
                let chosen = |mine: bool| -> Vec<Share> {
                    let all = self.names.iter().zip(&shares[which]);
                    all.filter(|(name, _)| self.mine.contains(name) == mine)
                        .map(|(_, share)| *share)
                        .collect()
                };
                figures.insert("accuracy".into(), json!(of(&shares[which]).value()));
                for (group, mine) in GROUPS {
                    entry(figures, group).insert("accuracy".into(), json!(of(&chosen(mine)).value()));
                }
                vec![("accuracy", shares[which].iter().map(|share| share.value()).collect())]
            }
            Scores::Parts(metrics) => {
                let metric = &metrics[which];
                figures.extend(metric.values().into_iter().map(|(name, value)| (name.into(), json!(value))));
                let per_class = metric.per_class();
                for (group, mine) in GROUPS {
                    for (own, name) in [("ap", "map"), ("ap50", "map50"), ("iou", "miou")] {
                        let Some((_, values)) = per_class.iter().find(|(found, _)| *found == own) else {
                            continue;
                        };
                        let chosen = self.names.iter().zip(values);
                        let chosen = chosen.filter(|(name, _)| self.mine.contains(name) == mine);
                        let values: Vec<f64> = chosen.filter_map(|(_, value)| *value).collect();
                        let mean = values.iter().sum::<f64>() / values.len() as f64;
                        let mean = (!values.is_empty()).then_some(mean);
                        entry(figures, group).insert(name.into(), json!(mean));
                    }
                }
                per_class
            }
        };
        let of = |values: Vec<Option<f64>>| -> Map<String, Value> {
            self.names.iter().zip(values).map(|(class, value)| (class.clone(), json!(value))).collect()
        };
        let per_class: Map<String, Value> =
            per_class.into_iter().map(|(name, values)| (name.into(), json!(of(values)))).collect();
        entry(figures, "per_class").insert(self.slot.task.clone(), Value::Object(per_class));
    }
}

/// The figures with what was taught (0) or without (1).
fn figures(slots: &[Scored], which: usize) -> Value {
    let mut figures = Map::new();
    slots.iter().for_each(|scored| scored.write(which, &mut figures));
    Value::Object(figures)
}

/// The names of figures of a part of the classes, and whether they are the person's.
const GROUPS: [(&str, bool); 2] = [("of_your_classes", true), ("of_the_base", false)];

/// The map in a map, made if missing.
fn entry<'a>(figures: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let found = figures.entry(name).or_insert_with(|| Value::Object(Map::new()));
    found.as_object_mut().expect("only maps have these names")
}

/// A prediction with the numbers of the data.
fn by_places(prediction: &Prediction, places: &[usize]) -> Prediction {
    match prediction {
        Prediction::Objects(found) => {
            let renamed = found.iter().map(|object| {
                let mut object = *object;
                object.class = places[object.class];
                object
            });
            Prediction::Objects(renamed.collect())
        }
        Prediction::Mask(mask) => {
            let renamed = mask.iter().map(|&id| match id {
                0 => 0,
                id => (places[usize::from(id) - 1] + 1) as _,
            });
            Prediction::Mask(renamed.collect())
        }
        other => other.clone(),
    }
}

/// How many answers there were, and how many that a picture is neither yours nor the base's.
#[derive(Default)]
struct Answers {
    unknown: usize,
    all: usize,
}

impl Answers {
    fn unknown(&self) -> Option<f64> {
        (self.all > 0).then(|| self.unknown as f64 / self.all as f64)
    }

    /// Scores the answers for a batch; `predictions` are the base's.
    fn add(
        &mut self,
        scored: &mut Scored,
        own: Option<(&Recogniser, &Shared)>,
        (looked, predictions): (&Looked, &[Vec<Prediction>]),
        batch: &Batch,
    ) {
        let Scores::Images([with, without]) = &mut scored.scores else { return };
        let truths = batch.classes_of(&scored.slot.label).into_iter();
        let said = looked.embeddings.iter().zip(&predictions[scored.index]);
        for (truth, (embedding, predicted)) in truths.zip(said) {
            let (Some(truth), Prediction::Classes(chances)) = (truth, predicted) else { continue };
            let base = argmax(chances).map(|class| scored.places[class]);
            let said = own.map(|(own, shared)| own.recognise(shared, embedding));
            let answer = match said {
                Some(said) if said.class.is_some() => {
                    said.class.map(|class| scored.places[scored.slot.classes.len() + class])
                }
                Some(said) if said.unknown => None,
                _ => base,
            };
            self.all += 1;
            self.unknown += usize::from(answer.is_none());
            for (shares, answer) in [(&mut *with, answer), (&mut *without, base)] {
                shares[truth].right += usize::from(answer == Some(truth));
                shares[truth].all += 1;
            }
        }
    }
}

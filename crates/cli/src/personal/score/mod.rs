//! Accuracy on labelled pictures with what was taught and without it: over all, over the person's classes, over the
//! base's.

use std::collections::BTreeMap;

use cerberus::data::{EpochPlan, LabelKind, Loader, PhotoOptions, Split, open_photos};
use cerberus::metrics::argmax;
use cerberus::multitask::Prediction;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::say;

/// Right answers among all.
#[derive(Clone, Copy, Default)]
struct Share {
    right: usize,
    all: usize,
}

impl Share {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }

    fn value(self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }
}

pub(super) fn run(session: &mut Session, data: &str, samples: Option<usize>) -> Result<(), Failure> {
    if samples == Some(0) {
        return Err(Failure::usage("--samples must be at least 1"));
    }
    let store = session.read()?;
    let own = session.recognisers(&store)?.remove(session.image_task());
    drop(store);
    let slot = session.base.image();
    let Some(index) = slot.index else {
        return Err(Failure::usage("this base gives images no class; the example evaluate scores it"));
    };
    let (label, base_classes) = (slot.label.as_str(), &slot.classes);
    let mine: &[String] = own.as_ref().map_or(&[], |own| &own.classes);
    let mut classes = base_classes.to_vec();
    classes.extend(mine.iter().filter(|class| !base_classes.contains(class)).cloned());
    let photos = PhotoOptions {
        size: [session.config.model.image[0], session.config.model.image[1]],
        fit: session.config.fit(),
        hold_back: 1.0,
        classes: BTreeMap::from([(label.to_string(), classes)]),
        ..PhotoOptions::default()
    };
    let dataset = open_photos(data, session.config.seed, &photos)?;
    let Some(info) = dataset.info().label(label).filter(|info| info.kind == LabelKind::Class) else {
        return Err(Failure::usage(format!("{data} has no label {label:?} that gives each image a class")));
    };
    let names = info.classes.clone();
    let plan = EpochPlan { limit: samples, batch_size: 32, ..EpochPlan::new(Split::Test) };
    // With what was taught and without, of each class.
    let mut with = vec![Share::default(); names.len()];
    let mut without = vec![Share::default(); names.len()];
    let (mut unknown, mut images) = (0, 0);
    for batch in Loader::new(dataset, plan)? {
        let batch = batch?;
        let looked = session.base.look(batch.images.clone());
        let predicted = session.base.model().tasks()[index].decode(&looked.outputs[index]);
        for ((truth, embedding), predicted) in
            batch.classes_of(label).into_iter().zip(&looked.embeddings).zip(predicted)
        {
            let (Some(truth), Prediction::Classes(chances)) = (truth, predicted) else { continue };
            images += 1;
            let base = argmax(&chances).map(|class| base_classes[class].as_str());
            let said = own.as_ref().map(|own| (own, own.recognise(session.image_shared(), embedding)));
            let answer = match &said {
                Some((own, said)) => match said.class {
                    Some(class) => Some(own.classes[class].as_str()),
                    None if said.unknown => None,
                    None => base,
                },
                None => base,
            };
            unknown += usize::from(answer.is_none());
            with[truth].add(answer == Some(&names[truth]));
            without[truth].add(base == Some(&names[truth]));
        }
    }
    let over = |shares: &[Share], chosen: &dyn Fn(&str) -> bool| {
        let mut sum = Share::default();
        for (share, _) in shares.iter().zip(&names).filter(|(_, name)| chosen(name)) {
            sum.right += share.right;
            sum.all += share.all;
        }
        sum.value()
    };
    let is_mine = |name: &str| mine.iter().any(|own| own == name);
    let of = |shares: &[Share]| -> Value {
        let per_class: Map<String, Value> =
            names.iter().zip(shares).map(|(name, share)| (name.clone(), json!(share.value()))).collect();
        json!({
            "accuracy": over(shares, &|_| true),
            "of_your_classes": over(shares, &is_mine),
            "of_the_base": over(shares, &|name| !is_mine(name)),
            "per_class": per_class,
        })
    };
    let answered_unknown = (images > 0).then(|| unknown as f64 / images as f64);
    say!(
        "{}",
        json!({ "images": images, "with": of(&with), "base_alone": of(&without), "answered_unknown": answered_unknown })
    );
    Ok(())
}

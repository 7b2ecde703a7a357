//! Figures that follow from predictions that are made up.

use cerberus::data::{LabelKind, open};
use cerberus::multitask::{Detection, ModelConfig, MultiTaskModel};
use cerberus::personal::Way;

use super::*;

const BAG: &str = "Bag";

/// A base that does not know bags, and a person who taught them, told from the rest by this threshold.
fn base_and_own(dataset: &dyn Dataset, threshold: f64) -> (Base, Own) {
    let mut config = ModelConfig::for_data(dataset.info());
    config.stages = vec![vec![4], vec![8], vec![8]];
    config.heads.iter_mut().for_each(|head| head.classes.retain(|class| class != BAG));
    let base = Base::with_hash(MultiTaskModel::new(&config, 1), "small", "none".into());
    let recogniser = |slot: &Slot| {
        let mut own = Recogniser {
            classes: vec![BAG.into()],
            way: Way::Ridge,
            centre: vec![0.0; slot.width],
            head: Default::default(),
            threshold,
            familiar: f64::NEG_INFINITY,
        };
        own.head.weight.rows = 1;
        own.head.weight.columns = slot.width;
        own.head.weight.data = vec![0.0; slot.width];
        own.head.bias = vec![0.0];
        (slot.task.clone(), own)
    };
    let own = base.slots().iter().map(recogniser).collect();
    (base, own)
}

#[test]
fn boxes_and_masks_are_scored_over_the_classes_of_the_base_and_of_the_person() {
    let dataset = open("fashion-scenes", 1).unwrap();
    let names = dataset.info().label("objects").unwrap().classes.clone();
    let (base, own) = base_and_own(&*dataset, 0.0);
    let kept: Vec<&String> = names.iter().filter(|name| *name != BAG).collect();
    // Everything is found as what it is, or what the base does not know as its first class.
    let number =
        |class: usize, unknown: usize| kept.iter().position(|name| **name == names[class]).unwrap_or(unknown);
    let mut slots: Vec<Scored> = base
        .slots()
        .iter()
        .filter(|slot| slot.kind != Kind::Image)
        .map(|slot| Scored::new(slot, &base, &own, &*dataset).unwrap())
        .collect();
    let plan = EpochPlan { limit: Some(16), batch_size: 8, ..EpochPlan::new(Split::Test) };
    for batch in Loader::new(dataset, plan).unwrap() {
        let batch = batch.unwrap();
        let predictions = [kept.len(), 0].map(|unknown| {
            let task = |task: &dyn cerberus::multitask::Task| -> Vec<Prediction> {
                let label = &task.config().label;
                let objects = batch.objects_of(label).into_iter().flatten().map(|objects| {
                    let found = objects.iter().map(|object| Detection {
                        class: number(object.class, unknown),
                        score: 0.9,
                        bbox: object.bbox,
                    });
                    Prediction::Objects(found.collect())
                });
                let masks = batch.masks_of(label).into_iter().flatten().map(|mask| {
                    let found = mask.classes.iter().map(|&id| match id {
                        0 => 0,
                        id => (number(usize::from(id) - 1, unknown) + 1) as _,
                    });
                    Prediction::Mask(found.collect())
                });
                objects.chain(masks).collect()
            };
            base.model().tasks().iter().map(|own| task(&**own)).collect::<Vec<_>>()
        });
        slots.iter_mut().for_each(|scored| scored.add(&predictions, &batch));
    }
    let [with, without] = [0, 1].map(|which| figures(&slots, which));
    for name in ["map", "map50", "miou"] {
        assert_eq!(with[name], 1.0, "{with}");
        for (group, _) in GROUPS {
            assert_eq!(with[group][name], 1.0, "{name} {group}: {with}");
        }
        assert_eq!(without["of_your_classes"][name], 0.0, "{name}: {without}");
        let rest = without["of_the_base"][name].as_f64().unwrap();
        assert!(0.5 < rest && rest < 1.0, "{name}: {without}");
    }
    assert_eq!(without["per_class"]["detect"]["ap"][BAG], 0.0);
    assert_eq!(with["per_class"]["segment"]["iou"][BAG], 1.0);
}

#[test]
fn answers_are_scored_with_what_was_taught_and_without() {
    let dataset = open("fashion-scenes", 1).unwrap();
    let plan = EpochPlan { limit: Some(24), batch_size: 24, ..EpochPlan::new(Split::Test) };
    let batch = Loader::new(Arc::clone(&dataset), plan).unwrap().next().unwrap().unwrap();
    // Every margin is 0: one threshold makes everything a bag, the other nothing.
    for (threshold, bags) in [(-1.0, 1.0), (1.0, 0.0)] {
        let (base, own) = base_and_own(&*dataset, threshold);
        let slot = base.image();
        let shared = Shared::new(slot.rows.clone(), None);
        let mut scored = Scored::new(slot, &base, &own, &*dataset).unwrap();
        let looked = base.look(batch.images.clone());
        let predictions = with_own(&base, &BTreeMap::new(), &Own::new(), &looked);
        let mut answers = Answers::default();
        answers.add(&mut scored, Some((&own[&slot.task], &shared)), (&looked, &predictions), &batch);
        let slots = [scored];
        let [with, without] = [0, 1].map(|which| figures(&slots, which));
        assert_eq!(with["of_your_classes"]["accuracy"], bags);
        assert_eq!(without["of_your_classes"]["accuracy"], 0.0);
        let kept = without["of_the_base"]["accuracy"].as_f64().unwrap() * (1.0 - bags);
        assert_eq!(with["of_the_base"]["accuracy"], kept);
        assert_eq!(answers.unknown(), Some(0.0));
    }
    // A label of another kind is not scored.
    let (base, own) = base_and_own(&*dataset, 0.0);
    let mut slot = base.image().clone();
    slot.label = "mask".into();
    assert_eq!(dataset.info().label("mask").unwrap().kind, LabelKind::Mask);
    assert!(Scored::new(&slot, &base, &own, &*dataset).is_none());
}

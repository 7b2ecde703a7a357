//! Adapters and styles in stores: the same for the same pictures, kept, undone, taken along, refused when it is too late.

use std::path::Path;

use cerberus_nn::Module;
use cerberus_tensor::Tensor;

use super::{batch, model};
use crate::adapted::{Adapted, AdapterKind, Bare};
use crate::base::Base;
use crate::people::{People, Person};
use crate::recogniser::{Examples, Shared, Way, fit};
use crate::store::{Learned, Lesson, Log, Portable, Shown, Step, Store};
use crate::style::Style;

fn base() -> Base {
    Base::with_hash(model::<f32>(), "small", "1".repeat(64))
}

fn outputs(base: &Base, images: &Tensor) -> Vec<Vec<f32>> {
    let looked = base.look(images.clone());
    looked.outputs.iter().flat_map(|output| &output.maps).map(|map| map.value().to_vec()).collect()
}

fn step(what: &str, style: Option<Style>, adapters: Option<Adapted>) -> Step {
    Step { what: what.into(), when: 5, lessons: Vec::new(), style, adapters }
}

/// A lesson of one picture.
fn lesson(base: &Base, images: &Tensor) -> Step {
    let shown = Shown {
        name: "a.png".into(),
        digest: "a".repeat(32),
        kept: None,
        embedding: base.look(images.clone()).embeddings.remove(0),
    };
    let lesson = Lesson { task: "classify".into(), class: "mug".into(), pictures: vec![shown] };
    Step { lessons: vec![lesson], ..step("teach", None, None) }
}

/// The log after it was saved and read.
fn kept(folder: &Path, base: &Base, log: &Log) -> Log {
    Store::write(folder, base, true).unwrap().save(log.clone(), Learned::default()).unwrap();
    Store::read(folder, base).unwrap().log.clone()
}

#[test]
fn adapters_of_every_kind_are_a_function_of_the_pictures_and_can_be_taken_off() {
    let (mut base, shown) = (base(), batch(3));
    let bare = Bare::of(base.model());
    let (tensors, plain) = (base.model().tensors(), outputs(&base, &shown.images));
    let same = |base: &Base| {
        let now = base.model().tensors();
        now.iter().zip(&tensors).all(|((_, a), (_, b))| a.to_vec() == b.to_vec())
            && outputs(base, &shown.images) == plain
    };
    for kind in AdapterKind::ALL {
        assert_eq!(AdapterKind::find(kind.name()), Ok(kind));
        let own = Adapted::tune(&mut base, kind, &shown).unwrap();
        assert!(same(&base) && own.pictures == 3, "{kind:?}");
        assert_eq!(Adapted::tune(&mut base, kind, &shown), Some(own.clone()));
        own.apply(&mut base).unwrap();
        assert!(!same(&base), "{kind:?}");
        bare.restore(&mut base);
        assert!(same(&base), "{kind:?}");
        // Those of another base: a tensor too few, one too many, one of another size.
        let mut others = [own.clone(), own.clone(), own];
        others[0].numbers.remove(0);
        others[1].numbers[0].path.push_str("er");
        let first = &mut others[2].numbers[0];
        first.values.push(0.0);
        first.shape = vec![first.values.len()];
        for other in others {
            assert!(other.apply(&mut base).is_err() && same(&base), "{kind:?}");
        }
    }
    assert!(AdapterKind::find("bias").unwrap_err().contains("film"));
}

#[test]
fn a_store_keeps_styles_and_adapters_and_undoes_them_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let (mut base, shown) = (base(), batch(4));
    let style = |base: &mut Base, by: f32| {
        Style::measure(base.model_mut(), &[shown.images.clone().map(|value| by * value)]).unwrap()
    };
    let (first, second) = (style(&mut base, 1.2), style(&mut base, 0.8));
    second.apply(base.model_mut()).unwrap();
    let own = Adapted::tune(&mut base, AdapterKind::Film, &shown).unwrap();
    let mut log = Log::default();
    log.add(step("adapt", Some(first.clone()), None)).unwrap();
    log.add(step("adapt", Some(second.clone()), None)).unwrap();
    log.add(step("adapt", None, Some(own.clone()))).unwrap();
    own.apply(&mut base).unwrap();
    let late = |log: &Log, style: Option<Style>, adapters: Option<Adapted>| {
        log.clone().add(step("adapt", style, adapters)).unwrap_err().to_string()
    };
    assert!(late(&log, Some(first.clone()), None).contains("undo them first"));
    assert!(late(&log, None, Some(own.clone())).contains("undo them first"));
    log.add(lesson(&base, &shown.images)).unwrap();
    assert!(late(&log, Some(first.clone()), None).contains("adapt before"));
    assert!(late(&log, None, Some(own.clone())).contains("adapt before"));

    let path = folder.path().join("one");
    assert_eq!(kept(&path, &base, &log), log);
    let file = folder.path().join("one.safetensors");
    let store = Store::read(&path, &base).unwrap();
    Portable::of(&store).save(&file).unwrap();
    assert_eq!(Portable::load(&file, &store.base).unwrap().log, log);
    drop(store);
    // What was taught through other adapters cannot be merged.
    let mut other = Log::default();
    other.add(step("adapt", Some(second.clone()), None)).unwrap();
    other.add(lesson(&base, &shown.images)).unwrap();
    assert!(log.new_lessons(&other).unwrap_err().to_string().contains("adapters"));

    // Each step back is what there was before, also after a store was closed.
    assert_eq!(log.forget("mug").unwrap(), 1);
    assert_eq!((log.steps.len(), log.adapters()), (3, Some(&own)));
    let mut log = kept(&path, &base, &log);
    assert_eq!(log.undo(1).unwrap()[0].adapters.as_ref(), Some(&own));
    let mut log = kept(&path, &base, &log);
    assert_eq!((log.style(), log.adapters()), (Some(&second), None));
    log.undo(1).unwrap();
    assert_eq!(kept(&path, &base, &log).style(), Some(&first));
}

#[test]
fn people_with_adapters_are_answered_among_others_as_each_would_be_alone() {
    let shown = batch(6);
    let mut one = base();
    let bare = Bare::of(one.model());
    let shared = |base: &Base| Shared::new(base.image().rows.clone(), None);
    let persons: Vec<Person> = [None, Some(AdapterKind::Film), Some(AdapterKind::Lora)]
        .map(|kind| {
            let adapters = kind.map(|kind| Adapted::tune(&mut one, kind, &shown).unwrap());
            if let Some(own) = &adapters {
                own.apply(&mut one).unwrap();
            }
            let examples = Examples {
                classes: vec!["a".into(), "b".into()],
                embeddings: one.look(shown.images.clone()).embeddings[..4].to_vec(),
                labels: vec![0, 0, 1, 1],
            };
            bare.restore(&mut one);
            let recogniser = fit(&shared(&one), &one.image().classes, &examples, Way::Anchored);
            Person { recogniser, adapters, ..Person::default() }
        })
        .into();
    let mut together = People::new(base(), shared(&one));
    for (name, person) in ["0", "1", "2"].iter().zip(&persons) {
        together.add(name, person.clone()).unwrap();
    }
    let names = ["2", "0", "1", "1", "0", "2"];
    let answers = together.answers(&names, shown.images.clone());
    for (place, name) in names.iter().enumerate() {
        let mut alone = People::new(base(), shared(&one));
        alone.add(name, persons[name.parse::<usize>().unwrap()].clone()).unwrap();
        let answer = alone.answers(&[name], shown.images.narrow(0, place, 1).contiguous());
        assert_eq!(answer[0], answers[place], "{name}");
    }
    let bare = Person { adapters: None, ..persons[1].clone() };
    together.add("1", bare).unwrap();
    assert_ne!(together.answers(&names, shown.images.clone())[2], answers[2]);
}

#[test]
fn what_is_learned_anew_is_kept_unless_the_store_was_changed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (base, shown) = (base(), batch(4));
    let mut log = Log::default();
    log.add(lesson(&base, &shown.images)).unwrap();
    let learned = |hash: &str| {
        let shared = Shared::new(base.image().rows.clone(), None);
        let found = fit(&shared, &base.image().classes, &log.examples("classify"), Way::Anchored).unwrap();
        let mut learned = Learned::default();
        learned.recognisers.insert("classify".into(), found);
        learned.knowledge.insert("classify".into(), hash.into());
        learned
    };
    kept(folder.path(), &base, &log);
    let mut store = Store::read(folder.path(), &base).unwrap();
    store.relearn(&base, learned("new"));
    let found = Store::read(folder.path(), &base).unwrap();
    assert!(store.learned == learned("new") && found.learned == store.learned && found.log == log);
    drop(found);
    // Somebody else undoes the lesson before the next one learns.
    kept(folder.path(), &base, &Log::default());
    store.relearn(&base, learned("newer"));
    assert_eq!(store.learned, learned("newer"));
    let found = Store::read(folder.path(), &base).unwrap();
    assert!(found.learned == Learned::default() && found.log.steps.is_empty());
}

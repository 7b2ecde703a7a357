//! Adapters: fresh ones change nothing, their gradients are those of finite differences, and tuning lowers the loss and
//! touches nothing else. Styles: what is applied can be taken off. Stores, and many people at once.

use std::collections::BTreeMap;

use cerberus_autograd::Var;
use cerberus_data::{Batch, EpochPlan, Loader, Split, open};
use cerberus_multitask::{ModelConfig, MultiTaskModel};
use cerberus_nn::{Context, Init, Module, ModuleTensorMut, checkpoint};
use cerberus_tensor::{Element, Tensor};

use crate::adapters::{LowRank, MapAdapter, MapAdapters};
use crate::base::Base;
use crate::knowledge::{Knowledge, Part};
use crate::people::People;
use crate::recogniser::{Examples, Shared, Way, choose, fit};
use crate::store::{Learned, Lesson, Log, Shown, Step, Store};
use crate::style::Style;
use crate::tune::{TuneOptions, features, map_gradients, tune_kernels, tune_maps, tune_norms};

mod adapted;
mod people;

const KINDS: [MapAdapter; 2] = [MapAdapter::Film, MapAdapter::Residual(3)];

fn config() -> ModelConfig {
    let data = open("fashion-scenes", 1).unwrap();
    let mut config = ModelConfig::for_data(data.info());
    config.stages = vec![vec![4], vec![6], vec![8], vec![8]];
    config
}

fn model<T: Element>() -> MultiTaskModel<T> {
    MultiTaskModel::new(&config(), 3)
}

fn batch(size: usize) -> Batch {
    let plan = EpochPlan { limit: Some(size), batch_size: size, ..EpochPlan::new(Split::Train) };
    Loader::new(open("fashion-scenes", 1).unwrap(), plan).unwrap().next().unwrap().unwrap()
}

/// Adapters whose parameters are all different from 0.
fn stirred<T: Element>(model: &MultiTaskModel<T>, kind: MapAdapter) -> MapAdapters<T> {
    let trunk = model.trunk();
    let mut adapters = MapAdapters::new(kind, &trunk.stages(), trunk.neck().as_ref(), 5);
    adapters.visit_mut("", &mut |path, mut entry| {
        let value = entry.value_mut();
        let shift = path.len() as f64;
        *value = Tensor::from_fn(value.shape(), |i| T::from_f64(0.2 * (1.3 * i as f64 + shift).sin()));
    });
    adapters
}

#[test]
fn gradients_of_adapters_are_those_of_finite_differences() {
    let (model, batch) = (model::<f64>(), batch(2));
    let maps = model.features(Var::constant(batch.images.cast()), &mut Context::evaluation());
    for kind in KINDS {
        let mut adapters = stirred(&model, kind);
        let (_, found) = map_gradients(&model, &adapters, &maps, &batch).unwrap();
        let ids: Vec<_> = adapters.parameters().into_iter().map(|(path, own)| (path, own.id())).collect();
        for (number, (path, id)) in ids.iter().enumerate() {
            // Two stages are read by no head.
            let Some(gradient) = found.parameter(*id).map(Tensor::to_vec) else {
                assert!(
                    ["stage1.", "stage3."].iter().any(|stage| path.starts_with(stage)),
                    "no gradient of {path}"
                );
                continue;
            };
            for place in [0, gradient.len() / 2, gradient.len() - 1] {
                let mut loss_at = |by: f64| {
                    let (_, own) = &mut adapters.parameters_mut()[number];
                    let mut values = own.value.to_vec();
                    values[place] += by;
                    own.value = Tensor::from_vec(values, own.value.shape());
                    map_gradients(&model, &adapters, &maps, &batch).unwrap().0
                };
                let step = 1e-6;
                let above = loss_at(step);
                let below = loss_at(-2.0 * step);
                loss_at(step);
                let slope = (above - below) / (2.0 * step);
                assert!(
                    (gradient[place] - slope).abs() <= 2e-5 * slope.abs().max(1.0),
                    "{kind:?} {path}[{place}]: {}, not {slope}",
                    gradient[place]
                );
            }
        }
    }
}

#[test]
fn gradients_of_low_rank_factors_follow_from_those_of_the_kernel() {
    let shape = [3, 2, 4, 5];
    let wanted = Tensor::<f64>::from_fn(&shape, |i| (0.7 * i as f64).sin());
    let mut own = LowRank::<f64>::new(&shape, 2, &mut Init::new(1));
    own.b.value = Tensor::from_fn(own.b.value.shape(), |i| (1.1 * i as f64).cos());
    // The loss of a kernel is a weighted sum of its entries' squares.
    let loss = |own: &LowRank<f64>| (own.product(&shape).map(|w| w * w) * &wanted).sum_all().item();
    let kernel = own.product(&shape).map(|w| 2.0 * w) * &wanted;
    let [da, db] = own.gradients(&kernel);
    for (which, gradient) in [da, db].into_iter().enumerate() {
        for place in 0..gradient.len() {
            let mut at = |by: f64| {
                let parameter = if which == 0 { &mut own.a } else { &mut own.b };
                let mut values = parameter.value.to_vec();
                values[place] += by;
                parameter.value = Tensor::from_vec(values, parameter.value.shape());
                loss(&own)
            };
            let above = at(1e-5);
            let below = at(-2e-5);
            at(1e-5);
            let (slope, found) = ((above - below) / 2e-5, gradient.to_vec()[place]);
            assert!((found - slope).abs() < 1e-6 * slope.abs().max(1.0), "{found}, not {slope}");
        }
    }
}

#[test]
fn fresh_adapters_change_nothing() {
    let (model, batch) = (model::<f32>(), batch(2));
    let plain = features(&model, &batch);
    let trunk = model.trunk();
    for kind in KINDS {
        let fresh = MapAdapters::new(kind, &trunk.stages(), trunk.neck().as_ref(), 1);
        let adapted = fresh.apply(plain.clone(), &mut Context::evaluation());
        assert_eq!(adapted.main().value().to_vec(), plain.main().value().to_vec());
    }
}

#[test]
fn tuning_lowers_the_loss_and_changes_nothing_but_the_adapters() {
    let (mut model, batch) = (model::<f32>(), batch(4));
    let options = TuneOptions { steps: 12, learning_rate: 1e-2, ..TuneOptions::default() };
    let maps = features(&model, &batch);
    let before = model.tensors();
    let same = |a: &[(String, Tensor)], b: &[(String, Tensor)]| -> Vec<String> {
        let changed = a.iter().zip(b).filter(|((_, a), (_, b))| a.to_vec() != b.to_vec());
        changed.map(|((path, _), _)| path.clone()).collect()
    };
    for kind in KINDS {
        let trunk = model.trunk();
        let fresh = MapAdapters::new(kind, &trunk.stages(), trunk.neck().as_ref(), options.seed);
        let tuned = tune_maps(&model, kind, &maps, &batch, &options).unwrap();
        let loss = |own: &MapAdapters| map_gradients(&model, own, &maps, &batch).unwrap().0;
        assert!(loss(&tuned) < loss(&fresh), "{kind:?}");
    }
    assert!(same(&before, &model.tensors()).is_empty());
    let training_loss = |model: &MultiTaskModel| {
        let mut context = Context::training(1, 0);
        let loss = model.loss(&batch, &[1.0, 1.0, 1.0], &mut context).unwrap().value().item();
        context.discard();
        loss
    };
    let start = training_loss(&model);
    let norms = tune_norms(&mut model, &batch, &options).unwrap();
    let changed = same(&before, &model.tensors());
    assert!(training_loss(&model) < start && !changed.is_empty());
    assert!(changed.iter().all(|path| norms.iter().any(|(own, _)| own == path)), "{changed:?}");
    let between = model.tensors();
    let kernels = tune_kernels(&mut model, 2, &batch, &options).unwrap();
    let changed = same(&between, &model.tensors());
    assert!(
        changed.len() == kernels.len()
            && changed.iter().all(|path| path.ends_with("conv.weight") || path.contains("lateral")),
        "{changed:?}"
    );
    assert!(model.parameters().iter().all(|(_, parameter)| parameter.is_trainable()));
}

#[test]
fn a_style_is_that_of_the_pictures_and_can_be_taken_off() {
    let mut model = model::<f32>();
    let before = model.tensors();
    let own = Style::of(&model);
    let bright = batch(6).images.map(|value| 1.5 * value + 0.8);
    let style = Style::measure(
        &mut model,
        &[bright.narrow(0, 0, 4).contiguous(), bright.narrow(0, 4, 2).contiguous()],
    )
    .unwrap();
    let unchanged = |model: &MultiTaskModel| {
        model.tensors().iter().zip(&before).all(|((_, a), (_, b))| a.to_vec() == b.to_vec())
    };
    assert!(unchanged(&model) && style.pictures == 6);
    style.apply(&mut model).unwrap();
    assert!(!unchanged(&model));
    own.apply(&mut model).unwrap();
    assert!(unchanged(&model));
    assert!(Style::measure(&mut model, &[]).is_none());
    let strange = Style { pictures: 1, statistics: vec![("trunk.nothing.running_mean".into(), vec![0.0])] };
    assert!(strange.apply(&mut model).unwrap_err().contains("trunk.nothing") && unchanged(&model));

    // The first norm sees what its convolution makes of the pictures: its mean is that of 6 pictures beside 16.
    let (path, mean) = &style.statistics[0];
    assert!(path.ends_with("running_mean"));
    let trunk_path = path.trim_end_matches(".norm.running_mean").to_string();
    let mut kernel = None;
    model.visit_mut("", &mut |path, entry| {
        if path == format!("{trunk_path}.conv.weight")
            && let ModuleTensorMut::Parameter(parameter) = entry
        {
            kernel = Some(parameter.value.clone());
        }
    });
    let spec = cerberus_tensor::conv::Conv2dSpec {
        padding: cerberus_tensor::conv::Padding::all(1),
        ..cerberus_tensor::conv::Conv2dSpec::default()
    };
    let seen = Var::constant(bright).conv2d(Var::constant(kernel.unwrap()), None, spec).into_value();
    let values = seen.to_vec();
    for (channel, &mean) in mean.iter().enumerate() {
        let own = values.iter().skip(channel).step_by(4).map(|&value| f64::from(value));
        let expected = own.sum::<f64>() / (values.len() / 4) as f64 * 6.0 / 22.0;
        assert!((f64::from(mean) - expected).abs() < 1e-4 * expected.abs().max(1.0), "{channel}");
    }
}

/// A store beside a small base, as programs use it: lessons, a style before them, another base, a store of others.
#[test]
fn a_store_keeps_style_and_lessons_and_refuses_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = Base::with_hash(model::<f32>(), "small", "1".repeat(64));
    let shown = batch(6);
    let style = Style::measure(base.model_mut(), std::slice::from_ref(&shown.images)).unwrap();
    let lesson = |class: &str, places: std::ops::Range<usize>, looked: &[Vec<f32>]| Lesson {
        task: "classify".into(),
        class: class.into(),
        pictures: places
            .map(|place| Shown {
                name: format!("{place}.png"),
                digest: format!("{place:032}"),
                kept: None,
                embedding: looked[place].clone(),
            })
            .collect(),
    };
    let step = |what: &str, lessons: Vec<Lesson>, style: Option<Style>| Step {
        what: what.into(),
        when: 5,
        lessons,
        style,
        adapters: None,
    };
    let learn = |base: &Base, log: &Log| {
        let shared = Shared::new(base.image().rows.clone(), None);
        let mut learned = Learned::default();
        learned.recognisers.extend(
            choose(&shared, &base.image().classes, &log.examples("classify"))
                .map(|found| ("classify".into(), found)),
        );
        learned.knowledge.insert("classify".into(), String::new());
        learned
    };
    let plain = base.look(shown.images.clone()).embeddings;
    style.apply(base.model_mut()).unwrap();
    let styled = base.look(shown.images.clone()).embeddings;
    assert_ne!(plain, styled);

    let mut log = Log::default();
    log.add(step("adapt", Vec::new(), Some(style.clone()))).unwrap();
    log.add(step("teach", vec![lesson("mug", 0..2, &styled)], None)).unwrap();
    assert!(
        log.add(step("adapt", Vec::new(), Some(style.clone())))
            .unwrap_err()
            .to_string()
            .contains("adapt before")
    );
    let path = folder.path().join("one");
    let mut store = Store::write(&path, &base, true).unwrap();
    let learned = learn(&base, &log);
    store.save(log.clone(), learned.clone()).unwrap();
    drop(store);
    let store = Store::read(&path, &base).unwrap();
    assert!(store.log == log && store.learned == learned && store.log.style() == Some(&style));

    // The style stays when the class is forgotten.
    let mut rest = log.clone();
    assert_eq!(rest.forget("mug").unwrap(), 2);
    assert!(rest.style() == Some(&style) && rest.steps.len() == 1);
    // What was taught without the style cannot be merged with what was.
    let mut other = Log::default();
    other.add(step("teach", vec![lesson("hat", 2..4, &plain)], None)).unwrap();
    assert!(log.new_lessons(&other).unwrap_err().to_string().contains("styles"));
    // A picture that was corrected is taken as what it was shown last.
    let mut same = log.clone();
    same.add(step("correct", vec![lesson("hat", 1..2, &styled)], None)).unwrap();
    assert_eq!((same.examples("classify").classes.len(), same.examples("classify").labels), (2, vec![0, 1]));
    let new = log.new_lessons(&same).unwrap();
    assert!(new.len() == 1 && new[0].class == "hat" && new[0].pictures[0].name == "1.png");

    let stranger = Base::with_hash(self::model::<f32>(), "stranger", "2".repeat(64));
    let refused = Store::read(&path, &stranger).unwrap_err().to_string();
    assert!(refused.contains("small") && refused.contains("1111111111111111"), "{refused}");
    // A process that serves people takes the style with the classes.
    let mut people = People::new(base, Shared::new(stranger.image().rows.clone(), None));
    people.load("one", &path).unwrap();
    assert_eq!(people.person("one").unwrap().style.as_ref(), Some(&style));
}

#[test]
fn to_answer_a_part_of_what_a_base_knows_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let base = Base::with_hash(model::<f32>(), "small", "3".repeat(64));
    let slot = base.image();
    let embeddings = base.look(batch(60).images).embeddings;
    let labels: Vec<usize> = (0..60).map(|place| place % slot.classes.len()).collect();
    let measured = Knowledge::measure((&embeddings, &labels), (&[], &[]), slot.classes.len()).unwrap();
    let path = folder.path().join("known.safetensors");
    let all = BTreeMap::from([(slot.task.clone(), measured.clone())]);
    Knowledge::save(&all, &path, &base).unwrap();
    let load = |part| {
        let tasks = [slot.task.clone()].into();
        Knowledge::load(&path, &base, &tasks, part).unwrap().remove(&slot.task).unwrap()
    };
    assert_eq!(load(Part::All), measured);
    let part = load(Part::Answers);
    assert!(part.hash == measured.hash && part.judged.labels.is_empty() && part.rehearsal.labels.is_empty());
    let [whole, part] = [measured.clone(), part].map(|known| Shared::new(slot.rows.clone(), Some(known)));
    let examples = Examples {
        classes: vec!["mug".into(), "hat".into()],
        embeddings: embeddings[..6].to_vec(),
        labels: vec![0, 0, 0, 1, 1, 1],
    };
    for way in Way::ALL {
        let found = fit(&whole, &slot.classes, &examples, way).unwrap();
        for embedding in &embeddings {
            assert_eq!(found.recognise(&whole, embedding), found.recognise(&part, embedding), "{way}");
        }
    }
    // A file that does not tell its hash is read as a whole.
    let file = checkpoint::load::<f32>(&path).unwrap();
    let mut metadata = file.metadata().clone();
    metadata.retain(|key, _| !key.starts_with("hash."));
    checkpoint::save(&path, &file.under(""), &metadata).unwrap();
    assert_eq!([Part::All, Part::Answers].map(load), [measured.clone(), measured]);
}

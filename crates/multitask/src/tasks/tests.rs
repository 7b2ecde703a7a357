//! Properties that every kind of head must have, run over the list of kinds.

use std::collections::{BTreeMap, HashMap};

use approx::assert_relative_eq;
use cerberus_autograd::{ParamId, Tape, Var, backward};
use cerberus_data::{
    Batch, CLASS, DatasetInfo, Image, Label, LabelInfo, LabelKind, MASK, Mask, OBJECTS, Object, Sample,
    ValueMap,
};
use cerberus_nn::optim::{AdamOptions, AdamW};
use cerberus_nn::{Context, Module, StepOptions, step, step_with};
use cerberus_tensor::Tensor;

use super::shared::class_loss;
use super::*;
use crate::config::{HeadConfig, HeadOptions, ModelConfig};
use crate::model::MultiTaskModel;

mod annotated;
mod shares;
mod sizes;

const SIDE: usize = 32;

/// A data set with a label of every kind.
fn info() -> DatasetInfo {
    let names = ["a", "b", "c"].map(String::from);
    let label = |name: &str, kind| LabelInfo::new(name, kind, &names);
    DatasetInfo {
        name: "everything".into(),
        height: SIDE,
        width: SIDE,
        channels: 3,
        labels: vec![
            label(CLASS, LabelKind::Class),
            label(OBJECTS, LabelKind::Objects),
            label(MASK, LabelKind::Mask),
            label("tags", LabelKind::Classes),
            label("numbers", LabelKind::Values),
            LabelInfo::new("depth", LabelKind::ValueMap, &["metres".to_string()]),
        ],
        accounts: Default::default(),
        inputs: Vec::new(),
    }
}

/// A square of a colour on gray, and everything known about it; `has(label)` tells which labels it carries.
fn sample(index: usize, has: impl Fn(&str) -> bool) -> Sample {
    let (class, at, side) = (index % 3, 2 + 5 * (index % 4), 8 + 2 * (index % 3));
    let inside = |p: usize| (at..at + side).contains(&(p % SIDE)) && (at..at + side).contains(&(p / SIDE));
    let pixel = |p: usize| {
        let mut colour = [100 + (p * 7 % 13) as u8; 3];
        if inside(p) {
            colour[class] = 250;
        }
        colour
    };
    let pixels = SIDE * SIDE;
    let bbox = [at, at, at + side, at + side].map(|v| v as f32);
    let classes = (0..pixels).map(|p| {
        if inside(p) {
            class as ClassId + 1
        } else if p % 31 == 0 {
            cerberus_data::IGNORED
        } else {
            0
        }
    });
    let values = (0..pixels).map(|p| {
        if p % 17 == 0 {
            f32::NAN
        } else if inside(p) {
            1.0
        } else {
            2.0
        }
    });
    let more = [
        ("tags", Label::Classes((0..3).map(|c| c <= class).collect())),
        ("numbers", Label::Values(vec![class as f32, f32::NAN, at as f32 / 10.0])),
        ("depth", Label::ValueMap(ValueMap { height: SIDE, width: SIDE, values: values.collect() })),
    ];
    let image = Image {
        height: SIDE,
        width: SIDE,
        channels: 3,
        pixels: (0..pixels).flat_map(pixel).collect::<Vec<u8>>().into(),
    };
    Sample {
        image,
        class: has(CLASS).then_some(class),
        objects: has(OBJECTS).then(|| vec![Object::new(class, bbox)]),
        mask: has(MASK).then(|| Mask { height: SIDE, width: SIDE, classes: classes.collect() }),
        more: more
            .into_iter()
            .filter(|(name, _)| has(name))
            .map(|(n, l)| (n.to_string(), l))
            .collect::<BTreeMap<_, _>>(),
        inputs: BTreeMap::new(),
    }
}

fn batch(samples: &[Sample]) -> Batch {
    Batch::assemble(samples, (0..samples.len()).collect()).unwrap()
}

/// A model with a head of every kind, or of some.
fn config(kinds: &[&str]) -> ModelConfig {
    let heads = kinds.iter().map(|kind| HeadConfig::new(kind, kind, None, &info()).unwrap()).collect();
    ModelConfig::with_stages([SIDE, SIDE, 3], vec![vec![4], vec![6], vec![8], vec![8]], heads)
}

fn all_kinds() -> Vec<&'static str> {
    kinds::<f32>().iter().map(|kind| kind.name).collect()
}

fn to_f64(images: &Tensor<f32>) -> Tensor<f64> {
    Tensor::from_vec(images.to_vec().into_iter().map(f64::from).collect(), images.shape())
}

type ByParameter = HashMap<ParamId, Vec<f64>>;

/// The gradient of a loss with respect to every parameter that it reaches.
fn gradients(model: &MultiTaskModel<f64>, loss: Var<f64>) -> ByParameter {
    let found = backward(loss);
    let parameters = model.parameters().into_iter();
    parameters.filter_map(|(_, p)| Some((p.id(), found.parameter(p.id())?.to_vec()))).collect()
}

#[test]
fn a_batch_with_missing_labels_has_the_gradient_of_each_task_on_its_labelled_samples_alone() {
    let model = MultiTaskModel::<f64>::new(&config(&all_kinds()), 5);
    // Every label is missing somewhere, in another pattern for each.
    let names = [CLASS, OBJECTS, MASK, "tags", "numbers", "depth"];
    let has = |index: usize, name: &str| {
        let which = names.iter().position(|known| *known == name).unwrap();
        (index * 3 + which * 2) % 5 < 3
    };
    let samples: Vec<Sample> = (0..5).map(|index| sample(index, |name| has(index, name))).collect();
    let batch = batch(&samples);
    let images = to_f64(&batch.images);

    let mut context = Context::training(1, 0);
    let features = model.features(Var::constant(images.clone()), &mut context);
    let losses = model.losses(&features, &batch, &mut context);
    assert!(losses.iter().all(Option::is_some));
    let total = losses.into_iter().flatten().reduce(|a, b| a + b).unwrap();
    drop(features);
    let mixed = gradients(&model, total);

    let mut apart: ByParameter = HashMap::new();
    for task in model.tasks() {
        let labelled: Vec<usize> = (0..5).filter(|&index| has(index, &task.config().label)).collect();
        assert!(!labelled.is_empty() && labelled.len() < 5, "{}", task.name());
        let alone: Vec<Sample> = labelled.iter().map(|&index| samples[index].clone()).collect();
        let alone = self::batch(&alone);
        let mut context = Context::training(1, 0);
        let features = model.features(Var::constant(images.clone()), &mut context).select(&labelled);
        let output = task.forward(&features, &mut context);
        let loss = task.loss(output, &alone);
        drop(features);
        for (id, gradient) in gradients(&model, loss) {
            let sum = apart.entry(id).or_insert_with(|| vec![0.0; gradient.len()]);
            sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
    }
    assert_eq!(mixed.len(), apart.len());
    assert_eq!(mixed.len(), model.parameters().len(), "every parameter learns");
    for (path, parameter) in model.parameters() {
        let largest = mixed[&parameter.id()].iter().fold(1e-6, |most: f64, g| most.max(g.abs()));
        for (m, a) in mixed[&parameter.id()].iter().zip(&apart[&parameter.id()]) {
            assert!((m - a).abs() <= 1e-11 * largest, "{path}: {m} mixed but {a} task by task");
        }
    }
}

#[test]
fn a_batch_without_labels_of_a_task_leaves_its_head_as_it_is() {
    let config = config(&["classify", "segment"]);
    let mut model = MultiTaskModel::<f32>::new(&config, 5);
    let mut optimizer = AdamW::new(AdamOptions { learning_rate: 0.01, ..AdamOptions::default() });
    let classes_alone = batch(&(0..4).map(|i| sample(i, |name| name == CLASS)).collect::<Vec<_>>());
    // Copies: the optimiser refuses to change shared values.
    let values = |model: &MultiTaskModel| -> Vec<(String, Vec<f32>)> {
        model.tensors().into_iter().map(|(path, tensor)| (path, tensor.to_vec())).collect()
    };
    let before = values(&model);
    let loss = step(&mut model, &mut optimizer, |model, context| {
        model.loss(&classes_alone, &config.weights(), context).unwrap()
    });
    assert!(loss > 0.0);
    for ((path, old), (_, new)) in before.iter().zip(values(&model)) {
        // Neither weights nor running averages of the head without labels change. Only this head uses the merged map.
        assert_eq!(*old == new, path.contains("segment") || path.contains("lateral"), "{path}");
    }
    let nothing = batch(&(0..4).map(|i| sample(i, |_| false)).collect::<Vec<_>>());
    let mut context = Context::training(1, 0);
    assert!(model.loss(&nothing, &config.weights(), &mut context).is_none());
    context.discard();
}

#[test]
fn every_kind_of_head_learns_decodes_and_scores() {
    let samples: Vec<Sample> = (0..6).map(|index| sample(index, |_| true)).collect();
    let batch = batch(&samples);
    for kind in all_kinds() {
        let config = config(&[kind]);
        let mut model = MultiTaskModel::<f32>::new(&config, 5);
        let mut optimizer = AdamW::new(AdamOptions { learning_rate: 0.02, ..AdamOptions::default() });
        let options = StepOptions { seed: 1, clip_norm: Some(10.0), ..StepOptions::default() };
        let mut step = |_| {
            step_with(&mut model, &mut optimizer, options, |model, context| {
                model.loss(&batch, &[1.0], context).unwrap()
            })
        };
        let losses: Vec<f64> = (0..25).map(&mut step).collect();
        assert!(losses[24] < 0.8 * losses[0] && losses[24].is_finite(), "{kind}: {losses:?}");
        let predictions = model.predict(batch.images.clone());
        assert_eq!((predictions.len(), predictions[0].len()), (1, 6), "{kind}");
        let mut metric = model.tasks()[0].metric();
        metric.update(&predictions[0], &batch);
        let main = metric.values()[0].1;
        assert!(main.is_some_and(|main| (0.0..=1.0).contains(&main)), "{kind}: {main:?}");
        assert!(
            metric
                .values()
                .iter()
                .chain(&metric.details())
                .all(|(_, value)| value.is_none_or(f64::is_finite)),
            "{kind}"
        );
    }
}

#[test]
fn heads_of_one_kind_stand_side_by_side_under_their_names() {
    let info = info();
    let mut config = config(&[]);
    for text in ["classify", "coarse:classify@class", "outline:unet", "boxes:fcos@objects"] {
        config.heads.push(HeadConfig::parse(text, &info).unwrap());
    }
    config.heads[3].options.levels = vec![4];
    config.check().unwrap();
    let model = MultiTaskModel::<f32>::new(&config, 1);
    let paths: Vec<String> = model.parameters().into_iter().map(|(path, _)| path).collect();
    for start in ["heads.classify.", "heads.coarse.", "heads.outline.up.0.", "heads.boxes.levels.0."] {
        assert!(paths.iter().any(|path| path.starts_with(start)), "{start} in {paths:?}");
    }
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), config);
    let wrong = |text: &str, words: &str| {
        let message = HeadConfig::parse(text, &info).unwrap_err();
        assert!(message.contains(words), "{message}");
    };
    wrong("dance", "classify, detect, segment");
    wrong("a:classify@mask", "no labels");
    config.heads[1].name = "classify".into();
    assert!(config.check().unwrap_err().contains("named twice"));
}

#[test]
fn options_against_imbalance_change_the_loss() {
    let samples: Vec<Sample> = (0..4).map(|index| sample(index, |_| true)).collect();
    let batch = batch(&samples);
    let loss = |change: &dyn Fn(&mut crate::config::HeadOptions)| {
        let mut config = config(&["classify"]);
        change(&mut config.heads[0].options);
        config.check().unwrap();
        let model = MultiTaskModel::<f32>::new(&config, 5);
        let mut context = Context::training(1, 0);
        let features = model.features(Var::constant(batch.images.clone()), &mut context);
        let loss = model.losses(&features, &batch, &mut context).remove(0).unwrap();
        loss.value().item()
    };
    let plain = loss(&|_| {});
    assert_eq!(
        plain,
        loss(&|options| options.class_weights = Some(vec![2.0; 3])),
        "even weights weigh nothing"
    );
    assert_ne!(plain, loss(&|options| options.class_weights = Some(vec![1.0, 2.0, 3.0])));
    assert_ne!(plain, loss(&|options| options.focal = Some(2.0)));
    assert_ne!(plain, loss(&|options| options.logit_adjustment = Some(vec![0.0, -1.0, -2.0])));
    assert_ne!(plain, loss(&|options| options.label_smoothing = 0.1));
    let focal = loss(&|options| options.focal = Some(2.0));
    let even = loss(&|options| (options.focal, options.class_weights) = (Some(2.0), Some(vec![3.0; 3])));
    assert!((focal - even).abs() < 1e-6, "{focal} and {even}");
}

/// Pixels of a class lie in thousands of runs: the loss must neither take a pass over the whole image for each of
/// them, which took minutes, nor have another value.
#[test]
fn the_focal_loss_of_scattered_pixels_is_the_sum_over_them() {
    let (pixels, classes) = (40_000, 3);
    let target: Vec<ClassId> = (0..pixels).map(|i| [0, 2, cerberus_data::IGNORED, 1, 1][i * 7 % 5]).collect();
    let values = Tensor::<f64>::from_fn(&[pixels, classes], |i| (i as f64 * 0.37).sin());
    for weights in [None, Some(vec![1.0, 0.5, 3.0])] {
        let tape = Tape::new();
        let logits = tape.leaf(values.clone());
        let options =
            HeadOptions { focal: Some(2.0), class_weights: weights.clone(), ..HeadOptions::default() };
        let loss = class_loss(logits.clone(), &target, &options);
        let weight = |row: usize| match (target[row], &weights) {
            (cerberus_data::IGNORED, _) => 0.0,
            (id, Some(weights)) => weights[usize::from(id)],
            _ => 1.0,
        };
        let total: f64 = (0..pixels).map(weight).sum();
        let element = |(i, x): (usize, &f64)| {
            let p = 1.0 / (1.0 + (-x).exp());
            let hit = usize::from(target[i / classes]) == i % classes;
            let (p, q) = if hit { (p, 1.0 - p) } else { (1.0 - p, p) };
            -weight(i / classes) * q * q * p.ln() / total
        };
        let expected: f64 = values.data().iter().enumerate().map(element).sum();
        let found = loss.value().item();
        assert_relative_eq!(found, expected, max_relative = 1e-9);
        let gradient = backward(loss).of(&logits).unwrap().to_vec();
        let ignored = |i: &usize| target[i / classes] == cerberus_data::IGNORED;
        assert!((0..pixels * classes).filter(ignored).all(|i| gradient[i] == 0.0));
        assert!((0..pixels * classes).filter(|i| !ignored(i)).all(|i| gradient[i] != 0.0));
    }
}

#[test]
fn every_detection_is_one_of_its_heads_candidates_and_other_heads_have_none() {
    let model = MultiTaskModel::<f64>::new(&config(&all_kinds()), 5);
    let batch = batch(&[sample(0, |_| true), sample(1, |_| true)]);
    let images = Var::constant(to_f64(&batch.images));
    let outputs = model.forward(images, &mut Context::evaluation());
    let mut detectors = 0;
    for (task, output) in model.tasks().iter().zip(&outputs) {
        let Some(Candidates { scores, boxes }) = task.candidates(output) else {
            assert!(!matches!(task.decode(output)[0], Prediction::Objects(_)), "{}", task.name());
            continue;
        };
        detectors += 1;
        let (places, classes) = (scores.shape()[1], scores.shape()[2]);
        assert_eq!(boxes.shape(), [2, places, 4]);
        for (image, prediction) in task.decode(output).into_iter().enumerate() {
            let Prediction::Objects(found) = prediction else { panic!("{}", task.name()) };
            for object in found.into_iter().take(5) {
                let is_it = |place: usize| {
                    let row = image * places + place;
                    let score = scores.value().contiguous().data()[row * classes + object.class];
                    let bounds = boxes.value().contiguous().data()[4 * row..4 * row + 4].to_vec();
                    let side =
                        |(a, b): (&f64, &f32)| (a.clamp(0.0, SIDE as f64) - f64::from(*b)).abs() < 1e-4;
                    (score - f64::from(object.score)).abs() < 1e-6
                        && bounds.iter().zip(&object.bbox).all(side)
                };
                assert!((0..places).any(is_it), "{}: {object:?}", task.name());
            }
        }
    }
    assert_eq!(detectors, 3);
}

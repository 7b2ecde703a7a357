//! Classes that a sample's set does not annotate: predictions of them do not count as errors.

use cerberus_data::{IGNORED, annotated_key};

use super::*;

/// The class that is not annotated.
const OPEN: usize = 2;

/// Samples that show only the first two classes, and record which classes are annotated.
fn samples(annotated: [bool; 3]) -> Vec<Sample> {
    // The class of a sample is its index modulo 3.
    let mut samples: Vec<Sample> = [0, 1, 3, 4].map(|index| sample(index, |_| true)).to_vec();
    for sample in &mut samples {
        for label in [CLASS, OBJECTS, MASK, "tags"] {
            sample.more.insert(annotated_key(label), Label::Classes(annotated.to_vec()));
        }
    }
    samples
}

fn with_options(kind: &str, options: &HeadOptions) -> ModelConfig {
    let mut config = config(&[kind]);
    config.heads[0].options = options.clone();
    config
}

/// The kinds of head that have classes.
fn kinds_with_classes() -> Vec<&'static str> {
    let numbers = [LabelKind::Values, LabelKind::ValueMap];
    let kinds = kinds::<f64>().into_iter().filter(|kind| !numbers.contains(&kind.label));
    kinds.map(|kind| kind.name).collect()
}

/// Options that lead to the different forms of the losses.
fn choices(kind: &str) -> Vec<HeadOptions> {
    let classes = if config(&[kind]).heads[0].label == MASK { 4 } else { 3 };
    let plain = HeadOptions::default();
    vec![
        plain.clone(),
        HeadOptions { label_smoothing: 0.1, ..plain.clone() },
        HeadOptions { focal: Some(2.0), ..plain.clone() },
        HeadOptions { class_weights: Some((1..=classes).map(f64::from).collect()), ..plain },
    ]
}

/// The head's outputs for a batch.
fn outputs(model: &MultiTaskModel<f64>, batch: &Batch) -> Vec<Tensor<f64>> {
    let mut context = Context::training(1, 0);
    let features = model.features(Var::constant(to_f64(&batch.images)), &mut context);
    let output = model.tasks()[0].forward(&features, &mut context);
    context.discard();
    output.maps.into_iter().map(|map| map.detach().into_value().contiguous()).collect()
}

/// The loss of outputs, and its gradient with respect to each.
fn loss(model: &MultiTaskModel<f64>, maps: &[Tensor<f64>], batch: &Batch) -> (f64, Vec<Vec<f64>>) {
    let tape = Tape::new();
    let leaves: Vec<Var<f64>> = maps.iter().map(|map| tape.leaf(map.clone())).collect();
    let loss = model.tasks()[0].loss(HeadOutput { maps: leaves.clone() }, batch);
    let value = loss.value().item();
    let found = backward(loss);
    (value, leaves.iter().map(|leaf| found.of(leaf).unwrap().to_vec()).collect())
}

/// The places (map and index) of the open class's logits, where the class is not known to be absent.
fn open_places(kind: &str, maps: &[Tensor<f64>], batch: &Batch) -> Vec<(usize, usize)> {
    let label = kinds::<f64>().into_iter().find(|known| known.name == kind).unwrap().label;
    let channels = if label == LabelKind::Mask { 4 } else { 3 };
    let ids: Vec<ClassId> = batch.masks.iter().flatten().flat_map(|mask| mask.classes.clone()).collect();
    let heat = |map: &usize| if kind == "fcos" { map.is_multiple_of(3) } else { *map == 0 };
    let places = (0..maps.len()).filter(heat).flat_map(|map| (0..maps[map].len()).map(move |i| (map, i)));
    places
        .filter(|(_, i)| match label {
            LabelKind::Mask => i % channels == OPEN + 1 && [0, IGNORED].contains(&ids[i / channels]),
            _ => i % channels == OPEN,
        })
        .collect()
}

fn moved(maps: &[Tensor<f64>], places: &[(usize, usize)], by: f64) -> Vec<Tensor<f64>> {
    let mut values: Vec<Vec<f64>> = maps.iter().map(Tensor::to_vec).collect();
    places.iter().for_each(|&(map, i)| values[map][i] += by);
    values.into_iter().zip(maps).map(|(values, map)| Tensor::from_vec(values, map.shape())).collect()
}

#[test]
fn where_everything_is_annotated_losses_and_gradients_have_the_same_bits_as_without_saying_so() {
    let said = batch(&samples([true; 3]));
    let mut silent = said.clone();
    silent.more.iter_mut().for_each(|more| more.retain(|name, _| !name.starts_with("annotated")));
    assert_ne!(said.more, silent.more);
    for kind in kinds_with_classes() {
        for options in choices(kind) {
            let model = MultiTaskModel::<f64>::new(&with_options(kind, &options), 5);
            let maps = outputs(&model, &said);
            assert!(loss(&model, &maps, &said) == loss(&model, &maps, &silent), "{kind} {options:?}");
        }
    }
}

#[test]
fn what_is_said_of_a_class_that_is_not_annotated_changes_neither_loss_nor_gradient() {
    let open = batch(&samples([true, true, false]));
    let closed = batch(&samples([true; 3]));
    for kind in kinds_with_classes() {
        for options in choices(kind) {
            let model = MultiTaskModel::<f64>::new(&with_options(kind, &options), 5);
            let maps = outputs(&model, &open);
            let places = open_places(kind, &maps, &open);
            assert!(!places.is_empty());
            let (value, gradient) = loss(&model, &maps, &open);
            assert!(value.is_finite() && value > 0.0, "{kind} {options:?}: {value}");
            for by in [-3.0, 4.0] {
                let after = loss(&model, &moved(&maps, &places, by), &open);
                assert!(after == (value, gradient.clone()), "{kind} {options:?}: {value} and {}", after.0);
            }
            assert!(places.iter().all(|&(map, i)| gradient[map][i] == 0.0), "{kind} {options:?}");
            assert!(gradient.iter().flatten().any(|&g| g != 0.0), "{kind}");
            // Where the class is annotated, the same change raises the loss.
            let before = loss(&model, &maps, &closed).0;
            assert!(loss(&model, &moved(&maps, &places, 4.0), &closed).0 > before, "{kind} {options:?}");
        }
    }
}

#[test]
fn what_is_labelled_of_a_class_that_is_not_annotated_is_learned_all_the_same() {
    // As in joined images: of the first class only the labelled objects are known.
    let joined = batch(&samples([false, true, true]));
    for kind in kinds_with_classes() {
        let model = MultiTaskModel::<f64>::new(&config(&[kind]), 5);
        let maps = outputs(&model, &joined);
        let (_, gradient) = loss(&model, &maps, &joined);
        let channels = maps[0].shape()[maps[0].shape().len() - 1];
        let first = channels - 3;
        let heat =
            (0..maps.len()).filter(|map| if kind == "fcos" { map.is_multiple_of(3) } else { *map == 0 });
        let mut raised = heat.flat_map(|map| gradient[map].iter().skip(first).step_by(channels));
        assert!(raised.any(|&g| g < 0.0), "{kind}");
    }
}

#[test]
fn label_smoothing_is_spread_over_the_annotated_classes() {
    let options = HeadOptions { label_smoothing: 0.3, ..HeadOptions::default() };
    let open = batch(&samples([true, true, false]).drain(..1).collect::<Vec<_>>());
    let model = MultiTaskModel::<f64>::new(&with_options("mlp", &options), 5);
    let logits = [0.4, -0.7, 2.0];
    let (value, _) = loss(&model, &[Tensor::from_vec(logits.to_vec(), &[1, 3])], &open);
    let sum = logits[0].exp() + logits[1].exp();
    let p = [0, 1].map(|class| logits[class].exp() / sum);
    assert_relative_eq!(value, -(0.85 * p[0].ln() + 0.15 * p[1].ln()), max_relative = 1e-12);
}

/// The figures of a head's metric after these predictions.
fn figures(kind: &str, said: Prediction, sample: &Sample) -> Vec<(&'static str, Option<f64>)> {
    let model = MultiTaskModel::<f64>::new(&config(&[kind]), 5);
    let mut metric = model.tasks()[0].metric();
    metric.update(&[said], &batch(std::slice::from_ref(sample)));
    metric.values().into_iter().chain(metric.details()).collect()
}

#[test]
fn what_is_predicted_of_a_class_that_is_not_annotated_changes_no_metric() {
    let [open, closed] = [[true, true, false], [true; 3]].map(|known| samples(known).swap_remove(1));
    let truth = open.objects.as_ref().unwrap()[0];
    let found = |class: usize, score: f32| Detection { class, score, bbox: truth.bbox };
    let mask = open.mask.as_ref().unwrap();
    // In a mask, pixels that are not judged do not count, whatever their prediction.
    let mask_saying = |id: ClassId| {
        let pixels = mask.classes.iter().enumerate();
        let pixels = pixels.map(|(p, &own)| if own == 0 && p % 7 == 0 { id } else { own.min(3) });
        Prediction::Mask(pixels.collect())
    };
    for kind in kinds_with_classes() {
        let config = config(&[kind]);
        let head = &config.heads[0];
        let said = |much| match head.label.as_str() {
            OBJECTS if much => Prediction::Objects(vec![found(OPEN, 0.9), found(1, 0.5)]),
            OBJECTS => Prediction::Objects(vec![found(1, 0.5)]),
            CLASS if much => Prediction::Classes(vec![0.125, 0.375, 0.5]),
            CLASS => Prediction::Classes(vec![0.25, 0.75, 0.0]),
            MASK => mask_saying(if much { OPEN as ClassId + 1 } else { 0 }),
            _ => Prediction::ClassSet(vec![0.9, 0.2, if much { 0.8 } else { 0.0 }]),
        };
        let of = |sample: &Sample, much: bool| figures(kind, said(much), sample);
        let (with, without) = (of(&open, true), of(&open, false));
        if matches!(kind, "segment" | "fcn" | "unet") {
            // Pixels that are not judged do not count as right either: all others are right.
            assert!(with[..2].iter().all(|(_, figure)| *figure == Some(1.0)), "{kind}: {with:?}");
        } else {
            assert_eq!(with, without, "{kind}");
        }
        let batches = [&open, &closed].map(|sample| batch(std::slice::from_ref(sample)));
        let judged = said(true).judged(head, &batches[0], 0).unwrap();
        assert_eq!(format!("{judged:?}"), format!("{:?}", said(false)), "{kind}");
        assert!(said(true).judged(head, &batches[1], 0).is_none(), "{kind}");
        if kind != "detect" && kind != "centernet" && kind != "fcos" {
            assert_ne!(of(&closed, true), of(&closed, false), "{kind}");
        }
    }
}

#[test]
fn a_detection_of_a_class_that_one_picture_annotates_and_another_does_not_counts_in_the_first_alone() {
    let model = MultiTaskModel::<f64>::new(&config(&["detect"]), 5);
    let [open, mut closed] = [[true, true, false], [true; 3]].map(|known| samples(known).swap_remove(0));
    let truth = Object::new(OPEN, [4.0, 4.0, 20.0, 20.0]);
    closed.objects = Some(vec![truth]);
    let wrong = Detection { class: OPEN, score: 0.9, bbox: [22.0, 22.0, 30.0, 30.0] };
    let right = Detection { class: OPEN, score: 0.5, bbox: truth.bbox };
    let map = |first: &Sample| {
        let mut metric = model.tasks()[0].metric();
        let said = [Prediction::Objects(vec![wrong]), Prediction::Objects(vec![right])];
        metric.update(&said, &batch(&[first.clone(), closed.clone()]));
        metric.per_class()[0].1[OPEN].unwrap()
    };
    assert_relative_eq!(map(&open), 1.0, max_relative = 1e-12);
    let mut nothing = closed.clone();
    nothing.objects = Some(Vec::new());
    assert!(map(&nothing) < 0.6);
}

//! Images whose sides are not multiples of the deepest stride: the padding inside the trunk must not be judged, and a
//! prediction must cover exactly the image.

use cerberus_autograd::ops::PadMode;
use cerberus_data::IGNORED;

use super::*;

/// The upper left `size` rows and columns of a sample; where it has fewer, the rest is not judged.
fn framed(sample: &Sample, [height, width]: [usize; 2]) -> Sample {
    let [rows, columns] = [sample.image.height, sample.image.width];
    let place =
        |p: usize| (p / width < rows && p % width < columns).then_some(p / width * columns + p % width);
    let places = || (0..height * width).map(place);
    let mut framed = sample.clone();
    let pixels =
        places().flat_map(|p| p.map_or([0; 3], |p| [0, 1, 2].map(|c| sample.image.pixels[3 * p + c])));
    framed.image = Image { height, width, channels: 3, pixels: pixels.collect::<Vec<u8>>().into() };
    let [right, bottom] = [width, height].map(|side| side as f32);
    for object in framed.objects.iter_mut().flatten() {
        let [x1, y1, x2, y2] = object.bbox;
        *object = Object::new(object.class, [x1.min(right), y1.min(bottom), x2.min(right), y2.min(bottom)]);
    }
    framed.mask = sample.mask.as_ref().map(|mask| {
        let classes = places().map(|p| p.map_or(IGNORED, |p| mask.classes[p])).collect();
        Mask { height, width, classes }
    });
    if let Some(Label::ValueMap(map)) = framed.more.get_mut("depth") {
        let values = places().map(|p| p.map_or(f32::NAN, |p| map.values[p])).collect();
        *map = ValueMap { height, width, values };
    }
    framed
}

/// Samples of this size with all labels.
fn samples(size: [usize; 2]) -> Vec<Sample> {
    (0..4).map(|index| framed(&sample(index, |_| true), size)).collect()
}

fn config_of([height, width]: [usize; 2], kinds: &[&str]) -> ModelConfig {
    ModelConfig { image: [height, width, 3], ..config(kinds) }
}

/// Zeros right of and below images, up to `size`.
fn zero_padded(images: &Tensor<f64>, [height, width]: [usize; 2]) -> Tensor<f64> {
    let [rows, columns] = [height - images.shape()[1], width - images.shape()[2]];
    let pads = [(0, 0), (0, rows), (0, columns), (0, 0)];
    Var::constant(images.clone()).pad(&pads, PadMode::Constant(0.0)).into_value()
}

/// One missing row and column: every map that a head uses has as many positions as for the padded image, so all of its
/// numbers can be compared.
#[test]
fn losses_gradients_and_answers_are_those_of_a_padded_image_whose_padding_is_not_judged() {
    let (odd, even) = ([SIDE - 1, SIDE - 1], [SIDE, SIDE]);
    let odd_batch = batch(&samples(odd));
    let even_batch = batch(&samples(odd).iter().map(|small| framed(small, even)).collect::<Vec<_>>());
    let odd_images = to_f64(&odd_batch.images);
    let even_images = zero_padded(&odd_images, even);
    for kind in all_kinds() {
        let kinds = [kind];
        let odd_model = MultiTaskModel::<f64>::new(&config_of(odd, &kinds), 5);
        let even_model = MultiTaskModel::<f64>::new(&config_of(even, &kinds), 5);
        let loss_of = |model: &MultiTaskModel<f64>, images: &Tensor<f64>, batch: &Batch| {
            let mut context = Context::training(1, 0);
            let features = model.features(Var::constant(images.clone()), &mut context);
            let loss = model.losses(&features, batch, &mut context).remove(0).unwrap();
            context.discard();
            loss
        };
        let loss = loss_of(&odd_model, &odd_images, &odd_batch);
        let wanted = loss_of(&even_model, &even_images, &even_batch);
        assert_relative_eq!(loss.value().item(), wanted.value().item(), max_relative = 1e-12);
        let (found, wanted) = (gradients(&odd_model, loss), gradients(&even_model, wanted));
        assert!(found.len() == wanted.len() && !found.is_empty(), "{kind}");
        for ((path, a), (_, b)) in odd_model.parameters().into_iter().zip(even_model.parameters()) {
            let (Some(found), Some(wanted)) = (found.get(&a.id()), wanted.get(&b.id())) else { continue };
            let largest = wanted.iter().fold(1e-9, |most: f64, g| most.max(g.abs()));
            for (f, w) in found.iter().zip(wanted) {
                assert!(
                    (f - w).abs() <= 1e-10 * largest,
                    "{kind}, {path}: {f} but {w} with explicit padding"
                );
            }
        }
        let found = odd_model.predict(odd_images.clone()).remove(0);
        let wanted = even_model.predict(even_images.clone()).remove(0);
        for (found, wanted) in found.iter().zip(&wanted) {
            compare(kind, found, wanted, odd, even);
        }
    }
}

/// Compares the prediction for an image with the part of the padded one's within the image.
fn compare(
    kind: &str,
    found: &Prediction,
    wanted: &Prediction,
    [rows, columns]: [usize; 2],
    [_, width]: [usize; 2],
) {
    let inside = |i: usize| i / columns * width + i % columns;
    let close = |found: &[f32], wanted: &dyn Fn(usize) -> f32| {
        found.iter().enumerate().all(|(i, f)| (f - wanted(i)).abs() < 1e-5)
    };
    let agree = match (found, wanted) {
        (Prediction::Classes(f), Prediction::Classes(w))
        | (Prediction::ClassSet(f), Prediction::ClassSet(w))
        | (Prediction::Values(f), Prediction::Values(w)) => f.len() == w.len() && close(f, &|i| w[i]),
        (Prediction::Mask(f), Prediction::Mask(w)) => {
            f.len() == rows * columns && (0..f.len()).all(|i| f[i] == w[inside(i)])
        }
        (Prediction::ValueMap(f), Prediction::ValueMap(w)) => {
            f.len() == rows * columns && close(f, &|i| w[inside(i)])
        }
        (Prediction::Objects(f), Prediction::Objects(_)) => {
            f.iter().all(|d| lies_in(&d.bbox, [rows, columns]))
        }
        _ => false,
    };
    assert!(agree, "{kind}: {found:?} but {wanted:?} with explicit padding");
}

fn lies_in([x1, y1, x2, y2]: &BBox, [height, width]: [usize; 2]) -> bool {
    *x1 >= 0.0 && *y1 >= 0.0 && *x2 <= width as f32 && *y2 <= height as f32
}

#[test]
fn maps_are_those_of_the_padded_image_without_positions_that_lie_outside() {
    let (size, padded) = ([27, 21], [32, 24]);
    let model = MultiTaskModel::<f64>::new(&config_of(size, &["classify"]), 5);
    let images = Tensor::from_fn(&[2, 27, 21, 3], |i| (i as f64 * 0.37).sin());
    let features = |images: Tensor<f64>| {
        let mut context = Context::training(1, 0);
        let features = model.features(Var::constant(images), &mut context);
        context.discard();
        features
    };
    let (found, wanted) = (features(images.clone()), features(zero_padded(&images, padded)));
    let shapes: Vec<[usize; 2]> = found.stages.iter().map(|map| [map.shape()[1], map.shape()[2]]).collect();
    assert_eq!(shapes, [[27, 21], [14, 11], [7, 6], [4, 3]]);
    let all = |features: Features<f64>| features.stages.into_iter().chain(features.neck);
    for (found, wanted) in all(found).zip(all(wanted)) {
        let [rows, columns] = [found.shape()[1], found.shape()[2]];
        let wanted = wanted.value().narrow(1, 0, rows).narrow(2, 0, columns);
        assert_eq!(found.value().to_vec(), wanted.to_vec());
    }
}

#[test]
fn a_model_of_an_odd_size_learns_every_task_and_answers_for_exactly_the_image() {
    let size = [27, 21];
    let config = config_of(size, &all_kinds());
    config.check().unwrap();
    let batch = batch(&samples(size));
    let mut model = MultiTaskModel::<f32>::new(&config, 5);
    let mut optimizer = AdamW::new(AdamOptions { learning_rate: 0.02, ..AdamOptions::default() });
    let options = StepOptions { seed: 1, clip_norm: Some(10.0), ..StepOptions::default() };
    let weights = vec![1.0; config.heads.len()];
    let losses: Vec<f64> = (0..20)
        .map(|_| {
            step_with(&mut model, &mut optimizer, options, |model, context| {
                model.loss(&batch, &weights, context).unwrap()
            })
        })
        .collect();
    assert!(losses[19] < 0.7 * losses[0], "{losses:?}");
    for (task, predictions) in model.tasks().iter().zip(model.predict(batch.images.clone())) {
        for prediction in &predictions {
            let fits = match prediction {
                Prediction::Mask(classes) => classes.len() == 27 * 21,
                Prediction::ValueMap(values) => values.len() == 27 * 21,
                Prediction::Objects(found) => found.iter().all(|d| lies_in(&d.bbox, size)),
                _ => true,
            };
            assert!(fits, "{}: {prediction:?}", task.name());
        }
        let mut metric = task.metric();
        metric.update(&predictions, &batch);
        assert!(metric.values()[0].1.is_some(), "{}", task.name());
    }
}

#[test]
fn images_with_fewer_pixels_than_the_stages_halve_are_refused() {
    let problem = |size| config_of(size, &["classify"]).check();
    assert!(problem([8, 9]).is_ok());
    for size in [[7, 32], [32, 7], [0, 8]] {
        let message = problem(size).unwrap_err();
        assert!(
            message.contains(&format!("{}x{}", size[0], size[1])) && message.contains("at least 8"),
            "{message}"
        );
    }
}

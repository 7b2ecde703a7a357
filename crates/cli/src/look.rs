//! A model's predictions for a picture of any size, in the pixels of the picture.
//!
//! The picture is resized to the model's images in the same way as the photographs it
//! was trained on (`fit` in its checkpoint's configuration), and the predictions are
//! mapped back: boxes by the inverse transform, masks and maps by leaving out the
//! margin of a letterbox. Masks and maps then cover exactly the picture, at a lower
//! resolution.

use cerberus::data::{Image, Placement, normalise};
use cerberus::multitask::{MultiTaskModel, Prediction};
use cerberus::train::TrainConfig;

/// Every task's prediction for a picture.
pub(crate) struct Seen {
    /// In the order of the tasks; boxes in pixels of the picture.
    pub predictions: Vec<Prediction>,
    /// Rows and columns of masks and maps, which cover the picture.
    pub size: [usize; 2],
}

/// Runs the model on a picture; objects less certain than `threshold` are left out.
pub(crate) fn look_at(config: &TrainConfig, model: &MultiTaskModel, picture: &Image, threshold: f32) -> Seen {
    let [height, width, _] = config.model.image;
    let placement = Placement::new(config.fit(), [picture.height, picture.width], [height, width]);
    let placed = placement.place(picture);
    let predictions = model.predict(normalise(&[&placed])).into_iter().filter_map(|mut batch| batch.pop());
    let predictions = predictions.map(|prediction| brought_back(prediction, &placement, threshold)).collect();
    Seen { predictions, size: placement.covered }
}

/// Maps a prediction for the network's image to the picture; uncertain objects are left out.
pub(crate) fn brought_back(prediction: Prediction, placement: &Placement, threshold: f32) -> Prediction {
    match prediction {
        Prediction::Objects(mut found) => {
            found.retain_mut(|object| {
                let bbox = placement.to_picture(object.bbox);
                object.bbox = bbox.unwrap_or_default();
                bbox.is_some() && object.score >= threshold
            });
            Prediction::Objects(found)
        }
        Prediction::Mask(classes) => Prediction::Mask(placement.without_margin(&classes)),
        Prediction::ValueMap(values) => Prediction::ValueMap(placement.without_margin(&values)),
        whole @ (Prediction::Classes(_) | Prediction::ClassSet(_) | Prediction::Values(_)) => whole,
    }
}

#[cfg(test)]
mod tests {
    use cerberus::autograd::Var;
    use cerberus::data::{
        Batch, ClassId, DatasetInfo, Fit, LabelInfo, LabelKind, MASK, OBJECTS, PhotoOptions,
    };
    use cerberus::multitask::tasks::Detection;
    use cerberus::multitask::{Features, HeadConfig, HeadOutput, MapInfo, Metric, Task, Trunk};
    use cerberus::nn::{Context, Module, ModuleTensor, ModuleTensorMut};

    use super::*;
    use crate::found::run_lengths;

    /// A trunk whose output is the image itself.
    struct Eye;

    impl Module for Eye {
        fn visit<'a>(&'a self, _: &str, _: &mut dyn FnMut(String, ModuleTensor<'a, f32>)) {}
        fn visit_mut<'a>(&'a mut self, _: &str, _: &mut dyn FnMut(String, ModuleTensorMut<'a, f32>)) {}
    }

    impl Trunk for Eye {
        fn stages(&self) -> Vec<MapInfo> {
            vec![MapInfo { name: "image".into(), channels: 3, stride: 1 }]
        }

        fn forward(&self, images: Var, _: &mut Context) -> Features {
            Features::new(vec![images], None)
        }
    }

    /// A head that finds exactly the white pixels.
    struct White(HeadConfig);

    impl Module for White {
        fn visit<'a>(&'a self, _: &str, _: &mut dyn FnMut(String, ModuleTensor<'a, f32>)) {}
        fn visit_mut<'a>(&'a mut self, _: &str, _: &mut dyn FnMut(String, ModuleTensorMut<'a, f32>)) {}
    }

    impl Task for White {
        fn config(&self) -> &HeadConfig {
            &self.0
        }

        fn labelled(&self, _: &Batch) -> Vec<usize> {
            Vec::new()
        }

        fn forward(&self, features: &Features, _: &mut Context) -> HeadOutput {
            HeadOutput { maps: vec![features.main().clone()] }
        }

        fn loss(&self, _: HeadOutput, _: &Batch) -> Var {
            unreachable!("nothing is trained here")
        }

        fn decode(&self, output: &HeadOutput) -> Vec<Prediction> {
            let image = output.maps[0].value();
            let columns = image.shape()[2];
            // Black is -2, white 2, the margin of a letterbox close to 0.
            let lit: Vec<bool> = image.to_vec().chunks(3).map(|pixel| pixel[0] > 1.0).collect();
            if self.0.kind == "segment" {
                return vec![Prediction::Mask(lit.into_iter().map(ClassId::from).collect())];
            }
            let places = || (0..lit.len()).filter(|&place| lit[place]);
            let [mut x, mut y] =
                [places().map(|p| p % columns).collect::<Vec<_>>(), places().map(|p| p / columns).collect()];
            x.sort_unstable();
            y.sort_unstable();
            let bbox = [x[0], y[0], x[x.len() - 1] + 1, y[y.len() - 1] + 1].map(|side| side as f32);
            let whole = [0.0, 0.0, columns as f32, image.shape()[1] as f32];
            let found = [(0.9, bbox), (0.1, whole)];
            let found = found.map(|(score, bbox)| Detection { class: 0, score, bbox });
            vec![Prediction::Objects(found.into())]
        }

        fn metric(&self) -> Box<dyn Metric> {
            unreachable!("nothing is scored here")
        }
    }

    /// A model that takes images of 48 rows and 64 columns, and its configuration.
    fn eye(fit: Fit) -> (TrainConfig, MultiTaskModel) {
        let names = ["white".to_string()];
        let info = DatasetInfo {
            name: "black and white".into(),
            height: 48,
            width: 64,
            channels: 3,
            labels: vec![
                LabelInfo::new(OBJECTS, LabelKind::Objects, &names),
                LabelInfo::new(MASK, LabelKind::Mask, &names),
            ],
            inputs: Vec::new(),
            accounts: Default::default(),
        };
        let mut config = TrainConfig::for_data("black and white", &info);
        config.photos = Some(PhotoOptions { size: [48, 64], fit, ..PhotoOptions::default() });
        let tasks: Vec<Box<dyn Task>> =
            config.model.heads.iter().map(|head| Box::new(White(head.clone())) as Box<dyn Task>).collect();
        assert_eq!(tasks.len(), 2, "one that detects and one that segments");
        (config, MultiTaskModel::from_parts(Eye, tasks))
    }

    #[test]
    fn boxes_and_masks_lie_on_the_object_in_wide_and_tall_pictures_however_they_were_fitted() {
        // Rows, columns, and the object's x1, y1, x2, y2.
        let pictures =
            [([60, 320], [200, 10, 280, 40]), ([320, 60], [10, 200, 40, 280]), ([48, 64], [8, 8, 24, 40])];
        for fit in [Fit::Stretch, Fit::Letterbox] {
            let (config, model) = eye(fit);
            for ([height, width], object) in pictures {
                let [x1, y1, x2, y2] = object;
                let inside = |p: usize| (x1..x2).contains(&(p % width)) && (y1..y2).contains(&(p / width));
                let pixels: Vec<u8> =
                    (0..height * width).flat_map(|p| [if inside(p) { 255 } else { 0 }; 3]).collect();
                let picture = Image { height, width, channels: 3, pixels: pixels.into() };
                let seen = look_at(&config, &model, &picture, 0.3);
                // Within a pixel of the network's image, or of the picture where that is enlarged.
                let slack = [(width, seen.size[1]), (height, seen.size[0])];
                let slack = slack.map(|(of, seen)| (of as f32 / seen as f32).max(1.0));
                let lies =
                    |found: [f32; 4]| (0..4).all(|i| (found[i] - object[i] as f32).abs() <= slack[i % 2]);
                let [Prediction::Objects(found), Prediction::Mask(mask)] = &seen.predictions[..] else {
                    panic!("{:?}", seen.predictions)
                };
                assert_eq!(found.len(), 1, "the uncertain one is left out");
                assert!(lies(found[0].bbox), "{fit:?} {height}x{width}: {:?}, not {object:?}", found[0].bbox);
                assert_eq!(mask.len(), seen.size[0] * seen.size[1]);
                let covered = run_lengths(mask, seen.size, [height, width], 1).expect("pixels of the object");
                let side = |i: usize| covered["bbox"][i].as_f64().unwrap() as f32;
                let bbox = [side(0), side(1), side(0) + side(2), side(1) + side(3)];
                assert!(lies(bbox), "{fit:?} {height}x{width}: the mask lies in {bbox:?}, not {object:?}");
            }
        }
    }

    #[test]
    fn a_box_over_the_whole_letterbox_is_one_over_the_whole_picture() {
        let (config, model) = eye(Fit::Letterbox);
        let picture = Image { height: 30, width: 200, channels: 3, pixels: vec![255; 30 * 200 * 3].into() };
        let seen = look_at(&config, &model, &picture, 0.0);
        assert_eq!(seen.size, [10, 64]);
        let Prediction::Objects(found) = &seen.predictions[0] else { panic!("{:?}", seen.predictions) };
        assert!(found.iter().all(|object| object.bbox == [0.0, 0.0, 200.0, 30.0]), "{found:?}");
    }
}

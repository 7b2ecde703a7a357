//! A class and a box for every object, without anchors.
//!
//! Objects are points (Zhou, Wang and Krähenbühl, "Objects as Points", 2019): at a quarter of the
//! image size, a heat map per class peaks at the centres. Boxes are also learned around the
//! centre, where each position gives its distances to the four sides (Liu et al.,
//! "Training-Time-Friendly Network", 2020). The box branch then has many more training positions
//! per image, which a short training needs.
//!
//! Targets: for an object of `w x h` pixels the heat is a Gaussian with standard deviations of
//! 0.09 of the sides, at least a quarter of a cell (crowds have none); a position learns the box
//! of the smallest object whose Gaussian reaches it, weighted by the Gaussian and normalised so
//! that each object counts alike.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind, Object};
use cerberus_nn::losses::{gaussian_focal, giou};
use cerberus_nn::{Context, Conv2d, Init, Layer, module};
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::{Element, Tensor};

use super::scores::ObjectScores;
use super::decoding::{PEAKS, POSITION, SUPPRESSION};
use super::shared::{MOST, heat_peaks, judged_heat, outputs, present, suppressed};
use super::{Candidates, Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use cerberus_metrics::boxes;
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features};
use crate::trunk::ConvBlock;

/// Channels of the head's two branches.
const WIDTH: usize = 64;
/// Standard deviation of the target Gaussians, as a share of the box's sides:
/// a sixth of 0.54, the reference's value.
const SPREAD: f64 = 0.09;
/// Heat below this counts as none.
const FLOOR: f64 = 0.01;
/// Distances are learned in units of this many pixels.
const UNIT: f64 = 8.0;
/// Initial probability of an object at a position (RetinaNet's prior).
const PRIOR: f64 = 0.05;
/// Weight of the box loss beside the heat loss.
const BOX_WEIGHT: f64 = 2.0;
/// Boxes of one class that overlap more than this are one object.
const SAME: f64 = 0.6;

/// Centre-point detection.
pub struct Detect<T: Element = f32> {
    heat: ConvBlock<T>,
    heat_output: Conv2d<T>,
    sides: ConvBlock<T>,
    sides_output: Conv2d<T>,
    config: HeadConfig,
    classes: usize,
    stride: usize,
    image: [usize; 2],
}

module!(Detect { heat, heat_output, sides, sides_output } without { config, classes, stride, image });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "detect",
        label: LabelKind::Objects,
        weight: 1.0,
        build: |info, head, init| Box::new(Detect::new(info, head, init)),
    }
}

impl<T: Element> Detect<T> {
    /// A head on the merged map.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let one = Conv2dSpec::default();
        let (channels, classes) = (info.main().channels, head.outputs());
        Self {
            heat: ConvBlock::new(channels, WIDTH, 3, init),
            heat_output: Conv2d::with_spec(WIDTH, classes, 1, one, init)
                .with_weight_std(0.01, init)
                .with_bias((PRIOR / (1.0 - PRIOR)).ln()),
            sides: ConvBlock::new(channels, WIDTH, 3, init),
            sides_output: Conv2d::with_spec(WIDTH, 4, 1, one, init).with_weight_std(0.01, init).with_bias(0.5),
            config: head.clone(),
            classes,
            stride: info.main().stride,
            image: info.image,
        }
    }

    /// Rows and columns of the map.
    fn grid(&self) -> [usize; 2] {
        self.image.map(|extent| extent.div_ceil(self.stride))
    }

    /// The centre of a cell, in pixels.
    fn centre(&self, cell: usize) -> f64 {
        (cell as f64 + 0.5) * self.stride as f64
    }

    /// Targets for images with these objects.
    fn targets(&self, images: &[&[Object]]) -> Targets<T> {
        let [rows, columns] = self.grid();
        let cells = images.len() * rows * columns;
        let mut heat = vec![T::ZERO; cells * self.classes];
        let mut bounds = vec![T::ZERO; cells * 4];
        let mut weight = vec![T::ZERO; cells];
        let mut count = 0;
        for (image, objects) in images.iter().enumerate() {
            let first = image * rows * columns;
            objects.iter().filter(|object| object.crowd).for_each(|crowd| self.excuse(crowd, first, &mut heat));
            let mut order: Vec<&Object> = objects.iter().filter(|object| !object.crowd).collect();
            // Large ones first, so that the smallest object overwrites the others.
            order.sort_by(|a, b| boxes::area(&b.bbox).total_cmp(&boxes::area(&a.bbox)));
            for object in order {
                count += 1;
                self.add_target(object, first, &mut heat, &mut bounds, &mut weight);
            }
        }
        let tensor = |values, last| Tensor::from_vec(values, &[images.len(), rows, columns, last]);
        Targets {
            heat: tensor(heat, self.classes),
            bounds: Tensor::from_vec(bounds, &[cells, 4]),
            weight: Tensor::from_vec(weight, &[cells]),
            count,
        }
    }

    /// Heat inside a crowd is ignored: the target is so close to one that the
    /// loss's weight `(1 - t)^4` is nothing.
    fn excuse(&self, crowd: &Object, first: usize, heat: &mut [T]) {
        let [rows, columns] = self.grid();
        let [x1, y1, x2, y2] = crowd.bbox.map(f64::from);
        for place in 0..rows * columns {
            let (y, x) = (self.centre(place / columns), self.centre(place % columns));
            if (x1..x2).contains(&x) && (y1..y2).contains(&y) {
                heat[(first + place) * self.classes + crowd.class] = T::from_f64(0.999);
            }
        }
    }

    fn add_target(&self, object: &Object, first: usize, heat: &mut [T], bounds: &mut [T], weight: &mut [T]) {
        let [rows, columns] = self.grid();
        let [x1, y1, x2, y2] = object.bbox.map(f64::from);
        let deviation = |side: f64| (SPREAD * side).max(0.25 * self.stride as f64);
        let (sx, sy) = (deviation(x2 - x1), deviation(y2 - y1));
        let cell = |centre: f64, most: usize| ((centre / self.stride as f64) as usize).min(most - 1);
        let peak = [cell((y1 + y2) / 2.0, rows), cell((x1 + x2) / 2.0, columns)];
        let reach: Vec<(usize, f64)> = (0..rows * columns)
            .filter_map(|place| {
                let (row, column) = (place / columns, place % columns);
                // The Gaussian is centred on the peak cell, whose heat is exactly one.
                let dy = (row as f64 - peak[0] as f64) * self.stride as f64 / sy;
                let dx = (column as f64 - peak[1] as f64) * self.stride as f64 / sx;
                let value = (-0.5 * (dx * dx + dy * dy)).exp();
                let inside = (x1..x2).contains(&self.centre(column)) && (y1..y2).contains(&self.centre(row));
                (value >= FLOOR && (inside || value == 1.0)).then_some((place, value))
            })
            .collect();
        let total: f64 = reach.iter().map(|(_, value)| value).sum();
        for (place, value) in reach {
            let place = first + place;
            let heat = &mut heat[place * self.classes + object.class];
            *heat = heat.max(T::from_f64(value));
            weight[place] = T::from_f64(value / total);
            for (bound, value) in bounds[place * 4..].iter_mut().zip([x1, y1, x2, y2]) {
                *bound = T::from_f64(value);
            }
        }
    }

    /// Distances `[M, 4]` (left, top, right, bottom, in units) to boxes `[M, 4]` in pixels.
    fn to_boxes(&self, sides: Var<T>) -> Var<T> {
        let cells = sides.shape()[0];
        let [rows, columns] = self.grid();
        let centres = Tensor::from_fn(&[cells, 4], |i| {
            let place = i / 4 % (rows * columns);
            T::from_f64(self.centre(if i % 2 == 0 { place % columns } else { place / columns }))
        });
        let signs = Tensor::from_vec([-UNIT, -UNIT, UNIT, UNIT].map(T::from_f64).to_vec(), &[4]);
        sides * Var::constant(signs) + Var::constant(centres)
    }
}

/// The targets of the outputs.
struct Targets<T: Element> {
    /// `[N, rows, columns, classes]`.
    heat: Tensor<T>,
    /// `[N * rows * columns, 4]`, in pixels.
    bounds: Tensor<T>,
    /// `[N * rows * columns]`, summing to about one per object.
    weight: Tensor<T>,
    /// Number of objects.
    count: usize,
}

impl<T: Element> Task<T> for Detect<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.objects_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let x = features.main().clone();
        let heat = self.heat.forward(x.clone(), context);
        let heat = self.heat_output.forward(heat, context);
        let sides = self.sides.forward(x, context);
        let sides = self.sides_output.forward(sides, context).softplus();
        HeadOutput { maps: vec![heat, sides] }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let [heat, sides] = outputs(output);
        let images: Vec<&[Object]> = batch.objects_of(&self.config.label).into_iter().flatten().collect();
        let targets = self.targets(&images);
        let count = (targets.count as f64).max(1.0);
        let cells = targets.weight.len();
        let predicted = self.to_boxes(sides.reshape(&[cells, 4]));
        let boxes = giou(predicted, targets.bounds, Some(targets.weight), count);
        let heat = judged_heat(heat, &targets.heat, batch, &self.config);
        gaussian_focal(heat, targets.heat, Some(count)) + boxes.scale(BOX_WEIGHT)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        let [rows, columns] = self.grid();
        let heat = output.maps[0].value();
        let sides = output.maps[1].clone().detach().reshape(&[heat.len() / self.classes, 4]);
        let bounds = self.to_boxes(sides).into_value();
        let (height, width) = (self.image[0] as f32, self.image[1] as f32);
        let peaks = heat_peaks(heat, |image, cell| {
            let place = 4 * (image * rows * columns + cell);
            let bbox = std::array::from_fn(|side| bounds.data()[place + side].as_f64() as f32);
            boxes::clip_to_image(&bbox, width, height)
        });
        peaks.into_iter().map(|prediction| suppressed(prediction, SAME)).collect()
    }

    fn candidates(&self, output: &HeadOutput<T>) -> Option<Candidates<T>> {
        let [rows, columns] = self.grid();
        let [heat, sides] = outputs(output.clone());
        let (n, places) = (heat.shape()[0], rows * columns);
        let boxes = self.to_boxes(sides.reshape(&[n * places, 4])).reshape(&[n, places, 4]);
        Some(Candidates { scores: heat.sigmoid().reshape(&[n, places, self.classes]), boxes })
    }

    fn decoding(&self) -> Decoding {
        let maps = [
            ("heat", "at each position a logit for each class", Some(self.stride)),
            ("sides", "at each position the distances to the left, top, right and bottom, in units", Some(self.stride)),
        ];
        let steps = [
            PEAKS,
            POSITION,
            "the box is (x - unit left, y - unit top, x + unit right, y + unit bottom) in pixels of the network's image, \
             from the sides at the peak's position, clipped to the image",
            SUPPRESSION,
        ];
        Decoding::of(&maps, &steps).with_numbers(&[("unit", UNIT), ("most", MOST as f64), ("same", SAME)])
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(ObjectScores::new(&self.config))
    }
}

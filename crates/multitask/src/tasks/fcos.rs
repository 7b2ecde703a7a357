//! FCOS (Tian, Shen, Chen and He, "Fully Convolutional One-Stage Object
//! Detection", 2019): every position inside an object learns its box.
//!
//! On each of its levels (by default the merged map and the deepest stage) two
//! branches of a 3x3 convolution: classes, and sides with centre-ness. A position
//! `p` belongs to an object if it lies in its box, within 1.5 strides of its
//! centre, and its distance to the farthest side is in the level's range: up to 6
//! strides on a level, more on the next, without limit on the deepest. If several
//! objects qualify, it belongs to the smallest. Losses: focal (alpha 0.25, gamma
//! 2) over the number of positions N, generalised IoU weighted by the true
//! centre-ness over its sum, cross-entropy of the centre-ness over N.
//!
//! The score of a box is the root of class probability times centre-ness; boxes
//! of one class that overlap by more than 0.6 are one object.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind, Object};
use cerberus_nn::losses::{Focal, binary_cross_entropy, focal, giou};
use cerberus_nn::{Context, Conv2d, Init, Layer, module};
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::{Element, Tensor, sigmoid};

use super::annotated::{has, held, partly_annotated};
use super::scores::ObjectScores;
use super::decoding::{POSITION, SUPPRESSION};
use super::shared::{present, suppressed};
use crate::features::select;
use super::{Candidates, Decoding, Prediction, Detection, HeadKind, Metric, HeadOutput, Task};
use cerberus_metrics::boxes;
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features};
use crate::trunk::ConvBlock;

/// Channels of the branches.
const WIDTH: usize = 64;
/// Initial probability of a class at a position.
const PRIOR: f64 = 0.01;
/// How far from an object's centre its positions lie, in strides.
const RADIUS: f64 = 1.5;
/// The farthest side that is learned on a level, in strides.
const REACH: f64 = 6.0;
/// Boxes with a lower score are dropped.
const LEAST: f64 = 0.05;
/// The most boxes kept on a level.
const MOST: usize = 1000;
/// Boxes of one class that overlap more than this are one object.
const SAME: f64 = 0.6;

/// The branches on one map.
struct Level<T: Element> {
    classes: ConvBlock<T>,
    classes_output: Conv2d<T>,
    sides: ConvBlock<T>,
    sides_output: Conv2d<T>,
    centre_output: Conv2d<T>,
    stride: usize,
    /// The stage, from 0.
    stage: usize,
    /// Whether the neck, which has the same size, is used in its place.
    neck: bool,
}

module!(Level { classes, classes_output, sides, sides_output, centre_output } without { stride, stage, neck });

/// Detection by all positions inside objects.
pub struct Fcos<T: Element = f32> {
    levels: Vec<Level<T>>,
    config: HeadConfig,
    image: [usize; 2],
}

module!(Fcos { levels } without { config, image });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "fcos",
        label: LabelKind::Objects,
        weight: 1.0,
        build: |info, head, init| Box::new(Fcos::new(info, head, init)),
    }
}

impl<T: Element> Level<T> {
    fn new(info: &FeatureInfo, stage: usize, classes: usize, init: &mut Init) -> Self {
        let stride = info.stages[stage].stride;
        let neck = info.neck.as_ref().filter(|neck| neck.stride == stride);
        let channels = neck.map_or(info.channels(stage), |neck| neck.channels);
        let one = Conv2dSpec::default();
        let output = |to: usize, bias: f64, init: &mut Init| {
            Conv2d::with_spec(WIDTH, to, 1, one, init).with_weight_std(0.01, init).with_bias(bias)
        };
        Self {
            classes: ConvBlock::new(channels, WIDTH, 3, init),
            classes_output: output(classes, (PRIOR / (1.0 - PRIOR)).ln(), init),
            sides: ConvBlock::new(channels, WIDTH, 3, init),
            sides_output: output(4, 1.0, init),
            centre_output: output(1, 0.0, init),
            stride,
            stage,
            neck: neck.is_some(),
        }
    }

    /// Rows and columns of the map.
    fn grid(&self, image: [usize; 2]) -> [usize; 2] {
        image.map(|side| side.div_ceil(self.stride))
    }

    /// The place in the image of a cell of the map, x and y.
    fn point(&self, cell: usize, columns: usize) -> [f64; 2] {
        [cell % columns, cell / columns].map(|place| (place as f64 + 0.5) * self.stride as f64)
    }
}

/// The targets of a batch's positions, level after level, and within a level image after image.
#[derive(Default)]
struct Targets {
    /// The class of each position.
    class: Vec<Option<usize>>,
    /// The box of each position, in pixels.
    bounds: Vec<f64>,
    /// The true centre-ness of each position; 0 where there is no object.
    centre: Vec<f64>,
    /// Positions that are judged: all but those inside crowds.
    judged: Vec<bool>,
}

impl<T: Element> Fcos<T> {
    /// A head on its levels.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        // The main map and the next deeper one.
        let finer = info.stages.iter().filter(|map| map.stride < info.main().stride).count();
        let finest = finer.min(info.depth() - 2);
        let stages = info.levels(head, &[finest, finest + 1]);
        let levels = stages.iter().map(|&stage| Level::new(info, stage, head.outputs(), init));
        Self { levels: levels.collect(), config: head.clone(), image: info.image }
    }

    fn targets(&self, images: &[&[Object]]) -> Targets {
        let mut targets = Targets::default();
        for (index, level) in self.levels.iter().enumerate() {
            let stride = level.stride as f64;
            let from = if index == 0 { 0.0 } else { REACH * self.levels[index - 1].stride as f64 };
            let to = if index + 1 == self.levels.len() { f64::INFINITY } else { REACH * stride };
            let [rows, columns] = level.grid(self.image);
            for objects in images {
                for cell in 0..rows * columns {
                    let [x, y] = level.point(cell, columns);
                    let inside = |o: &Object| {
                        let [x1, y1, x2, y2] = o.bbox.map(f64::from);
                        x > x1 && x < x2 && y > y1 && y < y2
                    };
                    let learns = |o: &&Object| {
                        let [x1, y1, x2, y2] = o.bbox.map(f64::from);
                        let farthest = [x - x1, y - y1, x2 - x, y2 - y].into_iter().fold(0.0, f64::max);
                        let off = ((x1 + x2) / 2.0 - x).abs().max(((y1 + y2) / 2.0 - y).abs());
                        !o.crowd && inside(o) && off < RADIUS * stride && farthest > from && farthest <= to
                    };
                    let area = |o: &Object| boxes::area(&o.bbox);
                    let chosen = objects.iter().filter(learns).min_by(|a, b| area(a).total_cmp(&area(b)));
                    let crowd = objects.iter().any(|o| o.crowd && inside(o));
                    targets.class.push(chosen.map(|object| object.class));
                    targets.judged.push(chosen.is_some() || !crowd);
                    let bbox = chosen.map_or([0.0; 4], |object| object.bbox.map(f64::from));
                    targets.bounds.extend(bbox);
                    let [x1, y1, x2, y2] = bbox;
                    targets.centre.push(chosen.map_or(0.0, |_| centre_ness(x - x1, y - y1, x2 - x, y2 - y)));
                }
            }
        }
        targets
    }

    /// The index of each position's image, in a batch of `images` images.
    fn image_of_positions(&self, images: usize) -> Vec<usize> {
        let of_level = |level: &Level<T>| {
            let [rows, columns] = level.grid(self.image);
            (0..images).flat_map(move |image| std::iter::repeat_n(image, rows * columns))
        };
        self.levels.iter().flat_map(of_level).collect()
    }

    /// All levels' outputs of one kind as `[positions, channels]`.
    fn rows(&self, output: &HeadOutput<T>, kind: usize) -> Var<T> {
        let maps = (0..self.levels.len()).map(|level| {
            let x = output.maps[3 * level + kind].clone();
            let channels = x.shape()[3];
            let positions = x.value().len() / channels;
            x.reshape(&[positions, channels])
        });
        Var::concat(maps.collect(), 0)
    }

    /// Distances in strides to boxes in pixels, both `[positions, 4]`.
    fn to_boxes(&self, sides: Var<T>, images: usize) -> Var<T> {
        let (mut points, mut strides) = (Vec::new(), Vec::new());
        for level in &self.levels {
            let [rows, columns] = level.grid(self.image);
            for place in 0..images * rows * columns {
                let [x, y] = level.point(place % (rows * columns), columns).map(T::from_f64);
                points.extend([x, y, x, y]);
                let stride = level.stride as f64;
                strides.extend([-stride, -stride, stride, stride].map(T::from_f64));
            }
        }
        let shape = sides.shape().to_vec();
        let constant = |values| Var::constant(Tensor::from_vec(values, &shape));
        sides * constant(strides) + constant(points)
    }
}

impl<T: Element> Task<T> for Fcos<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.objects_of(&self.config.label))
    }

    /// Per level: class logits, distances to the four sides in strides, centre-ness logit.
    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let mut outputs = Vec::with_capacity(3 * self.levels.len());
        for level in &self.levels {
            let x = if level.neck { features.main().clone() } else { features.stages[level.stage].clone() };
            let classes = level.classes.forward(x.clone(), context);
            let sides = level.sides.forward(x, context);
            outputs.push(level.classes_output.forward(classes, context));
            outputs.push(level.sides_output.forward(sides.clone(), context).softplus());
            outputs.push(level.centre_output.forward(sides, context));
        }
        HeadOutput { maps: outputs }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let images: Vec<&[Object]> = batch.objects_of(&self.config.label).into_iter().flatten().collect();
        let targets = self.targets(&images);
        let (positions, classes) = (targets.class.len(), self.config.outputs());
        let count = targets.class.iter().flatten().count().max(1) as f64;
        let centres: f64 = targets.centre.iter().sum();
        let tensor = |values: &[f64], shape: &[usize]| {
            Tensor::from_vec(values.iter().map(|&v| T::from_f64(v)).collect(), shape)
        };
        let judged: Vec<usize> = (0..positions).filter(|&place| targets.judged[place]).collect();
        let mut wanted = vec![0.0; judged.len() * classes];
        for (row, &place) in judged.iter().enumerate() {
            if let Some(class) = targets.class[place] {
                wanted[row * classes + class] = 1.0;
            }
        }
        let logits = select(self.rows(&output, 0), &judged);
        let told = partly_annotated(batch, &self.config).map(|known| {
            let image_of = self.image_of_positions(images.len());
            let of = |(row, &place): (usize, &usize)| {
                let (known, wanted) = (known[image_of[place]], &wanted[row * classes..]);
                (0..classes).map(move |class| has(known, class) || wanted[class] == 1.0)
            };
            judged.iter().enumerate().flat_map(of).collect::<Vec<bool>>()
        });
        let logits = held(logits, told.as_deref());
        let class_loss = focal(logits, tensor(&wanted, &[judged.len(), classes]), &Focal::default(), count);
        let bounds = self.to_boxes(self.rows(&output, 1), images.len());
        let target = tensor(&targets.bounds, &[positions, 4]);
        let weights = tensor(&targets.centre, &[positions]);
        let box_loss = giou(bounds, target, Some(weights), if centres > 0.0 { centres } else { 1.0 });
        let positive: Vec<f64> = targets.class.iter().map(|c| f64::from(u8::from(c.is_some()))).collect();
        let shape = [positions, 1];
        let centre = self.rows(&output, 2);
        let weights = Some(tensor(&positive, &shape));
        // Turns the mean over all positions into one over those of objects.
        let centre_loss = binary_cross_entropy(centre, tensor(&targets.centre, &shape), weights, None);
        class_loss + box_loss + centre_loss.scale(positions as f64 / count)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        let images = output.maps[0].shape()[0];
        let detached = HeadOutput { maps: output.maps.iter().map(|x| x.clone().detach()).collect() };
        let bounds = self.to_boxes(self.rows(&detached, 1), images).into_value().contiguous();
        let classes = self.config.outputs();
        let mut found: Vec<Vec<Detection>> = vec![Vec::new(); images];
        let mut first = 0;
        for (index, level) in self.levels.iter().enumerate() {
            let [rows, columns] = level.grid(self.image);
            let [logits, centre] = [0, 2].map(|kind| detached.maps[3 * index + kind].value().contiguous());
            for (image, found) in found.iter_mut().enumerate() {
                let mut here: Vec<Detection> = Vec::new();
                for place in image * rows * columns..(image + 1) * rows * columns {
                    let centre = sigmoid(centre.data()[place]).as_f64();
                    for class in 0..classes {
                        let p = sigmoid(logits.data()[place * classes + class]).as_f64();
                        if p < LEAST {
                            continue;
                        }
                        let sides = &bounds.data()[4 * (first + place)..];
                        let bbox: [f32; 4] = std::array::from_fn(|side| sides[side].as_f64() as f32);
                        let bbox = boxes::clip_to_image(&bbox, self.image[1] as f32, self.image[0] as f32);
                        here.push(Detection { class, score: (p * centre).sqrt() as f32, bbox });
                    }
                }
                here.sort_by(|a, b| b.score.total_cmp(&a.score));
                here.truncate(MOST);
                found.extend(here);
            }
            first += images * rows * columns;
        }
        found.into_iter().map(|found| suppressed(Prediction::Objects(found), SAME)).collect()
    }

    fn candidates(&self, output: &HeadOutput<T>) -> Option<Candidates<T>> {
        let (mut scores, mut bounds) = (Vec::new(), Vec::new());
        for (index, level) in self.levels.iter().enumerate() {
            let [rows, columns] = level.grid(self.image);
            let of = |kind: usize| {
                let x = output.maps[3 * index + kind].clone();
                let (n, channels) = (x.shape()[0], x.shape()[3]);
                x.reshape(&[n, rows * columns, channels])
            };
            // The root of the product of two probabilities, by their logarithms: no operation takes two of them.
            scores.push((of(0).log_sigmoid() + of(2).log_sigmoid()).scale(0.5).exp());
            let stride = level.stride as f64;
            let signs = Tensor::from_vec([-stride, -stride, stride, stride].map(T::from_f64).to_vec(), &[4]);
            let points = Tensor::from_fn(&[rows * columns, 4], |i| {
                T::from_f64(level.point(i / 4, columns)[i % 2])
            });
            bounds.push(of(1) * Var::constant(signs) + Var::constant(points));
        }
        Some(Candidates { scores: Var::concat(scores, 1), boxes: Var::concat(bounds, 1) })
    }

    fn decoding(&self) -> Decoding {
        let names: Vec<[String; 3]> = (1..=self.levels.len())
            .map(|level| ["classes", "sides", "centre"].map(|name| format!("{name}{level}")))
            .collect();
        let maps = self.levels.iter().zip(&names).flat_map(|(level, [classes, sides, centre])| {
            let stride = Some(level.stride);
            [
                (classes.as_str(), "at each position a logit for each class", stride),
                (sides.as_str(), "at each position the distances to the left, top, right and bottom, in strides", stride),
                (centre.as_str(), "at each position the logit of the centre-ness", stride),
            ]
        });
        let steps = [
            "on each level, take the places whose class probability, the sigmoid of its logit, is at least least; the \
             score is the root of the probability times the sigmoid of centre; keep the most_per_level best",
            POSITION,
            "the box is (x - stride left, y - stride top, x + stride right, y + stride bottom) in pixels of the network's \
             image, clipped to the image",
            SUPPRESSION,
        ];
        let numbers = [
            ("least", LEAST),
            ("most_per_level", MOST as f64),
            ("most", super::shared::MOST as f64),
            ("same", SAME),
        ];
        Decoding::of(&maps.collect::<Vec<_>>(), &steps).with_numbers(&numbers)
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(ObjectScores::new(&self.config))
    }
}

/// How central a position is in its box, from its distances to the four sides:
/// `sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))`, 1 in the middle (equation 3).
pub fn centre_ness(left: f64, top: f64, right: f64, bottom: f64) -> f64 {
    let share = |a: f64, b: f64| a.min(b) / a.max(b).max(f64::MIN_POSITIVE);
    (share(left, right) * share(top, bottom)).max(0.0).sqrt()
}

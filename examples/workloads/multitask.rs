//! One trunk and three plain heads, the smallest network that classifies,
//! segments and detects at once. It is not the model of the train example: it
//! is one that every framework writes in the same few lines.
//!
//! - trunk: four stages of two `[conv 3x3, norm, ReLU]` with 32, 64, 128 and 128
//!   channels and a max-pool between stages;
//! - classification: the mean over all pixels, a dense layer;
//! - segmentation: the features of stride 8 enlarged to those of stride 4 and
//!   concatenated with them, a 1x1 convolution to 11 classes, enlarged four times;
//! - detection: on stride 8, two 3x3 convolutions of 64 channels with ReLU, then
//!   10 class logits, 4 sides and the centre-ness of every position.
//!
//! The losses, all of weight 1: cross-entropy of the class and of every pixel,
//! focal loss of the positions' classes, smooth L1 of sides and centre-ness
//! where there is an object.

use cerberus::nn::losses::{Focal, cross_entropy, focal, smooth_l1};
use cerberus::prelude::*;
use cerberus::tensor::resize::Interpolation;

use super::wave;

const CLASSES: usize = 10;
/// What is regressed at a position: four sides and the centre-ness.
const SIDES: usize = 5;
const SIZE: usize = 64;
/// Positions of the detection map in each direction.
const GRID: usize = SIZE / 8;

/// The network.
pub struct PlainHeads<T: Element = f32> {
    /// `[conv, norm with ReLU]`, two per stage.
    stages: Vec<Sequential<T>>,
    classify: Linear<T>,
    segment: Conv2d<T>,
    detect: Sequential<T>,
}

module!(PlainHeads { stages, classify, segment, detect });

/// The heads' outputs for `N` images.
pub struct Outputs<T: Element = f32> {
    /// `[N, 10]`.
    pub(super) classes: Var<T>,
    /// `[N, 64, 64, 11]`.
    pub(super) pixels: Var<T>,
    /// `[N, 8, 8, 10 + 5]`.
    pub(super) positions: Var<T>,
}

impl PlainHeads {
    /// With fresh weights.
    pub fn new(seed: u64) -> Self {
        let mut init = Init::new(seed);
        let same = Conv2dSpec::same(3);
        let mut cin = 3;
        let stages = [32, 64, 128, 128].map(|cout| {
            let conv1 = Conv2d::with_spec(cin, cout, 3, same, &mut init).without_bias();
            let conv2 = Conv2d::with_spec(cout, cout, 3, same, &mut init).without_bias();
            cin = cout;
            Sequential::new()
                .add("conv1", conv1)
                .add("norm1", BatchNorm2d::new(cout).with_relu())
                .add("conv2", conv2)
                .add("norm2", BatchNorm2d::new(cout).with_relu())
        });
        let pointwise = Conv2dSpec::default();
        Self {
            stages: stages.into(),
            classify: Linear::new(cin, CLASSES, &mut init),
            segment: Conv2d::with_spec(2 * cin, CLASSES + 1, 1, pointwise, &mut init),
            detect: Sequential::new()
                .add("conv1", Conv2d::with_spec(cin, 64, 3, same, &mut init).with_relu())
                .add("conv2", Conv2d::with_spec(64, 64, 3, same, &mut init).with_relu())
                .add("output", Conv2d::with_spec(64, CLASSES + SIDES, 1, pointwise, &mut init)),
        }
    }

    /// What maps are made for: the first class, the first class at the middle pixel, and the first class at the middle
    /// position, `[N, 1]` each.
    pub fn numbers(&self, images: Var, context: &mut Context) -> Vec<Var> {
        let Outputs { classes, pixels, positions } = self.forward(images, context);
        let middle = |map: Var| {
            let [n, h, w] = [0, 1, 2].map(|axis| map.shape()[axis]);
            map.narrow(1, h / 2, 1).narrow(2, w / 2, 1).narrow(3, 0, 1).reshape(&[n, 1])
        };
        vec![classes.narrow(1, 0, 1), middle(pixels), middle(positions)]
    }

    /// Images `[N, 64, 64, 3]` to the outputs of all heads.
    pub fn forward(&self, images: Var, context: &mut Context) -> Outputs {
        let pool = MaxPool2d::new(2, 2);
        let [first, second, third, fourth] = &self.stages[..] else { unreachable!("there are four stages") };
        let x = first.forward(images, context);
        let x = second.forward(pool.forward(x, context), context);
        let quarter = third.forward(pool.forward(x, context), context);
        let eighth = fourth.forward(pool.forward(quarter.clone(), context), context);

        let classes = self.classify.forward(eighth.clone().global_avg_pool(), context);
        let enlarged = eighth.clone().resize([SIZE / 4; 2], Interpolation::Bilinear);
        let pixels = self.segment.forward(Var::concat(vec![quarter, enlarged], 3), context);
        let pixels = pixels.resize([SIZE; 2], Interpolation::Bilinear);
        let positions = self.detect.forward(eighth, context);
        Outputs { classes, pixels, positions }
    }
}

/// The targets of the outputs.
pub struct Targets {
    /// `[N]`.
    classes: Vec<usize>,
    /// `[N * 64 * 64]`.
    pixels: Vec<usize>,
    /// `[N, 8, 8, 10]`, 1 for the class of the object at a position, if any.
    heat: Tensor,
    /// `[N, 8, 8, 5]`.
    sides: Tensor,
    /// `[N, 8, 8, 1]`, 1 where there is an object.
    positive: Tensor,
    /// Number of objects.
    objects: usize,
}

impl Targets {
    /// Blocks of classes, and four objects in every image.
    pub fn made_up(batch: usize) -> Self {
        let places = GRID * GRID;
        let pixel = |i: usize| {
            let (image, row, column) = (i / (SIZE * SIZE), i / SIZE % SIZE, i % SIZE);
            (image + row / 8 + column / 8) % (CLASSES + 1)
        };
        let positive = |i: usize| (i / places + i % places).is_multiple_of(16);
        let class = |i: usize| (i / places + i % places / 16) % CLASSES;
        let one_if = |condition: bool| if condition { 1.0 } else { 0.0 };
        Self {
            classes: (0..batch).map(|i| i % CLASSES).collect(),
            pixels: (0..batch * SIZE * SIZE).map(pixel).collect(),
            heat: Tensor::from_fn(&[batch, GRID, GRID, CLASSES], |i| {
                let place = i / CLASSES;
                one_if(positive(place) && class(place) == i % CLASSES)
            }),
            sides: wave(&[batch, GRID, GRID, SIDES]),
            positive: Tensor::from_fn(&[batch, GRID, GRID, 1], |i| one_if(positive(i))),
            objects: (0..batch * places).filter(|&i| positive(i)).count(),
        }
    }

    /// The sum of all losses.
    pub fn loss(&self, outputs: Outputs) -> Var {
        let Outputs { classes, pixels, positions } = outputs;
        let objects = self.objects as f64;
        let heat = positions.clone().narrow(3, 0, CLASSES);
        let sides = positions.narrow(3, CLASSES, SIDES);
        cross_entropy(classes, &self.classes)
            + cross_entropy(pixels, &self.pixels)
            + focal(heat, self.heat.clone(), &Focal::default(), objects)
            + smooth_l1(sides, self.sides.clone(), 1.0, Some(self.positive.clone()), objects)
    }
}

//! A class for every pixel.
//!
//! A light decoder: the merged map (a quarter of the image size) is doubled and
//! joined with the second stage (half the size), mixed by a 3x3 convolution,
//! mapped to class scores and enlarged to the image. The loss is the mean of
//! per-pixel cross-entropy plus soft Dice, which counts every class alike
//! however few pixels it has (Milletari, Navab and Ahmadi, 2016).

use cerberus_autograd::Var;
use cerberus_data::{Batch, IGNORED};
use cerberus_nn::losses::{CrossEntropy, Dice, cross_entropy, dice};
use cerberus_nn::{Context, Conv2d, Init, Layer, module};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::resize::Interpolation;

use super::classify::outputs;
use super::{Answer, Metric, Prediction, Task};
use crate::config::TaskKind;
use crate::metrics::ConfusionMatrix;
use crate::trunk::{ConvBlock, Features};

/// Channels of the decoder.
const WIDTH: usize = 48;

/// Semantic segmentation; classes count background, class 0.
pub struct Segment<T: Element = f32> {
    from_merged: Conv2d<T>,
    from_fine: Conv2d<T>,
    mix: ConvBlock<T>,
    output: Conv2d<T>,
    classes: usize,
    image: [usize; 2],
}

module!(Segment { from_merged, from_fine, mix, output } without { classes, image });

impl<T: Element> Segment<T> {
    /// A head for `classes` classes (background included) of images of `image`
    /// rows and columns, on maps of `merged` and `fine` channels.
    pub fn new(image: [usize; 2], [merged, fine]: [usize; 2], classes: usize, init: &mut Init) -> Self {
        let one = Conv2dSpec::default();
        Self {
            from_merged: Conv2d::new(merged, WIDTH, 1, one, init),
            from_fine: Conv2d::new(fine, WIDTH, 1, one, init).without_bias(),
            mix: ConvBlock::new(WIDTH, WIDTH, 3, init),
            output: Conv2d::new(WIDTH, classes, 1, one, init),
            classes,
            image,
        }
    }
}

impl<T: Element> Task<T> for Segment<T> {
    fn kind(&self) -> TaskKind {
        TaskKind::Segment
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> Prediction<T> {
        let fine = features.stages[features.stages.len() - 3].clone();
        let size = [fine.shape()[1], fine.shape()[2]];
        let coarse = self.from_merged.forward(features.merged.clone(), context);
        let x = self.from_fine.forward(fine, context) + coarse.resize(size, Interpolation::Bilinear);
        let x = self.output.forward(self.mix.forward(x, context), context);
        Prediction { outputs: vec![x.resize(self.image, Interpolation::Bilinear)] }
    }

    fn loss(&self, prediction: Prediction<T>, batch: &Batch) -> Var<T> {
        let [logits] = outputs(prediction);
        let pixels = self.image[0] * self.image[1];
        let mut target = Vec::with_capacity(batch.len() * pixels);
        for mask in &batch.masks {
            match mask {
                Some(mask) => target.extend_from_slice(&mask.classes),
                None => target.resize(target.len() + pixels, IGNORED),
            }
        }
        let overlap = dice(logits.clone().softmax(), &target, &Dice::default());
        cross_entropy(logits, &target, &CrossEntropy::default()) + overlap
    }

    fn decode(&self, prediction: &Prediction<T>) -> Vec<Answer> {
        let best = prediction.outputs[0].value().argmax();
        let mask = |pixels: &[usize]| Answer::Mask(pixels.iter().map(|&class| class as u8).collect());
        best.chunks_exact(self.image[0] * self.image[1]).map(mask).collect()
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(MeanIou(ConfusionMatrix::new(self.classes)))
    }
}

/// Mean over classes of intersection over union, over all pixels seen.
struct MeanIou(ConfusionMatrix);

impl Metric for MeanIou {
    fn update(&mut self, answers: &[Answer], batch: &Batch) {
        for (answer, mask) in answers.iter().zip(&batch.masks) {
            if let (Answer::Mask(predicted), Some(mask)) = (answer, mask) {
                self.0.update(&mask.classes, predicted);
            }
        }
    }

    fn values(&self) -> Vec<(&'static str, f64)> {
        vec![("miou", self.0.mean_iou()), ("pixel_accuracy", self.0.pixel_accuracy())]
    }
}

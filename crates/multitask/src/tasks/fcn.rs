//! A class for every pixel, from the scores of several stages: a light FCN.
//!
//! Each stage that it uses (by default the three deepest) gives scores by a 1x1
//! convolution; they are enlarged to the finest of them, summed, and enlarged to
//! the image (Long, Shelhamer and Darrell, "Fully Convolutional Networks", 2015).
//! Cheaper than any other head for masks, and coarser.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind};
use cerberus_nn::{Context, Conv2d, Init, Layer, module};
use cerberus_tensor::Element;
use cerberus_tensor::resize::Interpolation;

use super::scores::MaskScores;
use super::segment::{mask_answers, mask_loss};
use super::shared::{outputs, present};
use super::{Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features, resampled};

/// Segmentation by summed scores.
pub struct Fcn<T: Element = f32> {
    scores: Vec<Conv2d<T>>,
    config: HeadConfig,
    levels: Vec<usize>,
    /// The stride of each level.
    strides: Vec<usize>,
    image: [usize; 2],
}

module!(Fcn { scores } without { config, levels, strides, image });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "fcn",
        label: LabelKind::Mask,
        weight: 1.5,
        build: |info, head, init| Box::new(Fcn::new(info, head, init)),
    }
}

impl<T: Element> Fcn<T> {
    /// A head on its levels.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let stages = info.depth();
        let levels = info.levels(head, &[stages - 3, stages - 2, stages - 1]);
        let classes = head.outputs() + 1;
        let score = |&level: &usize| Conv2d::new(info.channels(level), classes, 1, init);
        Self {
            scores: levels.iter().map(score).collect(),
            strides: levels.iter().map(|&level| info.stages[level].stride).collect(),
            config: head.clone(),
            levels,
            image: info.image,
        }
    }
}

impl<T: Element> Task<T> for Fcn<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.masks_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        // From deep to shallow, each sum enlarged to the size of the next.
        let mut sum: Option<(Var<T>, usize)> = None;
        for ((&level, &stride), score) in self.levels.iter().zip(&self.strides).zip(&self.scores).rev() {
            let x = features.stages[level].clone();
            let size = [x.shape()[1], x.shape()[2]];
            let x = score.forward(x, context);
            let x = match sum {
                Some((deeper, from)) => x + resampled(deeper, [from, stride], size, Interpolation::Bilinear),
                None => x,
            };
            sum = Some((x, stride));
        }
        let (sum, stride) = sum.expect("a head looks at one stage at least");
        HeadOutput { maps: vec![resampled(sum, [stride, 1], self.image, Interpolation::Bilinear)] }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let [logits] = outputs(output);
        mask_loss(logits, batch, &self.config)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        mask_answers(output, self.image)
    }

    fn decoding(&self) -> Decoding {
        Decoding::mask()
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(MaskScores::new(&self.config, self.image))
    }
}

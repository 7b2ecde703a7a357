//! A class for every pixel, with skip connections at every step up: a light
//! U-Net.
//!
//! From the deepest stage on, the map is doubled in size, joined with the trunk's
//! stage of that size, and mixed by two 3x3 convolutions with batch norm
//! (Ronneberger, Fischer and Brox, "U-Net", 2015), down to the shallowest of its
//! levels (by default the second stage, half the image). The finest decoder here,
//! and the most expensive.

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
use crate::trunk::ConvBlock;

/// The most channels of the decoder.
const WIDEST: usize = 64;

/// Segmentation by a decoder with skip connections.
pub struct UNet<T: Element = f32> {
    up: Vec<ConvBlock<T>>,
    mix: Vec<ConvBlock<T>>,
    output: Conv2d<T>,
    config: HeadConfig,
    levels: Vec<usize>,
    /// The stride of each level.
    strides: Vec<usize>,
    image: [usize; 2],
}

module!(UNet { up, mix, output } without { config, levels, strides, image });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "unet",
        label: LabelKind::Mask,
        weight: 1.5,
        build: |info, head, init| Box::new(UNet::new(info, head, init)),
    }
}

impl<T: Element> UNet<T> {
    /// A head on its levels.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let own: Vec<usize> = (1..info.depth()).collect();
        let levels = info.levels(head, &own);
        let (mut up, mut mix) = (Vec::new(), Vec::new());
        let mut channels = info.channels(levels[levels.len() - 1]);
        for &level in levels.iter().rev().skip(1) {
            let width = info.channels(level).min(WIDEST);
            up.push(ConvBlock::new(channels + info.channels(level), width, 3, init));
            mix.push(ConvBlock::new(width, width, 3, init));
            channels = width;
        }
        let output = Conv2d::new(channels, head.outputs() + 1, 1, init);
        let strides = levels.iter().map(|&level| info.stages[level].stride).collect();
        Self { up, mix, output, config: head.clone(), levels, strides, image: info.image }
    }
}

impl<T: Element> Task<T> for UNet<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.masks_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let mut levels = self.levels.iter().zip(&self.strides).rev();
        let (&deepest, &stride) = levels.next().expect("a head looks at one stage at least");
        let (mut x, mut from) = (features.stages[deepest].clone(), stride);
        for ((&level, &to), (up, mix)) in levels.zip(self.up.iter().zip(&self.mix)) {
            let skip = features.stages[level].clone();
            let size = [skip.shape()[1], skip.shape()[2]];
            x = Var::concat(vec![resampled(x, [from, to], size, Interpolation::Bilinear), skip], 3);
            x = mix.forward(up.forward(x, context), context);
            from = to;
        }
        let x = self.output.forward(x, context);
        HeadOutput { maps: vec![resampled(x, [from, 1], self.image, Interpolation::Bilinear)] }
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

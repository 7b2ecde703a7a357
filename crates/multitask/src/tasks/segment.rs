//! A class for every pixel.
//!
//! A light decoder: the merged map (a quarter of the image size) is doubled and
//! joined with the second stage (half the size), mixed by a 3x3 convolution,
//! mapped to class scores and enlarged to the image. The loss is the mean of
//! per-pixel cross-entropy plus soft Dice, which counts every class alike
//! however few pixels it has (Milletari, Navab and Ahmadi, 2016).

use cerberus_autograd::Var;
use cerberus_data::{Batch, ClassId, IGNORED, LabelKind};
use cerberus_nn::losses::dice;
use cerberus_nn::{Context, Conv2d, Init, Layer, module};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::resize::Interpolation;

use super::annotated::{held, judged_pixels};
use super::scores::MaskScores;
use super::shared::{class_loss, outputs, present, share_loss};
use super::{Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features, resampled};
use crate::trunk::ConvBlock;

/// Channels of the decoder.
const WIDTH: usize = 48;

/// Semantic segmentation; class 0 is the background.
pub struct Segment<T: Element = f32> {
    from_merged: Conv2d<T>,
    from_fine: Conv2d<T>,
    mix: ConvBlock<T>,
    output: Conv2d<T>,
    config: HeadConfig,
    image: [usize; 2],
    /// The finer stage, from 0.
    fine: usize,
    /// The strides of the merged map and of that stage.
    strides: [usize; 2],
}

module!(Segment { from_merged, from_fine, mix, output } without { config, image, fine, strides });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "segment",
        label: LabelKind::Mask,
        weight: 1.5,
        build: |info, head, init| Box::new(Segment::new(info, head, init)),
    }
}

impl<T: Element> Segment<T> {
    /// A head on the merged map and the stage before those it is merged from.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let one = Conv2dSpec::default();
        let (merged, fine) = (info.main().channels, info.channels(info.finer_than_main()));
        Self {
            from_merged: Conv2d::with_spec(merged, WIDTH, 1, one, init),
            from_fine: Conv2d::with_spec(fine, WIDTH, 1, one, init).without_bias(),
            mix: ConvBlock::new(WIDTH, WIDTH, 3, init),
            output: Conv2d::with_spec(WIDTH, head.outputs() + 1, 1, one, init),
            config: head.clone(),
            image: info.image,
            fine: info.finer_than_main(),
            strides: [info.main().stride, info.stages[info.finer_than_main()].stride],
        }
    }
}

impl<T: Element> Task<T> for Segment<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.masks_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let fine = features.stages[self.fine].clone();
        let size = [fine.shape()[1], fine.shape()[2]];
        let coarse = self.from_merged.forward(features.main().clone(), context);
        let x = self.from_fine.forward(fine, context) + resampled(coarse, self.strides, size, Interpolation::Bilinear);
        let x = self.output.forward(self.mix.forward(x, context), context);
        let x = resampled(x, [self.strides[1], 1], self.image, Interpolation::Bilinear);
        HeadOutput { maps: vec![x] }
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

/// Cross-entropy per pixel plus soft Dice of logits `[N, H, W, classes]`. At pixels of the background, classes that the image's
/// set does not [annotate](super::annotated) have no probability in either.
pub(super) fn mask_loss<T: Element>(logits: Var<T>, batch: &Batch, head: &HeadConfig) -> Var<T> {
    let pixels = logits.shape()[1] * logits.shape()[2];
    let mut target = Vec::with_capacity(batch.len() * pixels);
    for mask in batch.masks_of(&head.label) {
        match mask {
            Some(mask) => target.extend_from_slice(&mask.classes),
            None => target.resize(target.len() + pixels, IGNORED),
        }
    }
    let judged = judged_pixels(batch, head, &target);
    let logits = held(logits, judged.as_deref());
    let overlap = dice(logits.clone().softmax(3), &target);
    if judged.is_none() || head.options.focal.is_some() || head.options.label_smoothing == 0.0 {
        return class_loss(logits, &target, &head.options) + overlap;
    }
    // Smoothing is spread over the judged classes only.
    let classes = head.outputs() + 1;
    let share = |place: usize| {
        let id = target[place / classes];
        (id != IGNORED).then(|| f64::from(u8::from(usize::from(id) == place % classes)))
    };
    share_loss(logits.reshape(&[target.len(), classes]), share, judged.as_deref(), &head.options) + overlap
}

/// The class of the largest logit at every pixel.
pub(super) fn mask_answers<T: Element>(output: &HeadOutput<T>, image: [usize; 2]) -> Vec<Prediction> {
    let best = output.maps[0].value().argmax();
    let mask = |pixels: &[usize]| Prediction::Mask(pixels.iter().map(|&class| class as ClassId).collect());
    best.chunks_exact(image[0] * image[1]).map(mask).collect()
}

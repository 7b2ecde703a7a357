//! A number for every pixel, such as a depth.
//!
//! The light decoder of `segment` with one output: the merged map and the stage
//! before those it is merged from, joined, mixed, and enlarged to the image. The
//! output passes through a softplus, so that depths are positive. The loss is
//! the smooth absolute error over pixels whose value is known.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind};
use cerberus_nn::{Context, Conv2d, Init, Layer, module};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::resize::Interpolation;

use super::regress::known_error;
use super::scores::NumberScores;
use super::shared::{outputs, present};
use super::{Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features, resampled};
use crate::trunk::ConvBlock;

/// Channels of the decoder.
const WIDTH: usize = 48;

/// Regression of a number per pixel.
pub struct Depth<T: Element = f32> {
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

module!(Depth { from_merged, from_fine, mix, output } without { config, image, fine, strides });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "depth",
        label: LabelKind::ValueMap,
        weight: 1.0,
        build: |info, head, init| Box::new(Depth::new(info, head, init)),
    }
}

impl<T: Element> Depth<T> {
    /// A head on the merged map and the stage before those it is merged from.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let one = Conv2dSpec::default();
        let fine = info.channels(info.finer_than_main());
        Self {
            from_merged: Conv2d::with_spec(info.main().channels, WIDTH, 1, one, init),
            from_fine: Conv2d::with_spec(fine, WIDTH, 1, one, init).without_bias(),
            mix: ConvBlock::new(WIDTH, WIDTH, 3, init),
            output: Conv2d::with_spec(WIDTH, 1, 1, one, init).with_weight_std(0.01, init).with_bias(0.5),
            config: head.clone(),
            image: info.image,
            fine: info.finer_than_main(),
            strides: [info.main().stride, info.stages[info.finer_than_main()].stride],
        }
    }
}

impl<T: Element> Task<T> for Depth<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.value_maps_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let fine = features.stages[self.fine].clone();
        let size = [fine.shape()[1], fine.shape()[2]];
        let coarse = self.from_merged.forward(features.main().clone(), context);
        let x = self.from_fine.forward(fine, context) + resampled(coarse, self.strides, size, Interpolation::Bilinear);
        let x = self.output.forward(self.mix.forward(x, context), context);
        let x = resampled(x, [self.strides[1], 1], self.image, Interpolation::Bilinear);
        HeadOutput { maps: vec![x.softplus()] }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let [depth] = outputs(output);
        let maps = batch.value_maps_of(&self.config.label);
        let values: Vec<f32> = maps.iter().flatten().flat_map(|map| map.values.iter().copied()).collect();
        known_error(depth, &values)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        let values = output.maps[0].value().contiguous();
        let map = |map: &[T]| Prediction::ValueMap(map.iter().map(|x| x.as_f64() as f32).collect());
        values.data().chunks_exact(self.image[0] * self.image[1]).map(map).collect()
    }

    fn decoding(&self) -> Decoding {
        Decoding::of(&[("values", "a number for each pixel", Some(1))], &["values are the prediction"])
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(NumberScores::of_pixels(&self.config))
    }
}

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
use super::{Answer, HeadKind, Metric, Prediction, Site, Task};
use crate::config::HeadConfig;
use crate::trunk::{ConvBlock, Features};

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
}

module!(Depth { from_merged, from_fine, mix, output } without { config, image });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "depth",
        label: LabelKind::ValueMap,
        weight: 1.0,
        build: |site, head, init| Box::new(Depth::new(site, head, init)),
    }
}

impl<T: Element> Depth<T> {
    /// A head on the merged map and the stage before those it is merged from.
    pub fn new(site: &Site, head: &HeadConfig, init: &mut Init) -> Self {
        let one = Conv2dSpec::default();
        let fine = site.channels[site.stages() - 3];
        Self {
            from_merged: Conv2d::with_spec(site.merged_channels(), WIDTH, 1, one, init),
            from_fine: Conv2d::with_spec(fine, WIDTH, 1, one, init).without_bias(),
            mix: ConvBlock::new(WIDTH, WIDTH, 3, init),
            output: Conv2d::with_spec(WIDTH, 1, 1, one, init).with_weight_std(0.01, init).with_bias(0.5),
            config: head.clone(),
            image: site.image,
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

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> Prediction<T> {
        let fine = features.stages[features.stages.len() - 3].clone();
        let size = [fine.shape()[1], fine.shape()[2]];
        let coarse = self.from_merged.forward(features.merged.clone(), context);
        let x = self.from_fine.forward(fine, context) + coarse.resize(size, Interpolation::Bilinear);
        let x = self.output.forward(self.mix.forward(x, context), context);
        Prediction { outputs: vec![x.resize(self.image, Interpolation::Bilinear).softplus()] }
    }

    fn loss(&self, prediction: Prediction<T>, batch: &Batch) -> Var<T> {
        let [depth] = outputs(prediction);
        let maps = batch.value_maps_of(&self.config.label);
        let values: Vec<f32> = maps.iter().flatten().flat_map(|map| map.values.iter().copied()).collect();
        known_error(depth, &values)
    }

    fn decode(&self, prediction: &Prediction<T>) -> Vec<Answer> {
        let values = prediction.outputs[0].value().contiguous();
        let map = |map: &[T]| Answer::ValueMap(map.iter().map(|x| x.as_f64() as f32).collect());
        values.data().chunks_exact(self.image[0] * self.image[1]).map(map).collect()
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(NumberScores::of_pixels(&self.config))
    }
}

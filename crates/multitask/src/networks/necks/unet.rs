//! The decoder of a U-Net (Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
//! Segmentation", 2015, section 2), which goes up to the trunk's finest map.
//!
//! At every step up the map is enlarged to the size of the next finer one, stands beside it in the channels, and goes
//! through two 3x3 convolutions, each with a batch norm and a ReLU. It is enlarged bilinearly, not by a learned
//! convolution. Heads that use several levels get the maps of the steps in the place of the trunk's; the deepest stays.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Init, Layer, module};
use cerberus_tensor::Element;
use cerberus_tensor::resize::Interpolation;

use super::{JoinMaps, size};
use crate::features::{Features, MapInfo, resampled};
use crate::trunk::ConvBlock;

/// The most channels of a step; otherwise it has those of the trunk's map.
const WIDEST: usize = 128;

/// A decoder up to the finest map.
pub struct UNet<T: Element = f32> {
    /// The two convolutions of each step, from the finest map to the second deepest.
    up: Vec<ConvBlock<T>>,
    mix: Vec<ConvBlock<T>>,
    /// Channels after each step.
    widths: Vec<usize>,
    /// The strides of all maps.
    strides: Vec<usize>,
}

module!(UNet { up, mix } without { widths, strides });

impl<T: Element> UNet<T> {
    /// For these maps, at least two.
    pub(super) fn new(stages: &[MapInfo], init: &mut Init) -> Self {
        let widths: Vec<usize> =
            stages[..stages.len() - 1].iter().map(|map| map.channels.min(WIDEST)).collect();
        let deeper = widths[1..].iter().copied().chain(stages.last().map(|map| map.channels));
        let inputs = deeper.zip(stages).map(|(deeper, map)| deeper + map.channels);
        let up = inputs.zip(&widths).map(|(cin, &width)| ConvBlock::new(cin, width, 3, init)).collect();
        let mix = widths.iter().map(|&width| ConvBlock::new(width, width, 3, init)).collect();
        Self { up, mix, widths, strides: stages.iter().map(|map| map.stride).collect() }
    }
}

impl<T: Element> JoinMaps<T> for UNet<T> {
    fn joined(&self) -> MapInfo {
        MapInfo { name: "unet".into(), channels: self.widths[0], stride: self.strides[0] }
    }

    fn stages(&self, mut trunk: Vec<MapInfo>) -> Vec<MapInfo> {
        for (map, &width) in trunk.iter_mut().zip(&self.widths) {
            (map.name, map.channels) = (format!("unet-{}", map.name), width);
        }
        trunk
    }

    fn kept_stages(&self) -> usize {
        0
    }

    #[track_caller]
    fn forward(&self, mut stages: Vec<Var<T>>, context: &mut Context<T>) -> Features<T> {
        let deepest = self.up.len();
        stages[deepest] = context.stage(deepest, stages[deepest].clone());
        for stage in (0..self.up.len()).rev() {
            let skip = stages[stage].clone();
            let strides = [self.strides[stage + 1], self.strides[stage]];
            let size = size(&skip);
            let deeper = resampled(stages[stage + 1].clone(), strides, size, Interpolation::Bilinear);
            let x = self.up[stage].forward(Var::concat(vec![deeper, skip], 3), context);
            let x = self.mix[stage].forward(x, context);
            stages[stage] = context.stage(stage, x);
        }
        let finest = stages[0].clone();
        Features::new(stages, Some(finest))
    }
}

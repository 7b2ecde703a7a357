//! Atrous spatial pyramid pooling (Chen, Papandreou, Schroff and Adam, "Rethinking Atrous Convolution for Semantic Image
//! Segmentation", 2017, section 3.3) with the decoder of DeepLabv3+ (Chen et al., "Encoder-Decoder with Atrous Separable
//! Convolution for Semantic Image Segmentation", 2018, section 3.1).
//!
//! Five branches see the deepest map at once: a 1x1 convolution, 3x3 convolutions with taps 6, 12 and 18 positions
//! apart, and the mean of the whole map. A 1x1 convolution joins them. The result is enlarged, stands beside 48 channels
//! made of a finer map, and goes through two 3x3 convolutions. Every convolution has a batch norm and a ReLU but that of
//! the mean, which has no norm: it would be taken over one value per image.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Conv2d, Init, Layer, Linear, module};
use cerberus_tensor::Element;
use cerberus_tensor::resize::Interpolation;

use super::{JoinMaps, finest, size};
use crate::features::{Features, MapInfo, resampled};
use crate::trunk::ConvBlock;

/// Channels of each branch and of the joined map; 256 in the papers.
const WIDTH: usize = 128;
/// Channels that are made of the finer map.
const FINE: usize = 48;
/// Distances between the taps of the 3x3 convolutions.
const RATES: [usize; 3] = [6, 12, 18];
/// Pixels between the positions of the finer map, at most, where the trunk has such a map and a deeper one.
const STRIDE: usize = 4;

/// Five views of the deepest map, and a way back to a finer one.
pub struct Aspp<T: Element = f32> {
    branches: Vec<ConvBlock<T>>,
    mean: Linear<T>,
    project: ConvBlock<T>,
    fine: ConvBlock<T>,
    mix: Vec<ConvBlock<T>>,
    /// The place of the finer map.
    finer: usize,
    /// The strides of the deepest map and of the finer one.
    strides: [usize; 2],
}

module!(Aspp { branches, mean, project, fine, mix } without { finer, strides });

impl<T: Element> Aspp<T> {
    /// For these maps, at least two: the deepest, and the last whose positions are at most 4 pixels apart.
    pub(super) fn new(stages: &[MapInfo], init: &mut Init) -> Self {
        let finer = finest(stages, STRIDE);
        let deepest = &stages[stages.len() - 1];
        let mut branches = vec![(1, 1)];
        branches.extend(RATES.map(|rate| (3, rate)));
        let branch = |(kernel, rate): (usize, usize)| {
            let conv = Conv2d::new(deepest.channels, WIDTH, kernel, init);
            ConvBlock::around(conv.dilation(rate).same(), WIDTH)
        };
        let branches: Vec<_> = branches.into_iter().map(branch).collect();
        Self {
            mean: Linear::new(deepest.channels, WIDTH, init),
            project: ConvBlock::new((branches.len() + 1) * WIDTH, WIDTH, 1, init),
            branches,
            fine: ConvBlock::new(stages[finer].channels, FINE, 1, init),
            mix: vec![ConvBlock::new(WIDTH + FINE, WIDTH, 3, init), ConvBlock::new(WIDTH, WIDTH, 3, init)],
            finer,
            strides: [deepest.stride, stages[finer].stride],
        }
    }
}

impl<T: Element> JoinMaps<T> for Aspp<T> {
    fn joined(&self) -> MapInfo {
        MapInfo { name: "aspp".into(), channels: WIDTH, stride: self.strides[1] }
    }

    #[track_caller]
    fn forward(&self, stages: Vec<Var<T>>, context: &mut Context<T>) -> Features<T> {
        let deepest = stages.last().expect("at least two maps").clone();
        let [rows, columns] = size(&deepest);
        let images = deepest.shape()[0];
        let mean = self.mean.forward(deepest.clone().global_avg_pool(), context).relu();
        let mean = mean.reshape(&[images, 1, 1, WIDTH]).expand(&[images, rows, columns, WIDTH]);
        let branches = self.branches.iter().map(|branch| branch.forward(deepest.clone(), context));
        let views = branches.chain([mean]).collect();
        let x = self.project.forward(Var::concat(views, 3), context);
        let fine = self.fine.forward(stages[self.finer].clone(), context);
        let x = resampled(x, self.strides, size(&fine), Interpolation::Bilinear);
        let x = Var::concat(vec![x, fine], 3);
        let x = self.mix.iter().fold(x, |x, block| block.forward(x, context));
        Features::new(stages, Some(x))
    }
}

//! The shared trunk: a convolutional network whose maps every head uses.
//!
//! Stages of `[conv 3x3, batch norm, ReLU]` with a max-pool between them. The
//! deepest stage, which sees the most of the image, is added into the one before
//! it (Lin et al., "Feature Pyramid Networks", 2017), so that one map has both
//! the position and the meaning that heads need.
//!
//! **Sizes.** The max-pools halve the image, so its sides should be multiples of
//! `2^(stages - 1)`. Images of other sizes are padded to the next multiples with
//! zeros (the middle of the range of pixels, see
//! [`normalise`](cerberus_data::normalise)), right and below, and the maps are cut
//! again: what heads see has no position that lies wholly in the padding. Inside
//! the trunk the padding takes part: the batch norms count its positions in
//! their means and variances, and convolutions see it beside the edge. It is at
//! most `2^(stages - 1) - 1` rows and columns; sizes that halve evenly have none.
//!
//! Any other network that makes maps of images is a [`Trunk`] too.

use cerberus_autograd::Var;
use cerberus_autograd::ops::PadMode;
use cerberus_nn::{
    BatchNorm2d, Context, Conv2d, Init, Layer, MaxPool2d, Module, ModuleTensor, ModuleTensorMut, conv_norm,
    join,
};
use cerberus_tensor::Element;
use cerberus_tensor::resize::Interpolation;

use crate::features::{FeatureInfo, Features, MapInfo};
use crate::inputs::Inputs;

/// What heads share: a network that makes maps of images.
pub trait Trunk<T: Element = f32>: Module<T> + Send + Sync {
    /// The maps of the stages, shallow to deep.
    fn stages(&self) -> Vec<MapInfo>;

    /// The map in which several stages are joined, if the trunk makes one.
    fn neck(&self) -> Option<MapInfo> {
        None
    }

    /// The description of the maps for images of so many rows and columns, from which heads are built.
    fn info(&self, image: [usize; 2]) -> FeatureInfo {
        FeatureInfo { image, stages: self.stages(), neck: self.neck(), whole: None }
    }

    /// The features of images `[N, H, W, C]`: maps of `H / stride` rows and `W / stride` columns, both rounded up.
    ///
    /// # Panics
    /// If the images do not have a size the trunk is made for.
    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T>;

    /// The features of samples with several [inputs](Inputs); a trunk of images takes the images alone.
    ///
    /// # Panics
    /// If an input does not have the size that the trunk is made for, or, for a trunk of images, if a sample has none.
    #[track_caller]
    fn encode(&self, inputs: Inputs<T>, context: &mut Context<T>) -> Features<T> {
        self.forward(inputs.into_images(), context)
    }
}

/// `conv 3x3` without bias, batch norm, ReLU.
pub struct ConvBlock<T: Element = f32> {
    conv: Conv2d<T>,
    norm: BatchNorm2d<T>,
}

cerberus_nn::module!(ConvBlock { conv, norm });

impl<T: Element> ConvBlock<T> {
    /// A block with a square kernel that keeps the image size.
    pub fn new(cin: usize, cout: usize, kernel: usize, init: &mut Init) -> Self {
        Self::around(Conv2d::new(cin, cout, kernel, init).same(), cout)
    }

    /// A block around a convolution of choice to `cout` channels.
    pub(crate) fn around(conv: Conv2d<T>, cout: usize) -> Self {
        Self { conv: conv.without_bias(), norm: BatchNorm2d::new(cout).with_relu() }
    }
}

impl<T: Element> Layer<T> for ConvBlock<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        conv_norm(&self.conv, &self.norm, x, context)
    }
}

/// The default trunk.
pub struct ConvTrunk<T: Element = f32> {
    stages: Vec<Vec<ConvBlock<T>>>,
    lateral: Conv2d<T>,
    channels: Vec<usize>,
}

impl<T: Element> ConvTrunk<T> {
    /// A trunk for images of `channels` channels with the given output channels
    /// of each convolution, stage by stage.
    ///
    /// # Panics
    /// If there are fewer than two stages or a stage is empty.
    #[track_caller]
    pub fn new(channels: usize, stages: &[Vec<usize>], init: &mut Init) -> Self {
        assert!(
            stages.len() >= 2 && stages.iter().all(|stage| !stage.is_empty()),
            "ConvTrunk: {stages:?} must be at least two stages of at least one convolution each"
        );
        let mut cin = channels;
        let mut block = |cout: usize, init: &mut Init| {
            let block = ConvBlock::new(cin, cout, 3, init);
            cin = cout;
            block
        };
        let blocks =
            stages.iter().map(|stage| stage.iter().map(|&cout| block(cout, init)).collect()).collect();
        let outputs: Vec<usize> = stages.iter().map(|stage| stage[stage.len() - 1]).collect();
        let [from, to] = [outputs[outputs.len() - 1], outputs[outputs.len() - 2]];
        let lateral = Conv2d::new(from, to, 1, init);
        Self { stages: blocks, lateral, channels: outputs }
    }

    /// The features of images whose sides are multiples of `2^(stages - 1)`.
    fn halve_evenly(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let pool = MaxPool2d::new(2, 2);
        let mut stages: Vec<Var<T>> = Vec::with_capacity(self.stages.len());
        let mut x = images;
        for (index, blocks) in self.stages.iter().enumerate() {
            if index > 0 {
                x = pool.forward(x, context);
            }
            x = blocks.iter().fold(x, |x, block| context.segment(|context| block.forward(x, context)));
            x = context.stage(index, x);
            stages.push(x.clone());
        }
        let fine = stages[stages.len() - 2].clone();
        let size = [fine.shape()[1], fine.shape()[2]];
        let merged = fine + self.lateral.forward(x, context).resize(size, Interpolation::Nearest);
        Features::new(stages, Some(merged))
    }
}

/// In a trunk of `stages` stages, the sides of images are padded to multiples of this. It is also the smallest side:
/// with less, no position of the deepest map would lie in the image.
pub(crate) const fn halving_unit(stages: usize) -> usize {
    1 << (stages - 1)
}

impl<T: Element> Trunk<T> for ConvTrunk<T> {
    fn stages(&self) -> Vec<MapInfo> {
        let map = |(stage, &channels): (usize, &usize)| MapInfo {
            name: format!("stage{}", stage + 1),
            channels,
            stride: 1 << stage,
        };
        self.channels.iter().enumerate().map(map).collect()
    }

    fn neck(&self) -> Option<MapInfo> {
        let fine = self.channels.len() - 2;
        Some(MapInfo { name: "merged".into(), channels: self.channels[fine], stride: 1 << fine })
    }

    /// # Panics
    /// If `H` or `W` is less than `2^(stages - 1)`.
    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let unit = halving_unit(self.stages.len());
        let size = [images.shape()[1], images.shape()[2]];
        let [height, width] = size;
        assert!(
            height >= unit && width >= unit,
            "ConvTrunk: images of {height}x{width} pixels are too small for {} stages; both sides must be at least {unit}",
            self.stages.len()
        );
        let missing = size.map(|side| side.next_multiple_of(unit) - side);
        if missing == [0, 0] {
            return self.halve_evenly(images, context);
        }
        let images = images.pad(&[(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)], PadMode::Constant(0.0));
        self.halve_evenly(images, context).cut_to(size, &self.stages(), self.neck().as_ref())
    }
}

/// Paths read `stage1.block2.conv.weight`.
impl<T: Element> Module<T> for ConvTrunk<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        let Self { stages, lateral, channels: _ } = self;
        for (s, blocks) in stages.iter().enumerate() {
            for (b, block) in blocks.iter().enumerate() {
                block.visit(&join(path, &format!("stage{}.block{}", s + 1, b + 1)), f);
            }
        }
        lateral.visit(&join(path, "lateral"), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        let Self { stages, lateral, channels: _ } = self;
        for (s, blocks) in stages.iter_mut().enumerate() {
            for (b, block) in blocks.iter_mut().enumerate() {
                block.visit_mut(&join(path, &format!("stage{}.block{}", s + 1, b + 1)), f);
            }
        }
        lateral.visit_mut(&join(path, "lateral"), f);
    }
}

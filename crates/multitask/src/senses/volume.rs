//! Clips as volumes: convolutions over time, rows and columns at once.

use cerberus_autograd::Var;
use cerberus_autograd::ops::Conv3dSpec;
use cerberus_nn::{
    BatchNorm3d, Context, Conv3d, Init, Layer, Module, ModuleTensor, ModuleTensorMut, join, module,
};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Padding;
use cerberus_tensor::pooling::Pool2dSpec;

use super::encoder::{Encoded, Encoder};
use crate::features::{Features, MapInfo};

/// A convolution of 3 frames of 3x3 pixels, or of 3x3 pixels and then of 3 frames, (2+1)D, with as many channels in
/// between as make the number of weights the same (Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action
/// Recognition", 2018, section 3.5); each followed by batch norm and ReLU.
pub(super) struct VolumeBlock<T: Element> {
    space: Conv3d<T>,
    space_norm: BatchNorm3d<T>,
    time: Option<Conv3d<T>>,
    time_norm: Option<BatchNorm3d<T>>,
}

module!(VolumeBlock { space, space_norm, time, time_norm });

/// The channels between the two convolutions of a (2+1)D block: `⌊t d² m n / (d² m + t n)⌋` with `t = d = 3`.
pub(super) fn between(cin: usize, cout: usize) -> usize {
    (27 * cin * cout / (9 * cin + 3 * cout)).max(1)
}

impl<T: Element> VolumeBlock<T> {
    pub fn new(cin: usize, cout: usize, factorised: bool, init: &mut Init) -> Self {
        let conv = |channels: [usize; 2], kernel: [usize; 3], init: &mut Init| {
            let spec = Conv3dSpec { padding: kernel.map(|extent| extent / 2), ..Conv3dSpec::default() };
            Conv3d::with_kernel(channels, kernel, spec, init).without_bias()
        };
        if !factorised {
            let space = conv([cin, cout], [3; 3], init);
            return Self {
                space,
                space_norm: BatchNorm3d::new(cout).with_relu(),
                time: None,
                time_norm: None,
            };
        }
        let middle = between(cin, cout);
        Self {
            space: conv([cin, middle], [1, 3, 3], init),
            space_norm: BatchNorm3d::new(middle).with_relu(),
            time: Some(conv([middle, cout], [3, 1, 1], init)),
            time_norm: Some(BatchNorm3d::new(cout).with_relu()),
        }
    }
}

impl<T: Element> Layer<T> for VolumeBlock<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let x = self.space.forward(x, context);
        let x = self.space_norm.forward(x, context);
        match (&self.time, &self.time_norm) {
            (Some(time), Some(norm)) => norm.forward(time.forward(x, context), context),
            _ => x,
        }
    }
}

/// Stages of [`VolumeBlock`]s on clips `[P, T, H, W, C]`, with a max-pool of 2x2 pixels between them, and from the second
/// on of 2 frames as long as there are as many.
///
/// The maps for heads that find places are those of the last frame that a stage is left with; the one for heads that
/// answer for the whole clip is the mean of the deepest over the frames that are left.
pub(super) struct VolumeTrunk<T: Element> {
    stages: Vec<VolumeBlock<T>>,
    channels: Vec<usize>,
    frames: usize,
}

impl<T: Element> VolumeTrunk<T> {
    pub fn new(channels: usize, frames: usize, stages: &[usize], factorised: bool, init: &mut Init) -> Self {
        let inputs = std::iter::once(channels).chain(stages.iter().copied());
        let blocks = inputs.zip(stages).map(|(cin, &cout)| VolumeBlock::new(cin, cout, factorised, init));
        Self { stages: blocks.collect(), channels: stages.to_vec(), frames }
    }
}

/// The largest value of 2x2 pixels, and of 2 frames if `in_time`, of a clip `[P, T, H, W, C]`: as images, whose max-pool
/// has kernels of its own, first frame by frame, then with frames as rows. Extents are halved and rounded up.
fn halved<T: Element>(x: Var<T>, in_time: bool) -> Var<T> {
    let &[clips, frames, height, width, channels] = x.shape() else { unreachable!("a clip") };
    let spec = |kernel: [usize; 2], [bottom, right]: [usize; 2]| Pool2dSpec {
        kernel,
        stride: kernel,
        padding: Padding { bottom, right, ..Padding::default() },
    };
    let images = x.reshape(&[clips * frames, height, width, channels]);
    let x = images.max_pool2d(spec([2, 2], [height % 2, width % 2]));
    let [height, width] = [x.shape()[1], x.shape()[2]];
    if !in_time || frames == 1 {
        return x.reshape(&[clips, frames, height, width, channels]);
    }
    let rows = x.reshape(&[clips, frames, height * width, channels]);
    let x = rows.max_pool2d(spec([2, 1], [frames % 2, 0]));
    x.reshape(&[clips, frames.div_ceil(2), height, width, channels])
}

impl<T: Element> Encoder<T> for VolumeTrunk<T> {
    fn stages(&self) -> Vec<MapInfo> {
        let map = |(stage, &channels): (usize, &usize)| MapInfo {
            name: format!("stage{}", stage + 1),
            channels,
            stride: 1 << stage,
        };
        self.channels.iter().enumerate().map(map).collect()
    }

    fn whole(&self) -> MapInfo {
        self.stages().pop().expect("at least one stage")
    }

    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Encoded<T> {
        assert!(
            x.shape().len() == 5 && x.shape()[1] == self.frames,
            "clips {:?} must be [N, {}, H, W, C]",
            x.shape(),
            self.frames
        );
        let mut x = x;
        let mut maps = Vec::new();
        for (stage, block) in self.stages.iter().enumerate() {
            if stage > 0 {
                x = halved(x, stage > 1);
            }
            x = block.forward(x, context);
            let &[clips, frames, height, width, channels] = x.shape() else { unreachable!("a clip") };
            let last = x.clone().narrow(1, frames - 1, 1);
            maps.push(context.stage(stage, last.reshape(&[clips, height, width, channels])));
        }
        Encoded { maps: Some(Features::new(maps, None)), whole: x.mean(&[1]) }
    }
}

/// Paths read `stage1.space.weight`.
impl<T: Element> Module<T> for VolumeTrunk<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for (stage, block) in self.stages.iter().enumerate() {
            block.visit(&join(path, &format!("stage{}", stage + 1)), f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for (stage, block) in self.stages.iter_mut().enumerate() {
            block.visit_mut(&join(path, &format!("stage{}", stage + 1)), f);
        }
    }
}

#[cfg(test)]
mod tests {
    use cerberus_autograd::{Tape, grad};
    use cerberus_tensor::Tensor;
    use cerberus_tensor::windows::Sliding;

    use super::halved;

    #[test]
    fn halving_is_a_max_pool_of_the_volume_also_where_values_are_equal_and_sides_odd() {
        for (shape, in_time) in [([2, 3, 5, 4, 2], true), ([1, 4, 6, 3, 3], true), ([2, 3, 4, 4, 1], false)] {
            // Few different values, so that windows have several largest ones.
            let clip = Tensor::<f64>::from_fn(&shape, |i| (i * 7919 % 11 % 4) as f64);
            let both = [true, false].map(|separate| {
                let tape = Tape::new();
                let x = tape.leaf(clip.clone());
                let kernel = [if in_time { 2 } else { 1 }, 2, 2];
                let spec = Sliding { kernel, stride: kernel, padding: [0; 3], ceil_mode: true };
                let y = if separate { halved(x.clone(), in_time) } else { x.clone().max_pool(spec) };
                let weights = Tensor::from_fn(y.shape(), |i| (i as f64 + 1.0).sin());
                let dx = grad(&[&(y.clone() * &weights).sum_all()], &[&x]).remove(0);
                (y.shape().to_vec(), y.value().to_vec(), dx.to_vec())
            });
            assert_eq!(both[0], both[1], "{shape:?}");
        }
    }
}

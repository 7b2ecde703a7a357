//! Clips through the trunk of images, frame by frame or stacked.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Init, Layer, Linear, Module, ModuleTensor, ModuleTensorMut, join};
use cerberus_tensor::Element;

use super::encoder::{Encoded, Encoder};
use crate::features::{Features, MapInfo};
use crate::sense_config::ClipEncoder;
use crate::trunk::Trunk;

/// The share of channels that go one frame back, and that go one frame on: an eighth each (Lin, Gan and Han, "TSM:
/// Temporal Shift Module for Efficient Video Understanding", 2019, section 4.1, of which these are the offline form).
const SHIFTED: usize = 8;

/// A trunk of images on clips `[P, T, H, W, C]`.
///
/// The maps for heads that find places are those of the last frame; the one for heads that answer for the whole clip is
/// the mean of the frames' deepest maps, or with attention their weighted mean, with a softmax over the frames' scores.
/// With shifts, some channels of every stage's map come from the neighbouring frames. Stacked frames are the channels of
/// one image, and the maps are that image's.
pub(super) struct FrameTrunk<T: Element> {
    trunk: Box<dyn Trunk<T>>,
    /// Scores frames, for attention.
    score: Option<Linear<T>>,
    frames: usize,
    encoder: ClipEncoder,
}

impl<T: Element> FrameTrunk<T> {
    pub fn new(trunk: Box<dyn Trunk<T>>, frames: usize, encoder: ClipEncoder, init: &mut Init) -> Self {
        let channels = trunk.stages().last().expect("a trunk makes at least one map").channels;
        let score = (encoder == ClipEncoder::Attention).then(|| Linear::new(channels, 1, init));
        Self { trunk, score, frames, encoder }
    }

    /// The trunk's maps of all frames, `[P T, ..]`.
    #[track_caller]
    fn each(&self, frames: Var<T>, context: &mut Context<T>) -> Features<T> {
        if self.encoder != ClipEncoder::Shift {
            return self.trunk.forward(frames, context);
        }
        let count = self.frames;
        context.change_stages(move |_, map| {
            let &[all, height, width, channels] = map.shape() else { unreachable!("maps have rank 4") };
            let clips = map.reshape(&[all / count, count, height * width, channels]);
            clips.temporal_shift(channels / SHIFTED).reshape(&[all, height, width, channels])
        });
        let features = self.trunk.forward(frames, context);
        context.keep_stages();
        features
    }
}

impl<T: Element> Encoder<T> for FrameTrunk<T> {
    fn stages(&self) -> Vec<MapInfo> {
        self.trunk.stages()
    }

    fn neck(&self) -> Option<MapInfo> {
        self.trunk.neck()
    }

    fn whole(&self) -> MapInfo {
        self.trunk.stages().pop().expect("a trunk makes at least one map")
    }

    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Encoded<T> {
        let &[clips, frames, height, width, channels] = x.shape() else {
            panic!("a clip {:?} must be [N, T, H, W, C]", x.shape())
        };
        assert!(frames == self.frames, "clips of {frames} frames, where the model takes {}", self.frames);
        if self.encoder == ClipEncoder::Stack {
            let stacked = x.permute(&[0, 2, 3, 1, 4]).reshape(&[clips, height, width, frames * channels]);
            let maps = self.trunk.forward(stacked, context);
            let whole = maps.stages[maps.stages.len() - 1].clone();
            return Encoded { maps: Some(maps), whole };
        }
        let all = self.each(x.reshape(&[clips * frames, height, width, channels]), context);
        let apart = |map: &Var<T>| {
            let [_, height, width, channels] = *map.shape() else { unreachable!("maps have rank 4") };
            (
                map.clone().reshape(&[clips, frames, height * width * channels]),
                [clips, height, width, channels],
            )
        };
        let last = |map: &Var<T>| {
            let (map, shape) = apart(map);
            map.narrow(1, frames - 1, 1).reshape(&shape)
        };
        let maps = Features::new(all.stages.iter().map(last).collect(), all.neck.as_ref().map(last));
        let deepest = &all.stages[all.stages.len() - 1];
        let (frame_maps, shape) = apart(deepest);
        let whole = match &self.score {
            None => frame_maps.mean(&[1]),
            Some(score) => {
                let scores =
                    score.forward(deepest.clone().global_avg_pool(), context).reshape(&[clips, frames]);
                (frame_maps * scores.softmax(1).reshape(&[clips, frames, 1])).sum(&[1])
            }
        };
        Encoded { maps: Some(maps), whole: whole.reshape(&shape) }
    }
}

/// Paths are the trunk's, and `score.weight`.
impl<T: Element> Module<T> for FrameTrunk<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.trunk.visit(path, f);
        self.score.visit(&join(path, "score"), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.trunk.visit_mut(path, f);
        self.score.visit_mut(&join(path, "score"), f);
    }
}

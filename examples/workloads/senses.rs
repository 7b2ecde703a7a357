//! Sounds and clips.
//!
//! - `audio-mel`: the library's default model of sounds of a second at 8 kHz: log-mel frames of 40 bands, computed in
//!   every step from the samples, with a stretch of frames and of bands hidden; stages of 3x3 convolutions; the
//!   classifier's mean over positions, weighted by attention. The loss is cross-entropy.
//! - `video-...`: the default stages of an encoder of clips of 6 frames of 64x64 pixels, and plain heads on its maps:
//!   what moves how, from the mean over positions of the whole clip's map, each a dense layer; classes of pixels and
//!   positions of objects as in [`multitask`](super::multitask), from the maps of the last frame. The losses are those
//!   of `multitask` and cross-entropy of the motion, all of weight 1.

use cerberus::data::{
    AUDIO, Batch, DatasetInfo, IMAGE, Image, Input, InputInfo, InputKind, LabelInfo, LabelKind, MovingScenes,
    Sample, VIDEO,
};
use cerberus::multitask::config::{HeadConfig, ModelConfig};
use cerberus::multitask::senses::Senses;
use cerberus::multitask::{Inputs, MultiTaskModel, Trunk};
use cerberus::nn::losses::cross_entropy;
use cerberus::prelude::*;
use cerberus::tensor::resize::Interpolation;

use super::multitask::{Outputs, Targets};
use super::{Failure, wave};

const CLASSES: usize = 10;
const MOTIONS: usize = 12;
/// What is regressed at a position: four sides and the centre-ness.
const SIDES: usize = 5;
const FRAMES: usize = 6;
const SIZE: usize = 64;
/// Samples a second, and of a sound.
const RATE: u32 = 8000;

/// The default model of sounds, and a batch of them.
pub fn sounds(batch: usize, scale: f32) -> Result<(MultiTaskModel, Batch), Failure> {
    let names: Vec<String> = (0..CLASSES).map(|class| class.to_string()).collect();
    let len = RATE as usize;
    let info = DatasetInfo {
        name: "waves".into(),
        height: 0,
        width: 0,
        channels: 0,
        inputs: vec![InputInfo::new(AUDIO, InputKind::Sound { rate: RATE, len })],
        labels: vec![LabelInfo::new("class", LabelKind::Class, &names)],
        accounts: Default::default(),
    };
    let mut config = ModelConfig::for_data(&info);
    config.heads = vec![HeadConfig::parse("classify", &info)?];
    config.check()?;
    let values = wave(&[batch, len]).scale(scale).to_vec();
    let sample = |(index, sound): (usize, &[f32])| Sample {
        image: Image::missing(),
        inputs: [(AUDIO.into(), Input::Sound(sound.into()))].into(),
        class: Some(index % CLASSES),
        ..Sample::default()
    };
    let samples: Vec<Sample> = values.chunks(len).enumerate().map(sample).collect();
    Ok((MultiTaskModel::new(&config, 1), Batch::assemble(&samples, (0..batch).collect())?))
}

/// An encoder of clips and plain heads.
pub struct Moving<T: Element = f32> {
    trunk: Senses<T>,
    motion: Linear<T>,
    subject: Linear<T>,
    segment: Conv2d<T>,
    detect: Sequential<T>,
}

module!(Moving { trunk, motion, subject, segment, detect });

impl Moving {
    /// With the encoder of this name and fresh weights.
    pub fn new(encoder: &str, seed: u64) -> Result<Self, Failure> {
        let scenes = MovingScenes::embedded(1);
        let mut config = ModelConfig::for_data(scenes.info());
        config.set_clip_encoder(encoder)?;
        config.check()?;
        assert!(config.inputs.iter().all(|input| input.name != IMAGE), "the clip is the only input");
        let mut init = Init::new(seed);
        let trunk = Senses::new(&config, &mut init);
        let info = trunk.info([SIZE; 2]);
        let deep = info.channels(info.depth() - 1);
        let quarter = info.neck.as_ref().map_or(info.channels(info.depth() - 2), |neck| neck.channels);
        let (same, pointwise) = (Conv2dSpec::same(3), Conv2dSpec::default());
        Ok(Self {
            trunk,
            motion: Linear::new(deep, MOTIONS, &mut init),
            subject: Linear::new(deep, CLASSES, &mut init),
            segment: Conv2d::with_spec(quarter + deep, CLASSES + 1, 1, pointwise, &mut init),
            detect: Sequential::new()
                .add("conv1", Conv2d::with_spec(deep, 64, 3, same, &mut init).with_relu())
                .add("conv2", Conv2d::with_spec(64, 64, 3, same, &mut init).with_relu())
                .add("output", Conv2d::with_spec(64, CLASSES + SIDES, 1, pointwise, &mut init)),
        })
    }

    /// The loss of clips `[N, 6, 64, 64, 3]`.
    pub fn loss(&self, clips: Var, targets: &Targets, context: &mut Context) -> Var {
        let len = clips.shape()[0];
        let inputs = Inputs::new(len).with(VIDEO, clips, (0..len).collect());
        let features = self.trunk.encode(inputs, context);
        let joined = features.whole.and_then(|whole| whole.joined).expect("a map of the whole clip");
        let pooled = joined.global_avg_pool();
        let eighth = features.stages[features.stages.len() - 1].clone();
        let quarter = features.neck.unwrap_or_else(|| features.stages[features.stages.len() - 2].clone());

        let motion = self.motion.forward(pooled.clone(), context);
        let classes = self.subject.forward(pooled, context);
        let enlarged = eighth.clone().resize([SIZE / 4; 2], Interpolation::Bilinear);
        let pixels = self.segment.forward(Var::concat(vec![quarter, enlarged], 3), context);
        let pixels = pixels.resize([SIZE; 2], Interpolation::Bilinear);
        let positions = self.detect.forward(eighth, context);
        let moves: Vec<usize> = (0..len).map(|i| i % MOTIONS).collect();
        targets.loss(Outputs { classes, pixels, positions }) + cross_entropy(motion, &moves)
    }
}

/// The shape of `batch` clips.
pub fn clips(batch: usize) -> [usize; 5] {
    [batch, FRAMES, SIZE, SIZE, 3]
}

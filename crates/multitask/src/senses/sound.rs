//! Sounds: convolutions over a log-mel spectrogram, or over the samples.

use cerberus_audio::augment::SpecAugment;
use cerberus_audio::{LogMel, LogMelConfig};
use cerberus_autograd::Var;
use cerberus_autograd::ops::Conv1dSpec;
use cerberus_nn::{
    BatchNorm1d, Context, Conv1d, Init, Layer, MaxPool1d, MaxPool2d, Module, ModuleTensor, ModuleTensorMut,
    join, module,
};
use cerberus_tensor::random::Stream;
use cerberus_tensor::{Element, Tensor};
use rayon::prelude::*;

use super::encoder::{Encoded, Encoder};
use crate::features::MapInfo;
use crate::trunk::ConvBlock;

/// Stages of 3x3 convolutions with batch norm and ReLU, with a max-pool between them, on the log-mel spectrogram of a
/// sound `[P, L]`: time in rows, pitch in columns. Every spectrogram is shifted and scaled to mean 0 and standard
/// deviation 1, so that loudness does not matter.
///
/// In training, parts of it are [hidden](SpecAugment).
pub(super) struct Spectrogram<T: Element> {
    mel: LogMel,
    hide: SpecAugment,
    stages: Vec<Vec<ConvBlock<T>>>,
    channels: usize,
}

impl<T: Element> Spectrogram<T> {
    pub fn new(mel: &LogMelConfig, stages: &[Vec<usize>], hide: &SpecAugment, init: &mut Init) -> Self {
        let mut cin = 1;
        let mut block = |&cout: &usize, init: &mut Init| {
            let block = ConvBlock::new(cin, cout, 3, init);
            cin = cout;
            block
        };
        let blocks = stages.iter().map(|stage| stage.iter().map(|cout| block(cout, init)).collect());
        let stages = blocks.collect();
        let mel = LogMel::new(mel).expect("a spectrogram that was checked");
        Self { mel, hide: hide.clone(), stages, channels: cin }
    }

    /// The spectrograms, `[P, frames, bands, 1]`.
    fn spectrograms(&self, sounds: &Tensor<T>, context: &mut Context<T>) -> Tensor<T> {
        let &[count, len] = sounds.shape() else { panic!("sounds {:?} must be [N, L]", sounds.shape()) };
        let [frames, bands] = [self.mel.frames(len), self.mel.bands()];
        // Streams are taken in order, so that the threads do not decide.
        let hidden: Vec<Option<Stream>> =
            (0..count).map(|_| context.is_training().then(|| context.random())).collect();
        let sounds: Vec<f32> = sounds.to_vec().into_iter().map(|value| value.as_f64() as f32).collect();
        let one = |(sound, random): (&[f32], Option<Stream>)| {
            let mut values = self.mel.compute(sound);
            standardise(&mut values);
            if let Some(mut random) = random {
                self.hide.apply(&mut values, bands, &mut random);
            }
            values.into_iter().map(|value| T::from_f64(f64::from(value))).collect::<Vec<T>>()
        };
        let all: Vec<Vec<T>> = sounds.par_chunks(len.max(1)).zip(hidden).map(one).collect();
        Tensor::from_vec(all.concat(), &[count, frames, bands, 1])
    }
}

/// Shifts and scales to mean 0 and standard deviation 1; a constant becomes 0.
fn standardise(values: &mut [f32]) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    let scale = if variance > 1e-12 { 1.0 / variance.sqrt() } else { 0.0 };
    values.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
}

impl<T: Element> Encoder<T> for Spectrogram<T> {
    fn whole(&self) -> MapInfo {
        MapInfo { name: "audio".into(), channels: self.channels, stride: 1 << (self.stages.len() - 1) }
    }

    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Encoded<T> {
        let mut x = Var::constant(self.spectrograms(x.value(), context));
        for (index, blocks) in self.stages.iter().enumerate() {
            // A map of one row or column is not halved any more.
            if index > 0 && x.shape()[1] > 1 && x.shape()[2] > 1 {
                x = MaxPool2d::new(2, 2).forward(x, context);
            }
            x = blocks.iter().fold(x, |x, block| context.segment(|context| block.forward(x, context)));
        }
        Encoded { maps: None, whole: x }
    }
}

/// Paths read `stage1.block1.conv.weight`.
impl<T: Element> Module<T> for Spectrogram<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for (s, b, block) in self
            .stages
            .iter()
            .enumerate()
            .flat_map(|(s, blocks)| blocks.iter().enumerate().map(move |(b, block)| (s, b, block)))
        {
            block.visit(&join(path, &format!("stage{}.block{}", s + 1, b + 1)), f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for (s, blocks) in self.stages.iter_mut().enumerate() {
            for (b, block) in blocks.iter_mut().enumerate() {
                block.visit_mut(&join(path, &format!("stage{}.block{}", s + 1, b + 1)), f);
            }
        }
    }
}

/// The first convolution's kernel and stride, and every pool.
const FIRST: [usize; 2] = [64, 4];
const POOL: usize = 4;

/// Convolutions over samples `[P, L]`, each with batch norm and ReLU: the first with a long kernel, whose filters become
/// like those of a spectrogram, the others of 3 positions, with max-pools of 4 positions between them (Dai et al., "Very
/// Deep Convolutional Neural Networks for Raw Waveforms", 2017, table 1).
pub(super) struct Waveform<T: Element> {
    layers: Vec<SoundBlock<T>>,
    channels: usize,
}

module!(Waveform { layers } without { channels });

struct SoundBlock<T: Element> {
    conv: Conv1d<T>,
    norm: BatchNorm1d<T>,
}

module!(SoundBlock { conv, norm });

impl<T: Element> Waveform<T> {
    pub fn new(channels: &[usize], init: &mut Init) -> Self {
        let mut cin = 1;
        let layers = channels.iter().enumerate().map(|(index, &cout)| {
            let [kernel, stride] = if index == 0 { FIRST } else { [3, 1] };
            let spec = Conv1dSpec { stride, padding: kernel / 2, ..Conv1dSpec::default() };
            let conv = Conv1d::with_spec(cin, cout, kernel, spec, init).without_bias();
            cin = cout;
            SoundBlock { conv, norm: BatchNorm1d::new(cout).with_relu() }
        });
        let layers = layers.collect();
        Self { layers, channels: cin }
    }
}

impl<T: Element> Encoder<T> for Waveform<T> {
    fn whole(&self) -> MapInfo {
        MapInfo { name: "audio".into(), channels: self.channels, stride: 1 }
    }

    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Encoded<T> {
        let &[count, len] = x.shape() else { panic!("sounds {:?} must be [N, L]", x.shape()) };
        let mut x = x.reshape(&[count, len, 1]);
        for (index, SoundBlock { conv, norm }) in self.layers.iter().enumerate() {
            if index > 0 && x.shape()[1] >= POOL {
                x = MaxPool1d::new(POOL, POOL).forward(x, context);
            }
            x = conv.forward(x, context);
            x = norm.forward(x, context);
        }
        let &[_, places, channels] = x.shape() else {
            unreachable!("a convolution of sequences gives sequences")
        };
        Encoded { maps: None, whole: x.reshape(&[count, 1, places, channels]) }
    }
}

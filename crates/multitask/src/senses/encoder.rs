//! What an encoder is, and the image trunk as one.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Init, Module, ModuleTensor, ModuleTensorMut};
use cerberus_tensor::Element;

use super::clip::FrameTrunk;
use super::numbers::Dense;
use super::sound::{Spectrogram, Waveform};
use super::volume::VolumeTrunk;
use crate::config::ModelConfig;
use crate::features::{Features, MapInfo};
use crate::image_trunk::image_trunk;
use crate::sense_config::{ClipEncoder, EncoderConfig, InputConfig};
use crate::trunk::Trunk;

/// What an encoder makes of an input of `P` samples.
pub struct Encoded<T: Element = f32> {
    /// For heads that find places: the maps of the images, or of the clips' last frames.
    pub maps: Option<Features<T>>,
    /// A map for heads that answer for the whole sample, `[P, h, w, C]`.
    pub whole: Var<T>,
}

/// A network that makes maps of one input.
pub trait Encoder<T: Element = f32>: Module<T> + Send + Sync {
    /// The maps for heads that find places, shallow to deep; none if the input has no places in a picture.
    fn stages(&self) -> Vec<MapInfo> {
        Vec::new()
    }

    /// The map in which several of them are joined, if the encoder makes one.
    fn neck(&self) -> Option<MapInfo> {
        None
    }

    /// The map for heads that answer for the whole sample.
    fn whole(&self) -> MapInfo;

    /// The maps of an input, `[P, ..]`.
    ///
    /// # Panics
    /// If the input does not have the size that the encoder is made for.
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Encoded<T>;
}

/// The encoder that `input` describes, with the image trunk of `config`.
pub(super) fn build<T: Element>(
    input: &InputConfig,
    config: &ModelConfig,
    init: &mut Init,
) -> Box<dyn Encoder<T>> {
    let channels = config.image[2];
    match &input.encoder {
        EncoderConfig::Image => Box::new(Pictures(image_trunk(config, channels, init))),
        EncoderConfig::Clip { frames, encoder, stages } => match encoder {
            ClipEncoder::Conv3d | ClipEncoder::Factorised => {
                let factorised = *encoder == ClipEncoder::Factorised;
                Box::new(VolumeTrunk::new(channels, *frames, stages, factorised, init))
            }
            ClipEncoder::Stack => {
                let trunk = image_trunk(config, channels * frames, init);
                Box::new(FrameTrunk::new(trunk, *frames, *encoder, init))
            }
            _ => {
                let trunk = image_trunk(config, channels, init);
                Box::new(FrameTrunk::new(trunk, *frames, *encoder, init))
            }
        },
        EncoderConfig::LogMel { mel, stages, hide, .. } => {
            Box::new(Spectrogram::new(mel, stages, hide, init))
        }
        EncoderConfig::Waveform { channels, .. } => Box::new(Waveform::new(channels, init)),
        EncoderConfig::Numbers { len, hidden } => Box::new(Dense::new(*len, hidden, init)),
    }
}

/// The trunk of images.
struct Pictures<T: Element>(Box<dyn Trunk<T>>);

impl<T: Element> Encoder<T> for Pictures<T> {
    fn stages(&self) -> Vec<MapInfo> {
        self.0.stages()
    }

    fn neck(&self) -> Option<MapInfo> {
        self.0.neck()
    }

    fn whole(&self) -> MapInfo {
        self.0.stages().pop().expect("a trunk makes at least one map")
    }

    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Encoded<T> {
        let maps = self.0.forward(x, context);
        let whole = maps.stages[maps.stages.len() - 1].clone();
        Encoded { maps: Some(maps), whole }
    }
}

impl<T: Element> Module<T> for Pictures<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.0.visit(path, f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.0.visit_mut(path, f);
    }
}

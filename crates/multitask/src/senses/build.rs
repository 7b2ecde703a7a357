//! Builds the encoders, and the image trunk as one.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Init, Module, ModuleTensor, ModuleTensorMut};
use cerberus_tensor::Element;

use super::clip::FrameTrunk;
use super::encoder::{Encoded, Encoder};
use super::numbers::Dense;
use super::sound::{Spectrogram, Waveform};
use super::volume::VolumeTrunk;
use crate::config::ModelConfig;
use crate::features::MapInfo;
use crate::image_trunk::image_trunk;
use crate::sense_config::{ClipEncoder, EncoderConfig, InputConfig};
use crate::trunk::Trunk;

/// The encoder that `input` describes, with the image trunk of `config`.
pub(super) fn encoder<T: Element>(
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

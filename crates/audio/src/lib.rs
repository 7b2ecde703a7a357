//! Sound for models: WAV files, resampling, spectrograms, log-mel features, augmentation.
//!
//! A [`Sound`] is [read](read_wav) from a file, [resampled](Resampler) and [cut](fit) to the rate and
//! length that a model expects, and turned into [log-mel](LogMel) frames. [`augment`] changes sounds and
//! spectrograms at random. This crate knows nothing of tensors, data sets or networks: sounds are slices.
//!
//! Transforms are made once from a configuration and then applied to many sounds, from any thread. They are
//! generic over `f32` and `f64` ([`Real`]); tests compare them in `f64` with librosa and torchaudio.
#![forbid(unsafe_code)]

pub mod augment;
mod error;
mod log_mel;
mod mel;
mod mfcc;
mod real;
mod resample;
mod shape;
mod sound;
mod spectrogram;
#[cfg(test)]
mod tests;
mod wav;

pub use error::AudioError;
pub use log_mel::{LogMel, LogMelConfig, LogScale};
pub use mel::{MOST_BANDS, MelBank, MelConfig, MelNorm, MelScale};
pub use mfcc::{Mfcc, MfccConfig, delta};
pub use real::Real;
pub use resample::{MOST_RATIO, ResampleConfig, ResampleWindow, Resampler};
pub use shape::{fit, normalise_rms, rms};
pub use sound::Sound;
pub use spectrogram::{MOST_SAMPLES, Power, Spectrogram, SpectrogramConfig};
pub use wav::{MOST_CHANNELS, MOST_RATE, WavFormat, read_wav, write_wav};

//! Every transform against librosa and torchaudio in `f64` (`tests/parity/README.md`), and in `f32` against itself.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::sound;
use crate::{
    LogMel, LogMelConfig, MelBank, MelConfig, Mfcc, MfccConfig, Real, ResampleConfig, Resampler, Spectrogram,
    SpectrogramConfig, delta,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/audio.json");

#[derive(Deserialize)]
struct Case<C> {
    config: C,
    samples: usize,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Resampling {
    rates: [u32; 2],
    #[serde(flatten)]
    case: Case<ResampleConfig>,
}

#[derive(Deserialize)]
struct Bands {
    rate: u32,
    n_fft: usize,
    config: MelConfig,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Deltas {
    samples: usize,
    columns: usize,
    reach: usize,
    values: Vec<f64>,
}

/// The cases of a kind.
fn cases<C: DeserializeOwned>(kind: &str) -> Vec<C> {
    let text = std::fs::read_to_string(FILE).expect("the reference is part of the repository");
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cases: Vec<C> = serde_json::from_value(file[kind].take()).unwrap();
    assert!(cases.len() > 1, "{kind}");
    cases
}

/// Asserts that values agree to a share of each, and to a thousandth of that share of the largest.
fn assert_close<T: Real>(name: &str, ours: &[T], theirs: &[f64], share: f64) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let largest = theirs.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let difference = (ours.wide() - theirs).abs();
        let allowed = share * (theirs.abs() + 1e-3 * largest);
        assert!(difference <= allowed, "{name}: {ours:?} instead of {theirs} at {place}");
    }
}

const SHARE: f64 = 1e-9;
/// Of `f32`, where rounding in the transform is relative to the largest frequency.
const SHARE_F32: f64 = 1e-4;

fn narrow(samples: &[f64]) -> Vec<f32> {
    samples.iter().map(|&sample| sample as f32).collect()
}

#[test]
fn resampled_sounds_agree_with_torchaudio() {
    for Resampling { rates: [from, to], case } in cases::<Resampling>("resample") {
        let name = format!("{from} to {to}, {:?}", case.config);
        let x = sound(case.samples);
        let resampler = Resampler::new(from, to, &case.config).unwrap();
        assert_close(&name, &resampler.process(&x), &case.values, SHARE);
        let resampler = Resampler::new(from, to, &case.config).unwrap();
        assert_close(&name, &resampler.process(&narrow(&x)), &case.values, SHARE_F32);
    }
}

#[test]
fn spectrograms_agree_with_librosa_and_torchaudio() {
    for Case { config, samples, values } in cases::<Case<SpectrogramConfig>>("spectrogram") {
        let name = format!("{config:?}");
        let x = sound(samples);
        assert_eq!(config.frames(samples) * config.bins(), values.len(), "{name}");
        assert_close(&name, &Spectrogram::new(&config).unwrap().compute(&x), &values, SHARE);
        assert_close(&name, &Spectrogram::new(&config).unwrap().compute(&narrow(&x)), &values, SHARE_F32);
    }
}

#[test]
fn mel_bands_agree_with_librosa_and_torchaudio() {
    for Bands { rate, n_fft, config, values } in cases::<Bands>("mel") {
        let bank = MelBank::<f64>::new(&config, rate, n_fft).unwrap();
        let matrix = bank.matrix();
        assert_close(&format!("{config:?}"), &matrix, &values, SHARE);
        let empty = matrix.chunks(n_fft / 2 + 1).filter(|row| row.iter().all(|&weight| weight == 0.0));
        assert_eq!(bank.empty(), empty.count());
    }
}

#[test]
fn log_mel_frames_agree_with_librosa_and_torchaudio() {
    for Case { config, samples, values } in cases::<Case<LogMelConfig>>("log_mel") {
        let name = format!("{config:?}");
        let x = sound(samples);
        let log_mel = LogMel::new(&config).unwrap();
        assert_eq!(log_mel.frames(samples) * log_mel.bands(), values.len(), "{name}");
        assert_close(&name, &log_mel.compute(&x), &values, SHARE);
        assert_close(&name, &LogMel::new(&config).unwrap().compute(&narrow(&x)), &values, SHARE_F32);
    }
}

#[test]
fn cepstral_coefficients_agree_with_librosa_and_torchaudio() {
    for Case { config, samples, values } in cases::<Case<MfccConfig>>("mfcc") {
        let mfcc = Mfcc::<f64>::new(&config).unwrap();
        assert_eq!(mfcc.frames(samples) * config.coefficients, values.len());
        assert_close(&format!("{config:?}"), &mfcc.compute(&sound(samples)), &values, SHARE);
    }
}

#[test]
fn deltas_agree_with_torchaudio() {
    for Deltas { samples, columns, reach, values } in cases::<Deltas>("delta") {
        let ours = delta(&sound(samples), columns, reach);
        assert_close(&format!("{columns} columns, reach {reach}"), &ours, &values, SHARE);
    }
}

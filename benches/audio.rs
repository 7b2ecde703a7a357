//! Time of what a sound goes through on its way to a model, on one thread.
//!
//! `cargo bench -p cerberus-audio --bench audio`

use cerberus_audio::augment::{noise, speed};
use cerberus_audio::{
    LogMel, LogMelConfig, Mfcc, MfccConfig, ResampleConfig, Resampler, Sound, SpectrogramConfig, WavFormat,
    read_wav, write_wav,
};
use divan::{Bencher, black_box};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn main() {
    divan::main();
}

/// A second of a chirp.
fn second(rate: u32) -> Vec<f32> {
    (0..rate).map(|i| 0.5 * (0.02 * i as f32 + 1e-5 * (i * (i / 64)) as f32).sin()).collect()
}

/// A second at 16 kHz in 64 bands, in transforms of 512 samples.
#[divan::bench]
fn log_mel(bencher: Bencher) {
    let (sound, log_mel) = (second(16000), LogMel::<f32>::new(&LogMelConfig::new(16000, 64)).unwrap());
    bencher.bench(|| log_mel.compute(black_box(&sound)));
}

/// The same in transforms of 400 samples and 80 bands.
#[divan::bench]
fn log_mel_400(bencher: Bencher) {
    let config =
        LogMelConfig { spectrogram: SpectrogramConfig::new(400, 160), ..LogMelConfig::new(16000, 80) };
    let (sound, log_mel) = (second(16000), LogMel::<f32>::new(&config).unwrap());
    bencher.bench(|| log_mel.compute(black_box(&sound)));
}

/// The plan and the bands, which a model makes once.
#[divan::bench]
fn log_mel_new() -> LogMel {
    LogMel::new(&LogMelConfig::new(16000, 64)).unwrap()
}

#[divan::bench]
fn mfcc(bencher: Bencher) {
    let config = MfccConfig { log_mel: LogMelConfig::new(16000, 64), coefficients: 20 };
    let (sound, mfcc) = (second(16000), Mfcc::<f32>::new(&config).unwrap());
    bencher.bench(|| mfcc.compute(black_box(&sound)));
}

/// A second to 16 kHz.
#[divan::bench(args = [8000, 22050, 44100, 48000])]
fn resample(bencher: Bencher, rate: u32) {
    let resampler = Resampler::<f32>::new(rate, 16000, &ResampleConfig::default()).unwrap();
    let sound = second(rate);
    bencher.bench(|| resampler.process(black_box(&sound)));
}

#[divan::bench(args = [22050, 44100, 48000])]
fn resampler_new(rate: u32) -> Resampler {
    Resampler::new(rate, 16000, &ResampleConfig::default()).unwrap()
}

#[divan::bench]
fn add_noise(bencher: Bencher) {
    let (sound, mut rng) = (second(16000), ChaCha8Rng::seed_from_u64(1));
    bencher.bench_local(|| noise(black_box(&sound), [5.0, 30.0], &mut rng));
}

#[divan::bench]
fn change_speed(bencher: Bencher) {
    let (sound, mut rng) = (second(16000), ChaCha8Rng::seed_from_u64(1));
    bencher.bench_local(|| speed(black_box(&sound), 0.1, &mut rng));
}

/// A second at 16 kHz from a file of 16 bits.
#[divan::bench]
fn read(bencher: Bencher) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("second.wav");
    write_wav(&path, &Sound { rate: 16000, channels: vec![second(16000)] }, WavFormat::Int16).unwrap();
    bencher.bench(|| read_wav(black_box(&path)).unwrap());
}

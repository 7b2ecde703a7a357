//! What holds for any sound.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::augment::{SpecAugment, gain, mix, noise, shift, speed};
use crate::{LogMelConfig, ResampleConfig, Resampler, Sound, fit, normalise_rms, rms};

fn samples(longest: usize) -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(-1.0f32..1.0, 0..longest)
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Every change of samples, by its strength from 0 on.
fn changes(x: &[f32], strength: f64, seed: u64) -> Vec<(&'static str, Vec<f32>)> {
    let background: Vec<f32> = (0..37).map(|i| (i as f32 * 0.9).sin()).collect();
    let distance = if strength > 0.0 { [0.0, 20.0 / strength] } else { [f64::INFINITY; 2] };
    vec![
        ("shift", shift(x, (strength * 20.0) as usize, &mut rng(seed))),
        ("gain", gain(x, 6.0 * strength, &mut rng(seed))),
        ("noise", noise(x, distance, &mut rng(seed))),
        ("mix", mix(x, &background, distance, &mut rng(seed))),
        ("speed", speed(x, 0.2 * strength, &mut rng(seed))),
    ]
}

proptest! {
    #[test]
    fn a_seed_repeats_every_change_strength_0_makes_none_and_lengths_are_kept(x in samples(200), seed: u64) {
        for ((name, once), (_, again)) in changes(&x, 1.0, seed).into_iter().zip(changes(&x, 1.0, seed)) {
            prop_assert_eq!(&once, &again, "{}", name);
            prop_assert!(once.iter().all(|sample| sample.is_finite()), "{}", name);
            let len = x.len() as f64;
            let fits = if name == "speed" {
                (len / 1.2..=(len / 0.8).ceil()).contains(&(once.len() as f64))
            } else {
                once.len() == x.len()
            };
            prop_assert!(fits, "{}: {} of {}", name, once.len(), x.len());
        }
        for (name, unchanged) in changes(&x, 0.0, seed) {
            prop_assert_eq!(&unchanged, &x, "{}", name);
        }
    }

    #[test]
    fn other_seeds_change_other_things(seed: u64) {
        let x: Vec<f32> = (0..500).map(|i| (i as f32 * 0.3).sin()).collect();
        let seeds: Vec<_> = (0..20).map(|i| changes(&x, 1.0, seed.wrapping_add(i))).collect();
        for change in 0..seeds[0].len() {
            let (name, first) = &seeds[0][change];
            prop_assert!(seeds.iter().any(|other| other[change].1 != *first), "{}", name);
        }
    }

    #[test]
    fn what_is_added_lies_the_given_decibels_below_the_sound(seed: u64, distance in -20.0..40.0f64) {
        let x: Vec<f32> = (0..400).map(|i| 0.5 * (i as f32 * 0.3).sin()).collect();
        let long: Vec<f32> = (0..900).map(|i| ((i * i) as f32 * 0.013).cos()).collect();
        let range = [distance; 2];
        for changed in [noise(&x, range, &mut rng(seed)), mix(&x, &long, range, &mut rng(seed))] {
            let added: Vec<f32> = changed.iter().zip(&x).map(|(changed, x)| changed - x).collect();
            let found = 20.0 * (rms(&x) / rms(&added)).log10();
            prop_assert!((found - distance).abs() < 0.01, "{} instead of {}", found, distance);
        }
    }

    #[test]
    fn a_shifted_sound_is_a_part_of_itself_between_zeros(x in samples(60), most in 0usize..100, seed: u64) {
        let shifted = shift(&x, most, &mut rng(seed));
        let zeros = vec![0.0; x.len()];
        let padded = [&zeros[..], &x, &zeros].concat();
        let most = most.min(x.len());
        let found = (x.len() - most..=x.len() + most).any(|start| padded[start..start + x.len()] == shifted);
        prop_assert!(found);
    }

    #[test]
    fn fitted_sounds_have_the_length_and_keep_all_or_a_part(
        x in samples(60), len in 0usize..80, place in 0.0..=1.0,
    ) {
        let fitted = fit(&x, len, place);
        prop_assert_eq!(fitted.len(), len);
        let (short, long) = if len < x.len() { (&fitted, &x) } else { (&x, &fitted) };
        let offset = ((long.len() - short.len()) as f64 * place).floor() as usize;
        prop_assert_eq!(&long[offset..offset + short.len()], &short[..]);
        let outside = long[..offset].iter().chain(&long[offset + short.len()..]);
        prop_assert!(len < x.len() || outside.copied().all(|sample| sample == 0.0));
    }

    #[test]
    fn normalised_sounds_have_the_loudness(mut x in samples(60), target in 0.01..1.0f64) {
        let silent = rms(&x) == 0.0;
        normalise_rms(&mut x, target);
        let expected = if silent { 0.0 } else { target };
        prop_assert!((rms(&x) - expected).abs() < 1e-6);
    }

    #[test]
    fn resampling_is_linear_keeps_the_length_in_seconds_and_constants(
        x in samples(100), from in 1u32..60, to in 1u32..60,
    ) {
        let resampler = Resampler::<f64>::new(from, to, &ResampleConfig::default()).unwrap();
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        let y = resampler.process(&x);
        prop_assert_eq!(y.len(), (x.len() * to as usize).div_ceil(from as usize));
        prop_assert_eq!(y.len(), resampler.output_len(x.len()));
        let doubled: Vec<f64> = x.iter().map(|x| 2.0 * x).collect();
        let twice = resampler.process(&doubled);
        prop_assert!(twice.iter().zip(&y).all(|(twice, y)| (twice - 2.0 * y).abs() < 1e-12));
        let constant = resampler.process(&vec![1.0; 20 * 60]);
        let middle = constant[constant.len() * 2 / 5];
        prop_assert!((middle - 1.0).abs() < 0.02, "{}", middle);
    }

    #[test]
    fn hidden_parts_are_at_most_as_many_as_allowed_and_the_rest_stays(
        frames in 0usize..30, bands in 1usize..20, seed: u64, most in 0usize..30,
    ) {
        let x: Vec<f32> = (0..frames * bands).map(|i| i as f32 + 0.25).collect();
        let hide = |times, frequencies| {
            let mut values = x.clone();
            let config = SpecAugment { times, most_frames: most, frequencies, most_bands: most };
            config.check().unwrap();
            config.apply(&mut values, bands, &mut rng(seed));
            values
        };
        prop_assert_eq!(&hide(0, 0), &x);
        prop_assert_eq!(hide(2, 2), hide(2, 2));
        let changed = |values: &[f32]| values.iter().zip(&x).filter(|(a, b)| a != b).count();
        prop_assert!(changed(&hide(1, 0)) <= most.min(frames / 2) * bands);
        prop_assert!(changed(&hide(0, 1)) <= most.min(bands / 2) * frames);
    }

    #[test]
    fn frames_are_counted_without_computing_them(len in 0usize..2000, rate in 80u32..16000) {
        let config = LogMelConfig::new(rate, 4);
        let frames = crate::LogMel::<f32>::new(&config).unwrap().compute(&vec![0.0; len]);
        prop_assert_eq!(frames.len(), config.frames(len) * 4);
        prop_assert_eq!(config.frames(len), if len == 0 { 0 } else { 1 + len / config.spectrogram.hop });
    }
}

#[test]
fn a_tone_survives_the_low_pass_and_one_that_cannot_be_held_does_not() {
    let tone = |hertz: f64| -> Vec<f64> {
        (0..16000).map(|i| (std::f64::consts::TAU * hertz * f64::from(i) / 16000.0).sin()).collect()
    };
    let down = Resampler::<f64>::new(16000, 8000, &ResampleConfig::default()).unwrap();
    let loudness = |hertz: f64| rms(&down.process(&tone(hertz))[100..7900]);
    assert!((loudness(1000.0) - 0.5_f64.sqrt()).abs() < 1e-3, "{}", loudness(1000.0));
    assert!(loudness(6000.0) < 2e-3, "{}", loudness(6000.0));
    // The samples of a tone of 440 hertz at the new rate.
    let up = Resampler::<f64>::new(16000, 44100, &ResampleConfig { width: 32, ..ResampleConfig::default() });
    let y = up.unwrap().process(&tone(440.0));
    for (i, y) in y.iter().enumerate().take(40000).skip(4000) {
        let expected = (std::f64::consts::TAU * 440.0 * i as f64 / 44100.0).sin();
        assert!((y - expected).abs() < 1e-3, "{y} instead of {expected} at {i}");
    }
}

#[test]
fn silence_stays_silent_and_a_silent_or_missing_background_adds_nothing() {
    let (silence, tone) = ([0.0; 50], [0.5; 50]);
    assert_eq!(noise(&silence, [0.0, 10.0], &mut rng(1)), silence);
    assert_eq!(mix(&silence, &tone, [0.0, 10.0], &mut rng(1)), silence);
    assert_eq!(mix(&tone, &silence, [0.0, 10.0], &mut rng(1)), tone);
    assert_eq!(mix(&tone, &[], [0.0, 10.0], &mut rng(1)), tone);
    let mut nothing: [f32; 0] = [];
    normalise_rms(&mut nothing, 0.1);
}

#[test]
fn mono_is_the_mean_of_the_channels() {
    let sound = Sound { rate: 10, channels: vec![vec![1.0, 0.5], vec![0.0, 0.5], vec![-0.25, 0.5]] };
    assert_eq!(sound.mono(), [0.25, 0.5]);
    assert_eq!((sound.len(), sound.duration()), (2, 0.2));
    let empty = Sound { rate: 0, channels: Vec::new() };
    assert!(empty.is_empty() && empty.mono().is_empty() && empty.duration() == 0.0);
}

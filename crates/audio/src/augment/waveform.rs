//! Changes of samples.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::resample::{ResampleConfig, Resampler};
use crate::shape::rms;

/// Moves the sound by up to `most` samples, earlier or later; what is moved out is lost, the rest is 0.
pub fn shift(samples: &[f32], most: usize, rng: &mut impl Rng) -> Vec<f32> {
    let most = most.min(samples.len());
    let start = rng.random_range(0..=2 * most);
    // The sound with `most` zeros on both sides, from `start` on.
    let sample = |place: usize| (start + place).checked_sub(most).and_then(|place| samples.get(place));
    (0..samples.len()).map(|place| sample(place).copied().unwrap_or(0.0)).collect()
}

/// Makes the sound louder or softer by up to `most` decibels, drawn evenly.
///
/// # Panics
/// If `most` is negative or not finite.
#[track_caller]
pub fn gain(samples: &[f32], most: f64, rng: &mut impl Rng) -> Vec<f32> {
    assert!(most >= 0.0 && most.is_finite(), "gain: up to {most} dB; give 0 or more");
    let factor = ratio(within([-most, most], rng));
    samples.iter().map(|&sample| (f64::from(sample) * factor) as f32).collect()
}

/// Adds white noise whose root mean square lies a drawn number of decibels, `range[0]` to `range[1]`, below that of the
/// sound. Silence stays as it is.
///
/// # Panics
/// If the range is not in order.
#[track_caller]
pub fn noise(samples: &[f32], range: [f64; 2], rng: &mut impl Rng) -> Vec<f32> {
    let distance = within(range, rng);
    let noise: Vec<f32> = samples.iter().map(|_| rng.sample(StandardNormal)).collect();
    add(samples, &noise, distance)
}

/// Adds a part of a background sound at the same rate, a drawn number of decibels, `range[0]` to `range[1]`, below the
/// sound. The part is drawn; a background that is too short is repeated. Silence stays as it is, and a silent
/// background adds nothing.
///
/// # Panics
/// If the range is not in order.
#[track_caller]
pub fn mix(samples: &[f32], background: &[f32], range: [f64; 2], rng: &mut impl Rng) -> Vec<f32> {
    let distance = within(range, rng);
    // A long background is not repeated, so its last starts are left out; of a short one every start is possible.
    let starts = match background.len() {
        0 => return samples.to_vec(),
        len if len >= samples.len() => len - samples.len() + 1,
        len => len,
    };
    let start = rng.random_range(0..starts);
    let part: Vec<f32> = background.iter().cycle().skip(start).take(samples.len()).copied().collect();
    add(samples, &part, distance)
}

/// Plays the sound faster or slower by up to the share `most` of its speed, in steps of a hundredth; its pitch changes
/// too. The length changes to `len / speed`, rounded up.
///
/// # Panics
/// If `most` is not 0 to 0.9.
#[track_caller]
pub fn speed(samples: &[f32], most: f64, rng: &mut impl Rng) -> Vec<f32> {
    assert!((0.0..=0.9).contains(&most), "speed: up to {most}; give 0 to 0.9");
    let most = (100.0 * most).round() as u32;
    let percent = rng.random_range(100 - most..=100 + most);
    let resampler = Resampler::new(percent, 100, &ResampleConfig::default());
    resampler.expect("10 to 190 to 100 are possible rates").process(samples)
}

/// `other` added at `distance` decibels below `samples`.
fn add(samples: &[f32], other: &[f32], distance: f64) -> Vec<f32> {
    let loudness = rms(other);
    if loudness == 0.0 {
        return samples.to_vec();
    }
    let factor = rms(samples) / loudness * ratio(-distance);
    samples.iter().zip(other).map(|(&a, &b)| (f64::from(a) + f64::from(b) * factor) as f32).collect()
}

/// The ratio of amplitudes that decibels stand for.
fn ratio(decibels: f64) -> f64 {
    10.0_f64.powf(decibels / 20.0)
}

#[track_caller]
fn within([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    assert!(low <= high, "a range of decibels from {low} to {high}; give the lower first");
    // Drawn in any case, so that what follows does not depend on the range.
    let share: f64 = rng.random();
    if low == high { low } else { low + (high - low) * share }
}

//! Changes of sounds. They leave pictures and labels as they are, and samples without a sound unchanged.

use std::sync::Arc;

use cerberus_audio::{augment, fit};
use cerberus_tensor::random::Stream;

use crate::Input;

use super::canvas::Canvas;
use super::operation::{Draw, Kind, Operation};

/// The usual reach of a shift, as a share of the length.
const SHIFT: f64 = 0.1;
/// The usual reach of the change of speed.
const SPEED: f64 = 0.1;
/// The usual reach of the change of loudness, in decibels.
const GAIN: f64 = 6.0;
/// The usual distance of noise below the sound, in decibels: at strength 1, from the second to the first.
const NOISE: [f64; 2] = [5.0, 30.0];

/// Every sound of the sample through `change`, at its length.
fn each(canvas: &mut Canvas, draw: &mut Draw, change: impl Fn(&[f32], f64, &mut Stream) -> Vec<f32>) {
    for input in canvas.inputs().values_mut() {
        if let Input::Sound(samples) = input {
            let changed = change(samples, draw.strength, &mut draw.random);
            *samples = Arc::from(fit(&changed, samples.len(), 0.5));
        }
    }
}

const fn operation(name: &'static str, what: &'static str, apply: fn(&mut Canvas, &mut Draw)) -> Operation {
    Operation { name, what, kind: Kind::Sound, partners: 0, probability: 1.0, floats: true, apply }
}

/// Earlier or later.
pub(super) const SHIFTED: Operation =
    operation("sound_shift", "sounds come up to a tenth of their length earlier or later", |canvas, draw| {
        each(canvas, draw, |samples, strength, random| {
            augment::shift(samples, (samples.len() as f64 * SHIFT * strength) as usize, random)
        });
    });

/// Faster or slower.
pub(super) const SPED: Operation =
    operation("sound_speed", "sounds are up to a tenth faster or slower, higher or lower", |canvas, draw| {
        each(canvas, draw, |samples, strength, random| augment::speed(samples, SPEED * strength, random));
    });

/// Louder or softer.
pub(super) const GAINED: Operation =
    operation("sound_gain", "sounds are up to 6 dB louder or softer", |canvas, draw| {
        each(canvas, draw, |samples, strength, random| augment::gain(samples, GAIN * strength, random));
    });

/// With noise.
pub(super) const NOISY: Operation =
    operation("sound_noise", "sounds have white noise 5 to 30 dB below them", |canvas, draw| {
        each(canvas, draw, |samples, strength, random| {
            // Twice as strong is 6 dB nearer.
            let nearer = 20.0 * strength.log10();
            augment::noise(samples, NOISE.map(|distance| distance - nearer), random)
        });
    });

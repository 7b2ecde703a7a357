//! How much of each frequency a sound has, over time.
//!
//! A frame of `n_fft` samples starts every `hop` samples. It is multiplied with a Hann window
//! `w[i] = (1 - cos(2 pi i / window)) / 2` (periodic, so without the last zero; Harris, "On the Use of Windows
//! for Harmonic Analysis", 1978), padded with zeros on both sides if it is shorter than `n_fft`, and
//! transformed; a value is the magnitude of a frequency or its square. Nothing is divided by the length.
//!
//! If `centre` is set, frame `t` has its middle at sample `t hop`: the sound is continued by
//! `n_fft / 2` samples on both sides as in a mirror that does not repeat the last sample.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::RealToComplex;
use serde::{Deserialize, Serialize};

use crate::real::Real;

/// The largest transform, and the largest step between frames, in samples.
pub const MOST_SAMPLES: usize = 1 << 16;

/// The frames of a [`Spectrogram`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectrogramConfig {
    /// Samples of a transform, 2 to [`MOST_SAMPLES`].
    pub n_fft: usize,
    /// Samples of the window, at most `n_fft`.
    pub window: usize,
    /// Samples from one frame to the next, 1 to [`MOST_SAMPLES`].
    pub hop: usize,
    /// Whether frames have their middle at multiples of `hop`; otherwise they start there.
    pub centre: bool,
    /// What a value is.
    pub power: Power,
}

/// The unit of a spectrogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// `|X|`, power 1 in other libraries.
    Magnitude,
    /// `|X|^2`, power 2 in other libraries.
    Energy,
}

impl SpectrogramConfig {
    /// Centred frames of energies.
    pub fn new(n_fft: usize, hop: usize) -> SpectrogramConfig {
        SpectrogramConfig { n_fft, window: n_fft, hop, centre: true, power: Power::Energy }
    }

    /// Whether the numbers are possible.
    ///
    /// # Errors
    /// A message that names the field and what to give.
    pub fn check(&self) -> Result<(), String> {
        let &SpectrogramConfig { n_fft, window, hop, .. } = self;
        if !(2..=MOST_SAMPLES).contains(&n_fft) {
            return Err(format!("spectrogram: n_fft is {n_fft}; give 2 to {MOST_SAMPLES}"));
        }
        if !(1..=n_fft).contains(&window) {
            return Err(format!("spectrogram: window is {window}; give 1 to n_fft, which is {n_fft}"));
        }
        if !(1..=MOST_SAMPLES).contains(&hop) {
            return Err(format!("spectrogram: hop is {hop}; give 1 to {MOST_SAMPLES}"));
        }
        Ok(())
    }

    /// Frequencies of a frame: `n_fft / 2 + 1`. Number `k` is `k rate / n_fft` hertz.
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Frames of a sound with `len` samples. None without samples, or if frames are not centred and the sound is
    /// shorter than one.
    pub fn frames(&self, len: usize) -> usize {
        let padded = if self.centre { len + 2 * (self.n_fft / 2) } else { len };
        if len == 0 || padded < self.n_fft { 0 } else { 1 + (padded - self.n_fft) / self.hop }
    }
}

/// Computes spectrograms; made once, used from any thread.
///
/// ```
/// use cerberus_audio::{Spectrogram, SpectrogramConfig};
/// let spectrogram = Spectrogram::<f32>::new(&SpectrogramConfig::new(64, 16))?;
/// // Four periods in 64 samples: frequency number 4.
/// let tone: Vec<f32> = (0..640).map(|i| (i as f32 * std::f32::consts::TAU / 16.0).sin()).collect();
/// let values = spectrogram.compute(&tone); // [41, 33]
/// let frame = &values[20 * 33..21 * 33];
/// assert!((0..33).all(|k| frame[k] <= frame[4]));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct Spectrogram<T: Real = f32> {
    config: SpectrogramConfig,
    /// `[n_fft]`.
    window: Vec<T>,
    plan: Arc<dyn RealToComplex<T>>,
}

impl<T: Real> Spectrogram<T> {
    /// Plans the transform.
    ///
    /// # Errors
    /// That of [`SpectrogramConfig::check`].
    pub fn new(config: &SpectrogramConfig) -> Result<Spectrogram<T>, String> {
        config.check()?;
        let mut window = vec![T::zero(); config.n_fft];
        let before = (config.n_fft - config.window) / 2;
        for (i, weight) in window[before..][..config.window].iter_mut().enumerate() {
            *weight = T::of(0.5 - 0.5 * (2.0 * PI * i as f64 / config.window as f64).cos());
        }
        Ok(Spectrogram { config: config.clone(), window, plan: T::plan(config.n_fft) })
    }

    /// The configuration.
    pub fn config(&self) -> &SpectrogramConfig {
        &self.config
    }

    /// The spectrogram `[frames, bins]` of a sound.
    pub fn compute(&self, samples: &[T]) -> Vec<T> {
        let mut values = Vec::with_capacity(self.config.frames(samples.len()) * self.config.bins());
        self.each(samples, &mut |frame| values.extend_from_slice(frame));
        values
    }

    /// Calls `take` with the values `[bins]` of each frame.
    pub(crate) fn each(&self, samples: &[T], take: &mut dyn FnMut(&[T])) {
        let SpectrogramConfig { n_fft, hop, centre, power, .. } = self.config;
        let mut frame = self.plan.make_input_vec();
        let mut bins = self.plan.make_output_vec();
        let mut scratch = self.plan.make_scratch_vec();
        let mut values = vec![T::zero(); bins.len()];
        for number in 0..self.config.frames(samples.len()) {
            let start = (number * hop) as isize - if centre { (n_fft / 2) as isize } else { 0 };
            self.cut(samples, start, &mut frame);
            let done = self.plan.process_with_scratch(&mut frame, &mut bins, &mut scratch);
            done.expect("the buffers have the plan's lengths");
            T::energies(&mut values, &bins);
            if power == Power::Magnitude {
                values.iter_mut().for_each(|value| *value = value.sqrt());
            }
            take(&values);
        }
    }

    /// A frame that starts at `start`, multiplied with the window.
    fn cut(&self, samples: &[T], start: isize, frame: &mut [T]) {
        let inside = usize::try_from(start).ok().and_then(|start| samples.get(start..start + frame.len()));
        if let Some(inside) = inside {
            T::multiply(frame, inside, &self.window);
            return;
        }
        for (place, (value, &weight)) in frame.iter_mut().zip(&self.window).enumerate() {
            *value = samples[mirrored(start + place as isize, samples.len())] * weight;
        }
    }
}

/// The sample that stands at `place` when a sound of `len` samples is mirrored at its first and last sample, as often
/// as needed.
fn mirrored(place: isize, len: usize) -> usize {
    let period = 2 * (len as isize - 1);
    if period == 0 {
        return 0;
    }
    let place = place.rem_euclid(period) as usize;
    place.min(period as usize - place)
}

#[cfg(test)]
mod tests {
    use super::mirrored;

    #[test]
    fn a_mirrored_sound_repeats_neither_end_and_goes_on_for_any_length() {
        let places: Vec<usize> = (-5..9).map(|place| mirrored(place, 3)).collect();
        assert_eq!(places, [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0]);
        assert!((-4..4).all(|place| mirrored(place, 1) == 0));
        assert_eq!([-1, 0, 1, 2].map(|place| mirrored(place, 2)), [1, 0, 1, 0]);
    }
}

//! Log-mel frames: what models hear.
//!
//! A [`Spectrogram`], summed in the bands of a [`MelBank`], on a logarithmic scale:
//!
//! ```text
//! natural:  ln(max(x, floor))
//! decibel:  10 log10(max(x, floor) / max(reference, floor)), for magnitudes 20 log10,
//!           and not below the loudest value of the sound minus top_db
//! ```

use serde::{Deserialize, Serialize};

use crate::mel::{MelBank, MelConfig};
use crate::real::Real;
use crate::spectrogram::{Power, Spectrogram, SpectrogramConfig};
use crate::wav::MOST_RATE;

/// What a [`LogMel`] computes, as model files hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogMelConfig {
    /// The rate of the sounds in hertz.
    pub rate: u32,
    /// The frames.
    pub spectrogram: SpectrogramConfig,
    /// The bands.
    pub mel: MelConfig,
    /// The logarithm.
    pub log: LogScale,
}

/// The logarithmic scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LogScale {
    /// The natural logarithm: a value depends on its frame alone.
    Natural {
        /// Smaller values are raised to this one; above 0.
        floor: f64,
    },
    /// Decibels: with `top_db` or without `reference`, a value also depends on the loudest of its sound.
    Decibel {
        /// The value of 0 dB, above 0; if absent, the largest of the sound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<f64>,
        /// Smaller values are raised to this one; above 0.
        floor: f64,
        /// The range below the loudest value, above 0; if absent, there is no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        top_db: Option<f64>,
    },
}

impl LogScale {
    fn check(&self) -> Result<(), String> {
        let positive = |name: &str, value: f64| {
            let fits = value as f32 > 0.0 && (value as f32).is_finite();
            if fits { Ok(()) } else { Err(format!("log: {name} is {value}; give a number above 0")) }
        };
        match *self {
            LogScale::Natural { floor } => positive("floor", floor),
            LogScale::Decibel { reference, floor, top_db } => {
                positive("floor", floor)?;
                positive("reference", reference.unwrap_or(1.0))?;
                positive("top_db", top_db.unwrap_or(1.0))
            }
        }
    }

    /// Replaces the values of one sound by their logarithms.
    fn apply<T: Real>(&self, values: &mut [T], power: Power) {
        match *self {
            LogScale::Natural { floor } => T::logarithms(values, T::of(floor)),
            LogScale::Decibel { reference, floor, top_db } => {
                let largest = values.iter().copied().fold(T::zero(), T::max);
                let factor = T::of(if power == Power::Energy { 10.0 } else { 20.0 });
                let floor = T::of(floor);
                let decibels = |value: T| factor * value.max(floor).log10();
                let zero = decibels(reference.map_or(largest, T::of));
                let least = top_db.map_or(T::neg_infinity(), |range| decibels(largest) - zero - T::of(range));
                values.iter_mut().for_each(|value| *value = (decibels(*value) - zero).max(least));
            }
        }
    }
}

impl LogMelConfig {
    /// Usual features of a rate: windows of 25 ms every 10 ms, transforms of the next power of two, natural logarithms
    /// of at least 1e-6.
    pub fn new(rate: u32, bands: usize) -> LogMelConfig {
        let samples = |seconds: f64| ((f64::from(rate) * seconds).round() as usize).max(1);
        let window = samples(0.025);
        let n_fft = window.next_power_of_two().max(2);
        LogMelConfig {
            rate,
            spectrogram: SpectrogramConfig { window, ..SpectrogramConfig::new(n_fft, samples(0.01)) },
            mel: MelConfig::new(bands),
            log: LogScale::Natural { floor: 1e-6 },
        }
    }

    /// Whether the numbers are possible.
    ///
    /// # Errors
    /// A message that names the field and what to give.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=MOST_RATE).contains(&self.rate) {
            return Err(format!("log-mel: rate is {}; give 1 to {MOST_RATE}", self.rate));
        }
        self.spectrogram.check()?;
        self.mel.check(self.rate)?;
        self.log.check()
    }

    /// Frames of a sound with `len` samples.
    pub fn frames(&self, len: usize) -> usize {
        self.spectrogram.frames(len)
    }
}

/// Computes log-mel frames; made once, used from any thread.
///
/// ```
/// use cerberus_audio::{LogMel, LogMelConfig};
/// let log_mel = LogMel::<f32>::new(&LogMelConfig::new(16000, 64))?;
/// let silence = vec![0.0; 16000];
/// let frames = log_mel.compute(&silence); // [101, 64]
/// assert_eq!(frames.len(), log_mel.frames(16000) * 64);
/// assert!(frames.iter().all(|&value| value == 1e-6_f32.ln()));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct LogMel<T: Real = f32> {
    config: LogMelConfig,
    spectrogram: Spectrogram<T>,
    bank: MelBank<T>,
}

impl<T: Real> LogMel<T> {
    /// Plans the transform and computes the bands.
    ///
    /// # Errors
    /// That of [`LogMelConfig::check`].
    pub fn new(config: &LogMelConfig) -> Result<LogMel<T>, String> {
        config.check()?;
        let spectrogram = Spectrogram::new(&config.spectrogram)?;
        let bank = MelBank::new(&config.mel, config.rate, config.spectrogram.n_fft)?;
        Ok(LogMel { config: config.clone(), spectrogram, bank })
    }

    /// The configuration.
    pub fn config(&self) -> &LogMelConfig {
        &self.config
    }

    /// The number of bands.
    pub fn bands(&self) -> usize {
        self.bank.bands()
    }

    /// Frames of a sound with `len` samples.
    pub fn frames(&self, len: usize) -> usize {
        self.config.frames(len)
    }

    /// The frames `[frames, bands]` of a sound at the configuration's rate.
    pub fn compute(&self, samples: &[T]) -> Vec<T> {
        let mut values = Vec::with_capacity(self.frames(samples.len()) * self.bands());
        self.spectrogram.each(samples, &mut |frame| self.bank.apply(frame, &mut values));
        self.config.log.apply(&mut values, self.config.spectrogram.power);
        values
    }
}

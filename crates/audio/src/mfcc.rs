//! Mel-frequency cepstral coefficients, and how frames change.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::log_mel::{LogMel, LogMelConfig};
use crate::real::Real;

/// What an [`Mfcc`] computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MfccConfig {
    /// The frames that are transformed.
    pub log_mel: LogMelConfig,
    /// How many coefficients are kept, from the first on; at most the number of bands.
    pub coefficients: usize,
}

impl MfccConfig {
    /// Whether the numbers are possible.
    ///
    /// # Errors
    /// A message that names the field and what to give.
    pub fn check(&self) -> Result<(), String> {
        self.log_mel.check()?;
        let bands = self.log_mel.mel.bands;
        if !(1..=bands).contains(&self.coefficients) {
            return Err(format!("mfcc: coefficients is {}; give 1 to bands, {bands}", self.coefficients));
        }
        Ok(())
    }
}

/// Computes cepstral coefficients; made once, used from any thread.
///
/// Each log-mel frame `x` of `N` bands goes through an orthonormal cosine transform (DCT-II; Davis and Mermelstein,
/// "Comparison of Parametric Representations for Monosyllabic Word Recognition", 1980):
/// `y[k] = s[k] sum over n of x[n] cos(pi k (2 n + 1) / 2 N)`, with `s[0] = sqrt(1 / N)` and `s[k] = sqrt(2 / N)`.
#[derive(Clone)]
pub struct Mfcc<T: Real = f32> {
    log_mel: LogMel<T>,
    /// `[coefficients, bands]`.
    cosines: Vec<T>,
}

impl<T: Real> Mfcc<T> {
    /// Plans the transforms.
    ///
    /// # Errors
    /// That of [`MfccConfig::check`].
    pub fn new(config: &MfccConfig) -> Result<Mfcc<T>, String> {
        config.check()?;
        let log_mel = LogMel::new(&config.log_mel)?;
        let bands = log_mel.bands();
        let row = |k: usize| {
            let scale = (if k == 0 { 1.0 } else { 2.0 } / bands as f64).sqrt();
            (0..bands).map(move |n| scale * (PI * (k * (2 * n + 1)) as f64 / (2 * bands) as f64).cos())
        };
        let cosines = (0..config.coefficients).flat_map(row).map(T::of).collect();
        Ok(Mfcc { log_mel, cosines })
    }

    /// Frames of a sound with `len` samples.
    pub fn frames(&self, len: usize) -> usize {
        self.log_mel.frames(len)
    }

    /// The coefficients `[frames, coefficients]` of a sound at the configuration's rate.
    pub fn compute(&self, samples: &[T]) -> Vec<T> {
        let frames = self.log_mel.compute(samples);
        let bands = self.log_mel.bands();
        let transform = |frame| self.cosines.chunks_exact(bands).map(move |row| T::dot(frame, row));
        frames.chunks_exact(bands).flat_map(transform).collect()
    }
}

/// How `[frames, columns]` change over time: for every value the slope of the line through it and `reach` frames on
/// both sides, `sum over n of n (x[t + n] - x[t - n]) / 2 sum over n of n^2`, with n from 1 to `reach` (Young et
/// al., "The HTK Book", 2006, equation 5.16). The first and last frame are repeated beyond the ends. Without reach,
/// all are 0.
///
/// # Panics
/// If there are no columns, or the values are not whole frames.
#[track_caller]
pub fn delta<T: Real>(values: &[T], columns: usize, reach: usize) -> Vec<T> {
    assert!(
        columns > 0 && values.len().is_multiple_of(columns),
        "delta: {} values, {columns} columns",
        values.len()
    );
    let frames = values.len() / columns;
    let scale = 1.0 / (1..=reach).map(|n| 2.0 * (n * n) as f64).sum::<f64>().max(1.0);
    let slope = |place: usize| {
        let (frame, column) = (place / columns, place % columns);
        let at = |frame: usize| values[frame.min(frames - 1) * columns + column];
        let term = |n: usize| T::of(n as f64) * (at(frame + n) - at(frame.saturating_sub(n)));
        (1..=reach).map(term).sum::<T>() * T::of(scale)
    };
    (0..values.len()).map(slope).collect()
}

//! Bands of frequencies as wide as they sound.
//!
//! Band `m` is a triangle over frequencies in hertz: 0 at the edge `f[m]`, 1 at `f[m + 1]`, 0 at `f[m + 2]`.
//! The `mels + 2` edges are equally spaced in mels, of which there are two kinds:
//!
//! ```text
//! HTK:     mel(f) = 2595 log10(1 + f / 700)
//! Slaney:  mel(f) = 3 f / 200 below 1000 hertz, and 15 + 27 ln(f / 1000) / ln(6.4) above
//! ```
//!
//! (Young et al., "The HTK Book", 2006, section 5.4; Slaney, "Auditory Toolbox", 1998.) Slaney's norm divides each
//! triangle by half its width, `(f[m + 2] - f[m]) / 2`, so that all have the same area.

use serde::{Deserialize, Serialize};

use crate::real::Real;

/// The most bands.
pub const MOST_BANDS: usize = 4096;

/// The bands of a [`MelBank`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MelConfig {
    /// Their number, 1 to [`MOST_BANDS`].
    pub bands: usize,
    /// The lower edge of the first in hertz.
    pub low: f64,
    /// The upper edge of the last in hertz; if absent, half the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The kind of mels.
    pub scale: MelScale,
    /// What the triangles are divided by.
    pub norm: MelNorm,
}

/// The kind of mels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MelScale {
    /// Logarithmic from the start; torchaudio's default.
    Htk,
    /// Linear below 1000 hertz; librosa's default.
    Slaney,
}

/// What the triangles are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MelNorm {
    /// Nothing: each has the height 1. torchaudio's default.
    None,
    /// Half of their width: each has the area 1. librosa's default.
    Slaney,
}

impl MelConfig {
    /// Bands from 0 to half the rate, on the HTK scale and not divided.
    pub fn new(bands: usize) -> MelConfig {
        MelConfig { bands, low: 0.0, high: None, scale: MelScale::Htk, norm: MelNorm::None }
    }

    /// Whether the numbers are possible at a rate in hertz.
    ///
    /// # Errors
    /// A message that names the field and what to give.
    pub fn check(&self, rate: u32) -> Result<(), String> {
        if !(1..=MOST_BANDS).contains(&self.bands) {
            return Err(format!("mel: bands is {}; give 1 to {MOST_BANDS}", self.bands));
        }
        let (half, high) = (f64::from(rate) / 2.0, self.upper(rate));
        // Written so that what is not a number fails.
        if !(self.low >= 0.0 && self.low < high && high <= half) {
            let low = self.low;
            return Err(format!("mel: bands from {low} to {high} hertz; give 0 <= low < high <= {half}"));
        }
        Ok(())
    }

    fn upper(&self, rate: u32) -> f64 {
        self.high.unwrap_or(f64::from(rate) / 2.0)
    }

    /// The edges of the bands in hertz, `[bands + 2]`.
    pub fn edges(&self, rate: u32) -> Vec<f64> {
        let (first, last) = (self.scale.mels(self.low), self.scale.mels(self.upper(rate)));
        let step = (last - first) / (self.bands + 1) as f64;
        (0..self.bands + 2).map(|m| self.scale.hertz(first + step * m as f64)).collect()
    }
}

/// Where Slaney's scale turns logarithmic, in hertz and in mels, and how many mels a factor of 6.4 is from there on.
const TURN: (f64, f64, f64) = (1000.0, 15.0, 27.0);

impl MelScale {
    /// The mels of a frequency in hertz.
    pub fn mels(self, hertz: f64) -> f64 {
        let (turn, linear, steps) = TURN;
        match self {
            MelScale::Htk => 2595.0 * (1.0 + hertz / 700.0).log10(),
            MelScale::Slaney if hertz < turn => hertz * linear / turn,
            MelScale::Slaney => linear + steps * (hertz / turn).ln() / 6.4_f64.ln(),
        }
    }

    /// The frequency in hertz of mels.
    pub fn hertz(self, mels: f64) -> f64 {
        let (turn, linear, steps) = TURN;
        match self {
            MelScale::Htk => 700.0 * (10.0_f64.powf(mels / 2595.0) - 1.0),
            MelScale::Slaney if mels < linear => mels * turn / linear,
            MelScale::Slaney => turn * ((mels - linear) * 6.4_f64.ln() / steps).exp(),
        }
    }
}

/// The weights of all bands for the frequencies of a transform.
#[derive(Clone, Debug)]
pub struct MelBank<T: Real = f32> {
    bins: usize,
    /// For each band its first frequency with a weight, and its weights.
    bands: Vec<(usize, Vec<T>)>,
}

impl<T: Real> MelBank<T> {
    /// The weights for transforms of `n_fft` samples at a rate in hertz.
    ///
    /// # Errors
    /// That of [`MelConfig::check`].
    pub fn new(config: &MelConfig, rate: u32, n_fft: usize) -> Result<MelBank<T>, String> {
        config.check(rate)?;
        let bins = n_fft / 2 + 1;
        let edges = config.edges(rate);
        let band = |edges: &[f64]| {
            let &[low, middle, high] = edges else { unreachable!("windows of three") };
            let height = if config.norm == MelNorm::Slaney { 2.0 / (high - low) } else { 1.0 };
            let weight = |bin: usize| {
                let hertz = bin as f64 * f64::from(rate) / n_fft as f64;
                let rise = (hertz - low) / (middle - low);
                let fall = (high - hertz) / (high - middle);
                rise.min(fall).max(0.0) * height
            };
            // Frequencies between the edges, and one more on each side in case of rounding.
            let place = |hertz: f64| hertz * n_fft as f64 / f64::from(rate);
            let (start, end) = (place(low) as usize, (place(high) as usize + 2).min(bins));
            let inside: Vec<usize> = (start..end).filter(|&bin| weight(bin) > 0.0).collect();
            let weights = inside.iter().map(|&bin| T::of(weight(bin))).collect();
            (inside.first().copied().unwrap_or(0), weights)
        };
        Ok(MelBank { bins, bands: edges.windows(3).map(band).collect() })
    }

    /// The number of bands.
    pub fn bands(&self) -> usize {
        self.bands.len()
    }

    /// Bands that lie between two frequencies of the transform and are therefore always 0; a larger `n_fft` or fewer
    /// bands avoid them.
    pub fn empty(&self) -> usize {
        self.bands.iter().filter(|(_, weights)| weights.is_empty()).count()
    }

    /// The weights as a matrix `[bands, bins]`.
    pub fn matrix(&self) -> Vec<T> {
        let mut matrix = vec![T::zero(); self.bands.len() * self.bins];
        for (row, (first, weights)) in matrix.chunks_exact_mut(self.bins).zip(&self.bands) {
            row[*first..][..weights.len()].copy_from_slice(weights);
        }
        matrix
    }

    /// The sum of each band: `[bins]` to `[bands]`, appended to `bands`.
    ///
    /// # Panics
    /// If the frame has another number of frequencies.
    #[track_caller]
    pub fn apply(&self, frame: &[T], bands: &mut Vec<T>) {
        assert!(frame.len() == self.bins, "mel: {} frequencies for a bank of {}", frame.len(), self.bins);
        bands.extend(
            self.bands.iter().map(|(first, weights)| T::dot(&frame[*first..][..weights.len()], weights)),
        );
    }
}

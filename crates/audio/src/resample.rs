//! Another rate for a sound.
//!
//! A sound at rate `from` is thought of as continuous, freed of what the lower of both rates cannot hold, and
//! sampled at rate `to`. With both rates divided by their greatest common divisor, output `i` lies at
//! `i from / to` input samples, and
//!
//! ```text
//! y[i] = sum over j of x[j] h(j / from - i / to)
//! h(s) = (b / from) sinc(b s) w(b s),   b = rolloff min(from, to),   sinc(u) = sin(pi u) / (pi u)
//! w(u) = cos^2(pi u / 2 width)                                          Hann
//! w(u) = I0(beta sqrt(1 - (u / width)^2)) / I0(beta)                    Kaiser
//! ```
//!
//! with `w = 0` beyond `width` zero crossings of the sinc (Smith, "Digital Audio Resampling Home Page", 2002;
//! Crochiere and Rabiner, "Multirate Digital Signal Processing", 1983). The names and defaults are those of
//! torchaudio's `resample`, and the values are, too. The weights of outputs `i` and `i + to` are the same, so
//! there are `to` sets of them (the polyphase form), computed once. Beyond its ends, a sound is 0.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::real::Real;
use crate::wav::MOST_RATE;

/// The largest ratio of two rates.
pub const MOST_RATIO: u32 = 1000;

/// The low-pass filter of a [`Resampler`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResampleConfig {
    /// Zero crossings of the sinc on each side, 1 to 64: more of them cut more sharply and take longer.
    pub width: usize,
    /// The filter's cut-off as a share of half the lower rate, 0.5 to 1.
    pub rolloff: f64,
    /// What the sinc is multiplied with.
    pub window: ResampleWindow,
}

/// The window of the low-pass filter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ResampleWindow {
    /// The default.
    Hann,
    /// Stops more with the same width; torchaudio's default is 14.769656459379492.
    Kaiser {
        /// The shape, 0 to 100: larger values stop more and cut less sharply.
        beta: f64,
    },
}

impl Default for ResampleConfig {
    fn default() -> ResampleConfig {
        ResampleConfig { width: 6, rolloff: 0.99, window: ResampleWindow::Hann }
    }
}

impl ResampleConfig {
    /// Whether the numbers are possible.
    ///
    /// # Errors
    /// A message that names the field and what to give.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=64).contains(&self.width) {
            return Err(format!("resampling: width is {}; give 1 to 64", self.width));
        }
        if !(0.5..=1.0).contains(&self.rolloff) {
            return Err(format!("resampling: rolloff is {}; give 0.5 to 1", self.rolloff));
        }
        match self.window {
            ResampleWindow::Kaiser { beta } if !(0.0..=100.0).contains(&beta) => {
                Err(format!("resampling: beta is {beta}; give 0 to 100"))
            }
            _ => Ok(()),
        }
    }

    fn window(&self, u: f64) -> f64 {
        let place = u / self.width as f64;
        match self.window {
            ResampleWindow::Hann => (PI * place / 2.0).cos().powi(2),
            ResampleWindow::Kaiser { beta } => {
                bessel_i0(beta * (1.0 - place * place).sqrt()) / bessel_i0(beta)
            }
        }
    }
}

/// Changes the rate of sounds, with weights that are computed once.
///
/// ```
/// use cerberus_audio::{ResampleConfig, Resampler};
/// let half = Resampler::<f32>::new(16000, 8000, &ResampleConfig::default())?;
/// assert_eq!(half.process(&[0.0; 999]).len(), 500);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct Resampler<T: Real = f32> {
    /// The rates without common divisors.
    from: u64,
    to: u64,
    /// For each of the `to` outputs of a period: the first input, from the period's first, and its weights' place.
    phases: Vec<(i64, std::ops::Range<usize>)>,
    weights: Vec<T>,
}

impl<T: Real> Resampler<T> {
    /// A resampler from one rate in hertz to another.
    ///
    /// The weights take about `2 width max(from, to) / gcd` numbers.
    ///
    /// # Errors
    /// A message if a rate is 0 or above [`MOST_RATE`], one is more than [`MOST_RATIO`] times the other, or
    /// the configuration is impossible.
    pub fn new(from: u32, to: u32, config: &ResampleConfig) -> Result<Resampler<T>, String> {
        config.check()?;
        if !(1..=MOST_RATE).contains(&from) || !(1..=MOST_RATE).contains(&to) {
            return Err(format!("resampling from {from} to {to} hertz: give rates of 1 to {MOST_RATE}"));
        }
        if from.max(to) / from.min(to) > MOST_RATIO {
            return Err(format!(
                "resampling from {from} to {to} hertz: the ratio must be below {MOST_RATIO}"
            ));
        }
        let divisor = greatest_common_divisor(from, to);
        let (from, to) = (u64::from(from / divisor), u64::from(to / divisor));
        let (mut phases, mut weights) = (Vec::new(), Vec::new());
        let base = from.min(to) as f64 * config.rolloff;
        // In input samples.
        let reach = config.width as f64 * from as f64 / base;
        for phase in 0..to {
            let centre = phase as f64 * from as f64 / to as f64;
            let first = (centre - reach).ceil() as i64;
            let start = weights.len();
            for j in first..=(centre + reach).floor() as i64 {
                let u = (j as f64 / from as f64 - phase as f64 / to as f64) * base;
                let sinc = if u == 0.0 { 1.0 } else { (PI * u).sin() / (PI * u) };
                let inside = u.abs() < config.width as f64;
                weights.push(T::of(if inside { sinc * config.window(u) * base / from as f64 } else { 0.0 }));
            }
            phases.push((first, start..weights.len()));
        }
        Ok(Resampler { from, to, phases, weights })
    }

    /// The number of samples after the change of the rate: `len to / from`, rounded up.
    pub fn output_len(&self, len: usize) -> usize {
        (len as u64 * self.to).div_ceil(self.from) as usize
    }

    /// The samples at the new rate. At the same rate, they are unchanged.
    pub fn process(&self, samples: &[T]) -> Vec<T> {
        if self.from == self.to {
            return samples.to_vec();
        }
        let len = samples.len() as i64;
        let output = |i: usize| {
            let period = (i as u64 / self.to * self.from) as i64;
            let (first, range) = &self.phases[(i as u64 % self.to) as usize];
            let weights = &self.weights[range.clone()];
            let (start, end) = (period + first, period + first + weights.len() as i64);
            let (from, to) = (start.clamp(0, len), end.clamp(0, len));
            T::dot(
                &samples[from as usize..to as usize],
                &weights[(from - start) as usize..(to - start) as usize],
            )
        };
        (0..self.output_len(samples.len())).map(output).collect()
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The modified Bessel function of the first kind and order 0, by its series (Abramowitz and Stegun, 9.6.12).
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

//! Sounds of one length and one loudness.

use crate::real::Real;

/// The samples cut or padded with zeros to `len`.
///
/// `place`, from 0 to 1, says which part is kept of a sound that is too long, and where one that is too short lies:
/// 0 at the start, 0.5 in the middle, as for evaluation, 1 at the end. Training draws it at random.
///
/// ```
/// use cerberus_audio::fit;
/// assert_eq!(fit(&[1.0, 2.0, 3.0, 4.0], 2, 0.5), [2.0, 3.0]);
/// assert_eq!(fit(&[1.0, 2.0], 4, 0.0), [1.0, 2.0, 0.0, 0.0]);
/// ```
pub fn fit<T: Real>(samples: &[T], len: usize, place: f64) -> Vec<T> {
    let place = if place.is_nan() { 0.5 } else { place.clamp(0.0, 1.0) };
    let offset = (samples.len().abs_diff(len) as f64 * place).floor() as usize;
    if samples.len() >= len {
        return samples[offset..offset + len].to_vec();
    }
    let mut fitted = vec![T::zero(); len];
    fitted[offset..][..samples.len()].copy_from_slice(samples);
    fitted
}

/// The root of the mean square; 0 without samples.
pub fn rms<T: Real>(samples: &[T]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| sample.wide() * sample.wide()).sum();
    (sum / samples.len().max(1) as f64).sqrt()
}

/// Scales the samples to a root mean square of `target`; silence stays as it is.
pub fn normalise_rms<T: Real>(samples: &mut [T], target: f64) {
    let loudness = rms(samples);
    if loudness > 0.0 {
        let factor = target / loudness;
        samples.iter_mut().for_each(|sample| *sample = T::of(sample.wide() * factor));
    }
}

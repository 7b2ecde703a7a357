//! Tests of several parts together.

mod configs;
mod parity;
mod properties;

/// A chirp, a tone and noise; `tests/parity/audio.py` has the same formula.
pub(super) fn sound(samples: usize) -> Vec<f64> {
    let sample = |i: u64| {
        let bits = i.wrapping_mul(2_654_435_761) % (1 << 32);
        let bits = (bits ^ (bits >> 15)).wrapping_mul(2_246_822_519) % (1 << 32);
        let (t, noise) = (i as f64, bits as f64 / (1u64 << 32) as f64 - 0.5);
        0.4 * (0.02 * t + 0.0004 * t * t).sin() + 0.2 * (1.9 * t).cos() + 0.1 * noise
    };
    (0..samples as u64).map(sample).collect()
}

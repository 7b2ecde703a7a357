//! Parts of a spectrogram, hidden.

use std::ops::Range;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Hides bands of frequencies and stretches of time behind the mean of the spectrogram (Park et al., "SpecAugment: A
/// Simple Data Augmentation Method for Automatic Speech Recognition", 2019, without its warping of time). Everything
/// is 0 by default, which hides nothing.
///
/// ```
/// use cerberus_audio::augment::SpecAugment;
/// use rand::SeedableRng;
/// let hide = SpecAugment { times: 1, most_frames: 4, ..SpecAugment::default() };
/// let mut values: Vec<f32> = (0..80).map(|i| i as f32).collect(); // [10, 8]
/// hide.apply(&mut values, 8, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
/// assert!(values.iter().filter(|&&value| value == 39.5).count() <= 4 * 8);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpecAugment {
    /// Stretches of time.
    pub times: usize,
    /// The most frames of a stretch; it is drawn from 0 on.
    pub most_frames: usize,
    /// Bands of frequencies.
    pub frequencies: usize,
    /// The most neighbouring bands that are hidden together; their number is drawn from 0 on.
    pub most_bands: usize,
}

/// The most parts of each kind.
const MOST_PARTS: usize = 100;

impl SpecAugment {
    /// Whether the numbers are possible.
    ///
    /// # Errors
    /// A message that names the field and what to give.
    pub fn check(&self) -> Result<(), String> {
        for (name, parts) in [("times", self.times), ("frequencies", self.frequencies)] {
            if parts > MOST_PARTS {
                return Err(format!("spectrogram augmentation: {name} is {parts}; give 0 to {MOST_PARTS}"));
            }
        }
        Ok(())
    }

    /// Hides parts of `[frames, bands]`. At most half of the frames belong to one stretch, and half of the bands to one
    /// part.
    ///
    /// # Panics
    /// If there are no bands, or the values are not whole frames.
    #[track_caller]
    pub fn apply(&self, values: &mut [f32], bands: usize, rng: &mut impl Rng) {
        let len = values.len();
        assert!(
            bands > 0 && len.is_multiple_of(bands),
            "spectrogram augmentation: {len} values, {bands} bands"
        );
        let frames = len / bands;
        let mean = (values.iter().copied().map(f64::from).sum::<f64>() / len.max(1) as f64) as f32;
        for _ in 0..self.times {
            let hidden = part(frames, self.most_frames, rng);
            values[hidden.start * bands..hidden.end * bands].fill(mean);
        }
        for _ in 0..self.frequencies {
            let hidden = part(bands, self.most_bands, rng);
            values.chunks_exact_mut(bands).for_each(|frame| frame[hidden.clone()].fill(mean));
        }
    }
}

/// A random part of at most `most` places among `len`, and at most half of them.
fn part(len: usize, most: usize, rng: &mut impl Rng) -> Range<usize> {
    let taken = rng.random_range(0..=most.min(len / 2));
    let start = rng.random_range(0..=len - taken);
    start..start + taken
}

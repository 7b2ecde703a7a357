//! Pictures made hard to see, the same in every part.

use std::sync::Arc;

use cerberus_tensor::random::{Stream, stream};
use rand::RngExt;
use rand_distr::StandardNormal;

use crate::{DataError, Dataset, DatasetInfo, Pixels, Sample, Split};

/// The sides of the hidden rectangle, as shares of the picture's.
const HIDDEN: [f64; 2] = [0.4, 0.6];

/// A data set whose pictures have noise, and a rectangle of noise in which nothing is seen.
///
/// The standard deviation of the noise is `noise` of the range of pixels. What a picture of training looks like changes
/// with the epoch, that of another part does not.
pub struct Obscured {
    inner: Arc<dyn Dataset>,
    noise: f64,
    seed: u64,
}

impl Obscured {
    /// Obscures the pictures of `inner`.
    ///
    /// # Errors
    /// [`DataError::Option`] unless `noise` is from 0 to 1.
    pub fn new(inner: Arc<dyn Dataset>, noise: f64, seed: u64) -> Result<Obscured, DataError> {
        if !(0.0..=1.0).contains(&noise) {
            let remedy = "give a number from 0 to 1".into();
            return Err(DataError::Option { option: "noise in pictures", value: noise.to_string(), remedy });
        }
        Ok(Obscured { inner, noise, seed })
    }

    fn obscure(&self, sample: &mut Sample, mut random: Stream) {
        let image = &mut sample.image;
        let (height, width, channels) = (image.height, image.width, image.channels);
        let Pixels::Bytes(pixels) = &mut image.pixels else { return };
        let mut range = |side: usize| {
            let [low, high] = HIDDEN.map(|share| (side as f64 * share).round() as usize);
            let len = random.random_range(low..=high.max(low));
            let start = random.random_range(0..=side - len.min(side));
            start..start + len
        };
        let (rows, columns) = (range(height), range(width));
        for (place, value) in pixels.iter_mut().enumerate() {
            let (row, column) = (place / (width * channels), place / channels % width);
            let hidden = rows.contains(&row) && columns.contains(&column);
            let base = if hidden { 127.5 } else { f64::from(*value) };
            let drawn: f64 = random.sample(StandardNormal);
            *value = (base + drawn * self.noise * 255.0).round().clamp(0.0, 255.0) as u8;
        }
    }
}

impl Dataset for Obscured {
    fn info(&self) -> &DatasetInfo {
        self.inner.info()
    }

    fn len(&self, split: Split) -> usize {
        self.inner.len(split)
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let mut sample = self.inner.sample(split, epoch, index)?;
        let drawn = if split == Split::Train { epoch } else { 0 };
        self.obscure(&mut sample, stream(self.seed, &format!("obscured {split}"), drawn, index as u64));
        Ok(sample)
    }
}

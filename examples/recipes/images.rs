//! Training images that are shifted, and mirrored in every second epoch.

use std::sync::Arc;

use cerberus::data::{Cifar10, DataError, DatasetInfo, Image, Sample};
use cerberus::prelude::*;
use cerberus::tensor::random::stream;
use rand::RngExt;

/// The largest shift, in pixels.
const SHIFT: i64 = 2;

/// CIFAR-10 whose training images are shifted by up to two pixels, at random in every epoch, the edges mirrored; each
/// is mirrored in every second epoch, half of them first in the first one (Jordan, 2024, section 3.6).
pub struct Shifted {
    data: Arc<Cifar10>,
    seed: u64,
}

impl Shifted {
    pub fn new(data: Arc<Cifar10>, seed: u64) -> Self {
        Self { data, seed }
    }
}

impl Dataset for Shifted {
    fn info(&self) -> &DatasetInfo {
        self.data.info()
    }

    fn len(&self, split: Split) -> usize {
        self.data.len(split)
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let mut sample = self.data.sample(split, epoch, index)?;
        if split == Split::Train {
            let is_odd = stream(self.seed, "mirror", 0, index as u64).random::<bool>();
            let mut random = stream(self.seed, "shift", epoch, index as u64);
            let shift = [0, 1].map(|_| random.random_range(-SHIFT..=SHIFT));
            sample.image = moved(&sample.image, shift, is_odd ^ (epoch % 2 == 1));
        }
        Ok(sample)
    }
}

/// The image moved down and to the right, and mirrored before that.
fn moved(image: &Image, shift: [i64; 2], is_mirrored: bool) -> Image {
    let Image { height, width, channels, .. } = *image;
    // Beyond the edge lie the pixels on this side of it, the edge itself not repeated.
    let inside = |at: i64, len: usize| {
        let last = len as i64 - 1;
        let at = if at < 0 {
            -at
        } else if at > last {
            2 * last - at
        } else {
            at
        };
        at.clamp(0, last) as usize
    };
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for y in 0..height {
        let row = inside(y as i64 - shift[0], height);
        for x in 0..width {
            let column = inside(x as i64 - shift[1], width);
            let column = if is_mirrored { width - 1 - column } else { column };
            pixels.extend_from_slice(&image.pixels[(row * width + column) * channels..][..channels]);
        }
    }
    Image { height, width, channels, pixels: pixels.into() }
}

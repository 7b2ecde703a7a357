//! Removes training labels at random, to measure how much they matter.

use std::sync::Arc;

use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::dataset::{CLASS, MASK, OBJECTS, is_annotated_key};
use crate::{DataError, Dataset, DatasetInfo, Sample, Split};

/// A data set without a share of each label's training samples.
///
/// Whether sample `index` keeps a label is drawn from the stream (seed, "keep
/// NAME", 0, index): independently for each label, and the same in every epoch,
/// as if the label had never been made.
pub struct MissingLabels {
    inner: Arc<dyn Dataset>,
    share: f64,
    seed: u64,
}

impl MissingLabels {
    /// Removes `share` of each label.
    ///
    /// # Errors
    /// [`DataError::Option`] unless `share` is from 0 to 1.
    pub fn new(inner: Arc<dyn Dataset>, share: f64, seed: u64) -> Result<MissingLabels, DataError> {
        if !(0.0..=1.0).contains(&share) {
            let remedy = "give a number from 0 to 1".into();
            return Err(DataError::Option {
                option: "share of labels taken away",
                value: share.to_string(),
                remedy,
            });
        }
        Ok(MissingLabels { inner, share, seed })
    }

    /// Whether training sample `index` keeps the label `name`.
    pub fn keeps(&self, name: &str, index: usize) -> bool {
        let mut random = stream(self.seed, &format!("keep {name}"), 0, index as u64);
        random.random::<f64>() >= self.share
    }
}

impl Dataset for MissingLabels {
    fn info(&self) -> &DatasetInfo {
        self.inner.info()
    }

    fn len(&self, split: Split) -> usize {
        self.inner.len(split)
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let mut sample = self.inner.sample(split, epoch, index)?;
        if split == Split::Train {
            sample.class = sample.class.filter(|_| self.keeps(CLASS, index));
            sample.objects = sample.objects.filter(|_| self.keeps(OBJECTS, index));
            sample.mask = sample.mask.filter(|_| self.keeps(MASK, index));
            sample.more.retain(|name, _| is_annotated_key(name) || self.keeps(name, index));
        }
        Ok(sample)
    }
}

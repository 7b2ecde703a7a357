//! Several data sets in one: each sample of a batch has the labels of its own
//! set, so heads can learn from different sets.

use std::sync::Arc;

use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::dataset::no_such_sample;
use crate::{DataError, Dataset, DatasetInfo, LabelInfo, Sample, Split};

/// A mixture of data sets with images of one size.
///
/// Training draws a set with a probability proportional to `n^(1/T)`, with `n`
/// its training samples and `T` the temperature: 1 draws in proportion to size,
/// large values draw evenly (Arivazhagan et al., "Massively Multilingual Neural
/// Machine Translation in the Wild", 2019). It then draws any sample of that
/// set. With `together` above 1, that many consecutive indices are of one set
/// (a batch of one set, if the loader does not shuffle). Validation and test
/// concatenate the parts of the sets.
///
/// Labels with the same name are one label and must have the same classes; in
/// samples of a set without the label it is missing.
pub struct Mixture {
    parts: Vec<Arc<dyn Dataset>>,
    shares: Vec<f64>,
    together: usize,
    seed: u64,
    info: DatasetInfo,
}

impl Mixture {
    /// Mixes `parts`; `together` is 1 for mixed batches.
    ///
    /// # Errors
    /// [`DataError::Option`] when there is no part, images differ in size, two
    /// labels of one name differ, or the temperature is not positive.
    pub fn new(
        parts: Vec<Arc<dyn Dataset>>,
        temperature: f64,
        together: usize,
        seed: u64,
    ) -> Result<Mixture, DataError> {
        let refuse = |value: String, remedy: &str| {
            Err(DataError::Option { option: "mixture of data sets", value, remedy: remedy.into() })
        };
        let Some(first) = parts.first() else { return refuse("empty".into(), "give at least one data set") };
        if temperature.is_nan() || temperature <= 0.0 || together == 0 {
            let value = format!("temperature {temperature}, {together} together");
            return refuse(value, "give a positive temperature and at least 1 together");
        }
        let mut info = first.info().clone();
        for part in &parts[1..] {
            let other = part.info();
            if [other.height, other.width, other.channels] != [info.height, info.width, info.channels] {
                return refuse(other.name.clone(), "bring all images to one size");
            }
            for label in &other.labels {
                match info.label(&label.name) {
                    None => info.labels.push(label.clone()),
                    Some(known) if known == label => {}
                    Some(known) => {
                        let told = |of: &str, label: &LabelInfo| {
                            let kind = format!("{:?}", label.kind).to_lowercase();
                            format!("{of} has {kind} of {}", label.classes.join(", "))
                        };
                        let value = format!("the label {} of {}", label.name, other.name);
                        let lists = [told(&info.name, known), told(&other.name, label)].join("; ");
                        let remedy =
                            format!("labels of one name must have the same kind and classes; {lists}");
                        return refuse(value, &remedy);
                    }
                }
            }
            info.name += &format!("+{}", other.name);
            Arc::make_mut(&mut info.accounts).extend(other.accounts.iter().cloned());
        }
        let weights: Vec<f64> =
            parts.iter().map(|part| (part.len(Split::Train) as f64).powf(1.0 / temperature)).collect();
        let total: f64 = weights.iter().sum();
        let shares = weights.iter().map(|weight| weight / total.max(f64::MIN_POSITIVE)).collect();
        Ok(Mixture { parts, shares, together, seed, info })
    }

    /// The probability that training draws each set.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The set of training sample `index`.
    pub fn part_of(&self, epoch: u64, index: usize) -> usize {
        let mut left: f64 = stream(self.seed, "mixture", epoch, (index / self.together) as u64).random();
        for (part, share) in self.shares.iter().enumerate() {
            left -= share;
            if left < 0.0 {
                return part;
            }
        }
        // Rounding may leave a small remainder: take the last set that has
        // samples.
        self.shares.iter().rposition(|&share| share > 0.0).unwrap_or(0)
    }
}

impl Dataset for Mixture {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.parts.iter().map(|part| part.len(split)).sum()
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let len = self.len(split);
        if index >= len {
            return Err(no_such_sample(&self.info, split, len, index));
        }
        if split == Split::Train {
            let part = &self.parts[self.part_of(epoch, index)];
            let mut random = stream(self.seed, "mixture sample", epoch, index as u64);
            return part.sample(split, epoch, random.random_range(0..part.len(split)));
        }
        let mut index = index;
        for part in &self.parts {
            if index < part.len(split) {
                return part.sample(split, epoch, index);
            }
            index -= part.len(split);
        }
        Err(no_such_sample(&self.info, split, len, index))
    }
}

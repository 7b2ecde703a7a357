//! A data set whose training samples go through a list of operations.

use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::batch;
use crate::{DataError, Dataset, DatasetInfo, Sample, Split};

use super::canvas::Canvas;
use super::config::{AugmentConfig, Step};
use super::operation::Draw;

/// A data set with augmentation. Training samples are a pure function of (seed, epoch, index); those of validation and
/// test are the data set's own.
///
/// Every operation draws from a stream of its own, (seed, "augment NAME COUNT", epoch, index). The samples that mixing
/// operations put into this one are drawn evenly from the training split and go through the operations that stand
/// before in the list, except for other mixing ones.
pub struct Augmented<D> {
    inner: D,
    steps: Vec<Step>,
    seed: u64,
}

impl<D: Dataset> Augmented<D> {
    /// Puts `inner`'s training samples through the operations of `config`.
    ///
    /// # Errors
    /// As [`AugmentConfig::check`].
    pub fn new(inner: D, config: &AugmentConfig, seed: u64) -> Result<Augmented<D>, DataError> {
        Ok(Augmented { inner, steps: config.steps()?, seed })
    }

    /// The data set's own sample, if image and labels have the sizes that they say.
    fn own(&self, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let sample = self.inner.sample(Split::Train, epoch, index)?;
        batch::check(std::slice::from_ref(&sample), &[index])
            .map_err(|reason| DataError::Batch { reason })?;
        Ok(sample)
    }

    /// A sample after `steps`, whose streams are named by `role` and the sample that is asked for. Partners of the
    /// sample go through the steps before theirs.
    fn through(&self, sample: Sample, steps: &[Step], role: &Role) -> Result<Sample, DataError> {
        let mut canvas = Canvas::new(sample);
        for (place, step) in steps.iter().enumerate() {
            let needed = step.operation.partners;
            if needed > 0 && role.partner {
                continue;
            }
            let mut random =
                stream(self.seed, &format!("{}{}", step.purpose, role.name), role.epoch, role.index);
            if random.random::<f64>() >= step.probability || step.strength <= 0.0 {
                continue;
            }
            let partner = |slot: usize| {
                let name = format!(" of partner {slot} of {}", step.purpose);
                let partner = random.random_range(0..self.inner.len(Split::Train));
                let role = Role { name, partner: true, ..*role };
                self.through(self.own(role.epoch, partner)?, &steps[..place], &role)
            };
            let partners = (0..needed).map(partner).collect::<Result<Vec<Sample>, DataError>>()?;
            step.operation.act(&mut canvas, Draw { strength: step.strength, random, partners });
        }
        Ok(canvas.finish())
    }
}

/// What a sample is augmented for.
struct Role {
    /// The end of the names of its streams.
    name: String,
    /// Whether it will be put into another.
    partner: bool,
    epoch: u64,
    /// The sample that was asked for.
    index: u64,
}

impl<D: Dataset> Dataset for Augmented<D> {
    fn info(&self) -> &DatasetInfo {
        self.inner.info()
    }

    fn len(&self, split: Split) -> usize {
        self.inner.len(split)
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        if split != Split::Train || self.steps.is_empty() {
            return self.inner.sample(split, epoch, index);
        }
        let role = Role { name: String::new(), partner: false, epoch, index: index as u64 };
        self.through(self.own(epoch, index)?, &self.steps, &role)
    }
}

//! A data set whose training samples go through a list of operations.

use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::batch;
use crate::{DataError, Dataset, DatasetInfo, Image, Input, Sample, Split};

use super::canvas::Canvas;
use super::config::{AugmentConfig, Step};
use super::operation::Draw;

/// A data set with augmentation. Training samples are a pure function of (seed, epoch, index); validation and test
/// samples are unchanged. All frames of a clip are changed alike.
///
/// Every operation draws from its own stream, (seed, "augment NAME COUNT", epoch, index). The partner samples of mixing
/// operations are drawn uniformly from the training split and go through the operations that come earlier in the list,
/// except other mixing ones.
pub struct Augmented<D> {
    inner: D,
    steps: Vec<Step>,
    seed: u64,
}

impl<D: Dataset> Augmented<D> {
    /// Applies the operations of `config` to `inner`'s training samples.
    ///
    /// # Errors
    /// As [`AugmentConfig::check`].
    pub fn new(inner: D, config: &AugmentConfig, seed: u64) -> Result<Augmented<D>, DataError> {
        let steps = config.steps()?;
        let mixing = steps.iter().find(|step| step.operation.partners > 0);
        if let (Some(step), false) = (mixing, inner.info().inputs.is_empty()) {
            return Err(DataError::Option {
                option: "augmentation",
                value: format!("\"{}\"", step.operation.name),
                remedy: format!(
                    "it mixes pictures alone, and {} has other inputs; leave it out",
                    inner.info().name
                ),
            });
        }
        Ok(Augmented { inner, steps, seed })
    }

    /// The frames of a clip through the steps of its sample, with the same random numbers for each.
    fn frames(&self, frames: &[Image], role: &Role) -> Result<Input, DataError> {
        let frame = |image: &Image| {
            let bare = Sample { image: image.clone(), ..Sample::default() };
            Ok(self.through(bare, &self.steps, role)?.image)
        };
        Ok(Input::Clip(frames.iter().map(frame).collect::<Result<_, DataError>>()?))
    }

    /// The data set's own sample; an error if its image or labels do not have the sizes they declare.
    fn own(&self, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let sample = self.inner.sample(Split::Train, epoch, index)?;
        batch::check(std::slice::from_ref(&sample), &[index])
            .map_err(|reason| DataError::Batch { reason })?;
        Ok(sample)
    }

    /// Applies `steps` to a sample; `role` and the index of the requested sample name the random streams. Partners of
    /// the sample go through the steps before the mixing one.
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

/// The purpose for which a sample is augmented.
struct Role {
    /// The suffix of the names of its streams.
    name: String,
    /// Whether it will be mixed into another sample.
    partner: bool,
    epoch: u64,
    /// The index of the requested sample.
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
        let mut own = self.own(epoch, index)?;
        for input in own.inputs.values_mut() {
            if let Input::Clip(frames) = input {
                *input = self.frames(frames, &role)?;
            }
        }
        self.through(own, &self.steps, &role)
    }
}

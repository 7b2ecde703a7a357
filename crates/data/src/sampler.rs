//! Samplers against class imbalance: they show rare classes more often.

use std::collections::BTreeSet;
use std::sync::Arc;

use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::dataset::{CLASS, MASK, OBJECTS, no_such_sample};
use crate::{ClassId, DataError, Dataset, DatasetInfo, IGNORED, Label, LabelKind, Sample, Split};

/// How often classes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// All classes equally often.
    Balanced,
    /// In proportion to the square root of their sample counts, between equal
    /// and natural frequency (Mahajan et al., "Exploring the Limits of Weakly
    /// Supervised Pretraining", 2018).
    SquareRoot,
}

/// A data set whose training samples are drawn by the classes of one label:
/// first a class by [`Sampling`], then any sample that shows it. A sample may
/// show several classes (objects, masks, sets of classes) or none; samples
/// without a class count as a class of their own. Sample `index` of an epoch is
/// drawn from the stream (seed, "sampler", epoch, index).
pub struct Resampled {
    inner: Arc<dyn Dataset>,
    seed: u64,
    /// Training samples that show each class.
    members: Vec<Vec<usize>>,
    /// The probability that each class is drawn.
    shares: Vec<f64>,
}

impl Resampled {
    /// Reads every training sample once to learn the classes of `label`.
    ///
    /// # Errors
    /// [`DataError::Option`] when there is no such label or it has no classes,
    /// and any error of reading a sample.
    pub fn new(
        inner: Arc<dyn Dataset>,
        label: &str,
        by: Sampling,
        seed: u64,
    ) -> Result<Resampled, DataError> {
        let info = inner.info();
        let found = info.label(label).filter(|l| !matches!(l.kind, LabelKind::Values | LabelKind::ValueMap));
        let Some(found) = found else {
            let remedy = "give the name of a label with classes".into();
            return Err(DataError::Option { option: "label to sample by", value: label.into(), remedy });
        };
        let classes = found.classes.len();
        // One more entry for samples without a class.
        let mut members = vec![Vec::new(); classes + 1];
        for index in 0..inner.len(Split::Train) {
            let mut shown = classes_of(&inner.sample(Split::Train, 0, index)?, label);
            shown.sort_unstable();
            shown.dedup();
            if shown.is_empty() {
                members[classes].push(index);
            }
            shown.into_iter().filter(|&class| class < classes).for_each(|class| members[class].push(index));
        }
        let weight = |members: &Vec<usize>| match (members.len(), by) {
            (0, _) => 0.0,
            (_, Sampling::Balanced) => 1.0,
            (n, Sampling::SquareRoot) => (n as f64).sqrt(),
        };
        let weights: Vec<f64> = members.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        let shares = weights.iter().map(|weight| weight / total.max(f64::MIN_POSITIVE)).collect();
        Ok(Resampled { inner, seed, members, shares })
    }

    /// The probability that each class is drawn; the last entry is for samples
    /// without a class.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The sample of the data set that is shown at `index` of an epoch.
    pub fn drawn(&self, epoch: u64, index: usize) -> usize {
        let mut random = stream(self.seed, "sampler", epoch, index as u64);
        let mut left: f64 = random.random();
        let mut class = self.shares.iter().rposition(|&share| share > 0.0).unwrap_or(0);
        for (candidate, share) in self.shares.iter().enumerate() {
            left -= share;
            if left < 0.0 {
                class = candidate;
                break;
            }
        }
        let members = &self.members[class];
        members[random.random_range(0..members.len())]
    }
}

/// The classes a sample shows under a label.
fn classes_of(sample: &Sample, label: &str) -> Vec<usize> {
    let of_mask = |classes: &[ClassId]| {
        let there: BTreeSet<ClassId> = classes.iter().copied().collect();
        let things = there.into_iter().filter(|&id| id != 0 && id != IGNORED);
        things.map(|id| usize::from(id) - 1).collect()
    };
    match label {
        CLASS => sample.class.into_iter().collect(),
        OBJECTS => sample.objects.iter().flatten().map(|object| object.class).collect(),
        MASK => sample.mask.as_ref().map_or(Vec::new(), |mask| of_mask(&mask.classes)),
        _ => match sample.more.get(label) {
            Some(label @ (Label::Class(_) | Label::Shares(_))) => label.class().into_iter().collect(),
            Some(Label::Classes(set)) => (0..set.len()).filter(|&class| set[class]).collect(),
            Some(Label::Objects(objects)) => objects.iter().map(|object| object.class).collect(),
            Some(Label::Mask(mask)) => of_mask(&mask.classes),
            Some(Label::Values(_) | Label::ValueMap(_)) | None => Vec::new(),
        },
    }
}

impl Dataset for Resampled {
    fn info(&self) -> &DatasetInfo {
        self.inner.info()
    }

    fn len(&self, split: Split) -> usize {
        self.inner.len(split)
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        if split != Split::Train {
            return self.inner.sample(split, epoch, index);
        }
        let len = self.len(split);
        if index >= len {
            return Err(no_such_sample(self.info(), split, len, index));
        }
        self.inner.sample(split, epoch, self.drawn(epoch, index))
    }
}

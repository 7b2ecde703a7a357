//! What every data set answers.
//!
//! A sample is a pure function of (split, epoch, index): no cursor, no hidden
//! state, so any number of threads may ask in any order, and a run that was
//! interrupted finds the same samples again.

use crate::{DataError, Sample};

/// The three parts of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose by: the best epoch, a learning rate.
    Validation,
    /// To report on, once.
    Test,
}

impl Split {
    /// The split's name, as reports and messages print it.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a model needs to know before it sees the first sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetInfo {
    /// What to call the data set in reports.
    pub name: String,
    /// Rows of every image.
    pub height: usize,
    /// Columns of every image.
    pub width: usize,
    /// Channels of every image.
    pub channels: usize,
    /// Class names, for whole images and objects alike. Masks count one more:
    /// 0 is background and `c + 1` is class `c`.
    pub classes: Vec<String>,
    /// Whether samples carry a class for the whole image.
    pub has_classes: bool,
    /// Whether samples carry objects.
    pub has_objects: bool,
    /// Whether samples carry masks.
    pub has_masks: bool,
}

/// A source of samples.
pub trait Dataset: Send + Sync {
    /// Image size, class names and which labels exist.
    fn info(&self) -> &DatasetInfo;

    /// How many samples the split has in one epoch; 0 where there is none.
    fn len(&self, split: Split) -> usize;

    /// Whether the split has no samples.
    fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }

    /// Sample `index` of `split` as `epoch` shows it.
    ///
    /// # Errors
    /// [`DataError::NoSuchSample`] when `index` is not below `len(split)`, and
    /// whatever can go wrong in reading it.
    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError>;
}

/// The error of a data set that was asked for sample `index` of `len`.
pub(crate) fn no_such_sample(info: &DatasetInfo, split: Split, len: usize, index: usize) -> DataError {
    DataError::NoSuchSample { dataset: info.name.clone(), split: split.name(), len, index }
}

//! What every data set answers.
//!
//! A sample is a pure function of (split, epoch, index): no cursor, no hidden
//! state, so any number of threads may ask in any order, and a run that was
//! interrupted finds the same samples again.

use std::sync::Arc;

use crate::account::Account;
use crate::split::Split;
use crate::{DataError, Sample};

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
    /// The labels that samples carry (single ones may lack some of them).
    pub labels: Vec<LabelInfo>,
    /// What was found when the data were opened, for each set of a mixture; none of data that are made.
    pub accounts: Arc<Vec<Account>>,
}

impl DatasetInfo {
    /// The label of this name.
    pub fn label(&self, name: &str) -> Option<&LabelInfo> {
        self.labels.iter().find(|label| label.name == name)
    }
}

/// A label of a data set: what it is called, what it is, and its classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelInfo {
    /// [`CLASS`], [`OBJECTS`] and [`MASK`] are the fields of a
    /// [`Sample`]; any other is found in its `more`.
    pub name: String,
    /// What it says.
    pub kind: LabelKind,
    /// Class names, or names of values. Masks count one more than there are
    /// names: 0 is background and `c + 1` is class `c`.
    pub classes: Vec<String>,
}

impl LabelInfo {
    /// A label from its parts.
    pub fn new(name: &str, kind: LabelKind, classes: &[String]) -> LabelInfo {
        LabelInfo { name: name.into(), kind, classes: classes.to_vec() }
    }
}

/// The name of the label in [`Sample::class`].
pub const CLASS: &str = "class";
/// The name of the label in [`Sample::objects`].
pub const OBJECTS: &str = "objects";
/// The name of the label in [`Sample::mask`].
pub const MASK: &str = "mask";

/// The name under which [`Sample::more`] says which classes of a label the sample's set annotates: a
/// [`Label::Classes`](crate::Label::Classes) in the order of the label's classes. Without it all of them are.
///
/// Of a class that is not annotated nothing is known but what is labelled: that a picture is not said to show it does not
/// mean that it is absent.
pub fn annotated_key(label: &str) -> String {
    format!("{ANNOTATED}{label}")
}

/// Whether a name in [`Sample::more`] is one of [`annotated_key`].
pub(crate) fn is_annotated_key(name: &str) -> bool {
    name.starts_with(ANNOTATED)
}

/// The unit separator keeps columns of tables from being taken for it.
const ANNOTATED: &str = "annotated\u{1f}";

/// What a label says; the variants are those of [`Label`](crate::Label).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// One class for the whole image.
    Class,
    /// For each class whether it is there.
    Classes,
    /// Numbers for the whole image.
    Values,
    /// A number for every pixel.
    ValueMap,
    /// Things and where they are.
    Objects,
    /// A class for every pixel.
    Mask,
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

impl<D: Dataset + ?Sized> Dataset for std::sync::Arc<D> {
    fn info(&self) -> &DatasetInfo {
        (**self).info()
    }

    fn len(&self, split: Split) -> usize {
        (**self).len(split)
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        (**self).sample(split, epoch, index)
    }
}

/// The error of a data set that was asked for sample `index` of `len`.
pub(crate) fn no_such_sample(info: &DatasetInfo, split: Split, len: usize, index: usize) -> DataError {
    DataError::NoSuchSample { dataset: info.name.clone(), split: split.name(), len, index }
}

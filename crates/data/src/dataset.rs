//! The interface of every data set.
//!
//! A sample is a pure function of (split, epoch, index). There is no cursor and no hidden state, so any number of
//! threads may ask in any order, and a run that was interrupted gets the same samples again.

use std::sync::Arc;

use crate::account::Account;
use crate::input::InputInfo;
use crate::split::Split;
use crate::{DataError, Sample};

/// What a model needs to know before it sees the first sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetInfo {
    /// The data set's name in reports.
    pub name: String,
    /// Rows of every image.
    pub height: usize,
    /// Columns of every image.
    pub width: usize,
    /// Channels of every image; 0 if no sample has one.
    pub channels: usize,
    /// The inputs beside the image; a single sample may lack some of them.
    pub inputs: Vec<InputInfo>,
    /// The labels that samples carry; a single sample may lack some of them.
    pub labels: Vec<LabelInfo>,
    /// What was found when the data were opened, for each set of a mixture; empty for generated data.
    pub accounts: Arc<Vec<Account>>,
}

impl DatasetInfo {
    /// The label with this name.
    pub fn label(&self, name: &str) -> Option<&LabelInfo> {
        self.labels.iter().find(|label| label.name == name)
    }
}

/// A label of a data set: its name, its kind and its classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelInfo {
    /// [`CLASS`], [`OBJECTS`] and [`MASK`] are the fields of a [`Sample`]; any other name is a key of its `more`.
    pub name: String,
    /// The kind of label.
    pub kind: LabelKind,
    /// Class names, or names of values. Masks have one more id than there are names: 0 is background and `c + 1` is
    /// class `c`.
    pub classes: Vec<String>,
}

impl LabelInfo {
    /// A label made of its parts.
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

/// The key in [`Sample::more`] that says which classes of a label the sample's set annotates: a
/// [`Label::Classes`](crate::Label::Classes) in the order of the label's classes. Without it, all classes are
/// annotated.
///
/// Only the labelled occurrences of a class that is not annotated are known: if a picture has no label of such a class,
/// the class may still be there.
pub fn annotated_key(label: &str) -> String {
    format!("{ANNOTATED}{label}")
}

/// Whether a name in [`Sample::more`] is an [`annotated_key`].
pub(crate) fn is_annotated_key(name: &str) -> bool {
    name.starts_with(ANNOTATED)
}

/// The unit separator keeps a column of a table from having the same name.
const ANNOTATED: &str = "annotated\u{1f}";

/// The kind of a label; the variants are those of [`Label`](crate::Label).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// One class for the whole image.
    Class,
    /// For each class, whether it is there.
    Classes,
    /// Numbers for the whole image.
    Values,
    /// A number for every pixel.
    ValueMap,
    /// Objects and their boxes.
    Objects,
    /// A class for every pixel.
    Mask,
}

/// A source of samples.
pub trait Dataset: Send + Sync {
    /// Image size, class names and which labels exist.
    fn info(&self) -> &DatasetInfo;

    /// How many samples the split has in one epoch; 0 if the split does not exist.
    fn len(&self, split: Split) -> usize;

    /// Whether the split has no samples.
    fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }

    /// Sample `index` of `split` in `epoch`.
    ///
    /// # Errors
    /// [`DataError::NoSuchSample`] when `index` is not below `len(split)`, and
    /// any error of reading it.
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

/// The error for sample `index` of a split with `len` samples.
pub(crate) fn no_such_sample(info: &DatasetInfo, split: Split, len: usize, index: usize) -> DataError {
    DataError::NoSuchSample { dataset: info.name.clone(), split: split.name(), len, index }
}

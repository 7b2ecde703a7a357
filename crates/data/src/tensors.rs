//! A data set of tensors that are already in memory: your own numbers, with a class or numbers for each row.

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus_tensor::Tensor;

use crate::dataset::{CLASS, no_such_sample};
use crate::{DataError, Dataset, DatasetInfo, EpochPlan, Image, Label, LabelInfo, LabelKind, Sample, Split};

/// Rows of tensors with their classes or numbers, by split. Clones are cheap.
///
/// ```
/// use cerberus_data::{EpochPlan, Loader, Split, TensorDataset};
/// use cerberus_tensor::Tensor;
///
/// let images = Tensor::from_fn(&[6, 4, 4, 1], |i| i as f32);
/// let data = TensorDataset::new(images, &[0, 1, 2, 0, 1, 2]);
/// let plan = EpochPlan { batch_size: 4, shuffle: true, ..EpochPlan::new(Split::Train) };
/// for batch in Loader::new(data, plan)? {
///     let batch = batch?;
///     assert_eq!(batch.images.shape()[1..], [4, 4, 1]);
///     assert_eq!(batch.classes.len(), batch.len());
/// }
/// # Ok::<(), cerberus_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorDataset {
    info: DatasetInfo,
    /// Training, validation and test samples. Clones share them.
    parts: [Arc<Part>; 3],
}

/// The name of the label of a [`TensorDataset`] with numbers.
pub const VALUES: &str = "values";

#[derive(Clone, Debug, Default)]
struct Part {
    /// Row after row.
    images: Vec<f32>,
    targets: Targets,
}

#[derive(Clone, Debug)]
enum Targets {
    Classes(Vec<usize>),
    /// So many numbers for each row.
    Values(Vec<f32>, usize),
}

impl Default for Targets {
    fn default() -> Self {
        Self::Classes(Vec::new())
    }
}

impl Targets {
    fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values, width) => values.len() / width,
        }
    }

    /// Those of the rows at `places`.
    fn select(&self, places: &[usize]) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(places.iter().map(|&place| classes[place]).collect()),
            Self::Values(values, width) => Self::Values(rows(values, *width, places), *width),
        }
    }
}

/// The rows of `width` numbers at these places.
fn rows(values: &[f32], width: usize, places: &[usize]) -> Vec<f32> {
    places.iter().flat_map(|place| &values[place * width..][..width]).copied().collect()
}

impl TensorDataset {
    /// Training samples: images `[N, H, W, C]`, or rows `[N, C]`, which become images of one pixel,
    /// with a class for each of them. The values enter batches unchanged.
    ///
    /// # Panics
    /// If the tensor has another rank, or there is not one class per row.
    #[track_caller]
    pub fn new(images: Tensor<f32>, classes: &[usize]) -> Self {
        Self::empty(&images, LabelInfo::new(CLASS, LabelKind::Class, &[])).with(Split::Train, images, classes)
    }

    /// Training samples as in [`new`](Self::new), with numbers instead of classes: a row of `values`, `[N, K]`, for
    /// each. They are the label [`VALUES`]; [`Batch::values_tensor`](crate::Batch::values_tensor) joins those of a
    /// batch.
    ///
    /// # Panics
    /// If a tensor has another rank, or there is not one row of values per image.
    #[track_caller]
    pub fn with_values(images: Tensor<f32>, values: Tensor<f32>) -> Self {
        let names: Vec<String> = (0..width(&values)).map(|value| value.to_string()).collect();
        let label = LabelInfo::new(VALUES, LabelKind::Values, &names);
        Self::empty(&images, label).and_values(Split::Train, images, values)
    }

    #[track_caller]
    fn empty(images: &Tensor<f32>, label: LabelInfo) -> Self {
        let [height, width, channels] = size(images);
        let (labels, accounts) = (vec![label], Default::default());
        let info = DatasetInfo {
            name: "tensors".into(),
            height,
            width,
            channels,
            labels,
            accounts,
            inputs: Vec::new(),
        };
        Self { info, parts: Default::default() }
    }

    /// Adds the samples of another split, or replaces those of the same one.
    ///
    /// # Panics
    /// If the rows have another size than those of the training samples, if there is not
    /// one class per row, or if the training samples have numbers.
    #[track_caller]
    pub fn with(mut self, split: Split, images: Tensor<f32>, classes: &[usize]) -> Self {
        let label = &mut self.info.labels[0];
        assert!(
            label.kind == LabelKind::Class,
            "TensorDataset: the training samples have numbers, not classes"
        );
        let count = classes.iter().map(|class| class + 1).max().unwrap_or(0).max(label.classes.len());
        label.classes = (0..count).map(|class| class.to_string()).collect();
        self.put(split, images, Targets::Classes(classes.to_vec()))
    }

    /// As [`with`](Self::with), for samples with numbers: values `[N, K]`.
    ///
    /// # Panics
    /// If the rows or the values have another size than those of the training samples, or if these have classes.
    #[track_caller]
    pub fn and_values(self, split: Split, images: Tensor<f32>, values: Tensor<f32>) -> Self {
        let label = &self.info.labels[0];
        assert!(
            label.kind == LabelKind::Values && label.classes.len() == width(&values),
            "TensorDataset: values {:?} for samples whose label is {:?} of {} numbers",
            values.shape(),
            label.kind,
            label.classes.len()
        );
        let width = width(&values);
        self.put(split, images, Targets::Values(values.to_vec(), width))
    }

    /// Makes a share of the training samples, drawn at random, the validation samples.
    ///
    /// # Panics
    /// Unless the share is at least 0 and less than 1.
    #[track_caller]
    pub fn hold_out(mut self, share: f64, seed: u64) -> Self {
        assert!((0.0..1.0).contains(&share), "TensorDataset: the share {share} must be at least 0, below 1");
        let DatasetInfo { height, width, channels, .. } = self.info;
        let train = self.parts[place(Split::Train)].clone();
        let plan = EpochPlan { shuffle: true, seed, ..EpochPlan::new(Split::Train) };
        let order = plan.order(train.targets.len());
        let count = (share * order.len() as f64).round() as usize;
        let part = |places: &[usize]| {
            Arc::new(Part {
                images: rows(&train.images, height * width * channels, places),
                targets: train.targets.select(places),
            })
        };
        self.parts[place(Split::Validation)] = part(&order[..count]);
        self.parts[place(Split::Train)] = part(&order[count..]);
        self
    }

    #[track_caller]
    fn put(mut self, split: Split, images: Tensor<f32>, targets: Targets) -> Self {
        let expected = [self.info.height, self.info.width, self.info.channels];
        assert!(
            size(&images) == expected && targets.len() == images.shape()[0],
            "TensorDataset: images {:?} with {} targets; each needs one, and {expected:?} values",
            images.shape(),
            targets.len()
        );
        self.parts[place(split)] = Arc::new(Part { images: images.to_vec(), targets });
        self
    }

    fn part(&self, split: Split) -> &Part {
        &self.parts[place(split)]
    }
}

/// The place of a split's samples.
fn place(split: Split) -> usize {
    match split {
        Split::Train => 0,
        Split::Validation => 1,
        Split::Test => 2,
    }
}

/// Rows, columns and channels of each image.
#[track_caller]
fn size(images: &Tensor<f32>) -> [usize; 3] {
    match *images.shape() {
        [_, height, width, channels] => [height, width, channels],
        [_, channels] => [1, 1, channels],
        ref shape => panic!("TensorDataset: images {shape:?} must be [N, H, W, C] or [N, C]"),
    }
}

/// The numbers of each row.
#[track_caller]
fn width(values: &Tensor<f32>) -> usize {
    match *values.shape() {
        [_, width] if width > 0 => width,
        ref shape => panic!("TensorDataset: values {shape:?} must be [N, K], with at least one number each"),
    }
}

impl Dataset for TensorDataset {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.part(split).targets.len()
    }

    fn sample(&self, split: Split, _epoch: u64, index: usize) -> Result<Sample, DataError> {
        let part = self.part(split);
        if index >= part.targets.len() {
            return Err(no_such_sample(&self.info, split, part.targets.len(), index));
        }
        let DatasetInfo { height, width, channels, .. } = self.info;
        let pixels = rows(&part.images, height * width * channels, &[index]).into();
        let image = Image { height, width, channels, pixels };
        let mut sample = Sample {
            image,
            class: None,
            objects: None,
            mask: None,
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        };
        match &part.targets {
            Targets::Classes(classes) => sample.class = Some(classes[index]),
            Targets::Values(values, width) => {
                let values = rows(values, *width, &[index]);
                sample.more.insert(VALUES.to_string(), Label::Values(values));
            }
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;

    #[test]
    fn values_and_classes_come_back_as_they_were() {
        let data = TensorDataset::new(Tensor::from_fn(&[3, 2], |i| i as f32 - 2.5), &[4, 0, 1]).with(
            Split::Test,
            Tensor::from_fn(&[1, 2], |_| 1e9),
            &[6],
        );
        assert_eq!(data.info().labels[0].classes.len(), 7);
        let sample = |split, index| data.sample(split, 0, index).unwrap();
        let batch = Batch::assemble(&[sample(Split::Train, 2), sample(Split::Test, 0)], vec![2, 0]).unwrap();
        assert_eq!(batch.images.shape(), [2, 1, 1, 2]);
        assert_eq!(batch.images.to_vec(), [1.5, 2.5, 1e9, 1e9]);
        assert_eq!(batch.classes, [Some(1), Some(6)]);
        assert!(data.sample(Split::Validation, 0, 0).is_err());
    }

    #[test]
    #[should_panic(expected = "images [2, 3] with 1 targets")]
    fn a_row_without_a_class_is_refused() {
        TensorDataset::new(Tensor::zeros(&[2, 3]), &[0]);
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        let data = TensorDataset::with_values(
            Tensor::from_fn(&[3, 2], |i| i as f32),
            Tensor::from_fn(&[3, 2], |i| 10.0 * i as f32),
        );
        let samples = [2, 0].map(|index| data.sample(Split::Train, 0, index).unwrap());
        let batch = Batch::assemble(&samples, vec![2, 0]).unwrap();
        assert_eq!(batch.values_tensor(VALUES).unwrap().to_vec(), [40.0, 50.0, 0.0, 10.0]);
        assert!(batch.values_tensor("other").is_none());
    }

    #[test]
    fn held_out_samples_and_the_others_are_all_samples_once() {
        let data =
            TensorDataset::new(Tensor::from_fn(&[10, 1], |i| i as f32), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let data = data.hold_out(0.3, 5);
        assert_eq!([data.len(Split::Train), data.len(Split::Validation)], [7, 3]);
        let mut found = Vec::new();
        for split in [Split::Train, Split::Validation] {
            for index in 0..data.len(split) {
                let sample = data.sample(split, 0, index).unwrap();
                assert_eq!(sample.image.pixels, vec![sample.class.unwrap() as f32].into());
                found.push(sample.class.unwrap());
            }
        }
        assert_ne!(found, (0..10).collect::<Vec<_>>(), "drawn at random");
        found.sort_unstable();
        assert_eq!(found, (0..10).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "have numbers, not classes")]
    fn classes_beside_numbers_are_refused() {
        let rows = || Tensor::zeros(&[2, 3]);
        TensorDataset::with_values(rows(), rows()).with(Split::Test, rows(), &[0, 1]);
    }
}

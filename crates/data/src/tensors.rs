//! A data set of tensors that are already in memory: your own numbers, with a class for each row.

use std::collections::BTreeMap;

use cerberus_tensor::Tensor;

use crate::dataset::{CLASS, no_such_sample};
use crate::{DataError, Dataset, DatasetInfo, Image, LabelInfo, LabelKind, Sample, Split};

/// Rows of tensors with their classes, by split.
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
#[derive(Debug)]
pub struct TensorDataset {
    info: DatasetInfo,
    train: Part,
    validation: Part,
    test: Part,
}

#[derive(Debug, Default)]
struct Part {
    /// Row after row.
    values: Vec<f32>,
    classes: Vec<usize>,
}

impl TensorDataset {
    /// Training samples: images `[N, H, W, C]`, or rows `[N, C]`, which become images of one pixel,
    /// with a class for each of them. The values enter batches unchanged.
    ///
    /// # Panics
    /// If the tensor has another rank, or there is not one class per row.
    #[track_caller]
    pub fn new(images: Tensor<f32>, classes: &[usize]) -> Self {
        let [height, width, channels] = size(&images);
        let info = DatasetInfo {
            name: "tensors".into(),
            height,
            width,
            channels,
            labels: vec![LabelInfo::new(CLASS, LabelKind::Class, &[])],
            accounts: Default::default(),
        };
        let empty = Self { info, train: Part::default(), validation: Part::default(), test: Part::default() };
        empty.with(Split::Train, images, classes)
    }

    /// Adds the samples of another split, or replaces those of the same one.
    ///
    /// # Panics
    /// If the rows have another size than those of the training samples, or there is not
    /// one class per row.
    #[track_caller]
    pub fn with(mut self, split: Split, images: Tensor<f32>, classes: &[usize]) -> Self {
        let expected = [self.info.height, self.info.width, self.info.channels];
        assert!(
            size(&images) == expected && classes.len() == images.shape()[0],
            "TensorDataset: images {:?} with {} classes; each needs a class, and {expected:?} values",
            images.shape(),
            classes.len()
        );
        let names = &mut self.info.labels[0].classes;
        let count = classes.iter().map(|class| class + 1).max().unwrap_or(0).max(names.len());
        *names = (0..count).map(|class| class.to_string()).collect();
        let part = match split {
            Split::Train => &mut self.train,
            Split::Validation => &mut self.validation,
            Split::Test => &mut self.test,
        };
        *part = Part { values: images.to_vec(), classes: classes.to_vec() };
        self
    }

    fn part(&self, split: Split) -> &Part {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
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

impl Dataset for TensorDataset {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.part(split).classes.len()
    }

    fn sample(&self, split: Split, _epoch: u64, index: usize) -> Result<Sample, DataError> {
        let part = self.part(split);
        let Some(&class) = part.classes.get(index) else {
            return Err(no_such_sample(&self.info, split, part.classes.len(), index));
        };
        let DatasetInfo { height, width, channels, .. } = self.info;
        let values = height * width * channels;
        let pixels = part.values[index * values..][..values].to_vec().into();
        let image = Image { height, width, channels, pixels };
        Ok(Sample { image, class: Some(class), objects: None, mask: None, more: BTreeMap::new() })
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
    #[should_panic(expected = "images [2, 3] with 1 classes")]
    fn a_row_without_a_class_is_refused() {
        TensorDataset::new(Tensor::zeros(&[2, 3]), &[0]);
    }
}

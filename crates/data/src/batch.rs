//! Samples stacked into batches, as a network takes them.
//!
//! Pixels become floats only here, so training, evaluation and prediction use the same scale.

use std::collections::BTreeMap;

use cerberus_tensor::Tensor;
use cerberus_tensor::concat::concat;

use crate::dataset::{CLASS, MASK, OBJECTS, annotated_key};
use crate::input::{self, IMAGE, InputBatch};
use crate::pixels::{normalise, size};
use crate::{DataError, Image, Label, Mask, Object, Sample, ValueMap};

/// Several samples of one size. The labels keep the order of the images; a sample without a label has `None` in its
/// place.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[N, H, W, C]`, normalised as [`normalise`] says; zeros for samples without an image, `[N, 0, 0, 0]` if all are
    /// without.
    pub images: Tensor<f32>,
    /// Whether each sample is without an image; empty if all have one.
    pub without_image: Vec<bool>,
    /// The other inputs by name; one that no sample has is not in the map.
    pub inputs: BTreeMap<String, InputBatch>,
    /// The class of each whole image.
    pub classes: Vec<Option<usize>>,
    /// The objects of each image.
    pub objects: Vec<Option<Vec<Object>>>,
    /// The mask of each image.
    pub masks: Vec<Option<Mask>>,
    /// The other labels of each image, by name.
    pub more: Vec<BTreeMap<String, Label>>,
    /// The index of each sample in its split.
    pub indices: Vec<usize>,
}

impl Batch {
    /// Stacks `samples`; `indices` are their indices in the split.
    ///
    /// # Errors
    /// [`DataError::Batch`] when there is no sample, when the images differ in
    /// size, when an image or mask does not hold as many values as its size
    /// says, or when `indices` has another length.
    pub fn assemble(samples: &[Sample], indices: Vec<usize>) -> Result<Batch, DataError> {
        check(samples, &indices).map_err(|reason| DataError::Batch { reason })?;
        let images: Vec<&Image> = samples.iter().map(|sample| &sample.image).collect();
        let without = images.iter().any(|image| image.is_missing());
        let without_image =
            if without { images.iter().map(|image| image.is_missing()).collect() } else { vec![] };
        Ok(Batch {
            images: if without { with_gaps(&images) } else { normalise(&images) },
            without_image,
            inputs: input::stack(samples),
            classes: samples.iter().map(|sample| sample.class).collect(),
            objects: samples.iter().map(|sample| sample.objects.clone()).collect(),
            masks: samples.iter().map(|sample| sample.mask.clone()).collect(),
            more: samples.iter().map(|sample| sample.more.clone()).collect(),
            indices,
        })
    }

    /// How many samples the batch holds.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// The `len` samples starting at `start`.
    ///
    /// # Panics
    /// If the batch has fewer samples.
    #[track_caller]
    pub fn narrow(&self, start: usize, len: usize) -> Batch {
        let range = start..start + len;
        let places: Vec<usize> = range.clone().collect();
        Batch {
            images: self.images.narrow(0, start, len),
            without_image: self.without_image_at(&places),
            inputs: self.inputs_at(&places),
            classes: self.classes[range.clone()].to_vec(),
            objects: self.objects[range.clone()].to_vec(),
            masks: self.masks[range.clone()].to_vec(),
            more: self.more[range.clone()].to_vec(),
            indices: self.indices[range].to_vec(),
        }
    }

    fn without_image_at(&self, places: &[usize]) -> Vec<bool> {
        if self.without_image.is_empty() {
            vec![]
        } else {
            places.iter().map(|&place| self.without_image[place]).collect()
        }
    }

    fn inputs_at(&self, places: &[usize]) -> BTreeMap<String, InputBatch> {
        let select = |(name, input): (&String, &InputBatch)| Some((name.clone(), input.select(places)?));
        self.inputs.iter().filter_map(select).collect()
    }

    /// The input `name`, [`IMAGE`] included; `None` if no sample has it.
    pub fn input(&self, name: &str) -> Option<InputBatch> {
        if name != IMAGE {
            return self.inputs.get(name).cloned();
        }
        let everywhere = InputBatch { values: self.images.clone(), places: (0..self.len()).collect() };
        if self.without_image.is_empty() {
            return Some(everywhere);
        }
        let present = self.present(IMAGE);
        let places: Vec<usize> = (0..self.len()).filter(|&place| present[place]).collect();
        Some(InputBatch { places: places.clone(), ..everywhere.select(&places)? })
    }

    /// Whether each sample has the input `name`, [`IMAGE`] included.
    pub fn present(&self, name: &str) -> Vec<bool> {
        if name == IMAGE {
            return (0..self.len())
                .map(|place| !self.without_image.get(place).copied().unwrap_or(false))
                .collect();
        }
        let mut present = vec![false; self.len()];
        self.inputs.get(name).iter().flat_map(|input| &input.places).for_each(|&place| present[place] = true);
        present
    }

    /// The batch as if no sample had the input `name`.
    pub fn without(mut self, name: &str) -> Batch {
        if name == IMAGE {
            self.without_image = vec![true; self.len()];
            self.images = Tensor::zeros(&[self.len(), 0, 0, 0]);
        } else {
            self.inputs.remove(name);
        }
        self
    }

    /// Whether the batch holds no sample.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Each image's class under the label `name`: the class with the largest share if several have one. As in the
    /// methods below, it is `None` where the label is missing.
    pub fn classes_of(&self, name: &str) -> Vec<Option<usize>> {
        if name == CLASS {
            return self.classes.clone();
        }
        self.of(name, Label::class)
    }

    /// Each image's shares of `classes` classes under the label `name`, which sum to 1: one-hot for a single class, or
    /// the shares that mixing samples produced. Shares past the last class are left out.
    pub fn shares_of(&self, name: &str, classes: usize) -> Vec<Option<Vec<f32>>> {
        let shares = |(more, class): (&BTreeMap<String, Label>, Option<usize>)| {
            if let Some(Label::Shares(shares)) = more.get(name) {
                let past_end = std::iter::repeat(&0.0);
                return Some(shares.iter().chain(past_end).take(classes).copied().collect());
            }
            class.map(|class| (0..classes).map(|other| if other == class { 1.0 } else { 0.0 }).collect())
        };
        self.more.iter().zip(self.classes_of(name)).map(shares).collect()
    }

    /// Each image's objects under the label `name`.
    pub fn objects_of(&self, name: &str) -> Vec<Option<&[Object]>> {
        if name == OBJECTS {
            return self.objects.iter().map(Option::as_deref).collect();
        }
        self.of(name, |label| if let Label::Objects(objects) = label { Some(&objects[..]) } else { None })
    }

    /// Each image's mask under the label `name`.
    pub fn masks_of(&self, name: &str) -> Vec<Option<&Mask>> {
        if name == MASK {
            return self.masks.iter().map(Option::as_ref).collect();
        }
        self.of(name, |label| if let Label::Mask(mask) = label { Some(mask) } else { None })
    }

    /// For each image, which classes it shows, under the label `name`.
    pub fn class_sets_of(&self, name: &str) -> Vec<Option<&[bool]>> {
        self.of(name, |label| if let Label::Classes(classes) = label { Some(&classes[..]) } else { None })
    }

    /// For each image, which classes of the label `name` its data set annotates, in the order of the label's classes;
    /// `None` where it annotates all of them.
    pub fn annotated_of(&self, name: &str) -> Vec<Option<&[bool]>> {
        self.class_sets_of(&annotated_key(name))
    }

    /// Each image's numbers under the label `name`.
    pub fn values_of(&self, name: &str) -> Vec<Option<&[f32]>> {
        self.of(name, |label| if let Label::Values(values) = label { Some(&values[..]) } else { None })
    }

    /// The numbers of all images under the label `name`, `[N, K]`; `None` if an image lacks them or has another count.
    pub fn values_tensor(&self, name: &str) -> Option<Tensor<f32>> {
        let rows: Vec<&[f32]> = self.values_of(name).into_iter().collect::<Option<_>>()?;
        let width = rows.first()?.len();
        let even = rows.iter().all(|row| row.len() == width);
        even.then(|| Tensor::from_vec(rows.concat(), &[rows.len(), width]))
    }

    /// Each image's numbers per pixel under the label `name`.
    pub fn value_maps_of(&self, name: &str) -> Vec<Option<&ValueMap>> {
        self.of(name, |label| if let Label::ValueMap(map) = label { Some(map) } else { None })
    }

    fn of<'a, V>(&'a self, name: &str, take: impl Fn(&'a Label) -> Option<V>) -> Vec<Option<V>> {
        self.more.iter().map(|labels| labels.get(name).and_then(&take)).collect()
    }

    /// The samples at these positions in the batch, in this order.
    ///
    /// # Panics
    /// If a position is outside the batch, or `places` is empty.
    #[track_caller]
    pub fn select(&self, places: &[usize]) -> Batch {
        assert!(!places.is_empty(), "Batch::select: there must be at least one place");
        let images = places.iter().map(|&place| self.images.narrow(0, place, 1));
        Batch {
            images: concat(&images.collect::<Vec<_>>(), 0),
            without_image: self.without_image_at(places),
            inputs: self.inputs_at(places),
            classes: places.iter().map(|&place| self.classes[place]).collect(),
            objects: places.iter().map(|&place| self.objects[place].clone()).collect(),
            masks: places.iter().map(|&place| self.masks[place].clone()).collect(),
            more: places.iter().map(|&place| self.more[place].clone()).collect(),
            indices: places.iter().map(|&place| self.indices[place]).collect(),
        }
    }
}

/// Why samples cannot be in one batch.
pub(crate) fn check(samples: &[Sample], indices: &[usize]) -> Result<(), String> {
    let Some(first) = samples.first() else {
        return Err("it has no samples; ask for at least one".into());
    };
    if samples.len() != indices.len() {
        return Err(format!("{} samples came with {} indices", samples.len(), indices.len()));
    }
    input::check(samples, indices)?;
    let wanted = samples.iter().map(|sample| &sample.image).find(|image| !image.is_missing());
    let wanted = size(wanted.unwrap_or(&first.image));
    for (sample, index) in samples.iter().zip(indices) {
        if sample.image.is_missing() {
            continue;
        }
        let (image, found) = (&sample.image, size(&sample.image));
        if found != wanted {
            return Err(format!(
                "sample {index} is {found:?} (height, width, channels), the first one {wanted:?}; \
                 resize the images to one size"
            ));
        }
        let values = image.height * image.width * image.channels;
        if image.pixels.len() != values {
            let found = image.pixels.len();
            return Err(format!("sample {index} holds {found} values, its size {wanted:?} needs {values}"));
        }
        let masks = sample.mask.iter().map(|mask| ("mask", mask.height, mask.width, mask.classes.len()));
        let maps = sample.more.iter().filter_map(|(name, label)| match label {
            Label::Mask(mask) => Some((name.as_str(), mask.height, mask.width, mask.classes.len())),
            Label::ValueMap(map) => Some((name.as_str(), map.height, map.width, map.values.len())),
            _ => None,
        });
        for (name, height, width, held) in masks.chain(maps) {
            if (height, width) != (image.height, image.width) || held != height * width {
                return Err(format!(
                    "the {name} of sample {index} is {height}x{width} with {held} values, its image {}x{}",
                    image.height, image.width
                ));
            }
        }
    }
    Ok(())
}

/// [`normalise`] with zeros for missing images.
fn with_gaps(images: &[&Image]) -> Tensor<f32> {
    let Some(first) = images.iter().find(|image| !image.is_missing()) else {
        return Tensor::zeros(&[images.len(), 0, 0, 0]);
    };
    let (height, width, channels) = size(first);
    let zeros = Image { pixels: vec![0.0f32; height * width * channels].into(), ..**first };
    let filled: Vec<&Image> =
        images.iter().map(|image| if image.is_missing() { &zeros } else { *image }).collect();
    normalise(&filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(height: usize, width: usize, value: u8) -> Sample {
        let image = Image { height, width, channels: 1, pixels: vec![value; height * width].into() };
        Sample {
            image,
            class: Some(3),
            objects: None,
            mask: None,
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        }
    }

    #[test]
    fn black_and_white_become_minus_two_and_two() {
        let batch = Batch::assemble(&[gray(2, 3, 0), gray(2, 3, 255)], vec![4, 9]).unwrap();
        assert_eq!(batch.images.shape(), &[2, 2, 3, 1]);
        let values = batch.images.to_vec();
        assert!(values[..6].iter().all(|&v| v == -2.0) && values[6..].iter().all(|&v| v == 2.0));
        assert_eq!((batch.len(), &batch.indices[..]), (2, &[4, 9][..]));
    }

    #[test]
    fn images_of_two_sizes_are_an_error_that_names_the_sample() {
        let error = Batch::assemble(&[gray(2, 3, 0), gray(3, 2, 0)], vec![4, 9]).unwrap_err();
        assert!(error.to_string().contains("sample 9"), "{error}");
    }

    #[test]
    fn an_empty_batch_is_an_error() {
        assert!(matches!(Batch::assemble(&[], vec![]), Err(DataError::Batch { .. })));
    }

    #[test]
    fn an_image_with_missing_pixels_is_an_error() {
        let mut sample = gray(2, 3, 0);
        sample.image.pixels = vec![0u8; 5].into();
        let error = Batch::assemble(&[sample], vec![0]).unwrap_err();
        assert!(error.to_string().contains("5 values"), "{error}");
    }

    #[test]
    fn a_mask_of_another_size_is_an_error() {
        let mut sample = gray(2, 3, 0);
        sample.mask = Some(Mask { height: 3, width: 2, classes: vec![0; 6] });
        assert!(Batch::assemble(&[sample], vec![0]).is_err());
    }
}

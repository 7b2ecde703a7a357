//! A data set whose training samples are augmented.

use super::*;
use crate::dataset::no_such_sample;
use crate::{DataError, Dataset, DatasetInfo, Split};

/// Scenes whose rectangles are at different places; the last mask of the split may be broken.
struct Scenes {
    info: DatasetInfo,
    broken: bool,
}

fn scenes(broken: bool) -> Scenes {
    let [height, width] = SIZE;
    let (labels, accounts) = (Vec::new(), Default::default());
    Scenes {
        info: DatasetInfo {
            name: "scenes".into(),
            height,
            width,
            channels: 3,
            labels,
            accounts,
            inputs: Vec::new(),
        },
        broken,
    }
}

impl Dataset for Scenes {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, _: Split) -> usize {
        6
    }

    fn sample(&self, split: Split, _: u64, index: usize) -> Result<Sample, DataError> {
        if index >= 6 {
            return Err(no_such_sample(&self.info, split, 6, index));
        }
        let mut sample = scene([4 * index, 2 * index, 4 * index + 20, 2 * index + 15]);
        sample.class = Some(index);
        if self.broken && index == 5 {
            sample.mask.as_mut().unwrap().classes.pop();
        }
        Ok(sample)
    }
}

fn config(names: &[&str]) -> AugmentConfig {
    AugmentConfig { operations: names.iter().map(|name| OperationConfig::new(name)).collect() }
}

fn everything() -> AugmentConfig {
    let names: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
    config(&names)
}

#[test]
fn a_training_sample_is_a_function_of_seed_epoch_and_index() {
    let open = |seed| Augmented::new(scenes(false), &everything(), seed).unwrap();
    let (data, again, other) = (open(1), open(1), open(2));
    for index in (0..6).rev() {
        let sample = data.sample(Split::Train, 4, index).unwrap();
        assert_eq!(sample.image, again.sample(Split::Train, 4, index).unwrap().image);
        assert_ne!(sample.image, again.sample(Split::Train, 5, index).unwrap().image);
        assert_ne!(sample.image, other.sample(Split::Train, 4, index).unwrap().image);
        masks_and_values_agree(&sample, "all operations in a row");
    }
}

#[test]
fn validation_and_test_are_the_data_sets_own() {
    let data = Augmented::new(scenes(false), &everything(), 1).unwrap();
    for split in [Split::Validation, Split::Test] {
        for index in 0..data.len(split) {
            let own = data_sets_own(split, index);
            assert_eq!(data.sample(split, 0, index).unwrap(), own);
        }
    }
    let none = Augmented::new(scenes(false), &AugmentConfig::default(), 1).unwrap();
    assert_eq!(none.sample(Split::Train, 0, 3).unwrap(), data_sets_own(Split::Train, 3));
}

fn data_sets_own(split: Split, index: usize) -> Sample {
    scenes(false).sample(split, 0, index).unwrap()
}

#[test]
fn an_operation_that_comes_or_goes_does_not_change_what_the_others_draw() {
    let with = |first: &[&str], strength: f64| {
        let mut config = config(&[first, &["rotation", "rotation"]].concat());
        config.operations[0].strength = strength;
        Augmented::new(scenes(false), &config, 1).unwrap().sample(Split::Train, 0, 2).unwrap()
    };
    let alone = with(&[], 1.0);
    assert!(equal(&with(&["affine"], 0.0), &alone));
    assert_ne!(with(&["affine"], 1.0).image, alone.image);
}

#[test]
fn partners_go_through_the_operations_that_stand_before_theirs() {
    let gray = |names: &[&str]| {
        let mut config = config(names);
        config.operations.iter_mut().for_each(|operation| operation.probability = Some(1.0));
        config.operations[0].strength = 2.0;
        let data = Augmented::new(scenes(false), &config, 1).unwrap();
        let seen = (0..6).map(|index| data.sample(Split::Train, 0, index).unwrap());
        seen.flat_map(|sample| mask_of(&sample).to_vec()).filter(|&id| id == crate::IGNORED).count()
    };
    // Padding is ignored in masks. It shows in a padded picture and in a mosaic of padded pictures;
    // a mosaic alone has none.
    let (alone, mixed) = (gray(&["pad_and_crop"]), gray(&["pad_and_crop", "mosaic"]));
    assert!(alone > 0 && mixed > 0, "{alone} {mixed}");
    assert_eq!(gray(&["mosaic"]), 0);
}

#[test]
fn a_sample_that_is_not_whole_is_an_error_that_names_it() {
    let data = Augmented::new(scenes(true), &config(&["rotation", "mosaic"]), 1).unwrap();
    let told = data.sample(Split::Train, 0, 5).unwrap_err().to_string();
    assert!(told.contains("the mask of sample 5"), "{told}");
    assert!(matches!(data.sample(Split::Train, 0, 6), Err(DataError::NoSuchSample { .. })));
}

#[test]
fn unknown_operations_are_refused_when_the_data_set_is_made() {
    assert!(matches!(Augmented::new(scenes(false), &config(&["blurr"]), 1), Err(DataError::Option { .. })));
}

//! Two data sets as one: every sample has the image of one and the inputs of the other, with the same class.

use std::sync::Arc;

use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::dataset::{CLASS, no_such_sample};
use crate::{DataError, Dataset, DatasetInfo, Sample, Split};

/// Samples of two sets paired by their class within each part.
///
/// A sample of the set that is smaller in a part is seen once an epoch, with a partner of its class from the other: a new
/// one in every epoch of training, always the same otherwise. No pair crosses parts. A sample for whose class a part of
/// the other set has none is left out.
pub struct Paired {
    sets: [Arc<dyn Dataset>; 2],
    /// For each part and each set, the samples of every class.
    by_class: [[Vec<Vec<usize>>; 2]; 3],
    /// For each part, the set that is gone through and those of its samples that have a partner.
    leading: [(usize, Vec<usize>); 3],
    seed: u64,
    info: DatasetInfo,
}

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

impl Paired {
    /// Pairs `seen`, whose images the samples have, with `heard`, whose other inputs they have. The classes are those of
    /// `seen`.
    ///
    /// # Errors
    /// [`DataError::Option`] if the sets' classes have other names, or a class occurs in the training part of one set
    /// alone, and those of reading samples.
    pub fn new(
        name: &str,
        seen: Arc<dyn Dataset>,
        heard: Arc<dyn Dataset>,
        seed: u64,
    ) -> Result<Paired, DataError> {
        let refuse = |value: String, remedy: &str| DataError::Option {
            option: "pair of data sets",
            value,
            remedy: remedy.into(),
        };
        let classes = [&seen, &heard].map(|set| set.info().label(CLASS).map(|label| label.classes.clone()));
        let [Some(first), Some(second)] = classes else {
            return Err(refuse(name.into(), "give two sets with a class for each sample"));
        };
        if first != second {
            let lists = format!("of classes {} and {}", first.join(", "), second.join(", "));
            return Err(refuse(lists, "give sets whose classes have the same names"));
        }
        let mut by_class: [[Vec<Vec<usize>>; 2]; 3] = Default::default();
        let mut leading: [(usize, Vec<usize>); 3] = Default::default();
        for ((part, leading), split) in by_class.iter_mut().zip(&mut leading).zip(SPLITS) {
            for (places, set) in part.iter_mut().zip([&seen, &heard]) {
                *places = vec![Vec::new(); first.len()];
                for index in 0..set.len(split) {
                    let class = set.sample(split, 0, index)?.class;
                    places[class.unwrap_or(0)].push(index);
                }
            }
            let lonely =
                (0..first.len()).find(|&class| part[0][class].is_empty() != part[1][class].is_empty());
            if let Some(class) = lonely.filter(|_| split == Split::Train) {
                let value = format!("one with {} to train on and one without", first[class]);
                return Err(refuse(value, "give sets that have the same classes"));
            }
            let partnered = |set: usize| {
                let classes = (0..first.len()).filter(|&class| !part[1 - set][class].is_empty());
                let mut own: Vec<usize> =
                    classes.flat_map(|class| part[set][class].iter().copied()).collect();
                own.sort_unstable();
                own
            };
            let own = [partnered(0), partnered(1)];
            let smaller = usize::from(own[1].len() < own[0].len());
            *leading = (smaller, own.into_iter().nth(smaller).unwrap_or_default());
        }
        let mut info = seen.info().clone();
        info.name = name.into();
        info.inputs = heard.info().inputs.clone();
        Ok(Paired { sets: [seen, heard], by_class, leading, seed, info })
    }
}

impl Dataset for Paired {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.leading[split as usize].1.len()
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let (leading, own) = &self.leading[split as usize];
        let leading = *leading;
        let Some(&place) = own.get(index) else {
            return Err(no_such_sample(&self.info, split, own.len(), index));
        };
        let first = self.sets[leading].sample(split, epoch, place)?;
        let partners = &self.by_class[split as usize][1 - leading][first.class.unwrap_or(0)];
        let drawn = if split == Split::Train { epoch } else { 0 };
        let mut random = stream(self.seed, &format!("partner {split}"), drawn, index as u64);
        let partner = partners[random.random_range(0..partners.len())];
        let second = self.sets[1 - leading].sample(split, epoch, partner)?;
        let [seen, heard] = if leading == 0 { [first, second] } else { [second, first] };
        Ok(Sample { inputs: heard.inputs, ..seen })
    }
}

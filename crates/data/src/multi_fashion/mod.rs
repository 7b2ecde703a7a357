//! Multi-Fashion: two garments in one gray picture, one task for each.
//!
//! A relative of MultiMNIST (Sabour, Frosst and Hinton, 2017; as two tasks:
//! Sener and Koltun, 2018) with both pictures from Fashion-MNIST. One garment
//! is in the upper left of a black canvas of 36x36, the other in the lower
//! right; where they overlap, the brighter pixel shows. The canvas is resized
//! to 28x28 by Pillow's default, bicubic, bit for bit. Published versions of
//! this data differ by several points of accuracy. This is the version of PaMaL
//! (Dimitriadis, Frossard and Fleuret, "Pareto Manifold Learning", 2023):
//! 50,000 training, 10,000 validation and 10,000 test pairs of two different
//! garments, drawn once.
//!
//! One rule is stricter: the validation pairs use separate garments, the last
//! sixth of each class in file order, so no garment is in two splits.

mod bicubic;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use cerberus_tensor::random::stream;
use rand::RngExt;

use crate::dataset::{LabelInfo, LabelKind, no_such_sample};
use crate::fashion_mnist::{Garments, SIDE};
use crate::{DataError, Dataset, DatasetInfo, FashionMnist, GARMENTS, Image, Label, Sample, Split};
use bicubic::Shrink;

/// Rows and columns of the canvas, and the offset of the second garment.
const CANVAS: usize = 36;
const SECOND: usize = 6;
/// Pixels of a picture.
const PIXELS: usize = SIDE * SIDE;
/// One in this many garments of each class is used for validation pairs.
const HELD_OUT: usize = 6;
/// Pairs of the train, validation and test splits.
const PAIRS: [usize; 3] = [50_000, 10_000, 10_000];
/// The pairs are the same for every run.
const FIXED_SEED: u64 = 0;

/// Pairs of garments: the label [`LEFT`](Self::LEFT) is the class of the upper
/// left one, [`RIGHT`](Self::RIGHT) that of the lower right one.
///
/// The number of pairs does not depend on the number of garments. Every garment
/// is the left one equally often (once in training, with the whole of
/// Fashion-MNIST; six times with the 8,334 embedded ones), and the right one is
/// any other garment of the split.
pub struct MultiFashion {
    source: Arc<FashionMnist>,
    splits: [Part; 3],
    info: DatasetInfo,
}

/// The pairs of a split, as indices into its file, and their pictures.
struct Part {
    pairs: Vec<[usize; 2]>,
    // [pairs, 28, 28], made at the first use.
    pictures: OnceLock<Vec<u8>>,
}

impl MultiFashion {
    /// The name of the data set.
    pub const NAME: &str = "multi-fashion";
    /// The label of the upper left garment.
    pub const LEFT: &str = "left";
    /// The label of the lower right garment.
    pub const RIGHT: &str = "right";

    /// Pairs of the garments of `source`.
    ///
    /// # Errors
    /// [`DataError::Option`] if a split has fewer than two garments.
    pub fn new(source: Arc<FashionMnist>) -> Result<MultiFashion, DataError> {
        let (train, validation) = hold_out_last_sixth(&source.train);
        let test: Vec<usize> = (0..source.test.len()).collect();
        let pools = [(train, "train"), (validation, "validation"), (test, "test")];
        let mut splits = Vec::new();
        for ((pool, name), pairs) in pools.into_iter().zip(PAIRS) {
            if pool.len() < 2 {
                return Err(DataError::Option {
                    option: "garments to make pairs of",
                    value: format!("{} in the {name} split", pool.len()),
                    remedy: "there must be two at least, of which the last sixth of each class validates"
                        .into(),
                });
            }
            splits.push(Part { pairs: draw_pairs(&pool, name, pairs), pictures: OnceLock::new() });
        }
        let splits = splits.try_into().unwrap_or_else(|_| unreachable!("there are three splits"));
        let garments = GARMENTS.map(String::from);
        let info = DatasetInfo {
            name: Self::NAME.into(),
            height: SIDE,
            width: SIDE,
            channels: 1,
            labels: [Self::LEFT, Self::RIGHT]
                .map(|name| LabelInfo::new(name, LabelKind::Class, &garments))
                .into(),
            accounts: Default::default(),
            inputs: Vec::new(),
        };
        Ok(MultiFashion { source, splits, info })
    }

    /// Pairs of the embedded garments, drawn at the first call.
    pub fn embedded() -> Arc<MultiFashion> {
        static MADE: OnceLock<Arc<MultiFashion>> = OnceLock::new();
        let make = || MultiFashion::new(FashionMnist::embedded()).expect("enough garments are embedded");
        MADE.get_or_init(|| Arc::new(make())).clone()
    }

    fn part(&self, split: Split) -> (&Garments, &Part) {
        match split {
            Split::Train => (&self.source.train, &self.splits[0]),
            Split::Validation => (&self.source.train, &self.splits[1]),
            Split::Test => (&self.source.test, &self.splits[2]),
        }
    }

    /// The pictures of a split, `[pairs, 28, 28]`.
    pub fn pictures(&self, split: Split) -> &[u8] {
        let (garments, part) = self.part(split);
        part.pictures.get_or_init(|| {
            let shrink = Shrink::new(CANVAS, SIDE);
            let both = |pair: &[usize; 2]| shrink.apply(&canvas(pair.map(|place| garments.pixels(place))));
            part.pairs.iter().flat_map(both).collect()
        })
    }

    /// The classes of the left and the right garment of every pair of a split.
    pub fn classes(&self, split: Split) -> [Vec<u8>; 2] {
        let (garments, part) = self.part(split);
        [0, 1].map(|side| part.pairs.iter().map(|pair| garments.labels()[pair[side]]).collect())
    }
}

impl Dataset for MultiFashion {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.part(split).1.pairs.len()
    }

    fn sample(&self, split: Split, _epoch: u64, index: usize) -> Result<Sample, DataError> {
        let (garments, part) = self.part(split);
        let Some(pair) = part.pairs.get(index) else {
            return Err(no_such_sample(&self.info, split, part.pairs.len(), index));
        };
        let class = |side: usize| Label::Class(usize::from(garments.labels()[pair[side]]));
        let labels = [(Self::LEFT.to_string(), class(0)), (Self::RIGHT.to_string(), class(1))];
        let pixels = self.pictures(split)[index * PIXELS..][..PIXELS].to_vec();
        Ok(Sample {
            image: Image { height: SIDE, width: SIDE, channels: 1, pixels: pixels.into() },
            class: None,
            objects: None,
            mask: None,
            more: BTreeMap::from(labels),
            inputs: BTreeMap::new(),
        })
    }
}

/// The indices of the first five sixths of each class, and of the last sixth.
fn hold_out_last_sixth(garments: &Garments) -> (Vec<usize>, Vec<usize>) {
    let mut left = [0; GARMENTS.len()];
    garments.labels().iter().for_each(|&class| left[usize::from(class)] += 1);
    let held_out = left.map(|count| count / HELD_OUT);
    (0..garments.len()).partition(|&place| {
        let class = usize::from(garments.labels()[place]);
        left[class] -= 1;
        left[class] >= held_out[class]
    })
}

/// Each garment in turn on the left, a random other one on the right.
fn draw_pairs(pool: &[usize], name: &str, pairs: usize) -> Vec<[usize; 2]> {
    let mut random = stream(FIXED_SEED, &format!("pairs to {name}"), 0, 0);
    let pair = |number: usize| {
        let left = number % pool.len();
        let right = (left + random.random_range(1..pool.len())) % pool.len();
        [pool[left], pool[right]]
    };
    (0..pairs).map(pair).collect()
}

/// Both pictures on the canvas: `[CANVAS, CANVAS]`.
fn canvas([left, right]: [&[u8]; 2]) -> Vec<u8> {
    let mut canvas = vec![0; CANVAS * CANVAS];
    for (picture, start) in [(left, 0), (right, SECOND)] {
        for (y, row) in picture.chunks_exact(SIDE).enumerate() {
            let place = (y + start) * CANVAS + start;
            let under = canvas[place..][..SIDE].iter_mut();
            under.zip(row).for_each(|(under, &pixel)| *under = pixel.max(*under));
        }
    }
    canvas
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    #[test]
    fn no_garment_is_in_two_splits_or_twice_in_a_pair_and_all_are_as_often_left() {
        let data = MultiFashion::embedded();
        let used = |split| data.part(split).1.pairs.iter().flatten().copied().collect::<BTreeSet<_>>();
        assert!(used(Split::Train).is_disjoint(&used(Split::Validation)));
        assert_eq!(used(Split::Train).len() + used(Split::Validation).len(), 10_000);
        for (split, count) in SPLITS.into_iter().zip(PAIRS) {
            let pairs = &data.part(split).1.pairs;
            assert_eq!((data.len(split), pairs.len()), (count, count));
            assert!(pairs.iter().all(|[left, right]| left != right));
            let mut lefts = BTreeMap::new();
            pairs.iter().for_each(|pair| *lefts.entry(pair[0]).or_insert(0) += 1);
            let (least, most) = (lefts.values().min().unwrap(), lefts.values().max().unwrap());
            assert!(most - least <= 1, "{least} to {most}");
        }
    }

    #[test]
    fn samples_have_both_classes_and_the_picture_of_their_pair() {
        let data = MultiFashion::embedded();
        let sample = data.sample(Split::Test, 3, 17).unwrap();
        let garments = &data.source.test;
        let pair = data.part(Split::Test).1.pairs[17];
        let class = |side: usize| Label::Class(usize::from(garments.labels()[pair[side]]));
        assert_eq!((&sample.more["left"], &sample.more["right"]), (&class(0), &class(1)));
        let canvas = canvas(pair.map(|place| garments.pixels(place)));
        // Corners of the canvas that one garment alone covers, and the black border.
        assert_eq!(canvas[..28], garments.pixels(pair[0])[..28]);
        assert_eq!(canvas[33 * CANVAS + 6..][..28], garments.pixels(pair[1])[27 * 28..]);
        assert!(canvas[34 * CANVAS..].iter().all(|&pixel| pixel == 0));
        let overlap = canvas[20 * CANVAS + 20];
        let [left, right] = [garments.pixels(pair[0])[20 * 28 + 20], garments.pixels(pair[1])[14 * 28 + 14]];
        assert_eq!(overlap, left.max(right));
        assert_eq!(sample.image.pixels[..], Shrink::new(CANVAS, SIDE).apply(&canvas));
        assert!(data.sample(Split::Test, 0, 10_000).is_err());
    }
}

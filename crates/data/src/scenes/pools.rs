//! The garments of each split, and the random streams of scenes.

use std::sync::Arc;

use cerberus_tensor::random::{Stream, stream};

use super::sprite::Cutout;
use crate::fashion_mnist::Garments;
use crate::{FashionMnist, GARMENTS, Split};

/// Validation and test scenes are the same for every run.
const FIXED_SEED: u64 = 0;

/// The garments of train, validation and test; no garment is in two of them.
pub(crate) struct Pools {
    source: Arc<FashionMnist>,
    pub cutouts: [Vec<Cutout>; 3],
}

impl Pools {
    /// The last tenth of each class of the training garments, in file order, validates.
    pub fn new(source: Arc<FashionMnist>) -> Pools {
        let (train, validation) = hold_out_last_tenth(&source.train);
        let test = Cutout::all(&source.test).collect();
        Pools { source, cutouts: [train, validation, test] }
    }

    /// The garments of a split and the file that they are in.
    pub fn of(&self, split: Split) -> (&Garments, &[Cutout]) {
        match split {
            Split::Train => (&self.source.train, &self.cutouts[0]),
            Split::Validation => (&self.source.train, &self.cutouts[1]),
            Split::Test => (&self.source.test, &self.cutouts[2]),
        }
    }
}

fn hold_out_last_tenth(garments: &Garments) -> (Vec<Cutout>, Vec<Cutout>) {
    let all: Vec<Cutout> = Cutout::all(garments).collect();
    let mut left = [0; GARMENTS.len()];
    for cutout in &all {
        left[cutout.class] += 1;
    }
    let held_out = left.map(|count| count / 10);
    all.into_iter().partition(|cutout| {
        let left = &mut left[cutout.class];
        *left -= 1;
        *left >= held_out[cutout.class]
    })
}

/// The random stream of scene `index` for one purpose: `what` is "scene" for the scenes themselves.
pub(crate) fn stream_of(seed: u64, what: &str, split: Split, epoch: u64, index: usize) -> Stream {
    let number = index as u64;
    match split {
        Split::Train => stream(seed, &format!("training {what}"), epoch, number),
        Split::Validation => stream(FIXED_SEED, &format!("validation {what}"), 0, number),
        Split::Test => stream(FIXED_SEED, &format!("test {what}"), 0, number),
    }
}

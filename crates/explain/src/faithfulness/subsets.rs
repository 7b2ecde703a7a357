//! Sensitivity-n: whether the sum of a map over any set of pixels tells what is lost without them.

use cerberus_tensor::random::stream;
use cerberus_tensor::{Element, Tensor};
use rand::seq::index::sample;

use super::ranks::pearson;
use crate::baseline::Baseline;
use crate::error::ExplainError;
use crate::explainer::{Explainer, Pictures};

/// The sets of pixels of [`Explainer::subset_drops`].
#[derive(Clone, Debug)]
pub struct Subsets<T: Element = f32> {
    /// How many sets of pixels are tried.
    pub count: usize,
    /// The share of the pixels that is in each, above 0 and below 1.
    pub share: f64,
    /// What is seen in place of the pixels.
    pub baseline: Baseline<T>,
    /// The seed of the sets, which are the same for each picture.
    pub seed: u64,
}

impl<T: Element> Default for Subsets<T> {
    /// 100 sets, as in the paper, of a tenth of the pixels, turned grey.
    fn default() -> Self {
        Self { count: 100, share: 0.1, baseline: Baseline::Zero, seed: 0 }
    }
}

/// What answers lose without sets of pixels.
#[derive(Clone, Debug)]
pub struct SubsetDrops {
    /// The pixels of each set.
    sets: Vec<Vec<usize>>,
    /// Answer, picture, set.
    drops: Vec<Vec<Vec<f64>>>,
}

impl SubsetDrops {
    /// Sensitivity-n of a map of an answer for a picture: Pearson's correlation over the sets `S` of `Σ_S map` and of
    /// what is lost without `S`, `f(x) - f(x without S)` (Ancona et al., "Towards better understanding of
    /// gradient-based attribution methods for deep neural networks", 2018). 1 if a linear function is
    /// explained by its terms. `None` if either is the same for all sets.
    ///
    /// # Panics
    /// If there is no such answer or picture, or the map is too small.
    #[track_caller]
    pub fn correlation<T: Element>(&self, answer: usize, picture: usize, map: &[T]) -> Option<f64> {
        let sum = |set: &Vec<usize>| set.iter().map(|&pixel| map[pixel].as_f64()).sum();
        let sums: Vec<f64> = self.sets.iter().map(sum).collect();
        pearson(&sums, &self.drops[answer][picture])
    }
}

impl<T: Element> Explainer<'_, T> {
    /// What every answer loses for every picture `[N, H, W, C]` when a set of its pixels is replaced by the baseline,
    /// for [sensitivity-n](SubsetDrops::correlation) of any number of maps. One forward pass for each set, and one for
    /// the picture.
    ///
    /// # Errors
    /// If there are fewer than 2 sets, the share is not between 0 and 1, or the baseline does not fit.
    pub fn subset_drops(&self, x: &Tensor<T>, options: &Subsets<T>) -> Result<SubsetDrops, ExplainError> {
        if options.count < 2 || !(options.share > 0.0 && options.share < 1.0) {
            return Err(ExplainError::Option(format!(
                "{} sets of a share of {} of the pixels have no correlation; take at least 2, and a share above 0 and below 1",
                options.count, options.share
            )));
        }
        let (pictures, cover) = (Pictures::of(x), Pictures::of(&options.baseline.of(x)?));
        let &[h, w, c] = &pictures.shape[..] else { unreachable!("pictures have three dimensions") };
        let size = ((h * w) as f64 * options.share).round().max(1.0) as usize;
        let sets: Vec<Vec<usize>> = (0..options.count as u64)
            .map(|set| {
                sample(&mut stream(options.seed, "subsets", 0, set), h * w, size.min(h * w)).into_vec()
            })
            .collect();
        let whole = self.answers(x);
        let mut drops = vec![vec![vec![0.0; sets.len()]; pictures.count]; whole.len()];
        self.answers_at(
            &pictures.shape,
            pictures.count * sets.len(),
            &mut |i, into| {
                let picture = i / sets.len();
                into.copy_from_slice(pictures.one(picture));
                for &pixel in &sets[i % sets.len()] {
                    into[pixel * c..][..c].copy_from_slice(&cover.one(picture)[pixel * c..][..c]);
                }
            },
            &mut |i, answers| {
                for (answer, value) in answers.iter().enumerate() {
                    drops[answer][i / sets.len()][i % sets.len()] = whole[answer][i / sets.len()] - value;
                }
            },
        );
        Ok(SubsetDrops { sets, drops })
    }
}

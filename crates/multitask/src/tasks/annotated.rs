//! Classes that a sample's data set does not annotate, which happens when sets with different classes are mixed.
//!
//! An image of such a set may show such a class without a label. A class is **judged** in an image if the set annotates
//! it or the image's label contains it anyway (as joined images may). The logits of a class that is not judged are
//! replaced by a constant so far below all others that its `exp` is 0: they have no probability, no loss and no
//! gradient. Batches in which everything is annotated are not changed.

use cerberus_autograd::Var;
use cerberus_data::{Batch, ClassId};
use cerberus_tensor::{Element, Tensor};

use super::Prediction;
use crate::head_config::HeadConfig;

/// The logit of a class that is not judged: its exponential is exactly 0, and sums with it stay finite.
const NEVER: f64 = -1e4;

/// Which classes of the head each image annotates; `None` if it annotates all, or if its list is for other classes.
pub(super) fn annotated<'a>(batch: &'a Batch, label: &str, classes: usize) -> Vec<Option<&'a [bool]>> {
    let partial = |known: &&[bool]| known.len() == classes && known.contains(&false);
    batch.annotated_of(label).into_iter().map(|known| known.filter(partial)).collect()
}

/// The same for the head of a loss; `None` if every image annotates all classes.
pub(super) fn partly_annotated<'a>(batch: &'a Batch, head: &HeadConfig) -> Option<Vec<Option<&'a [bool]>>> {
    let known = annotated(batch, &head.label, head.outputs());
    known.iter().any(Option::is_some).then_some(known)
}

/// Whether an image annotates a class.
pub(super) fn has(annotated: Option<&[bool]>, class: usize) -> bool {
    annotated.is_none_or(|known| known[class])
}

/// Which of the `len` logits `[N, .., C]` are judged: those of classes that their image annotates, and those for whose
/// place `shown` is true. `None` if all are.
pub(super) fn judged(
    batch: &Batch,
    head: &HeadConfig,
    len: usize,
    shown: impl Fn(usize) -> bool,
) -> Option<Vec<bool>> {
    let known = partly_annotated(batch, head)?;
    let (classes, of_image) = (head.outputs(), len / known.len());
    let judges = |place: usize| has(known[place / of_image], place % classes) || shown(place);
    Some((0..len).map(judges).collect())
}

/// Which of the logits `[N, pixels, C + 1]` of a mask are judged: at pixels of the background (class 0), those of
/// classes that the image annotates; at all other pixels, whose class is known, every one. `None` if all are.
pub(super) fn judged_pixels(batch: &Batch, head: &HeadConfig, target: &[ClassId]) -> Option<Vec<bool>> {
    let known = partly_annotated(batch, head)?;
    let of_image = target.len() / known.len();
    let pixel = |(place, &id): (usize, &ClassId)| {
        let known = known[place / of_image];
        (0..=head.outputs()).map(move |class| id != 0 || class == 0 || has(known, class - 1))
    };
    Some(target.iter().enumerate().flat_map(pixel).collect())
}

/// The logits with a constant in place of those that are not judged: `x m + (1 - m) c`, whose gradient is `m`.
pub(super) fn held<T: Element>(logits: Var<T>, judged: Option<&[bool]>) -> Var<T> {
    let Some(judged) = judged else { return logits };
    let shape = logits.shape().to_vec();
    let constant = |yes: T, no: T| {
        let values = judged.iter().map(|&judged| if judged { yes } else { no }).collect();
        Var::constant(Tensor::from_vec(values, &shape))
    };
    logits * constant(T::ONE, T::ZERO) + constant(T::ZERO, T::from_f64(NEVER))
}

/// Probabilities of the judged classes alone, scaled to sum to 1 unless all are 0.
pub(super) fn among(probabilities: &[f32], judged: impl Fn(usize) -> bool) -> Vec<f32> {
    if (0..probabilities.len()).all(&judged) {
        return probabilities.to_vec();
    }
    let of = |(class, &p): (usize, &f32)| if judged(class) { f64::from(p) } else { 0.0 };
    let left: Vec<f64> = probabilities.iter().enumerate().map(of).collect();
    let sum = left.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    left.into_iter().map(|p| (p / sum) as f32).collect()
}

impl Prediction {
    /// The part of this prediction that is judged, for the image at `place` of the batch. For classes that are not
    /// judged, probabilities are 0, objects are left out, and background pixels predicted as such a class become
    /// background. `None` if all of it is judged, because the image's set annotates every class.
    pub fn judged(&self, head: &HeadConfig, batch: &Batch, place: usize) -> Option<Prediction> {
        let label = &head.label;
        let known = annotated(batch, label, head.outputs())[place]?;
        Some(match self {
            Self::Classes(shares) => {
                let truth = batch.classes_of(label)[place];
                Self::Classes(among(shares, |class| known[class] || truth == Some(class)))
            }
            Self::ClassSet(shares) => {
                let truth = batch.class_sets_of(label)[place];
                let counts = |class: usize| known[class] || truth.is_some_and(|truth| truth[class]);
                Self::ClassSet(
                    shares.iter().enumerate().map(|(c, &p)| if counts(c) { p } else { 0.0 }).collect(),
                )
            }
            Self::Objects(found) => Self::Objects(found.iter().filter(|d| known[d.class]).copied().collect()),
            Self::Mask(found) => {
                let truth = batch.masks_of(label)[place]?;
                let open = |id: ClassId| id > 0 && !known[usize::from(id) - 1];
                let pixels = found.iter().zip(&truth.classes);
                Self::Mask(pixels.map(|(&id, &own)| if own == 0 && open(id) { 0 } else { id }).collect())
            }
            Self::Values(_) | Self::ValueMap(_) => return None,
        })
    }
}

//! The triplet loss: an anchor nearer to its own kind than to another.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
#[cfg(feature = "proofs")]
use cerberus_tensor::Tensor;
use serde::{Deserialize, Serialize};

#[cfg(feature = "proofs")]
use super::samples::*;
use super::{mean, pairs_of_vectors};

/// Added to each difference, as in PyTorch, so that equal vectors have a gradient.
const EPS: f64 = 1e-6;

/// The options of [`triplet_margin`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TripletMargin {
    /// By how much the negative must be further away than the positive; 1 by default.
    pub margin: f64,
    /// Whether the negative may also be compared with the positive, if that is nearer to it
    /// than the anchor is (Balntas et al., 2016); not by default.
    pub swap: bool,
}

impl Default for TripletMargin {
    fn default() -> Self {
        Self { margin: 1.0, swap: false }
    }
}

/// Triplet margin loss of vectors `[.., D]` (Schroff et al., "FaceNet", 2015, section 3.1, with
/// distances for their squares): the mean over triplets of
/// `max(0, |a - p| - |a - n| + margin)`, with `|a - p| = sqrt(sum (a - p + 1e-6)²)`; with `swap`
/// the smaller of `|a - n|` and `|p - n|` is taken. This is PyTorch's `triplet_margin_loss`
/// with `p=2` and `reduction="mean"`.
///
/// Where the term is positive, `da = dy/n ((a - p)/|a - p| - (a - n)/|a - n|)`,
/// `dp = -dy/n (a - p)/|a - p|`, `dn = dy/n (a - n)/|a - n|`.
pub struct TripletMarginLoss;

#[cfg(feature = "proofs")]
impl Proof for TripletMarginLoss {
    fn facts() -> Facts {
        Facts::new(
            "triplet_margin",
            Group::Loss,
            "y = mean of max(0, |a - p| - |a - n| + margin)",
            "da = dy/n ((a - p)/|a - p| - (a - n)/|a - n|) where the term is positive",
        )
        .shapes("anchors, positives and negatives [.., D], all of one shape")
        .torch("F.triplet_margin_loss")
        .composed()
        .kinks("0 at a term of 0")
    }

    fn cases() -> Vec<Case> {
        let inputs = || [105, 106, 107].map(|seed| sample(seed, &[4, 3])).to_vec();
        let case = |name: &str, options: TripletMargin| {
            let TripletMargin { margin, swap } = options;
            let swap = if swap { "True" } else { "False" };
            Case::new(format!("triplet_margin: {name}"), inputs(), move |x| {
                let [a, p, n] = cerberus_autograd::gradcheck::arguments(x);
                triplet_margin(a, p, n, &options)
            })
            .with_torch(format!("F.triplet_margin_loss(a, b, c, margin={margin}, swap={swap})"))
        };
        vec![
            case("the defaults", TripletMargin::default()),
            case("swap", TripletMargin { margin: 2.5, swap: true }),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(positive: &[usize], negative: &[usize]) {
            let [a, p, n] =
                [&[2, 3], positive, negative].map(|shape| Var::constant(Tensor::<f64>::zeros(shape)));
            let _ = triplet_margin(a, p, n, &TripletMargin::default());
        }
        let message = "triplet_margin: vectors must be [.., D], both of one shape, found [2, 3] and [3]";
        vec![ErrorCase::new(message, || of(&[3], &[2, 3])), ErrorCase::new(message, || of(&[2, 3], &[3]))]
    }

    fn large_cases() -> Vec<Case> {
        let [a, p, n] = [105, 106, 107].map(|seed| sample(seed, &[3001, 11]));
        vec![case!("triplet_margin", "", [a, p, n], |a, p, n| {
            triplet_margin(a, p, n, &TripletMargin::default())
        })]
    }
}

/// The mean triplet margin loss of `anchor`, `positive` and `negative`, `[.., D]`; see
/// [`TripletMarginLoss`] for the formula and its gradient. Without triplets it is 0.
///
/// # Panics
/// If the shapes differ or there is no dimension.
#[track_caller]
pub fn triplet_margin<T: Element>(
    anchor: Var<T>,
    positive: Var<T>,
    negative: Var<T>,
    options: &TripletMargin,
) -> Var<T> {
    let (axis, _) = pairs_of_vectors("triplet_margin", &anchor, &positive);
    pairs_of_vectors("triplet_margin", &anchor, &negative);
    let distance = |a: Var<T>, b: Var<T>| (a - b).affine(1.0, EPS).norm(&[axis]);
    let near = distance(anchor.clone(), positive.clone());
    let far = distance(anchor, negative.clone());
    let far = if options.swap { far.minimum(distance(positive, negative)) } else { far };
    mean((near - far).affine(1.0, options.margin).relu())
}

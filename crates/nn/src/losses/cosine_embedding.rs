//! The loss of pairs of vectors by their cosine.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
#[cfg(feature = "proofs")]
use cerberus_tensor::Tensor;

use super::cosine_similarity::cosine_similarity;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{assert_labels_of_pairs, mean, pairs_of_vectors};

/// Cosine embedding loss of pairs of vectors `a`, `b` `[.., D]`: the mean over pairs of
/// `1 - cos(a, b)` for pairs that belong together, `max(0, cos(a, b) - margin)` for others.
/// This is PyTorch's `cosine_embedding_loss` with `reduction="mean"`, whose target is 1
/// and -1, up to the treatment of vectors of nearly no length.
///
/// Its gradient is that of [`cosine_similarity`], times `-dy/n` or `dy/n` where the term is
/// not 0.
pub struct CosineEmbeddingLoss;

#[cfg(feature = "proofs")]
impl Proof for CosineEmbeddingLoss {
    fn facts() -> Facts {
        Facts::new(
            "cosine_embedding",
            Group::Loss,
            "y = mean of 1 - cos(a, b) of pairs, max(0, cos(a, b) - margin) of others",
            "that of cosine_similarity, with the sign of the term",
        )
        .shapes("vectors [.., D], both of one shape, a label for each pair")
        .torch("F.cosine_embedding_loss")
        .composed()
        .kinks("0 at cos(a, b) = margin")
    }

    fn cases() -> Vec<Case> {
        let same = [true, false, false, true, false];
        let case = |name: &str, margin: f64| {
            Case::binary(
                format!("cosine_embedding: {name}"),
                sample(103, &[5, 3]),
                sample(104, &[5, 3]),
                move |a, b| cosine_embedding(a, b, &same, margin),
            )
            .with_torch(format!(
                "F.cosine_embedding_loss(a, b, torch.tensor([1, -1, -1, 1, -1]), margin={margin})"
            ))
        };
        vec![case("no margin", 0.0), case("a margin", -0.5)]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(b: &[usize], same: &[bool]) {
            let [a, b] = [&[2, 3], b].map(|shape| Var::constant(Tensor::<f64>::zeros(shape)));
            let _ = cosine_embedding(a, b, same, 0.0);
        }
        vec![
            ErrorCase::new(
                "cosine_embedding: vectors must be [.., D], both of one shape, found [2, 3] and [2, 4]",
                || of(&[2, 4], &[true, true]),
            ),
            ErrorCase::new(
                "cosine_embedding: vectors of shape [2, 3] need one label for each of 2 pairs, found 3",
                || of(&[2, 3], &[true; 3]),
            ),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let same = || (0..3001).map(|i| i % 3 == 0).collect::<Vec<_>>();
        vec![case!("cosine_embedding", "", [sample(103, &[3001, 11]), sample(104, &[3001, 11])], |a, b| {
            cosine_embedding(a, b, &same(), 0.2)
        })]
    }
}

/// The mean cosine embedding loss of the pairs of vectors `a` and `b [.., D]`; `same` says for each
/// pair whether it belongs together. `margin` (PyTorch's default is 0) is the cosine above
/// which other pairs are pushed apart, from -1 to 1. See [`CosineEmbeddingLoss`] for the formula
/// and its gradient. Without pairs it is 0.
///
/// # Panics
/// If the shapes differ, there is no dimension, or there is not one label for each pair.
#[track_caller]
pub fn cosine_embedding<T: Element>(a: Var<T>, b: Var<T>, same: &[bool], margin: f64) -> Var<T> {
    const NAME: &str = "cosine_embedding";
    let (_, pairs) = pairs_of_vectors(NAME, &a, &b);
    assert_labels_of_pairs(NAME, a.shape(), pairs, same);
    let cosine = cosine_similarity(a, b).reshape(&[pairs]);
    let [together, apart] = super::indicators(same);
    let distance = cosine.clone().affine(-1.0, 1.0);
    mean(distance * Var::constant(together) + cosine.affine(1.0, -margin).relu() * Var::constant(apart))
}

//! The cosine of the angle between vectors.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use super::pairs_of_vectors;
#[cfg(feature = "proofs")]
use super::samples::*;

/// The least length that a vector is divided by, as in PyTorch.
const EPS: f64 = 1e-8;

/// Cosine similarity of vectors along the last dimension, `a` and `b` `[.., D]`:
/// `y = a/max(|a|, eps) . b/max(|b|, eps)`, `[..]`, `eps = 1e-8`. This is PyTorch's
/// `cosine_similarity`.
///
/// `da = dy (b/|b| - y a/|a|) / |a|`, and `db` likewise.
pub struct CosineSimilarity;

#[cfg(feature = "proofs")]
impl Proof for CosineSimilarity {
    fn facts() -> Facts {
        Facts::new("cosine_similarity", Group::Loss, "y = a·b / (|a| |b|)", "da = dy (b/|b| - y a/|a|) / |a|")
            .shapes("vectors [.., D], both of one shape; y is [..]")
            .torch("F.cosine_similarity")
            .composed()
            .large(&[&[3001, 11], &[3001, 11]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, a, b| {
            case!(format!("cosine_similarity{kind}"), "F.cosine_similarity(a, b, -1)", [a, b], |a, b| {
                cosine_similarity(a, b)
            })
        };
        vec![
            case("", sample(101, &[3, 4]), sample(102, &[3, 4])),
            case(": rank 3", sample(101, &[2, 2, 3]), sample(102, &[2, 2, 3])),
            case(": a vector of zeros", Tensor::zeros(&[1, 3]), sample(102, &[1, 3])).special(),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "cosine_similarity: vectors must be [.., D], both of one shape, found [2, 3] and [3]",
            || {
                let [a, b] = [&[2, 3][..], &[3]].map(|shape| Var::constant(Tensor::<f64>::zeros(shape)));
                let _ = cosine_similarity(a, b);
            },
        )]
    }
}

/// The cosine similarity of `a` and `b [.., D]` along the last dimension, `[..]`; see
/// [`CosineSimilarity`] for the formula and its gradient. It is 0 for a vector of zeros.
///
/// # Panics
/// If the shapes differ or there is no dimension.
#[track_caller]
pub fn cosine_similarity<T: Element>(a: Var<T>, b: Var<T>) -> Var<T> {
    let (axis, _) = pairs_of_vectors("cosine_similarity", &a, &b);
    (unit_vectors(a) * unit_vectors(b)).sum(&[axis])
}

/// Vectors along the last dimension, divided by their lengths.
pub(super) fn unit_vectors<T: Element>(x: Var<T>) -> Var<T> {
    let axis = x.shape().len() - 1;
    let least = Var::constant(Tensor::scalar(T::from_f64(EPS)));
    x.clone() / x.norm_keepdim(&[axis]).maximum(least)
}

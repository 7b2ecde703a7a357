//! The contrastive loss of pairs of vectors by their distance.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
#[cfg(feature = "proofs")]
use cerberus_tensor::Tensor;

#[cfg(feature = "proofs")]
use super::samples::*;
use super::{assert_labels_of_pairs, mean, pairs_of_vectors};

/// Contrastive loss of pairs of vectors `a`, `b` `[.., D]` (Hadsell, Chopra and LeCun,
/// "Dimensionality Reduction by Learning an Invariant Mapping", 2006, equation 4): with
/// `d = |a - b|`, the mean over pairs of `d²/2` for pairs that belong together,
/// `max(0, margin - d)²/2` for others.
///
/// `da = dy/n (a - b)` for pairs that belong together,
/// `-dy/n max(0, margin - d) (a - b)/d` for others (0 at `d = 0`); `db = -da`.
pub struct ContrastiveLoss;

#[cfg(feature = "proofs")]
impl Proof for ContrastiveLoss {
    fn facts() -> Facts {
        Facts::new(
            "contrastive",
            Group::Loss,
            "y = mean of d²/2 of pairs, max(0, margin - d)²/2 of others, d = |a - b|",
            "da = dy/n (a - b) or -dy/n max(0, margin - d) (a - b)/d",
        )
        .shapes("vectors [.., D], both of one shape, a label for each pair")
        .torch("none")
        .composed()
        .kinks("0 at d = 0 of a pair that does not belong together")
    }

    fn cases() -> Vec<Case> {
        let same = [true, false, false, true, false];
        let case = |name: &str, margin: f64| {
            Case::binary(
                format!("contrastive: {name}"),
                sample(108, &[5, 3]),
                sample(109, &[5, 3]),
                move |a, b| contrastive(a, b, &same, margin),
            )
            .with_torch(format!("contrastive(a, b, [1, 0, 0, 1, 0], {margin})"))
        };
        let equal = || Tensor::from_vec(vec![0.3, -0.4], &[1, 2]);
        vec![
            case("some beyond the margin", 2.0),
            case("none beyond the margin", 5.0),
            Case::binary("contrastive: equal vectors", equal(), equal(), |a, b| {
                contrastive(a, b, &[false], 1.0)
            })
            .with_torch("contrastive(a, b, [0], 1.0)")
            .special(),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(b: &[usize], same: &[bool]) {
            let [a, b] = [&[2, 3], b].map(|shape| Var::constant(Tensor::<f64>::zeros(shape)));
            let _ = contrastive(a, b, same, 1.0);
        }
        vec![
            ErrorCase::new(
                "contrastive: vectors must be [.., D], both of one shape, found [2, 3] and [3]",
                || of(&[3], &[true, true]),
            ),
            ErrorCase::new(
                "contrastive: vectors of shape [2, 3] need one label for each of 2 pairs, found 1",
                || of(&[2, 3], &[true]),
            ),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let same = || (0..3001).map(|i| i % 3 == 0).collect::<Vec<_>>();
        vec![case!("contrastive", "", [sample(108, &[3001, 11]), sample(109, &[3001, 11])], |a, b| {
            contrastive(a, b, &same(), 2.0)
        })]
    }
}

/// The mean contrastive loss of the pairs of vectors `a` and `b [.., D]`; `same` says for each
/// pair whether it belongs together, `margin` how far apart others are to be. See
/// [`ContrastiveLoss`] for the formula and its gradient. Without pairs it is 0.
///
/// # Panics
/// If the shapes differ, there is no dimension, or there is not one label for each pair.
#[track_caller]
pub fn contrastive<T: Element>(a: Var<T>, b: Var<T>, same: &[bool], margin: f64) -> Var<T> {
    let (axis, pairs) = pairs_of_vectors("contrastive", &a, &b);
    assert_labels_of_pairs("contrastive", a.shape(), pairs, same);
    let difference = a - b;
    let square = difference.clone().square().sum(&[axis]).reshape(&[pairs]);
    let missing = difference.norm(&[axis]).reshape(&[pairs]).affine(-1.0, margin).relu();
    let [together, apart] = super::indicators(same);
    mean(square * Var::constant(together) + missing.square() * Var::constant(apart)).scale(0.5)
}

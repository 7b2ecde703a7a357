//! Distances as distributions over whole numbers: the distribution focal loss and
//! the expectation that decodes it.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use super::given_probabilities::Watch;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{normaliser_or_count, spread};

static WATCH: Watch = Watch::softmax("distribution_focal");

/// Weighted distribution focal loss of logits `x [.., B]` with distances `t [..]` from 0 to
/// `B - 1` (Li et al., "Generalized Focal Loss", 2020, equation 6): with `S = softmax(x)` and
/// `l` the largest whole number not above `t`, at most `B - 2`,
/// `y = -1/N sum_i w_i ((l + 1 - t_i) ln S_il + (t_i - l) ln S_i,l+1)`.
///
/// `dx_ib = dy/N w_i (S_ib - (l + 1 - t_i) [b = l] - (t_i - l) [b = l + 1])`.
pub struct DistributionFocalLoss;

#[cfg(feature = "proofs")]
impl Proof for DistributionFocalLoss {
    fn facts() -> Facts {
        Facts::new(
            "distribution_focal",
            Group::Loss,
            "y = -Σ weight ((l + 1 - t) ln S[l] + (t - l) ln S[l + 1]) / normaliser, S = softmax(x), l = ⌊t⌋",
            "dx = dy weight (S - the two shares) / normaliser",
        )
        .shapes("logits [.., B], a distance for each row")
        .torch("none")
        .composed()
    }

    fn cases() -> Vec<Case> {
        let target = || Tensor::from_vec(vec![0.0, 1.3, 2.0, 3.0, 2.75, 0.5], &[3, 2]);
        let weights = || positive_sample(121, &[3, 1]);
        let mean = || format!("distribution_focal(a, {}).mean()", python(&target()));
        let sum = || format!("(distribution_focal(a, {}) * {})", python(&target()), python(&weights()));
        vec![
            Case::unary("distribution_focal: the mean", sample(122, &[3, 2, 4]), move |x| {
                distribution_focal(x, target(), None, None)
            })
            .with_torch(mean()),
            Case::unary("distribution_focal: weights", sample(123, &[3, 2, 4]), move |x| {
                distribution_focal(x, target(), Some(weights()), 2.5)
            })
            .with_torch(format!("{}.sum() / 2.5", sum())),
            Case::unary("distribution_focal: decoded", sample(124, &[3, 2, 4]), expected_distance)
                .with_torch("(torch.softmax(a, -1) * torch.arange(4.0, dtype=torch.float64)).sum(-1)"),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(x: &[usize], target: Tensor<f64>) {
            let _ = distribution_focal(Var::constant(Tensor::zeros(x)), target, None, None);
        }
        vec![
            ErrorCase::new(
                "distribution_focal: logits must be [.., B] with at least 2 bins, found [2, 1]",
                || of(&[2, 1], Tensor::zeros(&[2])),
            ),
            ErrorCase::new(
                "distribution_focal: logits of shape [2, 4] need distances of shape [2], found [2, 4]",
                || of(&[2, 4], Tensor::zeros(&[2, 4])),
            ),
            ErrorCase::new(
                "distribution_focal: the distance 3.5 at place 1 is outside 0 to 3, the bins of shape [2, 4]",
                || of(&[2, 4], Tensor::from_vec(vec![0.0, 3.5], &[2])),
            ),
            ErrorCase::new("expected_distance: logits of rank 0 have no bins", || {
                let _ = expected_distance(Var::constant(Tensor::<f64>::zeros(&[])));
            }),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let target = || positive_sample(122, &[3001]);
        vec![case!("distribution_focal", "", [sample(123, &[3001, 11])], |x| {
            distribution_focal(x, target().cast(), None, None)
        })]
    }
}

/// The weighted sum of the distribution focal losses of `logits [.., B]` with distances
/// `target [..]`, in units of a bin, divided by `normaliser` (`None`: their number); weights stretch
/// to the target's shape. See [`DistributionFocalLoss`] for the formula and its gradient, and
/// [`expected_distance`] for the way back.
///
/// # Panics
/// If there are fewer than 2 bins, the target does not have the shape of the logits without
/// the last dimension, a distance is outside 0 to `B - 1`, the weights do not stretch, or
/// the normaliser is not positive.
#[track_caller]
pub fn distribution_focal<T: Element>(
    logits: Var<T>,
    target: Tensor<T>,
    weights: Option<Tensor<T>>,
    normaliser: impl Into<Option<f64>>,
) -> Var<T> {
    const NAME: &str = "distribution_focal";
    let shape = logits.shape().to_vec();
    let Some((&bins, outer)) = shape.split_last().filter(|(bins, _)| **bins >= 2) else {
        panic!("{NAME}: logits must be [.., B] with at least 2 bins, found {shape:?}");
    };
    assert!(
        target.shape() == outer,
        "{NAME}: logits of shape {shape:?} need distances of shape {outer:?}, found {:?}",
        target.shape()
    );
    WATCH.look(logits.value());
    let normaliser = normaliser_or_count(NAME, normaliser, target.len());
    let weights = spread(NAME, outer, weights);
    let (target, last) = (target.contiguous(), (bins - 1) as f64);
    let mut places = Vec::with_capacity(2 * target.len());
    let mut shares = Vec::with_capacity(2 * target.len());
    for (row, t) in target.data().iter().map(|t| t.as_f64()).enumerate() {
        assert!(
            (0.0..=last).contains(&t),
            "{NAME}: the distance {t} at place {row} is outside 0 to {last}, the bins of shape {shape:?}"
        );
        let left = t.floor().min(last - 1.0);
        let weight = weights.as_ref().map_or(1.0, |weights| weights.data()[row].as_f64()) / normaliser;
        places.extend([0, 1].map(|bin| row * bins + left as usize + bin));
        shares.extend([left + 1.0 - t, t - left].map(|share| T::from_f64(-weight * share)));
    }
    let all = logits.value().len();
    let shares = Tensor::from_vec(shares, &[places.len()]);
    let logarithms = logits.log_softmax(shape.len() - 1).reshape(&[all]).index_select(0, &places);
    (logarithms * Var::constant(shares)).sum_all()
}

/// The distances that distributions stand for, `[..]` from `logits [.., B]`, in units of a bin
/// (Li et al., 2020, equation 5): `y = sum_b b softmax(x)_b`; `dx_b = dy softmax(x)_b (b - y)`.
///
/// # Panics
/// If there is no dimension.
#[track_caller]
pub fn expected_distance<T: Element>(logits: Var<T>) -> Var<T> {
    let Some(&bins) = logits.shape().last() else {
        panic!("expected_distance: logits of rank 0 have no bins");
    };
    let axis = logits.shape().len() - 1;
    let numbers = Tensor::from_fn(&[bins], |bin| T::from_f64(bin as f64));
    (logits.softmax(axis) * Var::constant(numbers)).sum(&[axis])
}

//! Contrastive losses with a softmax over a batch of vectors: supervised
//! contrastive, NT-Xent and InfoNCE.

use std::collections::HashMap;

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use super::cosine_similarity::unit_vectors;
use super::labels::ClassId;
use super::nll::nll;
use super::pairs_of_vectors;
#[cfg(feature = "proofs")]
use super::samples::*;

/// Supervised contrastive loss of vectors `x [M, D]` with class ids (Khosla et al., 2020,
/// equation 2): with `z = x/|x|`, `s_ij = z_i . z_j / temperature` and `P(i)` the other
/// vectors of the class of `i`, the mean over `i` with at least one such of
/// `-1/|P(i)| sum_{p in P(i)} (s_ip - ln sum_{a != i} exp(s_ia))`.
///
/// `ds_ij = dy/n (softmax_ij - [j in P(i)]/|P(i)|)` over `j != i`, for the `n` vectors `i` that
/// count; `dz_i = sum_j (ds_ij + ds_ji) z_j / temperature`.
pub struct SupervisedContrastiveLoss;

#[cfg(feature = "proofs")]
impl Proof for SupervisedContrastiveLoss {
    fn facts() -> Facts {
        Facts::new(
            "supervised_contrastive",
            Group::Loss,
            "y = mean over i and its positives p of ln Σ e^s_ia - s_ip, s the cosines / temperature",
            "ds = dy/n (softmax(s) - positives / their number)",
        )
        .shapes("vectors [M, D], a class id for each")
        .torch("none")
        .composed()
    }

    fn cases() -> Vec<Case> {
        let views = || (sample(113, &[3, 4]), sample(114, &[3, 4]));
        let (a, b) = views();
        let (queries, keys) = views();
        vec![
            Case::unary("supervised_contrastive", sample(111, &[6, 4]), |x| {
                supervised_contrastive(x, &[0u8, 1, 0, 1, 1, 7], 0.5)
            })
            .with_torch("supervised_contrastive(a, [0, 1, 0, 1, 1, 7], 0.5)"),
            Case::unary("supervised_contrastive: some unknown", sample(112, &[5, 3]), |x| {
                supervised_contrastive(x, &[0u8, 255, 0, 1, 255], 0.7)
            })
            .with_torch("supervised_contrastive(a[[0, 2, 3]], [0, 0, 1], 0.7)"),
            Case::unary("supervised_contrastive: no pair", sample(112, &[3, 3]), |x| {
                supervised_contrastive(x, &[0u8, 1, 2], 0.7)
            })
            .with_torch("a.sum() * 0")
            .zero_gradient(0),
            Case::binary("supervised_contrastive: NT-Xent", a, b, |a, b| nt_xent(a, b, 0.5))
                .with_torch("nt_xent(a, b, 0.5)"),
            Case::binary("supervised_contrastive: InfoNCE", queries, keys, |q, k| info_nce(q, k, 0.3))
                .with_torch("info_nce(a, b, 0.3)"),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn zeros(shape: &[usize]) -> Var<f64> {
            Var::constant(Tensor::zeros(shape))
        }
        vec![
            ErrorCase::new("supervised_contrastive: vectors must be [M, D], found [2, 3, 4]", || {
                let _ = supervised_contrastive(zeros(&[2, 3, 4]), &[0, 1], 1.0);
            }),
            ErrorCase::new(
                "supervised_contrastive: vectors of shape [2, 3] need one class id for each of 2, found 3",
                || {
                    let _ = supervised_contrastive(zeros(&[2, 3]), &[0, 1, 0], 1.0);
                },
            ),
            ErrorCase::new("nt_xent: vectors must be [M, D], found [2]", || {
                let _ = nt_xent(zeros(&[2]), zeros(&[2]), 1.0);
            }),
            ErrorCase::new(
                "info_nce: vectors must be [.., D], both of one shape, found [2, 3] and [3, 3]",
                || {
                    let _ = info_nce(zeros(&[2, 3]), zeros(&[3, 3]), 1.0);
                },
            ),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let ids = || (0..157).map(|i| i % 7).collect::<Vec<_>>();
        vec![case!("supervised_contrastive", "", [sample(111, &[157, 111])], |x| {
            supervised_contrastive(x, &ids(), 0.5)
        })]
    }
}

/// # Panics
/// Unless the vectors are `[M, D]` and the temperature is positive.
#[track_caller]
fn assert_batch<T: Element>(loss: &str, x: &Var<T>, temperature: f64) {
    assert!(x.shape().len() == 2, "{loss}: vectors must be [M, D], found {:?}", x.shape());
    assert!(
        temperature.is_finite() && temperature > 0.0,
        "{loss}: the temperature must be a positive number, found {temperature}"
    );
}

/// The supervised contrastive loss of `x [M, D]` with one [class id](ClassId) per vector;
/// vectors of unknown class are left out. The paper's `temperature` is 0.1. See
/// [`SupervisedContrastiveLoss`] for the formula and its gradient. It takes `M²` numbers of
/// memory. If no two vectors are of one class, it is 0.
///
/// # Panics
/// If the vectors are not `[M, D]`, there is not one id for each, or the temperature is not
/// positive.
#[track_caller]
pub fn supervised_contrastive<T: Element>(x: Var<T>, ids: &[impl ClassId], temperature: f64) -> Var<T> {
    const NAME: &str = "supervised_contrastive";
    assert_batch(NAME, &x, temperature);
    let count = x.shape()[0];
    assert!(
        ids.len() == count,
        "{NAME}: vectors of shape {:?} need one class id for each of {count}, found {}",
        x.shape(),
        ids.len()
    );
    let known = ids.iter().enumerate().filter_map(|(row, id)| Some((row, id.class()?)));
    let (rows, classes): (Vec<usize>, Vec<usize>) = known.unzip();
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    classes.iter().for_each(|&class| *sizes.entry(class).or_default() += 1);
    let anchors = classes.iter().filter(|class| sizes[class] > 1).count();
    if anchors == 0 {
        return x.sum_all().scale(0.0);
    }
    let z = unit_vectors(x.index_select(0, &rows));
    let count = rows.len();
    let similarities = z.clone().matmul(z.permute(&[1, 0])).scale(1.0 / temperature);
    // All (i, j) with j != i: the diagonal is left out of the softmax.
    let others: Vec<usize> = (0..count * count).filter(|place| place / count != place % count).collect();
    let weights = Tensor::from_fn(&[count, count - 1], |i| {
        let [own, other] = [others[i] / count, others[i] % count].map(|row| classes[row]);
        let positives = anchors as f64 * (sizes[&own] - 1) as f64;
        T::from_f64(if own == other { -1.0 / positives } else { 0.0 })
    });
    let others = similarities.reshape(&[count * count]).index_select(0, &others);
    (others.reshape(&[count, count - 1]).log_softmax(1) * Var::constant(weights)).sum_all()
}

/// NT-Xent, the loss of two views `a` and `b [N, D]` of the same `N` inputs (Chen et al.,
/// "SimCLR", 2020, equation 1): [`supervised_contrastive`] of all `2N` vectors, where the
/// other view is the only positive.
///
/// # Panics
/// If the views are not `[N, D]` of one shape, or the temperature is not positive.
#[track_caller]
pub fn nt_xent<T: Element>(a: Var<T>, b: Var<T>, temperature: f64) -> Var<T> {
    pairs_of_vectors("nt_xent", &a, &b);
    assert_batch("nt_xent", &a, temperature);
    let count = a.shape()[0];
    let ids: Vec<Option<usize>> = (0..2 * count).map(|row| Some(row % count)).collect();
    supervised_contrastive(Var::concat(vec![a, b], 0), &ids, temperature)
}

/// InfoNCE (van den Oord et al., "Representation Learning with Contrastive Predictive
/// Coding", 2018, equation 4) with cosines: the cross-entropy of finding for each of
/// `queries [N, D]` its key among all `keys [N, D]`, with the logits
/// `cos(query_i, key_j) / temperature`. CLIP (Radford et al., 2021) takes the mean of both
/// directions. Without queries it is 0.
///
/// # Panics
/// If queries and keys are not `[N, D]` of one shape, or the temperature is not positive.
#[track_caller]
pub fn info_nce<T: Element>(queries: Var<T>, keys: Var<T>, temperature: f64) -> Var<T> {
    pairs_of_vectors("info_nce", &queries, &keys);
    assert_batch("info_nce", &queries, temperature);
    let own: Vec<Option<usize>> = (0..queries.shape()[0]).map(Some).collect();
    let cosines = unit_vectors(queries).matmul(unit_vectors(keys).permute(&[1, 0]));
    nll(cosines.scale(1.0 / temperature).log_softmax(1), &own, None)
}

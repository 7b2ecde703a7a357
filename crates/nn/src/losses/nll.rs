//! The negative log-likelihood of class ids from logarithms of probabilities.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use super::labels::{ClassId, Targets, UNKNOWN, assert_class_weights};
#[cfg(feature = "proofs")]
use super::samples::*;

/// Negative log-likelihood of log-probabilities `x [.., C]` with class ids `t [..]`:
/// `y = -1/W sum_i w_t x_it` with class weights `w` and `W = sum_i w_t`, the sums over
/// elements that are not ignored. This is PyTorch's `nll_loss` with
/// `reduction="mean"`.
///
/// `dx_ic = -dy w_c / W` where `c` is the target of `i`, 0 elsewhere.
pub struct NllLoss;

#[cfg(feature = "proofs")]
impl Proof for NllLoss {
    fn facts() -> Facts {
        Facts::new(
            "nll",
            Group::Loss,
            "y = -Σ weight[target] x[target] / Σ weight[target]",
            "dx[target] = -dy weight[target] / Σ weight[target]",
        )
        .shapes("log-probabilities [.., C], a class id for each row")
        .torch("F.nll_loss")
        .composed()
    }

    fn cases() -> Vec<Case> {
        // The logarithm makes the second order more than a zero.
        let case = |name: &str, shape: &[usize], target: &'static [u8], weights: Option<&'static [f64]>| {
            let given = weights.map_or("None".to_string(), |weights| {
                python(&Tensor::from_vec(weights.to_vec(), &[weights.len()]))
            });
            let axis = shape.len() - 1;
            Case::unary(format!("nll: {name}"), sample(23, shape), move |x| {
                nll(x.log_softmax(axis), target, weights)
            })
            .with_torch(format!("nll(torch.log_softmax(a, -1), {target:?}, {given})"))
        };
        vec![
            case("rows", &[3, 5], &[0, 4, 2], None),
            case(
                "pixels, weights, some ignored",
                &[1, 2, 3, 3],
                &[255, 2, 0, 0, 255, 2],
                Some(&[1.0, 2.0, 0.5]),
            ),
            case("all ignored", &[2, 3], &[255, 255], None).zero_gradient(0),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(target: &[u8], weights: Option<&[f64]>) {
            let _ = nll(Var::constant(Tensor::<f64>::zeros(&[2, 3])), target, weights);
        }
        vec![
            ErrorCase::new(
                "nll: predictions of shape [2, 3] need one class id for each of 2 rows, found 1",
                || of(&[0], None),
            ),
            ErrorCase::new(
                "nll: predictions of shape [2, 3] need 3 finite, non-negative class weights, found [1.0, -1.0, 1.0]",
                || of(&[0, 1], Some(&[1.0, -1.0, 1.0])),
            ),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let target = || (0..3001).map(|i| (i % 11) as u8).collect::<Vec<_>>();
        vec![case!("nll", "", [sample(23, &[3001, 11])], |x| nll(x, &target(), None))]
    }
}

/// The mean negative log-likelihood of `log_probabilities [.., C]` (from
/// [`log_softmax`](Var::log_softmax), say) with one [class id](ClassId) per row and
/// a weight per class; rows of unknown class do not count. See [`NllLoss`] for the
/// formula and its gradient. [`cross_entropy`](super::cross_entropy) does this and the
/// softmax in one pass.
///
/// If no row counts (all unknown, or all of weight 0), the loss is 0 and so is its gradient.
///
/// # Panics
/// If there is not one id per row, an id is outside the classes, or there is not one
/// finite, non-negative weight per class.
#[track_caller]
pub fn nll<T: Element>(
    log_probabilities: Var<T>,
    target: &[impl ClassId],
    class_weights: Option<&[f64]>,
) -> Var<T> {
    let targets = Targets::new("nll", log_probabilities.shape(), target);
    assert_class_weights("nll", log_probabilities.shape(), class_weights);
    let classes = targets.counts.len();
    let known =
        targets.ids.iter().map(|&id| id as usize).enumerate().filter(|(_, id)| *id != UNKNOWN as usize);
    let (places, weights): (Vec<usize>, Vec<f64>) =
        known.map(|(row, id)| (row * classes + id, class_weights.map_or(1.0, |weights| weights[id]))).unzip();
    let total: f64 = weights.iter().sum();
    let scale = if total > 0.0 { -1.0 / total } else { 0.0 };
    let share = Tensor::from_fn(&[places.len()], |i| T::from_f64(weights[i] * scale));
    let all = log_probabilities.value().len();
    (log_probabilities.reshape(&[all]).index_select(0, &places) * Var::constant(share)).sum_all()
}

//! The Kullback-Leibler divergence of predicted distributions from given ones.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use super::assert_same_shape;
#[cfg(feature = "proofs")]
use super::samples::*;

/// The distributions that [`kl_div`] compares with, `[.., C]`.
#[derive(Clone, Debug)]
pub enum KlTarget<T: Element = f32> {
    /// As probabilities.
    Probabilities(Tensor<T>),
    /// As their logarithms.
    LogProbabilities(Tensor<T>),
}

/// Kullback-Leibler divergence of log-probabilities `x [.., C]` from probabilities
/// `t [.., C]`: `y = 1/R sum_i sum_c t_ic (ln t_ic - x_ic)` with `R` rows; where `t` is 0,
/// so is the term (Kullback and Leibler, 1951). For `[N, C]` this is PyTorch's `kl_div`
/// with `reduction="batchmean"`; its `"mean"` is smaller by the factor `C`.
///
/// `dx_ic = -dy/R t_ic`.
pub struct KlDivLoss;

#[cfg(feature = "proofs")]
impl Proof for KlDivLoss {
    fn facts() -> Facts {
        Facts::new("kl_div", Group::Loss, "y = Σ target (ln target - x) / rows", "dx = -dy target / rows")
            .shapes("log-probabilities [.., C] and distributions of the same shape")
            .torch("F.kl_div")
            .composed()
    }

    fn cases() -> Vec<Case> {
        let logits = || sample(25, &[2, 3, 4]);
        let log = move || Var::constant(logits()).log_softmax(2).into_value();
        let zeros = || Tensor::from_vec(vec![0.0, 0.3, 0.7, 1.0, 0.0, 0.0], &[2, 3]);
        let torch = |target: &Tensor<f64>, log_target: &str| {
            format!("kl_div(torch.log_softmax(a, -1), {}, {log_target})", python(target))
        };
        vec![
            Case::unary("kl_div: probabilities", sample(24, &[2, 3, 4]), move |x| {
                kl_div(x.log_softmax(2), KlTarget::Probabilities(log().map(f64::exp)))
            })
            .with_torch(torch(&log().map(f64::exp), "False")),
            Case::unary("kl_div: logarithms", sample(24, &[2, 3, 4]), move |x| {
                kl_div(x.log_softmax(2), KlTarget::LogProbabilities(log()))
            })
            .with_torch(torch(&log(), "True")),
            Case::unary("kl_div: zeros in the target", sample(26, &[2, 3]), move |x| {
                kl_div(x.log_softmax(1), KlTarget::Probabilities(zeros()))
            })
            .with_torch(torch(&zeros(), "False")),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "kl_div: predictions of shape [2, 3] need a target of the same shape, found [3]",
            || {
                let x = Var::constant(Tensor::<f64>::zeros(&[2, 3]));
                let _ = kl_div(x, KlTarget::Probabilities(Tensor::zeros(&[3])));
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || positive_sample(24, &[3001, 11]);
        vec![case!("kl_div", "", [sample(25, &[3001, 11])], |x| {
            kl_div(x, KlTarget::Probabilities(target().cast()))
        })]
    }
}

/// The mean Kullback-Leibler divergence of the rows of `log_probabilities [.., C]` from those
/// of `target`; see [`KlDivLoss`] for the formula and its gradient. Without rows it is 0.
/// No gradient flows into the target.
///
/// # Panics
/// If the target has another shape.
#[track_caller]
pub fn kl_div<T: Element>(log_probabilities: Var<T>, target: KlTarget<T>) -> Var<T> {
    let (target, log_target) = match target {
        KlTarget::Probabilities(t) => (t.clone(), t.map(|t| if t == T::ZERO { T::ZERO } else { t.ln() })),
        KlTarget::LogProbabilities(log) => (log.clone().map(T::exp), log),
    };
    assert_same_shape("kl_div", log_probabilities.shape(), "target", target.shape());
    let classes = log_probabilities.shape().last().copied().unwrap_or(1);
    let rows = (log_probabilities.value().len() / classes.max(1)).max(1) as f64;
    ((Var::constant(log_target) - log_probabilities) * Var::constant(target)).sum_all().scale(1.0 / rows)
}

//! The focal loss of a heatmap with Gaussian peaks.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};

use super::given_probabilities::Watch;
use super::logistic::logistic_loss;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, assert_normaliser, assert_same_shape, scaled};

static WATCH: Watch = Watch::sigmoid("gaussian_focal");

/// Penalty-reduced focal loss of heatmap logits `x` with a heatmap `t` from 0 to
/// 1, exactly 1 at the objects' centres, any shape (Law and Deng, 2018, equation
/// 1, with exponents 2 and 4): with `p = 1 / (1 + e⁻ˣ)`, `q = 1 - p`,
/// `y = -1/N [sum over t = 1 of q² ln p + sum over t < 1 of (1 - t)⁴ p² ln q]`.
///
/// `dx = dy/N q² (2 p ln p - q)` where `t = 1`, `dy/N (1 - t)⁴ p² (p - 2 q ln q)` elsewhere.
pub struct GaussianFocalLoss<T: Element = f64> {
    target: Tensor<T>,
    normaliser: f64,
    gradient: SavedGradient<T>,
}

impl<T: Element> Operation<T> for GaussianFocalLoss<T> {
    fn name(&self) -> &'static str {
        "gaussian_focal"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [logits] = inputs.take();
        let scale = T::from_f64(1.0 / self.normaliser);
        let two = T::from_f64(2.0);
        let target = self.target.data();
        let (loss, gradient) = logistic_loss(logits, |index, x| {
            if target[index] == T::ONE {
                let weight = scale * x.q * x.q;
                return (-weight * x.log_p, weight * (two * x.p * x.log_p - x.q));
            }
            let square = (T::ONE - target[index]) * (T::ONE - target[index]);
            let weight = scale * square * square * x.p * x.p;
            (-weight * x.log_q, weight * (x.p - two * x.q * x.log_q))
        });
        self.gradient = Some(gradient);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for GaussianFocalLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "gaussian_focal",
            Group::Loss,
            "the focal loss with soft penalties near a peak / normaliser",
            "the derivative of that, in one pass",
        )
        .shapes("predictions and targets of one shape")
        .torch("none")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let target = || {
            let soft = positive_sample(52, &[1, 3, 4, 2]).scale(0.6);
            let mut place = 0;
            Tensor::from_fn(&[1, 3, 4, 2], |i| {
                place += 1;
                if place % 7 == 0 { 1.0 } else { soft.data()[i] }
            })
        };
        vec![
            Case::unary("gaussian_focal: centres counted", sample(51, &[1, 3, 4, 2]).scale(2.0), move |x| {
                gaussian_focal(x, target(), None)
            })
            .with_torch(format!("gaussian_focal(a, {0}) / (({0}) == 1).sum()", python(&target()))),
            Case::unary("gaussian_focal: normaliser given", sample(53, &[1, 3, 4, 2]), move |x| {
                gaussian_focal(x, target(), Some(5.0))
            })
            .with_torch(format!("gaussian_focal(a, {}) / 5.0", python(&target()))),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "gaussian_focal: predictions of shape [2, 3] need a target of the same shape, found [3]",
            || {
                let _ =
                    gaussian_focal(Var::constant(Tensor::<f64>::zeros(&[2, 3])), Tensor::zeros(&[3]), None);
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || positive_sample(52, &[3001, 11]).map(|x| x.min(1.0));
        vec![case!("gaussian_focal", "", [sample(51, &[3001, 11])], |x| {
            gaussian_focal(x, target().cast(), None)
        })]
    }
}

/// The focal loss of heatmap `logits`, divided by `normaliser`: by default the
/// number of centres (elements of `target` that are exactly 1), at least 1.
/// See [`GaussianFocalLoss`] for the formula and its gradient.
///
/// # Panics
/// If the target has another shape, or the normaliser is not positive.
#[track_caller]
pub fn gaussian_focal<T: Element>(logits: Var<T>, target: Tensor<T>, normaliser: Option<f64>) -> Var<T> {
    assert_same_shape("gaussian_focal", logits.shape(), "target", target.shape());
    let target = target.contiguous();
    let centres = || target.data().iter().filter(|&&t| t == T::ONE).count().max(1) as f64;
    let normaliser = normaliser.unwrap_or_else(centres);
    assert_normaliser("gaussian_focal", normaliser);
    WATCH.look(logits.value());
    Var::apply(GaussianFocalLoss { target, normaliser, gradient: None }, vec![logits])
}

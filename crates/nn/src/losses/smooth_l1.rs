//! The smooth absolute error, and the plain one.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};

use super::pieces::rewrite_rows;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, assert_same_shape, normaliser_or_count, scaled, spread};

/// Weighted smooth absolute error of predictions `x` and targets `t`, any shape
/// (Girshick, 2015, equation 3, with the bend at `beta`):
/// `y = 1/N sum_i w_i s(x_i - t_i)`, `s(d) = d² / (2 beta)` where `|d| < beta`,
/// `|d| - beta/2` elsewhere.
///
/// `dx_i = dy/N w_i d/beta` where `|d| < beta`, `dy/N w_i sign(d)` elsewhere (0 at `d = 0`).
pub struct SmoothL1Loss<T: Element = f64> {
    target: Tensor<T>,
    weights: Option<Tensor<T>>,
    beta: f64,
    normaliser: f64,
    gradient: SavedGradient<T>,
}

impl<T: Element> Operation<T> for SmoothL1Loss<T> {
    fn name(&self) -> &'static str {
        "smooth_l1"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        let (beta, half) = (T::from_f64(self.beta), T::from_f64(0.5));
        let scale = T::from_f64(1.0 / self.normaliser);
        let (target, weights) = (self.target.data(), self.weights.as_ref().map(|w| w.data()));
        let (loss, gradient) = rewrite_rows(x, 1, |start, piece| {
            let mut sum = 0.0;
            for (place, x) in piece.iter_mut().enumerate() {
                let index = start + place;
                let weight = weights.map_or(scale, |w| scale * w[index]);
                let d = *x - target[index];
                let (loss, slope) = if d.abs() < beta {
                    (half * d * d / beta, d / beta)
                } else if d == T::ZERO {
                    (T::ZERO, T::ZERO)
                } else {
                    (d.abs() - half * beta, d.signum())
                };
                sum += (weight * loss).as_f64();
                *x = weight * slope;
            }
            sum
        });
        self.gradient = Some(gradient);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for SmoothL1Loss<T> {
    fn facts() -> Facts {
        Facts::new(
            "smooth_l1",
            Group::Loss,
            "y = Σ weight (d²/2beta where |d| < beta, |d| - beta/2 elsewhere) / normaliser",
            "dx = dy weight (d/beta or sign d) / normaliser",
        )
        .shapes("predictions and targets of one shape")
        .torch("F.smooth_l1_loss")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        // Differences from 0.05 to 1.5 and none near the bends at 0 and 0.62.
        let target = || sample(61, &[3, 4]) - sample(62, &[3, 4]);
        let weights = || positive_sample(63, &[3, 1]);
        let apart = |beta: f64| {
            sample(62, &[3, 4]).map(move |d| if (d.abs() - beta).abs() < 0.05 { d * 1.3 } else { d })
                + target()
        };
        vec![
            Case::unary("smooth_l1: both branches", apart(0.62), move |x| {
                smooth_l1(x, target(), 0.62, None, 2.0)
            })
            .with_torch(format!(
                "F.smooth_l1_loss(a, {}, reduction='sum', beta=0.62) / 2.0",
                python(&target())
            )),
            Case::unary("smooth_l1: weights", apart(0.3), move |x| {
                smooth_l1(x, target(), 0.3, Some(weights()), 1.0)
            })
            .with_torch(format!(
                "({} * F.smooth_l1_loss(a, {}, reduction='none', beta=0.3)).sum()",
                python(&weights()),
                python(&target())
            )),
            Case::unary("smooth_l1: plain l1", apart(0.0), move |x| l1(x, target(), None, 4.0))
                .with_torch(format!("F.l1_loss(a, {}, reduction='sum') / 4.0", python(&target()))),
            Case::unary("smooth_l1: the mean", apart(0.62), move |x| {
                smooth_l1(x, target(), 0.62, None, None)
            })
            .with_torch(format!("F.smooth_l1_loss(a, {}, beta=0.62)", python(&target()))),
            Case::unary("smooth_l1: the mean of l1", apart(0.0), move |x| l1(x, target(), None, None))
                .with_torch(format!("F.l1_loss(a, {})", python(&target()))),
            Case::unary("smooth_l1: huber", apart(0.4), move |x| huber(x, target(), 0.4, None, None))
                .with_torch(format!("F.huber_loss(a, {}, delta=0.4)", python(&target()))),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "smooth_l1: predictions of shape [2, 3] need a target of the same shape, found [3]",
            || {
                let _ = smooth_l1(
                    Var::constant(Tensor::<f64>::zeros(&[2, 3])),
                    Tensor::zeros(&[3]),
                    1.0,
                    None,
                    1.0,
                );
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || sample(61, &[3001, 11]);
        vec![case!("smooth_l1", "", [sample(62, &[3001, 11])], |x| {
            smooth_l1(x, target().cast(), 0.62, None, 1.0)
        })]
    }
}

/// The weighted sum of smooth absolute errors of `x` and `target`, divided by
/// `normaliser`; weights stretch to the shape of `x`. `None` as normaliser divides by the
/// number of elements, which gives PyTorch's mean; 1 gives the sum. See [`SmoothL1Loss`] for
/// the formula and its gradient.
///
/// # Panics
/// If the target has another shape, the weights do not stretch to it, the
/// normaliser is not positive or `beta` is negative.
#[track_caller]
pub fn smooth_l1<T: Element>(
    x: Var<T>,
    target: Tensor<T>,
    beta: f64,
    weights: Option<Tensor<T>>,
    normaliser: impl Into<Option<f64>>,
) -> Var<T> {
    assert_same_shape("smooth_l1", x.shape(), "target", target.shape());
    let normaliser = normaliser_or_count("smooth_l1", normaliser, x.value().len());
    assert!(beta >= 0.0, "smooth_l1: beta must be at least 0, found {beta}");
    let weights = spread("smooth_l1", x.shape(), weights);
    let operation = SmoothL1Loss { target: target.contiguous(), weights, beta, normaliser, gradient: None };
    Var::apply(operation, vec![x])
}

/// The weighted sum of absolute errors, divided by `normaliser`: [`smooth_l1`] with `beta = 0`.
///
/// # Panics
/// As [`smooth_l1`].
#[track_caller]
pub fn l1<T: Element>(
    x: Var<T>,
    target: Tensor<T>,
    weights: Option<Tensor<T>>,
    normaliser: impl Into<Option<f64>>,
) -> Var<T> {
    smooth_l1(x, target, 0.0, weights, normaliser)
}

/// The weighted sum of Huber's losses (Huber, 1964), divided by `normaliser`: `d² / 2` where
/// `|d| <= delta`, `delta (|d| - delta/2)` elsewhere. It is `delta` times [`smooth_l1`] with
/// `beta = delta`, as in PyTorch, and has the slope `d` at the centre for every `delta`.
///
/// # Panics
/// As [`smooth_l1`], and if `delta` is not positive.
#[track_caller]
pub fn huber<T: Element>(
    x: Var<T>,
    target: Tensor<T>,
    delta: f64,
    weights: Option<Tensor<T>>,
    normaliser: impl Into<Option<f64>>,
) -> Var<T> {
    assert!(delta > 0.0 && delta.is_finite(), "huber: delta must be a positive number, found {delta}");
    smooth_l1(x, target, delta, weights, normaliser).scale(delta)
}

//! Binary cross-entropy from logits.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};

use super::logistic::logistic_loss;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, assert_same_shape, scaled, spread};

/// Mean binary cross-entropy of logits `x` with targets `t` from 0 to 1, any shape:
/// `y = -1/n sum_i w_i (k t_i ln p_i + (1 - t_i) ln(1 - p_i))`, `p = 1 / (1 + e⁻ˣ)`,
/// with weights `w` and the weight `k` of positives. `n` counts all elements,
/// whatever their weights, as in PyTorch's `binary_cross_entropy_with_logits`.
///
/// `dx_i = dy/n w_i ((1 - t_i) p_i - k t_i (1 - p_i))`.
pub struct BinaryCrossEntropyLoss<T: Element = f64> {
    target: Tensor<T>,
    weight: Option<Tensor<T>>,
    pos_weight: f64,
    gradient: SavedGradient<T>,
}

impl<T: Element> Operation<T> for BinaryCrossEntropyLoss<T> {
    fn name(&self) -> &'static str {
        "binary_cross_entropy"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [logits] = inputs.take();
        let scale = T::from_f64(1.0 / logits.len().max(1) as f64);
        let positive = T::from_f64(self.pos_weight);
        let (target, weight) = (self.target.data(), self.weight.as_ref().map(|w| w.data()));
        let (loss, gradient) = logistic_loss(logits, |index, x| {
            let (t, rest) = (positive * target[index], T::ONE - target[index]);
            let weight = weight.map_or(scale, |w| scale * w[index]);
            (-weight * (t * x.log_p + rest * x.log_q), weight * (rest * x.p - t * x.q))
        });
        self.gradient = Some(gradient);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for BinaryCrossEntropyLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "binary_cross_entropy",
            Group::Loss,
            "y = Σ weight (softplus(x) - target x) / normaliser",
            "dx = dy weight (sigmoid(x) - target) / normaliser",
        )
        .shapes("predictions and targets of one shape")
        .torch("F.binary_cross_entropy_with_logits")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let target = || positive_sample(32, &[2, 3]).scale(0.6);
        let weights = || positive_sample(34, &[2, 1]);
        vec![
            Case::unary("binary_cross_entropy: soft targets", sample(31, &[2, 3]), move |x| {
                binary_cross_entropy(x, target(), None, None)
            })
            .with_torch(format!("F.binary_cross_entropy_with_logits(a, {})", python(&target()))),
            Case::unary("binary_cross_entropy: weights", sample(33, &[2, 3]).scale(3.0), move |x| {
                binary_cross_entropy(x, target(), Some(weights()), Some(3.0))
            })
            .with_torch(format!(
                "F.binary_cross_entropy_with_logits(a, {}, {}, pos_weight=constant([3.0], [1]))",
                python(&target()),
                python(&weights())
            )),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "binary_cross_entropy: predictions of shape [2, 3] need a target of the same shape, found [3]",
            || {
                let _ = binary_cross_entropy(
                    Var::constant(Tensor::<f64>::zeros(&[2, 3])),
                    Tensor::zeros(&[3]),
                    None,
                    None,
                );
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || positive_sample(32, &[3001, 11]).scale(0.6);
        vec![case!("binary_cross_entropy", "", [sample(31, &[3001, 11])], |x| {
            binary_cross_entropy(x, target().cast(), None, None)
        })]
    }
}

/// The mean binary cross-entropy of `logits` with `target`, with a `weight` per
/// element (stretched to the logits' shape) and `pos_weight` for the positive
/// part; see [`BinaryCrossEntropyLoss`] for the formula and its gradient. Without
/// elements it is 0.
///
/// # Panics
/// If the target has another shape, or the weight does not stretch to it.
#[track_caller]
pub fn binary_cross_entropy<T: Element>(
    logits: Var<T>,
    target: Tensor<T>,
    weight: Option<Tensor<T>>,
    pos_weight: Option<f64>,
) -> Var<T> {
    assert_same_shape("binary_cross_entropy", logits.shape(), "target", target.shape());
    let operation = BinaryCrossEntropyLoss {
        target: target.contiguous(),
        weight: spread("binary_cross_entropy", logits.shape(), weight),
        pos_weight: pos_weight.unwrap_or(1.0),
        gradient: None,
    };
    Var::apply(operation, vec![logits])
}

//! Binary cross-entropy from logits.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};

use super::given_probabilities::Watch;
use super::logistic::logistic_loss;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, assert_same_shape, scaled, spread};

static WATCH: Watch = Watch::sigmoid("binary_cross_entropy");

/// Mean binary cross-entropy of logits `x` with targets `t` from 0 to 1, any shape:
/// `y = -1/n sum_i w_i (k t_i ln p_i + (1 - t_i) ln(1 - p_i))`, `p = 1 / (1 + e⁻ˣ)`,
/// with weights `w` and the weight `k` of positives, the same for all or one per class. `n` counts all elements,
/// whatever their weights, as in PyTorch's `binary_cross_entropy_with_logits`.
///
/// `dx_i = dy/n w_i ((1 - t_i) p_i - k t_i (1 - p_i))`.
pub struct BinaryCrossEntropyLoss<T: Element = f64> {
    target: Tensor<T>,
    weight: Option<Tensor<T>>,
    /// One, or one for each class along the last dimension.
    pos_weight: Vec<T>,
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
        let positive = |index: usize| match &self.pos_weight[..] {
            [same] => *same,
            classes => classes[index % classes.len()],
        };
        let (target, weight) = (self.target.data(), self.weight.as_ref().map(|w| w.data()));
        let (loss, gradient) = logistic_loss(logits, |index, x| {
            let (t, rest) = (positive(index) * target[index], T::ONE - target[index]);
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
            Case::unary("binary_cross_entropy: weights of classes", sample(35, &[2, 3]), move |x| {
                binary_cross_entropy_with(x, target(), None, &[0.5, 2.0, 7.0])
            })
            .with_torch(format!(
                "F.binary_cross_entropy_with_logits(a, {}, pos_weight=constant([0.5, 2.0, 7.0], [3]))",
                python(&target())
            )),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(target: &[usize], pos_weight: &[f64]) {
            let x = Var::constant(Tensor::<f64>::zeros(&[2, 3]));
            let _ = binary_cross_entropy_with(x, Tensor::zeros(target), None, pos_weight);
        }
        vec![
            ErrorCase::new(
                "binary_cross_entropy: predictions of shape [2, 3] need a target of the same shape, found [3]",
                || of(&[3], &[1.0]),
            ),
            ErrorCase::new(
                "binary_cross_entropy: predictions of shape [2, 3] need one weight of positives for each class",
                || of(&[2, 3], &[1.0, 2.0]),
            ),
        ]
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
    binary_cross_entropy_with(logits, target, weight, &[pos_weight.unwrap_or(1.0)])
}

/// [`binary_cross_entropy`] with a weight of positives for each class along the last
/// dimension of `logits [.., C]`; a single one applies to all.
///
/// # Panics
/// As [`binary_cross_entropy`], and if there are not 1 or `C` weights of positives.
#[track_caller]
pub fn binary_cross_entropy_with<T: Element>(
    logits: Var<T>,
    target: Tensor<T>,
    weight: Option<Tensor<T>>,
    pos_weight: &[f64],
) -> Var<T> {
    let shape = logits.shape();
    assert_same_shape("binary_cross_entropy", shape, "target", target.shape());
    let fits = pos_weight.len() == 1 || Some(&pos_weight.len()) == shape.last();
    assert!(
        fits,
        "binary_cross_entropy: predictions of shape {shape:?} need one weight of positives for each class of the \
         last dimension, or one for all, found {}",
        pos_weight.len()
    );
    WATCH.look(logits.value());
    let operation = BinaryCrossEntropyLoss {
        target: target.contiguous(),
        weight: spread("binary_cross_entropy", shape, weight),
        pos_weight: pos_weight.iter().map(|&weight| T::from_f64(weight)).collect(),
        gradient: None,
    };
    Var::apply(operation, vec![logits])
}

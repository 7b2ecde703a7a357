//! The squared error.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, Var, one, one_var};
use cerberus_tensor::parallel::{PIECE, map_ranges};
use cerberus_tensor::{Element, Tensor};

#[cfg(feature = "proofs")]
use super::samples::*;
use super::{assert_same_shape, normaliser_or_count, spread};

/// Weighted squared error of predictions `x` and targets `t`, any shape:
/// `y = 1/N sum_i w_i (x_i - t_i)²`. Without weights and with the number of elements as
/// `N`, this is PyTorch's `mse_loss` with `reduction="mean"`.
///
/// `dx_i = 2 dy/N w_i (x_i - t_i)`.
pub struct MseLoss<T: Element = f64> {
    target: Tensor<T>,
    weights: Option<Tensor<T>>,
    normaliser: f64,
}

impl<T: Element> Operation<T> for MseLoss<T> {
    fn name(&self) -> &'static str {
        "mse"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        let x = x.contiguous();
        let (x, target, weights) = (x.data(), self.target.data(), self.weights.as_ref().map(|w| w.data()));
        let sums = map_ranges(x.len(), PIECE, |range| {
            let square = |i: usize| {
                let d = x[i] - target[i];
                (weights.map_or(T::ONE, |w| w[i]) * d * d).as_f64()
            };
            range.map(square).sum::<f64>()
        });
        Tensor::scalar(T::from_f64(sums.into_iter().sum::<f64>() / self.normaliser))
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let slope = dy.item() * T::from_f64(2.0 / self.normaliser);
        let dx = saved.input(0).zip(self.target.clone(), |x, t| slope * (x - t));
        one(match &self.weights {
            Some(weights) => dx * weights.clone(),
            None => dx,
        })
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let dx = (saved.input(0) - &self.target).scale(2.0 / self.normaliser) * dy;
        one_var(match &self.weights {
            Some(weights) => dx * weights,
            None => dx,
        })
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for MseLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "mse",
            Group::Loss,
            "y = Σ weight (x - target)² / normaliser",
            "dx = 2 dy weight (x - target) / normaliser",
        )
        .shapes("predictions and targets of one shape")
        .torch("F.mse_loss")
    }

    fn cases() -> Vec<Case> {
        let target = || sample(64, &[3, 4]);
        let weights = || positive_sample(66, &[3, 1]);
        vec![
            Case::unary("mse: the mean", sample(65, &[3, 4]), move |x| mse(x, target(), None, None))
                .with_torch(format!("F.mse_loss(a, {})", python(&target()))),
            Case::unary("mse: weights", sample(65, &[3, 4]), move |x| mse(x, target(), Some(weights()), 5.0))
                .with_torch(format!(
                    "({} * F.mse_loss(a, {}, reduction='none')).sum() / 5.0",
                    python(&weights()),
                    python(&target())
                )),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(target: &[usize], weights: Option<Tensor<f64>>) {
            let _ = mse(Var::constant(Tensor::<f64>::zeros(&[2, 3])), Tensor::zeros(target), weights, None);
        }
        vec![
            ErrorCase::new(
                "mse: predictions of shape [2, 3] need a target of the same shape, found [3]",
                || of(&[3], None),
            ),
            ErrorCase::new(
                "mse: weights of shape [2] do not stretch to the predictions' shape [2, 3]",
                || of(&[2, 3], Some(Tensor::zeros(&[2]))),
            ),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let target = || sample(64, &[3001, 11]);
        vec![case!("mse", "", [sample(65, &[3001, 11])], |x| mse(x, target().cast(), None, 7.0))]
    }
}

/// The weighted sum of squared errors of `x` and `target`, divided by `normaliser`; weights
/// stretch to the shape of `x`. `None` as normaliser divides by the number of elements,
/// which gives the mean; 1 gives the sum. See [`MseLoss`] for the formula and its gradient.
///
/// # Panics
/// If the target has another shape, the weights do not stretch to it or the normaliser
/// is not positive.
#[track_caller]
pub fn mse<T: Element>(
    x: Var<T>,
    target: Tensor<T>,
    weights: Option<Tensor<T>>,
    normaliser: impl Into<Option<f64>>,
) -> Var<T> {
    assert_same_shape("mse", x.shape(), "target", target.shape());
    let normaliser = normaliser_or_count("mse", normaliser, x.value().len());
    let weights = spread("mse", x.shape(), weights);
    Var::apply(MseLoss { target: target.contiguous(), weights, normaliser }, vec![x])
}

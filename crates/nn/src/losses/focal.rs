//! The focal loss for dense detection.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::given_probabilities::Watch;
use super::logistic::logistic_loss;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, assert_normaliser, assert_same_shape, scaled};

static WATCH: Watch = Watch::sigmoid("focal");

/// The options of [`focal`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Focal {
    /// The weight of positives; negatives have `1 - alpha`. 0.25 by default.
    pub alpha: f64,
    /// How strongly easy examples are down-weighted; 2 by default.
    pub gamma: f64,
}

impl Default for Focal {
    fn default() -> Self {
        Self { alpha: 0.25, gamma: 2.0 }
    }
}

/// Sigmoid focal loss of logits `x` with targets `t` of 0 or 1, any shape
/// (Lin et al., 2017, equation 5): with `p = 1 / (1 + e⁻ˣ)`, `q = 1 - p`,
/// `y = -1/N sum_i [t alpha q^gamma ln p + (1 - t) (1 - alpha) p^gamma ln q]`.
///
/// `dx = dy/N [t alpha q^gamma (gamma p ln p - q) + (1 - t) (1 - alpha) p^gamma (p - gamma q ln q)]`.
pub struct FocalLoss<T: Element = f64> {
    target: Tensor<T>,
    options: Focal,
    normaliser: f64,
    gradient: SavedGradient<T>,
}

impl<T: Element> Operation<T> for FocalLoss<T> {
    fn name(&self) -> &'static str {
        "focal"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [logits] = inputs.take();
        let Focal { alpha, gamma } = self.options;
        let positive = T::from_f64(alpha / self.normaliser);
        let negative = T::from_f64((1.0 - alpha) / self.normaliser);
        let square = gamma == 2.0;
        let gamma = T::from_f64(gamma);
        let power = |base: T| if square { base * base } else { base.powf(gamma) };
        let target = self.target.data();
        let (loss, gradient) = logistic_loss(logits, |index, x| {
            let t = target[index];
            let hit = t * positive * power(x.q);
            let miss = (T::ONE - t) * negative * power(x.p);
            let loss = -(hit * x.log_p + miss * x.log_q);
            (loss, hit * (gamma * x.p * x.log_p - x.q) + miss * (x.p - gamma * x.q * x.log_q))
        });
        self.gradient = Some(gradient);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for FocalLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "focal",
            Group::Loss,
            "y = Σ -alpha (1 - p)^gamma ln p / normaliser, p of the true class",
            "the derivative of that, in one pass",
        )
        .shapes("predictions and targets of one shape")
        .torch("torchvision.ops.sigmoid_focal_loss")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let target = || Tensor::from_fn(&[2, 4], |i| f64::from(u8::from(i % 3 == 0)));
        let case = |name: &str, options: Focal| {
            let Focal { alpha, gamma } = options;
            Case::unary(format!("focal: {name}"), sample(41, &[2, 4]).scale(2.0), move |x| {
                focal(x, target(), &options, 3.0)
            })
            .with_torch(format!("focal(a, {}, {alpha}, {gamma}) / 3.0", python(&target())))
        };
        vec![
            case("alpha 0.25, gamma 2", Focal::default()),
            case("alpha 0.6, gamma 1.5", Focal { alpha: 0.6, gamma: 1.5 }),
            case("gamma 0", Focal { alpha: 0.5, gamma: 0.0 }),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "focal: predictions of shape [2, 3] need a target of the same shape, found [3]",
            || {
                let _ = focal(
                    Var::constant(Tensor::<f64>::zeros(&[2, 3])),
                    Tensor::zeros(&[3]),
                    &Focal::default(),
                    1.0,
                );
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || sample(42, &[3001, 11]).map(|x| if x > 1.0 { 1.0 } else { 0.0 });
        vec![case!("focal", "", [sample(41, &[3001, 11])], |x| {
            focal(x, target().cast(), &Focal::default(), 3.0)
        })]
    }
}

/// The sum of the focal losses of all elements, divided by `normaliser`
/// (usually the number of positives, at least 1); see [`FocalLoss`] for the
/// formula and its gradient.
///
/// # Panics
/// If the target has another shape, or the normaliser or the options are out of range.
#[track_caller]
pub fn focal<T: Element>(logits: Var<T>, target: Tensor<T>, options: &Focal, normaliser: f64) -> Var<T> {
    assert_same_shape("focal", logits.shape(), "target", target.shape());
    assert_normaliser("focal", normaliser);
    assert!(
        (0.0..=1.0).contains(&options.alpha) && options.gamma >= 0.0,
        "focal: alpha must be 0 to 1 and gamma at least 0, found {options:?}"
    );
    WATCH.look(logits.value());
    let operation = FocalLoss { target: target.contiguous(), options: *options, normaliser, gradient: None };
    Var::apply(operation, vec![logits])
}

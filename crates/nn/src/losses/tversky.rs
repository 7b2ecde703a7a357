//! The Tversky loss of segmentation masks, plain and focal: Dice with a weight
//! for each kind of mistake.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var, one};
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::labels::ClassId;
use super::regions::Regions;
#[cfg(feature = "proofs")]
use super::samples::*;

/// Added to numerator and denominator, as in [`dice`](super::dice)'s linear form.
const SMOOTH: f64 = 1.0;
/// The least `1 - T` in the slope of the power: a `gamma` below 1 has no slope at 0.
const LEAST: f64 = 1e-7;

/// The options of [`tversky`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tversky {
    /// The weight of false positives; 0.3 by default, the best in the paper.
    pub alpha: f64,
    /// The weight of false negatives; 0.7 by default. 0.5 for both is Dice.
    pub beta: f64,
    /// The power that `1 - T` is raised to; 1 by default. 0.75 is what Abraham and Khan write as
    /// `gamma = 4/3`.
    pub gamma: f64,
}

impl Default for Tversky {
    fn default() -> Self {
        Self { alpha: 0.3, beta: 0.7, gamma: 1.0 }
    }
}

/// Tversky loss of probabilities `p [.., C]` with class ids `[..]`, taken as one-hot `y` (Salehi et
/// al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks", 2017):
/// `L = 1/K sum_c (1 - T_c)^gamma` over the `K` classes that are present in the target of the
/// batch, `T_c = (TP + 1) / (TP + alpha FP + beta FN + 1)` with `TP = sum p y`,
/// `FP = sum p (1 - y)`, `FN = sum (1 - p) y` over the pixels of the whole batch that are not
/// ignored. With `gamma` other than 1 it is the focal Tversky loss (Abraham and Khan, 2019).
///
/// With `T_c = A/B`: `dp_c = -dL/K gamma (1 - T_c)^(gamma - 1) (y_c/B - A/B² (y_c + alpha (1 - y_c) - beta y_c))`.
/// Zero for absent classes and ignored pixels.
pub struct TverskyLoss<T: Element = f64> {
    regions: Regions,
    options: Tversky,
    /// Per class, for `dL = 1`: what its own pixels get more than others, and what every pixel gets.
    slopes: Vec<[T; 2]>,
}

impl<T: Element> Operation<T> for TverskyLoss<T> {
    fn name(&self) -> &'static str {
        "tversky"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [p] = inputs.take();
        let Tversky { alpha, beta, gamma } = self.options;
        let sums = self.regions.sums(&p, false);
        let classes = self.regions.present();
        let mut loss = 0.0;
        let of_class = |(sums, &count): (&super::regions::Sums, &usize)| {
            if count == 0 {
                return [T::ZERO; 2];
            }
            let hits = sums.overlap;
            let above = hits + SMOOTH;
            let below = above + alpha * (sums.predicted - hits) + beta * (count as f64 - hits);
            let missing = (1.0 - above / below).max(0.0);
            loss += missing.powf(gamma) / classes;
            let power = gamma * missing.max(LEAST).powf(gamma - 1.0);
            // B grows by alpha with a probability anywhere, and by 1 - beta with one at its own pixel.
            let quotient = above / (below * below);
            [quotient * (1.0 - beta - alpha) - 1.0 / below, quotient * alpha]
                .map(|slope| T::from_f64(power * slope / classes))
        };
        self.slopes = sums.iter().zip(&self.regions.counts).map(of_class).collect();
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let dy = dy.item();
        let slopes: Vec<[T; 2]> = self.slopes.iter().map(|slopes| slopes.map(|slope| slope * dy)).collect();
        one(self.regions.gradient(&slopes, None))
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for TverskyLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "tversky",
            Group::Loss,
            "y = mean over classes of (1 - TP / (TP + alpha FP + beta FN))^gamma",
            "the derivative of that, in one pass",
        )
        .shapes("probabilities [.., C], a class id for each row")
        .torch("none")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, target: &'static [u8], options: Tversky| {
            let Tversky { alpha, beta, gamma } = options;
            Case::unary(format!("tversky: {name}"), positive_sample(73, &[2, 3, 3]).scale(0.6), move |p| {
                tversky(p, target, &options)
            })
            .with_torch(format!("tversky(a, {target:?}, {alpha}, {beta}, {gamma})"))
        };
        vec![
            case("every class", &[0, 1, 2, 2, 1, 0], Tversky::default()),
            case(
                "focal, a class absent, pixels ignored",
                &[0, 2, 255, 2, 2, 255],
                Tversky { gamma: 0.75, ..Tversky::default() },
            ),
            case("as Dice", &[0, 1, 255, 0, 1, 0], Tversky { alpha: 0.5, beta: 0.5, gamma: 2.0 }),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "tversky: predictions of shape [2, 3] need one class id for each of 2 rows, found 1",
            || {
                let p = Var::constant(Tensor::<f64>::zeros(&[2, 3]));
                let _ = tversky(p, &[0], &Tversky::default());
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || (0..3001).map(|i| (i % 11) as u8).collect::<Vec<_>>();
        vec![case!("tversky", "", [positive_sample(73, &[3001, 11]).scale(0.6)], |p| {
            tversky(p, &target(), &Tversky::default())
        })]
    }
}

/// The Tversky loss of `probabilities [.., C]` (from a softmax, say) with one class id per pixel;
/// see [`TverskyLoss`] for the formula and its gradient. Only classes with at least one pixel in the
/// target count. Without any class, loss and gradient are 0.
///
/// # Panics
/// If there is not one id per pixel, an id is outside the classes and not unknown, a weight is
/// negative, or `gamma` is not positive.
#[track_caller]
pub fn tversky<T: Element>(probabilities: Var<T>, target: &[impl ClassId], options: &Tversky) -> Var<T> {
    let Tversky { alpha, beta, gamma } = *options;
    assert!(
        alpha >= 0.0 && beta >= 0.0 && gamma > 0.0 && (alpha + beta + gamma).is_finite(),
        "tversky: alpha and beta must be at least 0 and gamma positive, found {options:?}"
    );
    let regions = Regions::new("tversky", probabilities.shape(), target);
    Var::apply(TverskyLoss { regions, options: *options, slopes: Vec::new() }, vec![probabilities])
}

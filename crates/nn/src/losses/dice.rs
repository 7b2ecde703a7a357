//! The soft Dice loss of segmentation masks.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var, one};
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::labels::ClassId;
use super::regions::Regions;
#[cfg(feature = "proofs")]
use super::samples::*;

/// Added to numerator and denominator in the linear form.
const SMOOTH: f64 = 1.0;
/// Added twice to the denominator in the squared form.
const EPS: f64 = 1e-3;

/// Which overlap [`dice`] measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiceForm {
    /// `(2 sum p y + 1) / (sum p + sum y + 1)`.
    #[default]
    Linear,
    /// `2 sum p y / (sum p² + sum y² + 2e-3)` (Milletari et al., 2016, section 3).
    Squared,
}

/// The options of [`dice_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dice {
    /// The measure of overlap.
    pub form: DiceForm,
}

/// Soft Dice loss of probabilities `p [.., C]` with class ids `[..]`, taken as
/// one-hot `y`: `L = 1 - 1/K sum_c D_c` over the `K` classes that are present in
/// the target of the batch, `D` as [`DiceForm`] says, with sums over the pixels
/// of the whole batch that are not ignored.
///
/// Linear form, with `D_c = A/B`: `dp_c = -dL/K (2 y_c/B - A/B²)`. Squared form:
/// `dp_c = -dL/K (2 y_c/B - 2 p_c A/B²)`. Zero for absent classes and ignored pixels.
pub struct DiceLoss<T: Element = f64> {
    regions: Regions,
    options: Dice,
    /// Per class, for `dL = 1`: the factors of `y` and of `1` (or `p`) in `dp`.
    slopes: Vec<[T; 2]>,
}

impl<T: Element> Operation<T> for DiceLoss<T> {
    fn name(&self) -> &'static str {
        "dice"
    }

    fn saves(&self) -> Saves {
        match self.options.form {
            DiceForm::Linear => Saves::NOTHING,
            DiceForm::Squared => Saves::inputs(&[0]),
        }
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [p] = inputs.take();
        let sums = self.regions.sums(&p, self.options.form == DiceForm::Squared);
        let classes = self.regions.present();
        let mut loss = 0.0;
        self.slopes = sums
            .iter()
            .zip(&self.regions.counts)
            .map(|(sums, &count)| {
                if count == 0 {
                    return [T::ZERO; 2];
                }
                let (above, below, per_p) = match self.options.form {
                    DiceForm::Linear => {
                        (2.0 * sums.overlap + SMOOTH, sums.predicted + count as f64 + SMOOTH, 1.0)
                    }
                    DiceForm::Squared => (2.0 * sums.overlap, sums.predicted + count as f64 + 2.0 * EPS, 2.0),
                };
                loss += (1.0 - above / below) / classes;
                [-2.0 / below, per_p * above / (below * below)].map(|slope| T::from_f64(slope / classes))
            })
            .collect();
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let dy = dy.item();
        let slopes: Vec<[T; 2]> = self.slopes.iter().map(|slopes| slopes.map(|slope| slope * dy)).collect();
        let p = (self.options.form == DiceForm::Squared).then(|| saved.input(0));
        one(self.regions.gradient(&slopes, p.as_ref()))
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for DiceLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "dice",
            Group::Loss,
            "y = 1 - mean over classes of the soft Dice coefficient",
            "the derivative of that, in one pass",
        )
        .shapes("probabilities [.., C], a class id for each row")
        .torch("none")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, target: &'static [u8], form: DiceForm| {
            Case::unary(format!("dice: {name}"), positive_sample(71, &[2, 3, 3]).scale(0.6), move |p| {
                dice_with(p, target, &Dice { form })
            })
            .with_torch(format!("dice(a, {target:?}, '{form:?}')"))
        };
        vec![
            case("every class", &[0, 1, 2, 2, 1, 0], DiceForm::Linear),
            case("a class absent, pixels ignored", &[0, 2, 255, 2, 2, 255], DiceForm::Linear),
            case("squared", &[0, 1, 255, 0, 1, 0], DiceForm::Squared),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "dice: predictions of shape [2, 3] need one class id for each of 2 rows, found 1",
            || {
                let _ = dice(Var::constant(Tensor::<f64>::zeros(&[2, 3])), &[0]);
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || (0..3001).map(|i| (i % 11) as u8).collect::<Vec<_>>();
        vec![case!("dice", "", [positive_sample(71, &[3001, 11]).scale(0.6)], |p| dice(p, &target()))]
    }
}

/// The soft Dice loss of `probabilities [.., C]` (from a softmax, say) with one
/// class id per pixel; see [`DiceLoss`] for the formula and its gradient.
///
/// Only classes with at least one pixel in the target count: for a class that is
/// absent from the batch there is nothing to overlap, and the smoothing would
/// only reward predicting nothing. Without any class, loss and gradient are 0.
///
/// # Panics
/// If there is not one id per pixel, or an id is outside the classes and not unknown.
#[track_caller]
pub fn dice<T: Element>(probabilities: Var<T>, target: &[impl ClassId]) -> Var<T> {
    dice_with(probabilities, target, &Dice::default())
}

/// [`dice`] in the form that `options` choose.
///
/// # Panics
/// As [`dice`].
#[track_caller]
pub fn dice_with<T: Element>(probabilities: Var<T>, target: &[impl ClassId], options: &Dice) -> Var<T> {
    let regions = Regions::new("dice", probabilities.shape(), target);
    Var::apply(DiceLoss { regions, options: *options, slopes: Vec::new() }, vec![probabilities])
}

//! The box overlap losses other than GIoU: IoU, DIoU and CIoU.
//!
//! Their gradients are computed in forward mode: every quantity is a number with
//! its four derivatives with respect to the predicted corners, and the formulas
//! are written once, as in the papers.

use std::ops::{Add, Div, Mul, Sub};

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::box_pairs::BoxPairs;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, scaled};

/// Keeps the quotients finite for boxes without area.
const EPS: f64 = 1e-7;
/// The smallest IoU inside the logarithm of [`BoxOverlap::Iou`].
const LEAST: f64 = 1e-6;

/// Which overlap [`box_iou`] measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BoxOverlap {
    /// `-ln(max(IoU, 1e-6))` (Yu et al., "UnitBox", 2016).
    Iou,
    /// `1 - IoU + d²/c²`, `d` the distance of the centres, `c` the diagonal of
    /// the enclosing box (Zheng et al., "Distance-IoU Loss", 2020, equation 7).
    Diou,
    /// DIoU and `alpha v`, `v = 4/pi² (atan(w*/h*) - atan(w/h))²`,
    /// `alpha = v/(1 - IoU + v)` taken as a constant (the same, equations 8 to 11).
    Ciou,
}

/// Weighted overlap loss of boxes `x [M, 4]` with boxes `t [M, 4]`, both as
/// `x1, y1, x2, y2`: `y = 1/N sum_i w_i loss(x_i, t_i)`, with the loss that
/// [`BoxOverlap`] names.
///
/// `dx_i = dy/N w_i dloss/dx_i`, by the chain rule through intersection, union,
/// enclosing box, centres and sides. Where the IoU is not above its lower limit of
/// 1e-6, the gradient is 0; where a predicted coordinate equals the target's, their
/// `max` and `min` have the derivative 1/2.
pub struct BoxIouLoss<T: Element = f64> {
    pairs: BoxPairs<T>,
    overlap: BoxOverlap,
    gradient: SavedGradient<T>,
}

/// A number and its derivatives with respect to the predicted corners.
#[derive(Clone, Copy)]
struct Dual {
    value: f64,
    slope: [f64; 4],
}

impl Dual {
    fn constant(value: f64) -> Self {
        Self { value, slope: [0.0; 4] }
    }

    fn corner(corner: usize, value: f64) -> Self {
        let mut slope = [0.0; 4];
        slope[corner] = 1.0;
        Self { value, slope }
    }

    /// A function of this number, given its value and its derivative here.
    fn map(self, value: f64, derivative: f64) -> Self {
        Self { value, slope: self.slope.map(|slope| slope * derivative) }
    }

    fn combine(self, other: Self, value: f64, [own, others]: [f64; 2]) -> Self {
        Self { value, slope: std::array::from_fn(|i| own * self.slope[i] + others * other.slope[i]) }
    }

    /// The larger of the two; if they are equal, its derivative is the mean of theirs.
    fn max(self, other: Self) -> Self {
        match self.value.partial_cmp(&other.value) {
            Some(std::cmp::Ordering::Less) => other,
            Some(std::cmp::Ordering::Equal) => self.combine(other, self.value, [0.5, 0.5]),
            _ => self,
        }
    }

    fn min(self, other: Self) -> Self {
        let negative = |x: Self| x.map(-x.value, -1.0);
        negative(negative(self).max(negative(other)))
    }

    fn square(self) -> Self {
        self * self
    }

    fn plus(self, value: f64) -> Self {
        Self { value: self.value + value, ..self }
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.combine(other, self.value + other.value, [1.0, 1.0])
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.combine(other, self.value - other.value, [1.0, -1.0])
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        self.combine(other, self.value * other.value, [other.value, self.value])
    }
}

impl Div for Dual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let quotient = self.value / other.value;
        self.combine(other, quotient, [1.0 / other.value, -quotient / other.value])
    }
}

/// The loss of two boxes, with its derivatives with respect to the first.
fn pair(overlap: BoxOverlap, x: [f64; 4], t: [f64; 4]) -> Dual {
    let zero = Dual::constant(0.0);
    let [x1, y1, x2, y2] = std::array::from_fn(|corner| Dual::corner(corner, x[corner]));
    let [tx1, ty1, tx2, ty2] = t.map(Dual::constant);
    let (w, h) = (x2 - x1, y2 - y1);
    let (tw, th) = (tx2 - tx1, ty2 - ty1);
    let meet = (x2.min(tx2) - x1.max(tx1)).max(zero) * (y2.min(ty2) - y1.max(ty1)).max(zero);
    let union = w * h + tw * th - meet;
    if overlap == BoxOverlap::Iou {
        let iou = meet / union;
        return match iou.value > LEAST {
            true => iou.map(-iou.value.ln(), -1.0 / iou.value),
            false => Dual::constant(-LEAST.ln()),
        };
    }
    let iou = meet / union.plus(EPS);
    let (across, down) = (x2.max(tx2) - x1.min(tx1), y2.max(ty2) - y1.min(ty1));
    let diagonal = (across.square() + down.square()).plus(EPS);
    // Twice the distance of the centres along each side.
    let (dx, dy) = (tx1 + tx2 - x1 - x2, ty1 + ty2 - y1 - y2);
    let distance = (dx.square() + dy.square()) * Dual::constant(0.25);
    let diou = Dual::constant(1.0) - iou + distance / diagonal;
    if overlap == BoxOverlap::Diou {
        return diou;
    }
    // The angle of a box's diagonal. Where the square of the ratio overflows, its slope is
    // taken as (h dw - w dh) / (w² + h²); a box without any extent has the angle 0.
    let angle = |w: Dual, h: Dual| {
        if w.value == 0.0 && h.value == 0.0 {
            return zero;
        }
        let ratio = w / h;
        let divisor = 1.0 + ratio.value * ratio.value;
        if divisor.is_finite() && h.value != 0.0 {
            return ratio.map(ratio.value.atan(), 1.0 / divisor);
        }
        let length = w.value.hypot(h.value);
        let slopes = [h.value / length / length, -w.value / length / length];
        w.combine(h, (w.value / h.value).atan(), slopes)
    };
    let scale = Dual::constant(4.0 / (std::f64::consts::PI * std::f64::consts::PI));
    let v = scale * (angle(tw, th) - angle(w, h)).square();
    let alpha = v.value / (1.0 - iou.value + v.value + EPS);
    diou + v * Dual::constant(alpha)
}

impl<T: Element> Operation<T> for BoxIouLoss<T> {
    fn name(&self) -> &'static str {
        "box_iou"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [boxes] = inputs.take();
        let (loss, gradient) = self.pairs.rewrite(boxes, |x, t| {
            let loss = pair(self.overlap, x, t);
            (loss.value, loss.slope)
        });
        self.gradient = Some(gradient);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for BoxIouLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "box_iou",
            Group::Loss,
            "y = Σ weight loss(box, target) / normaliser, loss of IoU, DIoU or CIoU",
            "the derivative of that, in one pass",
        )
        .shapes("boxes [M, 4]")
        .kinks("CIoU: a box without any extent has the angle 0 and no gradient through it")
        .torch("torchvision.ops.distance_box_iou_loss")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        // Overlapping, inside, around, and crossing.
        let boxes = |values: &[f64]| Tensor::from_vec(values.to_vec(), &[values.len() / 4, 4]);
        let x = boxes(&[1.0, 2.0, 2.5, 3.5, 0.6, 0.7, 1.4, 1.3, 0.0, 0.0, 2.0, 2.2, 0.0, 0.9, 3.0, 1.4]);
        let t = boxes(&[1.3, 1.6, 3.0, 3.2, 0.2, 0.3, 1.9, 1.8, 0.5, 0.4, 1.5, 1.5, 1.0, 0.1, 1.7, 2.5]);
        let weights = || Some(Tensor::from_vec(vec![0.5, 1.5, 0.0, 2.0], &[4]));
        let weighted = format!("{}).sum() / 3.0", python(&weights().expect("there are weights")));
        let case = |name: &str, torch: String, overlap: BoxOverlap, weights: Option<Tensor<f64>>| {
            let (target, normaliser) = (t.clone(), if weights.is_some() { 3.0 } else { 1.0 });
            Case::unary(format!("box_iou: {name}"), x.clone(), move |x| {
                box_iou(overlap, x, target.clone(), weights.clone(), normaliser)
            })
            .with_torch(torch)
        };
        let target = python(&t);
        vec![
            case("IoU", format!("box_losses('iou', a, {target}).sum()"), BoxOverlap::Iou, None),
            case(
                "DIoU, weights",
                format!("(box_losses('diou', a, {target}) * {weighted}"),
                BoxOverlap::Diou,
                weights(),
            ),
            // The gradient takes alpha as a constant, finite differences do not: only PyTorch checks it.
            case("CIoU", format!("box_losses('ciou', a, {target}).sum()"), BoxOverlap::Ciou, None).special(),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("box_iou: boxes must be [M, 4], found [2, 3]", || {
            let x = Var::constant(Tensor::<f64>::zeros(&[2, 3]));
            let _ = box_iou(BoxOverlap::Iou, x, Tensor::zeros(&[2, 3]), None, 1.0);
        })]
    }

    fn large_cases() -> Vec<Case> {
        let boxes = |seed| sample_boxes(seed, 9001);
        vec![case!("box_iou", "", [boxes(1)], |x| box_iou(BoxOverlap::Diou, x, boxes(2).cast(), None, 1.0))]
    }
}

/// The weighted sum of the overlap losses of aligned boxes `[M, 4]`
/// (`x1, y1, x2, y2`, with `x1 <= x2` and `y1 <= y2`), divided by `normaliser`,
/// with optional weights `[M]`, one per box. See [`BoxIouLoss`].
///
/// # Panics
/// If the boxes are not `[M, 4]` in both tensors, the weights not `[M]`, or the
/// normaliser not positive.
#[track_caller]
pub fn box_iou<T: Element>(
    overlap: BoxOverlap,
    boxes: Var<T>,
    target: Tensor<T>,
    weights: Option<Tensor<T>>,
    normaliser: f64,
) -> Var<T> {
    let pairs = BoxPairs::new("box_iou", boxes.shape(), target, weights, normaliser);
    Var::apply(BoxIouLoss { pairs, overlap, gradient: None }, vec![boxes])
}

//! The generalised intersection-over-union loss of boxes.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};

use super::box_pairs::BoxPairs;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, scaled};

/// Keeps the quotients finite for boxes without area.
const EPS: f64 = 1e-7;

/// Weighted GIoU loss of boxes `x [M, 4]` with boxes `t [M, 4]`, both as
/// `x1, y1, x2, y2` (Rezatofighi et al., 2019, algorithm 1): with intersection
/// `I`, union `U` and enclosing box `C` of a pair,
/// `y = 1/N sum_i w_i (1 - I/(U + eps) + (C - U)/(C + eps))`, `eps = 1e-7`.
///
/// `dx = dy/N w [-dI/(U + eps) + I dU/(U + eps)² - dU/(C + eps) + (U + eps) dC/(C + eps)²]`,
/// where `dI`, `dU`, `dC` are the areas' derivatives with respect to the predicted corners;
/// where a predicted coordinate equals the target's, their `max` and `min` have the derivative
/// 1/2.
pub struct GiouLoss<T: Element = f64> {
    pairs: BoxPairs<T>,
    gradient: SavedGradient<T>,
}

/// The derivative of `max(a, b)` with respect to `a`.
fn share_of_larger(a: f64, b: f64) -> f64 {
    match a.partial_cmp(&b) {
        Some(std::cmp::Ordering::Greater) => 1.0,
        Some(std::cmp::Ordering::Less) => 0.0,
        _ => 0.5,
    }
}

/// One axis of a pair of boxes: the lengths of the overlap, of the enclosing box
/// and of both boxes, and the derivatives of the first two with respect to the
/// predicted start and end.
struct Side {
    overlap: f64,
    enclosing: f64,
    length: f64,
    target_length: f64,
    /// Derivatives of `overlap` and `enclosing` with respect to [start, end].
    d_overlap: [f64; 2],
    d_enclosing: [f64; 2],
}

impl Side {
    fn new([start, end]: [f64; 2], [target_start, target_end]: [f64; 2]) -> Self {
        let later = share_of_larger(start, target_start);
        let further = share_of_larger(end, target_end);
        Self {
            overlap: end.min(target_end) - start.max(target_start),
            enclosing: end.max(target_end) - start.min(target_start),
            length: end - start,
            target_length: target_end - target_start,
            d_overlap: [-later, 1.0 - further],
            d_enclosing: [later - 1.0, further],
        }
    }
}

/// `1 - GIoU` of two boxes and its gradient with respect to the first.
fn pair(x: [f64; 4], t: [f64; 4]) -> (f64, [f64; 4]) {
    let sides = [Side::new([x[0], x[2]], [t[0], t[2]]), Side::new([x[1], x[3]], [t[1], t[3]])];
    let [w, h] = &sides;
    let meet = w.overlap > 0.0 && h.overlap > 0.0;
    let intersection = if meet { w.overlap * h.overlap } else { 0.0 };
    let union = w.length * h.length + w.target_length * h.target_length - intersection;
    let enclosing = w.enclosing * h.enclosing;
    let (u, c) = (union + EPS, enclosing + EPS);
    let loss = 1.0 - intersection / u + (enclosing - union) / c;

    let mut gradient = [0.0; 4];
    for (axis, side) in sides.iter().enumerate() {
        let across = &sides[1 - axis];
        for corner in 0..2 {
            let d_intersection = if meet { side.d_overlap[corner] * across.overlap } else { 0.0 };
            let d_length = if corner == 0 { -1.0 } else { 1.0 };
            let d_union = d_length * across.length - d_intersection;
            let d_enclosing = side.d_enclosing[corner] * across.enclosing;
            // (C - U)/(C + eps) = 1 - (U + eps)/(C + eps).
            gradient[2 * corner + axis] = -d_intersection / u + intersection * d_union / (u * u)
                - d_union / c
                + u * d_enclosing / (c * c);
        }
    }
    (loss, gradient)
}

impl<T: Element> Operation<T> for GiouLoss<T> {
    fn name(&self) -> &'static str {
        "giou"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [boxes] = inputs.take();
        let (loss, gradient) = self.pairs.rewrite(boxes, pair);
        self.gradient = Some(gradient);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for GiouLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "giou",
            Group::Loss,
            "y = Σ weight (1 - GIoU) / normaliser",
            "the derivative of that, in one pass",
        )
        .shapes("boxes [M, 4]")
        .torch("torchvision.ops.generalized_box_iou_loss")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        // Overlapping, apart, inside, around, and crossing.
        let boxes = |values: &[f64]| Tensor::from_vec(values.to_vec(), &[values.len() / 4, 4]);
        let x = boxes(&[
            1.0, 2.0, 2.5, 3.5, 0.1, 0.2, 1.1, 1.3, 0.6, 0.7, 1.4, 1.3, 0.0, 0.0, 2.0, 2.2, 0.0, 0.9, 3.0,
            1.4,
        ]);
        let t = boxes(&[
            1.3, 1.6, 3.0, 3.2, 1.5, 1.7, 2.2, 2.9, 0.2, 0.3, 1.9, 1.8, 0.5, 0.4, 1.5, 1.5, 1.0, 0.1, 1.7,
            2.5,
        ]);
        let (weighted, target) = (t.clone(), python(&t));
        let weights = || Tensor::from_vec(vec![0.5, 1.5, 0.0, 2.0, 1.0], &[5]);
        vec![
            Case::unary("giou", x.clone(), move |x| giou(x, t.clone(), None, 1.0))
                .with_torch(format!("box_losses('giou', a, {target}).sum()")),
            Case::unary("giou: weights", x, move |x| giou(x, weighted.clone(), Some(weights()), 5.0))
                .with_torch(format!(
                    "(box_losses('giou', a, {target}) * {}).sum() / 5.0",
                    python(&weights())
                )),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("giou: boxes must be [M, 4], found [2, 3]", || {
            let _ = giou(Var::constant(Tensor::<f64>::zeros(&[2, 3])), Tensor::zeros(&[2, 3]), None, 1.0);
        })]
    }

    fn large_cases() -> Vec<Case> {
        let boxes = |seed| sample_boxes(seed, 9001);
        vec![case!("giou", "", [boxes(1)], |x| giou(x, boxes(2).cast(), None, 1.0))]
    }
}

/// The weighted sum of `1 - GIoU` of aligned boxes `[M, 4]` (`x1, y1, x2, y2`,
/// with `x1 <= x2` and `y1 <= y2`), divided by `normaliser`, with optional
/// weights `[M]`, one per box. See [`GiouLoss`] for the formula and its gradient.
///
/// # Panics
/// If the boxes are not `[M, 4]` in both tensors, the weights not `[M]`, or the
/// normaliser not positive.
#[track_caller]
pub fn giou<T: Element>(
    boxes: Var<T>,
    target: Tensor<T>,
    weights: Option<Tensor<T>>,
    normaliser: f64,
) -> Var<T> {
    let pairs = BoxPairs::new("giou", boxes.shape(), target, weights, normaliser);
    Var::apply(GiouLoss { pairs, gradient: None }, vec![boxes])
}

//! The hinge loss of several classes.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::labels::{ClassId, Targets, UNKNOWN, assert_class_weights};
#[cfg(feature = "proofs")]
use super::samples::*;

/// The options of [`multi_margin`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiMargin {
    /// By how much the true class's score must exceed every other; 1 by default.
    pub margin: f64,
    /// Whether the terms are squared (PyTorch's `p=2`); not by default.
    pub squared: bool,
    /// A weight per class; all 1 if left out.
    pub class_weights: Option<Vec<f64>>,
}

impl Default for MultiMargin {
    fn default() -> Self {
        Self { margin: 1.0, squared: false, class_weights: None }
    }
}

/// Multi-class hinge loss of scores `x [.., C]` with class ids `t [..]` (Crammer and
/// Singer, 2001, with a sum over the other classes as Weston and Watkins, 1999):
/// `y = 1/(R C) sum_i w_t sum_{c != t} max(0, margin - x_it + x_ic)^p`, `p` 1 or 2, over the `R`
/// rows that are not ignored. This is PyTorch's `multi_margin_loss` with
/// `reduction="mean"`, which divides by the number of rows, not by their weights.
///
/// `dx_ic = dy/(R C) w_t p max(0, margin - x_it + x_ic)^(p - 1)` for the other classes whose
/// term is positive; the true class gets the negative of their sum.
pub struct MultiMarginLoss;

#[cfg(feature = "proofs")]
impl Proof for MultiMarginLoss {
    fn facts() -> Facts {
        Facts::new(
            "multi_margin",
            Group::Loss,
            "y = Σ weight[target] max(0, margin - x[target] + x)ᵖ / (rows C), over the other classes",
            "the derivative of that",
        )
        .shapes("scores [.., C], a class id for each row")
        .torch("F.multi_margin_loss")
        .composed()
        .kinks("0 at a term of 0")
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, shape: &[usize], target: &'static [u8], options: MultiMargin| {
            let weights = options.class_weights.as_ref().map_or("None".to_string(), |weights| {
                python(&Tensor::from_vec(weights.clone(), &[weights.len()]))
            });
            let (p, margin) = (1 + u8::from(options.squared), options.margin);
            Case::unary(format!("multi_margin: {name}"), sample(94, shape), move |x| {
                multi_margin(x, target, &options)
            })
            .with_torch(format!("multi_margin(a, {target:?}, {p}, {margin}, {weights})"))
        };
        let class_weights = Some(vec![0.5, 2.0, 1.0]);
        vec![
            case("rows", &[3, 5], &[0, 4, 2], MultiMargin::default()),
            case(
                "squared, weights, some ignored",
                &[2, 2, 3],
                &[1, 255, 0, 2],
                MultiMargin { margin: 0.7, squared: true, class_weights },
            ),
            case("all ignored", &[2, 3], &[255, 255], MultiMargin::default()).zero_gradient(0),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(target: &[u8], class_weights: Option<Vec<f64>>) {
            let x = Var::constant(Tensor::<f64>::zeros(&[2, 3]));
            let _ = multi_margin(x, target, &MultiMargin { class_weights, ..Default::default() });
        }
        vec![
            ErrorCase::new(
                "multi_margin: predictions of shape [2, 3] need one class id for each of 2 rows, found 1",
                || of(&[0], None),
            ),
            ErrorCase::new(
                "multi_margin: predictions of shape [2, 3] need 3 finite, non-negative class weights, found [2.0]",
                || of(&[0, 1], Some(vec![2.0])),
            ),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let target = || (0..3001).map(|i| (i % 11) as u8).collect::<Vec<_>>();
        vec![case!("multi_margin", "", [sample(94, &[3001, 11])], |x| {
            multi_margin(x, &target(), &MultiMargin::default())
        })]
    }
}

/// The mean multi-class hinge loss of scores `x [.., C]` with one [class id](ClassId) per row;
/// rows of unknown class do not count. See [`MultiMarginLoss`] for the formula and its
/// gradient. If no row counts, the loss is 0 and so is its gradient.
///
/// # Panics
/// If there is not one id per row, an id is outside the classes, or there is not one
/// finite, non-negative weight per class.
#[track_caller]
pub fn multi_margin<T: Element>(x: Var<T>, target: &[impl ClassId], options: &MultiMargin) -> Var<T> {
    let targets = Targets::new("multi_margin", x.shape(), target);
    assert_class_weights("multi_margin", x.shape(), options.class_weights.as_deref());
    let (rows, classes) = (targets.ids.len(), targets.counts.len());
    let known: Vec<usize> = (0..rows).filter(|&row| targets.ids[row] != UNKNOWN).collect();
    let ids: Vec<usize> = known.iter().map(|&row| targets.ids[row] as usize).collect();
    let x = x.reshape(&[rows, classes]).index_select(0, &known);
    let own: Vec<usize> = ids.iter().enumerate().map(|(row, &id)| row * classes + id).collect();
    let own = x.clone().reshape(&[ids.len() * classes]).index_select(0, &own).reshape(&[ids.len(), 1]);
    let terms = (x - own).affine(1.0, options.margin).relu();
    let terms = if options.squared { terms.square() } else { terms };
    // weights: [rows, C], 0 for the true class itself.
    let count = (ids.len() * classes).max(1) as f64;
    let weight = |id: usize| options.class_weights.as_ref().map_or(1.0, |weights| weights[id]);
    let weights = Tensor::from_fn(&[ids.len(), classes], |i| {
        let id = ids[i / classes];
        T::from_f64(if i % classes == id { 0.0 } else { weight(id) / count })
    });
    (terms * Var::constant(weights)).sum_all()
}

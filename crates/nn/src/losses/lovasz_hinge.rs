//! The Lovász hinge: a convex surrogate of the intersection over union of one
//! foreground class, from logits.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};

use super::labels::{ClassId, Targets, UNKNOWN};
use super::lovasz_softmax::jaccard_growth;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, scaled};

/// Lovász hinge of logits `x`, any shape, with class ids `t` of 0 or 1 (Yu and Blaschko, 2015; Berman,
/// Triki and Blaschko, 2018): `y = sum_i max(0, m_(i)) g_i`, where `m_i = 1 - (2 t_i - 1) x_i`,
/// `m_(1) >= m_(2) >= ..` are the sorted errors of all elements that are not ignored, and `g_i`
/// is by how much the Jaccard loss grows when the element `(i)` is wrong too.
///
/// `dx_i = -dy (2 t_i - 1) g_i` where `m_i > 0`, 0 elsewhere. Among elements of equal error the
/// first comes first.
pub struct LovaszHingeLoss<T: Element = f64> {
    targets: Targets,
    gradient: SavedGradient<T>,
}

impl<T: Element> Operation<T> for LovaszHingeLoss<T> {
    fn name(&self) -> &'static str {
        "lovasz_hinge"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        let mut x = x.contiguous();
        let known = self.targets.ids.iter().zip(x.data()).enumerate().filter(|(_, (id, _))| **id != UNKNOWN);
        let errors = known.map(|(place, (&id, x))| {
            let own = id == 1;
            (1.0 - if own { x.as_f64() } else { -x.as_f64() }, place, own)
        });
        let errors = errors.collect();
        let mut loss = 0.0;
        let gradient = x.data_mut();
        gradient.fill(T::ZERO);
        jaccard_growth(errors, |place, own, error, growth| {
            // A NaN must stay one.
            if error <= 0.0 {
                return;
            }
            loss += error * growth;
            gradient[place] = T::from_f64(if own { -growth } else { growth });
        });
        self.gradient = Some(x);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for LovaszHingeLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "lovasz_hinge",
            Group::Loss,
            "y = Σ max(0, error) g, sorted errors, g the growth of the Jaccard loss",
            "dx = -dy (2 target - 1) g where the error is positive",
        )
        .shapes("logits of any shape, a class id of 0 or 1 for each")
        .torch("none")
        .kinks("0 at an error of 0; among equal errors, the first element comes first")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, target: &'static [u8]| {
            // Moved, for no two errors to be equal.
            let x = sample(75, &[2, 5]).map(|x| 1.7 * x + 0.037);
            Case::unary(format!("lovasz_hinge: {name}"), x, move |x| lovasz_hinge(x, target))
                .with_torch(format!("lovasz_hinge(a, {target:?})"))
        };
        vec![
            case("both classes", &[0, 1, 1, 0, 1, 0, 0, 1, 1, 0]),
            case("some ignored", &[255, 1, 1, 0, 255, 0, 0, 1, 1, 255]),
            case("no foreground", &[0; 10]),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(target: &[u8]) {
            let _ = lovasz_hinge(Var::constant(Tensor::<f64>::zeros(&[2, 3])), target);
        }
        vec![
            ErrorCase::new(
                "lovasz_hinge: predictions of shape [2, 3] need one class id for each of 6 rows, found 2",
                || of(&[0, 1]),
            ),
            ErrorCase::new(
                "lovasz_hinge: class id 2 at row 5 is outside the 2 classes of shape [2, 3]",
                || of(&[0, 1, 0, 1, 0, 2]),
            ),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let target = || (0..33_011).map(|i| (i % 2) as u8).collect::<Vec<_>>();
        vec![case!("lovasz_hinge", "", [sample(75, &[3001, 11])], |x| lovasz_hinge(x, &target()))]
    }
}

/// The Lovász hinge of `logits` of any shape with one class id of 0 or 1 for each, over all of them
/// together; see [`LovaszHingeLoss`] for the formula and its gradient. If every id is unknown, loss and
/// gradient are 0. For the authors' `per_image=True`, take the mean of calls with one image each.
///
/// # Panics
/// If there is not one id per logit, or an id is not 0, 1 or unknown.
#[track_caller]
pub fn lovasz_hinge<T: Element>(logits: Var<T>, target: &[impl ClassId]) -> Var<T> {
    let targets = Targets::of("lovasz_hinge", logits.shape(), 2, logits.value().len(), target);
    Var::apply(LovaszHingeLoss { targets, gradient: None }, vec![logits])
}

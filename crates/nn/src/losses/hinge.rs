//! The hinge loss of binary classifiers, and its square.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

#[cfg(feature = "proofs")]
use super::samples::*;
use super::{assert_same_shape, mean};

/// Hinge loss of scores `x` with targets `t` of -1 or 1, any shape:
/// `y = 1/n sum_i max(0, 1 - t_i x_i)` (Cortes and Vapnik, 1995), or the mean of the squares
/// of these terms.
///
/// `dx_i = -dy/n t_i` where `t_i x_i < 1`, 0 elsewhere; squared:
/// `dx_i = -2 dy/n t_i max(0, 1 - t_i x_i)`.
pub struct HingeLoss;

#[cfg(feature = "proofs")]
impl Proof for HingeLoss {
    fn facts() -> Facts {
        Facts::new(
            "hinge",
            Group::Loss,
            "y = Σ max(0, 1 - target x) / n",
            "dx = -dy target / n where target x < 1",
        )
        .shapes("scores and targets of one shape")
        .torch("none")
        .composed()
        .kinks("0 at target x = 1")
    }

    fn cases() -> Vec<Case> {
        let target = || Tensor::from_fn(&[3, 4], |i| if i % 3 == 0 { 1.0 } else { -1.0 });
        // Both sides of the kink at target x = 1.
        let x = || sample(91, &[3, 4]).map(|x| if (x.abs() - 1.0).abs() < 0.05 { 1.2 * x } else { x });
        vec![
            Case::unary("hinge", x(), move |x| hinge(x, target()))
                .with_torch(format!("(1 - {} * a).clamp(min=0).mean()", python(&target()))),
            Case::unary("hinge: squared", x(), move |x| squared_hinge(x, target()))
                .with_torch(format!("((1 - {} * a).clamp(min=0) ** 2).mean()", python(&target()))),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(target: Tensor<f64>) {
            let _ = hinge(Var::constant(Tensor::zeros(&[2, 3])), target);
        }
        vec![
            ErrorCase::new(
                "hinge: predictions of shape [2, 3] need a target of the same shape, found [3]",
                || of(Tensor::ones(&[3])),
            ),
            ErrorCase::new("hinge: the targets of shape [2, 3] must be -1 or 1, found 0 at place 0", || {
                of(Tensor::zeros(&[2, 3]))
            }),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let target = || sample(92, &[3001, 11]).map(f64::signum);
        vec![case!("hinge", "", [sample(91, &[3001, 11])], |x| hinge(x, target().cast()))]
    }
}

/// The mean hinge loss of scores `x` with targets of -1 or 1; see [`HingeLoss`] for the
/// formula and its gradient. Without elements it is 0.
///
/// # Panics
/// If the target has another shape or another value.
#[track_caller]
pub fn hinge<T: Element>(x: Var<T>, target: Tensor<T>) -> Var<T> {
    mean(violations("hinge", x, target))
}

/// The mean of the squared terms of [`hinge`].
///
/// # Panics
/// As [`hinge`].
#[track_caller]
pub fn squared_hinge<T: Element>(x: Var<T>, target: Tensor<T>) -> Var<T> {
    mean(violations("squared_hinge", x, target).square())
}

/// `max(0, 1 - t x)`.
#[track_caller]
fn violations<T: Element>(loss: &str, x: Var<T>, target: Tensor<T>) -> Var<T> {
    assert_same_shape(loss, x.shape(), "target", target.shape());
    let target = target.contiguous();
    if let Some(place) = target.data().iter().position(|t| t.abs() != T::ONE) {
        let (shape, value) = (target.shape(), target.data()[place]);
        panic!("{loss}: the targets of shape {shape:?} must be -1 or 1, found {value} at place {place}");
    }
    (x * Var::constant(target)).affine(-1.0, 1.0).relu()
}

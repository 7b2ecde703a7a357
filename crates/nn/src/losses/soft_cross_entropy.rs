//! Cross-entropy of probabilities as targets from logits, in one pass over memory.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::{Element, Tensor};

use super::cross_entropy::CrossEntropy;
use super::given_probabilities::Watch;
use super::labels::assert_class_weights;
use super::pieces::rewrite_rows;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, assert_same_shape, scaled};

static WATCH: Watch = Watch::softmax("cross_entropy_soft");

/// Softmax cross-entropy of logits `x [.., C]` with probabilities `t [.., C]`:
/// `y = 1/R sum_i sum_c a_ic (ln sum_k exp(x_ik) - x_ic)` with
/// `a_ic = w_c ((1 - s) t_ic + s/C)`, class weights `w`, label smoothing `s` and `R`
/// rows. This is PyTorch's `cross_entropy` with probabilities and
/// `reduction="mean"`, which divides by the number of rows, not by their weights.
///
/// `dx_ic = dy/R (p_ic sum_k a_ik - a_ic)` with `p = softmax(x)`.
pub struct SoftCrossEntropyLoss<T: Element = f64> {
    target: Tensor<T>,
    /// Per class: `(1 - s) w_c / R` and `s w_c / (C R)`.
    coefficients: Vec<[T; 2]>,
    gradient: SavedGradient<T>,
}

impl<T: Element> SoftCrossEntropyLoss<T> {
    /// Overwrites a row of logits with its gradient and returns its part of the loss.
    fn row(&self, x: &mut [T], target: &[T]) -> f64 {
        let weights = || target.iter().zip(&self.coefficients).map(|(&t, &[own, spread])| own * t + spread);
        let largest = x.iter().fold(T::neg_infinity(), |m, &v| if v > m { v } else { m });
        x.iter_mut().for_each(|v| *v -= largest);
        let linear: T = weights().zip(&*x).map(|(a, &v)| if a == T::ZERO { T::ZERO } else { a * v }).sum();
        let total: T = weights().sum();
        T::exp_slice(x);
        let sum: T = x.iter().copied().sum();
        x.iter_mut().zip(weights()).for_each(|(v, a)| *v = *v / sum * total - a);
        (total * sum.ln() - linear).as_f64()
    }
}

impl<T: Element> Operation<T> for SoftCrossEntropyLoss<T> {
    fn name(&self) -> &'static str {
        "cross_entropy_soft"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [logits] = inputs.take();
        let (classes, target) = (self.coefficients.len().max(1), self.target.data());
        let (loss, gradient) = rewrite_rows(logits, classes, |first, piece| {
            let target = target[first * classes..].chunks_exact(classes);
            piece.chunks_exact_mut(classes).zip(target).map(|(x, target)| self.row(x, target)).sum()
        });
        self.gradient = Some(gradient);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for SoftCrossEntropyLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "cross_entropy_soft",
            Group::Loss,
            "y = Σ weight target (ln Σ eˣ - x) / rows",
            "dx = dy (softmax(x) Σ weight target - weight target) / rows",
        )
        .shapes("predictions [.., C] and probabilities of the same shape")
        .torch("F.cross_entropy")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let target = |seed, shape: &[usize]| {
            let t = positive_sample(seed, shape);
            let mut column = shape.to_vec();
            column[shape.len() - 1] = 1;
            let sums = t.sum(&[shape.len() - 1]).reshape(&column);
            t / sums
        };
        let case = |name: &str, shape: &'static [usize], options: CrossEntropy| {
            let target = target(22, shape);
            let weights = options.class_weights.as_ref().map_or("None".to_string(), |weights| {
                python(&Tensor::from_vec(weights.clone(), &[weights.len()]))
            });
            let torch =
                format!("cross_entropy_soft(a, {}, {weights}, {})", python(&target), options.label_smoothing);
            Case::unary(format!("cross_entropy_soft: {name}"), sample(21, shape), move |x| {
                cross_entropy_soft(x, target.clone(), &options)
            })
            .with_torch(torch)
        };
        let weights = Some(vec![1.0, 2.0, 0.5, 0.0]);
        vec![
            case("rows", &[3, 5], CrossEntropy::default()),
            case("pixels", &[2, 1, 2, 4], CrossEntropy::default()),
            case(
                "weights and smoothing",
                &[3, 4],
                CrossEntropy { class_weights: weights, label_smoothing: 0.1 },
            ),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn of(target: &[usize], options: CrossEntropy) {
            let x = Var::constant(Tensor::<f64>::zeros(&[2, 3]));
            let _ = cross_entropy_soft(x, Tensor::zeros(target), &options);
        }
        vec![
            ErrorCase::new(
                "cross_entropy_soft: predictions of shape [2, 3] need a target of the same shape, found [2]",
                || of(&[2], CrossEntropy::default()),
            ),
            ErrorCase::new(
                "cross_entropy_soft: predictions of shape [2, 3] need 3 finite, non-negative class weights, found [1.0]",
                || of(&[2, 3], CrossEntropy { class_weights: Some(vec![1.0]), ..Default::default() }),
            ),
            ErrorCase::new("cross_entropy_soft: predictions of rank 0 have no classes", || {
                let x = Var::constant(Tensor::<f64>::zeros(&[]));
                let _ = cross_entropy_soft(x, Tensor::zeros(&[]), &CrossEntropy::default());
            }),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let target = || positive_sample(22, &[3001, 11]).scale(0.1);
        vec![case!("cross_entropy_soft", "", [sample(21, &[3001, 11])], |x| {
            cross_entropy_soft(x, target().cast(), &CrossEntropy::default())
        })]
    }
}

/// The mean cross-entropy of `logits [.., C]` with probabilities `target [.., C]`: soft
/// labels, as of mixed images or of a teacher's predictions. See
/// [`SoftCrossEntropyLoss`] for the formula and its gradient. Without rows it is 0.
///
/// The rows of `target` should be at least 0 and sum to 1; this is not checked, and the
/// formula holds for any target. No gradient flows into it.
///
/// # Panics
/// If the target has another shape than the logits or there is no dimension, if there is
/// not one finite, non-negative weight per class, or if the smoothing is outside 0 to 1.
#[track_caller]
pub fn cross_entropy_soft<T: Element>(logits: Var<T>, target: Tensor<T>, options: &CrossEntropy) -> Var<T> {
    const NAME: &str = "cross_entropy_soft";
    let shape = logits.shape();
    assert_same_shape(NAME, shape, "target", target.shape());
    let Some(&classes) = shape.last() else { panic!("{NAME}: predictions of rank 0 have no classes") };
    assert_class_weights(NAME, shape, options.class_weights.as_deref());
    let smoothing = options.label_smoothing;
    assert!((0.0..=1.0).contains(&smoothing), "{NAME}: label smoothing {smoothing} is outside 0 to 1");
    WATCH.look(logits.value());
    let rows = (logits.value().len() / classes.max(1)).max(1) as f64;
    let coefficients = (0..classes).map(|class| {
        let weight = options.class_weights.as_ref().map_or(1.0, |weights| weights[class]) / rows;
        [(1.0 - smoothing) * weight, smoothing / classes as f64 * weight].map(T::from_f64)
    });
    let coefficients = coefficients.collect();
    let operation = SoftCrossEntropyLoss { target: target.contiguous(), coefficients, gradient: None };
    Var::apply(operation, vec![logits])
}

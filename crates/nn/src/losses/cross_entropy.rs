//! Cross-entropy of class ids from logits, in one pass over memory.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::pool::Buffer;
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::given_probabilities::Watch;
use super::labels::{ClassId, Targets, UNKNOWN, assert_class_weights};
use super::pieces::rewrite_rows;
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, scaled};

/// Elements processed at a time: they stay in the first-level cache.
const BLOCK: usize = 2048;

static WATCH: Watch = Watch::softmax("cross_entropy");

/// The options of [`cross_entropy_with`] and [`cross_entropy_soft`](super::cross_entropy_soft).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CrossEntropy {
    /// A weight per class; all 1 if left out.
    pub class_weights: Option<Vec<f64>>,
    /// How much of the target is spread evenly over all classes, at least 0
    /// and at most 1 (Szegedy et al., 2016, section 7); 0 by default.
    pub label_smoothing: f64,
}

/// Softmax cross-entropy of logits `x [.., C]` with class ids `t [..]`:
/// `y = 1/W sum_i sum_c a_ic (ln sum_k exp(x_ik) - x_ic)` with
/// `a_ic = (1 - s) w_t [c = t_i] + s/C w_c`, class weights `w`, label smoothing
/// `s`, and `W = sum_i w_t`, the sums over elements that are not ignored. This
/// is PyTorch's `cross_entropy` with `reduction="mean"`.
///
/// `dx_ic = dy/W (p_ic sum_k a_ik - a_ic)` with `p = softmax(x)`; zero for ignored elements.
pub struct CrossEntropyLoss<T: Element = f64> {
    target: Buffer<u32>,
    coefficients: Coefficients<T>,
    gradient: SavedGradient<T>,
}

/// The weights `a / W` of the doc comment above, by class.
struct Coefficients<T> {
    /// `(1 - s) w_c / W`: the target's own part.
    own: Vec<T>,
    /// `s w_c / (C W)`: what every element gives to class `c`.
    spread: Vec<T>,
    /// The sum of an element's `a / W`, by its target.
    total: Vec<T>,
}

impl<T: Element> Coefficients<T> {
    fn new(counts: &[usize], options: &CrossEntropy) -> Self {
        let classes = counts.len();
        let even = vec![1.0; classes];
        let weights = options.class_weights.as_ref().unwrap_or(&even);
        let sum: f64 = weights.iter().enumerate().map(|(class, w)| w * counts[class] as f64).sum();
        // No element counts: every coefficient is 0, and so are the loss and its gradient.
        let scale = if sum > 0.0 { 1.0 / sum } else { 0.0 };
        let smoothing = options.label_smoothing;
        let own: Vec<f64> = weights.iter().map(|w| (1.0 - smoothing) * w * scale).collect();
        let spread: Vec<f64> = weights.iter().map(|w| smoothing / classes as f64 * w * scale).collect();
        let spread_sum: f64 = spread.iter().sum();
        let convert = |values: &[f64]| values.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>();
        let total = own.iter().map(|own| T::from_f64(own + spread_sum)).collect();
        Self { own: convert(&own), spread: convert(&spread), total }
    }

    fn smooths(&self) -> bool {
        self.spread.iter().any(|&s| s != T::ZERO)
    }
}

impl<T: Element> CrossEntropyLoss<T> {
    /// Overwrites a block of rows of logits with their gradient and returns their part of the loss.
    fn block(&self, x: &mut [T], target: &[u32], smooths: bool) -> f64 {
        let Coefficients { own, spread, total } = &self.coefficients;
        let classes = own.len();
        let least = T::min_positive_value().sqrt() * T::epsilon();
        let mut loss = 0.0;
        // Shift every row so that its largest logit is 0, and add the loss terms that are linear in the logits.
        for (row, &class) in x.chunks_exact_mut(classes).zip(target) {
            let largest = row.iter().fold(T::neg_infinity(), |m, &v| if v > m { v } else { m });
            row.iter_mut().for_each(|v| *v -= largest);
            if class == UNKNOWN {
                continue;
            }
            let class = class as usize;
            loss -= (own[class] * row[class]).as_f64();
            if smooths {
                loss -= row.iter().zip(spread).map(|(&v, &s)| v * s).sum::<T>().as_f64();
            }
        }
        T::exp_slice(x);
        for (row, &class) in x.chunks_exact_mut(classes).zip(target) {
            if class == UNKNOWN {
                row.fill(T::ZERO);
                continue;
            }
            let class = class as usize;
            let sum: T = row.iter().copied().sum();
            loss += (total[class] * sum.ln()).as_f64();
            let factor = total[class] / sum;
            // A probability near the smallest number there is would make every
            // product with it in the backward pass subnormal, and slow.
            row.iter_mut().for_each(|v| *v = if *v < least { T::ZERO } else { *v * factor });
            if smooths {
                row.iter_mut().zip(spread).for_each(|(v, &s)| *v -= s);
            }
            row[class] -= own[class];
        }
        loss
    }
}

impl<T: Element> Operation<T> for CrossEntropyLoss<T> {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [logits] = inputs.take();
        let classes = self.coefficients.own.len();
        let rows = (BLOCK / classes.max(1)).max(1);
        let smooths = self.coefficients.smooths();
        let (loss, gradient) = rewrite_rows(logits, classes, |first, piece| {
            let target = self.target[first..].chunks(rows);
            piece
                .chunks_mut(rows * classes)
                .zip(target)
                .map(|(x, target)| self.block(x, target, smooths))
                .sum()
        });
        self.gradient = Some(gradient);
        self.target = Buffer::copy_of(&[]);
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for CrossEntropyLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "cross_entropy",
            Group::Loss,
            "y = Σ weight[target] (ln Σ eˣ - x[target]) / normaliser",
            "dx = dy weight (softmax(x) - target) / normaliser",
        )
        .shapes("predictions [.., C], a class id for each row")
        .torch("F.cross_entropy")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, shape: &[usize], target: &'static [u8], options: CrossEntropy| {
            let weights = options.class_weights.as_ref().map_or("None".to_string(), |weights| {
                python(&Tensor::from_vec(weights.clone(), &[weights.len()]))
            });
            let torch = format!("cross_entropy(a, {target:?}, {weights}, {})", options.label_smoothing);
            Case::unary(format!("cross_entropy: {name}"), sample(21, shape), move |x| {
                cross_entropy_with(x, target, &options)
            })
            .with_torch(torch)
        };
        let weights = Some(vec![1.0, 2.0, 0.5, 4.0]);
        vec![
            case("rows", &[3, 5], &[0, 4, 2], CrossEntropy::default()),
            case("pixels, some ignored", &[1, 2, 3, 4], &[255, 3, 0, 0, 255, 2], CrossEntropy::default()),
            case(
                "class weights",
                &[4, 4],
                &[1, 255, 3, 2],
                CrossEntropy { class_weights: weights.clone(), ..Default::default() },
            ),
            case(
                "weights and smoothing",
                &[3, 4],
                &[1, 0, 3],
                CrossEntropy { class_weights: weights, label_smoothing: 0.1 },
            ),
            case("all ignored", &[2, 3], &[255, 255], CrossEntropy::default()).zero_gradient(0),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "cross_entropy: predictions of shape [2, 3] need one class id for each of 2 rows, found 1",
            || {
                let _ = cross_entropy(Var::constant(Tensor::<f64>::zeros(&[2, 3])), &[0]);
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || (0..3001).map(|i| (i % 11) as u8).collect::<Vec<_>>();
        vec![case!("cross_entropy", "", [sample(21, &[3001, 11])], |x| cross_entropy(x, &target()))]
    }
}

/// The mean cross-entropy of `logits [.., C]` with one [class id](ClassId) per
/// row; rows of unknown class do not count. Like PyTorch's `F.cross_entropy`; see
/// [`CrossEntropyLoss`] for the formula and its gradient.
///
/// If no row counts, the loss is 0 and so is its gradient.
///
/// # Panics
/// If there is not one id per row of the logits, or an id is outside the classes.
#[track_caller]
pub fn cross_entropy<T: Element>(logits: Var<T>, target: &[impl ClassId]) -> Var<T> {
    cross_entropy_with(logits, target, &CrossEntropy::default())
}

/// [`cross_entropy`] with class weights and label smoothing.
///
/// With class weights the mean is weighted, as in PyTorch. If no row counts (all
/// unknown, or all of weight 0), the loss is 0 and so is its gradient.
///
/// # Panics
/// As [`cross_entropy`], and if there is not one finite, non-negative weight per
/// class, or if the smoothing is outside 0 to 1.
#[track_caller]
pub fn cross_entropy_with<T: Element>(
    logits: Var<T>,
    target: &[impl ClassId],
    options: &CrossEntropy,
) -> Var<T> {
    let targets = Targets::new("cross_entropy", logits.shape(), target);
    assert_class_weights("cross_entropy", logits.shape(), options.class_weights.as_deref());
    let smoothing = options.label_smoothing;
    assert!((0.0..=1.0).contains(&smoothing), "cross_entropy: label smoothing {smoothing} is outside 0 to 1");
    WATCH.look(logits.value());
    let operation = CrossEntropyLoss {
        target: targets.ids,
        coefficients: Coefficients::new(&targets.counts, options),
        gradient: None,
    };
    Var::apply(operation, vec![logits])
}

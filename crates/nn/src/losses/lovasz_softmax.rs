//! The Lovász-softmax loss: a convex surrogate of the mean intersection over union.

use cerberus_autograd::{Gradient, Inputs, Operation, Saved, Saves, Var};
use cerberus_tensor::parallel::{for_each_rows, map_ranges};
use cerberus_tensor::{Element, Tensor};

use super::labels::{ClassId, Targets, UNKNOWN};
#[cfg(feature = "proofs")]
use super::samples::*;
use super::{SavedGradient, scaled};

/// Lovász-softmax loss of probabilities `p [.., C]` with class ids `t [..]` (Berman, Triki and
/// Blaschko, "The Lovász-Softmax loss", 2018): the mean, over the `K`
/// classes that are present in the target, of `sum_i m_(i) g_i`, where `m_i = |[t_i = c] - p_ic|`,
/// `m_(1) >= m_(2) >= ..` are the sorted errors of all pixels that are not ignored, and
/// `g_i` is by how much the Jaccard loss of the class grows when the pixel `(i)` is wrong too.
///
/// `dp_ic = dy/K g_i` where `t_i` is another class, `-dy/K g_i` where it is `c`. Among pixels of
/// equal error the first comes first.
pub struct LovaszSoftmaxLoss<T: Element = f64> {
    targets: Targets,
    gradient: SavedGradient<T>,
}

/// Sorts `errors` (each with its pixel and whether that belongs to the class) from the largest to the
/// smallest, and gives to each the growth of the Jaccard loss `g` at its place: algorithm 1 of
/// the paper. `visit(pixel, own, error, g)`.
pub(super) fn jaccard_growth(
    mut errors: Vec<(f64, usize, bool)>,
    mut visit: impl FnMut(usize, bool, f64, f64),
) {
    errors.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let total = errors.iter().filter(|(_, _, own)| *own).count() as f64;
    let (mut intersection, mut union, mut before) = (total, total, 0.0);
    for (error, pixel, own) in errors {
        if own {
            intersection -= 1.0
        } else {
            union += 1.0
        }
        let jaccard = 1.0 - intersection / union;
        visit(pixel, own, error, jaccard - before);
        before = jaccard;
    }
}

impl<T: Element> LovaszSoftmaxLoss<T> {
    /// The loss of a class and its gradient with respect to the class's probability in every row.
    fn class(&self, p: &[T], class: usize) -> (f64, Vec<T>) {
        let classes = self.targets.counts.len();
        let known = self.targets.ids.iter().enumerate().filter(|(_, id)| **id != UNKNOWN);
        let errors = known.map(|(row, &id)| {
            let (p, own) = (p[row * classes + class].as_f64(), id as usize == class);
            ((f64::from(u8::from(own)) - p).abs(), row, own)
        });
        let mut loss = 0.0;
        let mut gradient = vec![T::ZERO; self.targets.ids.len()];
        jaccard_growth(errors.collect(), |row, own, error, growth| {
            loss += error * growth;
            gradient[row] = T::from_f64(if own { -growth } else { growth });
        });
        (loss, gradient)
    }
}

impl<T: Element> Operation<T> for LovaszSoftmaxLoss<T> {
    fn name(&self) -> &'static str {
        "lovasz_softmax"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [p] = inputs.take();
        let p = p.contiguous();
        let counts = &self.targets.counts;
        let present: Vec<usize> = (0..counts.len()).filter(|&class| counts[class] > 0).collect();
        // Each class sorts all pixels: classes are the pieces of the work.
        let found = map_ranges(present.len(), 1, |range| self.class(p.data(), present[range.start]));
        let share = 1.0 / present.len().max(1) as f64;
        let loss: f64 = found.iter().map(|(loss, _)| loss * share).sum();
        let share = T::from_f64(share);
        self.gradient = Some(Tensor::filled_by(p.shape(), |dp| {
            for_each_rows(dp, counts.len(), |first, rows| {
                for (place, row) in rows.chunks_exact_mut(counts.len()).enumerate() {
                    row.fill(T::ZERO);
                    for (&class, (_, gradient)) in present.iter().zip(&found) {
                        row[class] = share * gradient[first + place];
                    }
                }
            });
        }));
        Tensor::scalar(T::from_f64(loss))
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        scaled(&self.gradient, dy)
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for LovaszSoftmaxLoss<T> {
    fn facts() -> Facts {
        Facts::new(
            "lovasz_softmax",
            Group::Loss,
            "y = mean over classes of Σ error g, sorted errors, g the growth of the Jaccard loss",
            "dp = dy g or -dy g / classes",
        )
        .shapes("probabilities [.., C], a class id for each row")
        .torch("none")
        .kinks("among equal errors, the first pixel comes first")
        .first_order_only()
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, target: &'static [u8]| {
            let p = positive_sample(74, &[2, 4, 3]).scale(0.6);
            Case::unary(format!("lovasz_softmax: {name}"), p, move |p| lovasz_softmax(p, target))
                .with_torch(format!("lovasz_softmax(a, {target:?})"))
        };
        vec![
            case("every class", &[0, 1, 2, 2, 1, 0, 0, 2]),
            case("a class absent, pixels ignored", &[0, 2, 255, 2, 2, 255, 0, 0]),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "lovasz_softmax: predictions of shape [2, 3] need one class id for each of 2 rows, found 1",
            || {
                let _ = lovasz_softmax(Var::constant(Tensor::<f64>::zeros(&[2, 3])), &[0]);
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let target = || (0..3001).map(|i| (i % 11) as u8).collect::<Vec<_>>();
        vec![case!("lovasz_softmax", "", [positive_sample(74, &[3001, 11]).scale(0.6)], |p| {
            lovasz_softmax(p, &target())
        })]
    }
}

/// The Lovász-softmax loss of `probabilities [.., C]` (from a softmax) with one class id per pixel,
/// over all pixels of the batch together; see [`LovaszSoftmaxLoss`] for the formula and its gradient.
/// Only classes with at least one pixel in the target count (the authors' `classes="present"`). Without
/// any class, loss and gradient are 0. For their `per_image=True`, take the mean of calls with
/// one image each.
///
/// # Panics
/// If there is not one id per pixel, or an id is outside the classes and not unknown.
#[track_caller]
pub fn lovasz_softmax<T: Element>(probabilities: Var<T>, target: &[impl ClassId]) -> Var<T> {
    let targets = Targets::new("lovasz_softmax", probabilities.shape(), target);
    Var::apply(LovaszSoftmaxLoss { targets, gradient: None }, vec![probabilities])
}

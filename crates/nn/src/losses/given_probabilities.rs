//! Notices probabilities that are given to a loss that expects logits, and says
//! so once on standard error.
//!
//! Such a program runs, and its loss falls, but slowly and not far: the softmax or
//! sigmoid is applied twice. The predictions of the first calls are looked at, at
//! most [`LOOKED_AT`] of each. After a verdict a call costs one atomic load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use cerberus_tensor::{Element, Tensor};

/// How many predictions of a call are looked at.
const LOOKED_AT: usize = 1024;
/// How many calls are looked at before the predictions pass for logits.
const CALLS: usize = 64;
/// How many rows that sum to 1 make probabilities. Logits do so by accident about never.
const ROWS: usize = 8;
/// How far from 1 the sum of a row of probabilities may be: more than rounding in `f32`.
const SUM_TOLERANCE: f64 = 1e-4;
/// How many values strictly between 0 and 1, in how many calls, make probabilities
/// of each element. Logits have both signs, at the latest when training has moved them.
const BETWEEN: usize = 256;
const BETWEEN_CALLS: usize = 16;

/// What the predictions of a call are, when they are probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// The results of a softmax: rows that sum to 1.
    Rows,
    /// The results of a sigmoid: each from 0 to 1.
    Elements,
}

/// What has been found out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Open,
    Logits,
    Probabilities,
}

/// What has been seen of the predictions so far.
#[derive(Debug)]
struct Detector {
    form: Form,
    calls: usize,
    /// Rows that sum to 1, or values strictly between 0 and 1.
    evidence: usize,
}

impl Detector {
    /// Takes the predictions of a further call into account, rows of `classes`.
    ///
    /// A single value outside 0 to 1, or a single row with another sum, makes logits.
    fn see<T: Element>(&mut self, predictions: &[T], classes: usize) -> Verdict {
        self.calls += 1;
        let (zero, one) = (T::ZERO, T::ONE);
        // At least one row, however long.
        let rows = (LOOKED_AT / classes.max(1)).max(1);
        for row in predictions.chunks_exact(classes.max(1)).take(rows) {
            if !row.iter().all(|p| (zero..=one).contains(p)) {
                return Verdict::Logits;
            }
            match self.form {
                // The only probability of a single class is 1 and says nothing.
                Form::Rows if classes < 2 => {}
                Form::Rows => {
                    let sum: f64 = row.iter().map(|p| p.as_f64()).sum();
                    if (sum - 1.0).abs() > SUM_TOLERANCE {
                        return Verdict::Logits;
                    }
                    self.evidence += 1;
                }
                Form::Elements => self.evidence += row.iter().filter(|&&p| p > zero && p < one).count(),
            }
        }
        let enough = match self.form {
            Form::Rows => self.evidence >= ROWS,
            Form::Elements => self.evidence >= BETWEEN && self.calls >= BETWEEN_CALLS,
        };
        match enough {
            true => Verdict::Probabilities,
            false if self.calls >= CALLS => Verdict::Logits,
            false => Verdict::Open,
        }
    }
}

/// Looks at the first predictions that a loss is given, in the whole process.
pub(super) struct Watch {
    loss: &'static str,
    settled: AtomicBool,
    detector: Mutex<Detector>,
}

impl Watch {
    const fn new(loss: &'static str, form: Form) -> Self {
        let detector = Mutex::new(Detector { form, calls: 0, evidence: 0 });
        Self { loss, settled: AtomicBool::new(false), detector }
    }

    /// For a loss with a softmax inside, over the last dimension.
    pub(super) const fn softmax(loss: &'static str) -> Self {
        Self::new(loss, Form::Rows)
    }

    /// For a loss with a sigmoid inside.
    pub(super) const fn sigmoid(loss: &'static str) -> Self {
        Self::new(loss, Form::Elements)
    }

    /// Looks at `predictions` and prints the warning if it is time for it.
    pub(super) fn look<T: Element>(&self, predictions: &Tensor<T>) {
        if let Some(warning) = self.warning(predictions) {
            eprintln!("{warning}");
        }
    }

    /// The warning, the first time that predictions are found to be probabilities.
    fn warning<T: Element>(&self, predictions: &Tensor<T>) -> Option<String> {
        if self.settled.load(Ordering::Relaxed) {
            return None;
        }
        // A view would have to be copied: the next call may have none.
        let values = predictions.as_slice()?;
        let mut detector = self.detector.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have come to a verdict in the meantime.
        if self.settled.load(Ordering::Relaxed) {
            return None;
        }
        let form = detector.form;
        let classes = match form {
            Form::Rows => *predictions.shape().last()?,
            Form::Elements => 1,
        };
        let verdict = detector.see(values, classes);
        self.settled.store(verdict != Verdict::Open, Ordering::Relaxed);
        (verdict == Verdict::Probabilities).then(|| self.sentence(form))
    }

    fn sentence(&self, form: Form) -> String {
        let loss = self.loss;
        let (found, function) = match form {
            Form::Rows => ("all lie between 0 and 1 and their rows sum to 1", "softmax"),
            Form::Elements => ("of the first calls all lie between 0 and 1", "sigmoid"),
        };
        format!(
            "warning: {loss} expects logits, but its predictions {found}, as after a {function}, which it applies \
             itself; pass what the last linear layer gives, without a {function}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of logits, and what a softmax makes of them.
    fn rows(count: usize, classes: usize) -> (Tensor<f32>, Tensor<f32>) {
        let logits = Tensor::from_fn(&[count, classes], |i| (i as f32 * 0.7).sin() * 3.0);
        let softmax = cerberus_tensor::softmax::softmax(&logits);
        (logits, softmax)
    }

    fn detector(form: Form) -> Detector {
        Detector { form, calls: 0, evidence: 0 }
    }

    #[test]
    fn rows_of_a_softmax_are_probabilities_and_rows_of_logits_are_not() {
        let (logits, softmax) = rows(20, 10);
        assert_eq!(detector(Form::Rows).see(softmax.data(), 10), Verdict::Probabilities);
        assert_eq!(detector(Form::Rows).see(logits.data(), 10), Verdict::Logits);
        // From 0 to 1, but each row has its own sum.
        let values: Vec<f64> = (0..80).map(|i| f64::from(i) / 80.0).collect();
        assert_eq!(detector(Form::Rows).see(&values, 4), Verdict::Logits);
        assert_eq!(detector(Form::Rows).see(&[f32::NAN; 80], 4), Verdict::Logits);
    }

    #[test]
    fn a_few_rows_that_sum_to_one_are_no_proof() {
        let mut detector = detector(Form::Rows);
        let (_, softmax) = rows(3, 5);
        assert_eq!(detector.see(softmax.data(), 5), Verdict::Open);
        assert_eq!(detector.see(softmax.data(), 5), Verdict::Open);
        assert_eq!(detector.see(softmax.data(), 5), Verdict::Probabilities);
    }

    #[test]
    fn a_single_class_never_makes_probabilities() {
        let mut detector = detector(Form::Rows);
        let verdicts: Vec<Verdict> = (0..CALLS).map(|_| detector.see(&[1.0f32; 100], 1)).collect();
        assert_eq!(verdicts[CALLS - 2..], [Verdict::Open, Verdict::Logits]);
    }

    #[test]
    fn results_of_a_sigmoid_are_probabilities_after_several_calls() {
        let values: Vec<f32> = (0..100).map(|i| (0.1 + i as f32) / 101.0).collect();
        let mut detector = detector(Form::Elements);
        for _ in 1..BETWEEN_CALLS {
            assert_eq!(detector.see(&values, 1), Verdict::Open);
        }
        assert_eq!(detector.see(&values, 1), Verdict::Probabilities);
    }

    #[test]
    fn one_value_outside_makes_logits() {
        let mut values = vec![0.5f32; 100];
        let mut detector = detector(Form::Elements);
        assert_eq!(detector.see(&values, 1), Verdict::Open);
        values[70] = -0.1;
        assert_eq!(detector.see(&values, 1), Verdict::Logits);
    }

    #[test]
    fn zeros_and_ones_alone_pass_for_logits() {
        let mut detector = detector(Form::Elements);
        let verdicts: Vec<Verdict> = (0..CALLS).map(|_| detector.see(&[0.0f32, 1.0], 1)).collect();
        assert!(verdicts[..CALLS - 1].iter().all(|&verdict| verdict == Verdict::Open));
        assert_eq!(verdicts[CALLS - 1], Verdict::Logits);
    }

    #[test]
    fn the_warning_comes_once_whatever_the_number_of_threads() {
        let watch = Watch::softmax("cross_entropy");
        let (_, softmax) = rows(20, 10);
        let warnings: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..50).filter_map(|_| watch.warning(&softmax)).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(
            warnings,
            [
                "warning: cross_entropy expects logits, but its predictions all lie between 0 and 1 and their rows \
                 sum to 1, as after a softmax, which it applies itself; pass what the last linear layer gives, \
                 without a softmax"
            ]
        );
    }

    #[test]
    fn logits_settle_the_question_in_silence() {
        let watch = Watch::sigmoid("focal");
        let (logits, softmax) = rows(20, 10);
        assert_eq!(watch.warning(&logits), None);
        assert!((0..CALLS).all(|_| watch.warning(&softmax).is_none()));
    }

    #[test]
    fn a_sigmoid_is_named_as_such_and_views_are_passed_over() {
        let watch = Watch::sigmoid("focal");
        let (logits, softmax) = rows(20, 10);
        assert_eq!(watch.warning(&logits.permute(&[1, 0])), None);
        let warnings: Vec<String> = (0..CALLS).filter_map(|_| watch.warning(&softmax)).collect();
        assert!(warnings.len() == 1 && warnings[0].ends_with("without a sigmoid"), "{warnings:?}");
        assert!(warnings[0].starts_with("warning: focal expects logits"), "{warnings:?}");
    }
}

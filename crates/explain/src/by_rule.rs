//! A backward pass by a rule, a batch at a time, and the two rules that change what ReLUs pass on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cerberus_autograd::{Answer, Rule, Step, Tape, grad_each_by_rule, one};
use cerberus_nn::Context;
use cerberus_tensor::{Element, Tensor};

use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures, gradients_of};

/// What a ReLU `y = max(x, 0)` passes on of `dy`, instead of `dy` where `y > 0`.
struct Relus {
    /// Whether only where `y > 0`, as its own gradient.
    by_output: bool,
    /// How many ReLUs there were.
    seen: Arc<AtomicUsize>,
}

impl<T: Element> Rule<T> for Relus {
    fn reads(&self, operation: &str) -> bool {
        operation == "relu"
    }

    fn backward(&self, step: &Step<'_, T>, dy: &Tensor<T>) -> Answer<T> {
        let Some(y) = step.output else { return Answer::Own };
        self.seen.fetch_add(1, Ordering::Relaxed);
        let by_output = self.by_output;
        let passes = |dy: T, y: T| if dy > T::ZERO && (y > T::ZERO || !by_output) { dy } else { T::ZERO };
        Answer::Gradients(one(dy.clone().zip(y.clone(), passes)))
    }
}

impl<T: Element> Explainer<'_, T> {
    /// Guided backpropagation: ReLUs pass on what is positive where their output is, `dx = max(dy, 0)` where `y > 0`
    /// (Springenberg et al., "Striving for Simplicity", 2015). Other operations keep their gradients. One forward
    /// and one backward pass. Its maps are sharp, but may show the picture's edges whatever the network has
    /// learned (Adebayo et al., "Sanity Checks for Saliency Maps", 2018).
    ///
    /// # Errors
    /// If no ReLU is on the way from the answers to the input.
    pub fn guided_backprop(&self, x: &Tensor<T>) -> Result<Vec<Attribution<T>>, ExplainError> {
        self.by_relus("guided backpropagation", true, x)
    }

    /// The deconvolution: ReLUs pass on what is positive wherever their output is, `dx = max(dy, 0)` (Zeiler
    /// and Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 2.1). Other operations
    /// keep their gradients. One forward and one backward pass; what was said of [guided
    /// backpropagation](Self::guided_backprop) holds here too.
    ///
    /// # Errors
    /// If no ReLU is on the way from the answers to the input.
    pub fn deconvolution(&self, x: &Tensor<T>) -> Result<Vec<Attribution<T>>, ExplainError> {
        self.by_relus("the deconvolution", false, x)
    }

    fn by_relus(
        &self,
        method: &'static str,
        by_output: bool,
        x: &Tensor<T>,
    ) -> Result<Vec<Attribution<T>>, ExplainError> {
        let seen = Arc::new(AtomicUsize::new(0));
        let rule = Arc::new(Relus { by_output, seen: Arc::clone(&seen) });
        let count = x.shape()[0];
        let batch = self.batch(&Pictures::of(x).shape, count);
        let values = Self::in_batches(count, batch, |first, here| {
            let part = x.narrow(0, first, here).contiguous();
            self.gradients_by(method, Arc::clone(&rule) as Arc<dyn Rule<T>>, part)
        })?;
        if seen.load(Ordering::Relaxed) == 0 {
            return Err(ExplainError::NoRelu(method));
        }
        Ok(values.into_iter().map(Attribution::of).collect())
    }

    /// For every answer what comes to the input of the batch `x` by the rule.
    pub(crate) fn gradients_by(
        &self,
        method: &'static str,
        rule: Arc<dyn Rule<T>>,
        x: Tensor<T>,
    ) -> Result<Vec<Tensor<T>>, ExplainError> {
        let count = x.shape()[0];
        let leaf = Tape::with_rule(rule).leaf(x);
        let outputs = self.model().outputs(leaf.clone(), &mut Context::evaluation());
        let (gradients, done) =
            gradients_of(outputs, &leaf, count, |sums, visit| grad_each_by_rule(sums, &[&leaf], visit));
        done.map_err(|refusal| ExplainError::Operation { method, refusal })?;
        Ok(gradients)
    }
}

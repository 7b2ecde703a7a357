//! A strategy without memory.

use cerberus_tensor::Element;

use crate::{BalanceError, Decision, Evidence, GradientNeed, Needs, Strategy, all_finite};

type Choose<T> = Box<dyn Fn(&Evidence<T>) -> Decision<T> + Send>;

/// A strategy as a function of the evidence.
pub struct Rule<T: Element = f32> {
    gradients: GradientNeed,
    takes_preference: bool,
    choose: Choose<T>,
}

impl<T: Element> Rule<T> {
    /// A function from the evidence to the decision, and the gradients it needs.
    pub fn new(
        gradients: GradientNeed,
        choose: impl Fn(&Evidence<T>) -> Decision<T> + Send + 'static,
    ) -> Self {
        Self { gradients, takes_preference: false, choose: Box::new(choose) }
    }

    /// A function from the losses to the weights.
    pub fn on_losses(weights: impl Fn(&Evidence<T>) -> Vec<f64> + Send + 'static) -> Self {
        Self::new(GradientNeed::None, move |evidence| Decision::weights(weights(evidence)))
    }

    /// A function from the Gramian to the weights.
    pub fn on_gramian(weights: impl Fn(&Evidence<T>) -> Vec<f64> + Send + 'static) -> Self {
        Self::new(GradientNeed::Gramian, move |evidence| Decision::weights(weights(evidence)))
    }

    /// Declares that the rule uses the preference.
    pub fn with_preference(self) -> Self {
        Self { takes_preference: true, ..self }
    }
}

impl<T: Element> Strategy<T> for Rule<T> {
    fn needs(&self) -> Needs {
        Needs { gradients: self.gradients, ..Needs::default() }
    }

    fn takes_preference(&self) -> bool {
        self.takes_preference
    }

    fn decide(&mut self, evidence: &Evidence<T>) -> Result<Decision<T>, BalanceError> {
        all_finite(evidence.losses)?;
        Ok((self.choose)(evidence))
    }
}

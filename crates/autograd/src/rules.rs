//! Rules that replace operations' gradients on the way back: the backward passes of explanations.
//!
//! Some methods that explain a network differ from its gradient only in what they do at certain operations.
//! Guided backpropagation, for example, changes what a ReLU passes on, DeepLift what any non-linear operation
//! does. A [`Rule`] says so. It is given to the tape ([`Tape::with_rule`](crate::Tape::with_rule)), because it
//! decides what must be kept: an ordinary tape keeps only what the operations' own gradients read, and computes
//! operations that are often used together in one pass. A tape with a rule keeps the inputs and outputs that
//! the rule reads, and takes such pairs apart: a convolution with a ReLU is recorded as `conv2d` and `relu`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Gradient, Operation};

/// Replaces the gradients of some operations; see [`Tape::with_rule`](crate::Tape::with_rule) and
/// [`grad_each_by_rule`](crate::grad_each_by_rule).
pub trait Rule<T: Element>: Send + Sync {
    /// Whether [`backward`](Self::backward) reads the inputs and the output of operations of this name.
    fn reads(&self, operation: &str) -> bool;

    /// What takes the place of the gradients of this operation's inputs, given `dy`, what has come to its output.
    fn backward(&self, step: &Step<'_, T>, dy: &Tensor<T>) -> Answer<T>;
}

/// An operation that the backward pass has come to.
pub struct Step<'a, T: Element> {
    /// The operation, with its arguments.
    pub operation: &'a dyn Operation<T>,
    /// Its inputs; empty if the rule does not [read](Rule::reads) the operation.
    pub inputs: &'a [Tensor<T>],
    /// Its output; `None` if the rule does not read the operation.
    pub output: Option<&'a Tensor<T>>,
    /// For each input, whether its gradient is asked for: whether it depends on what is differentiated.
    pub wants: &'a [bool],
    /// The operation's own gradients of its inputs for a given `dy`.
    pub own: &'a dyn Fn(Tensor<T>) -> Vec<Option<Gradient<T>>>,
}

/// What a [`Rule`] does at an operation.
pub enum Answer<T: Element> {
    /// The operation's own gradients.
    Own,
    /// One tensor for each input for which [`Step::wants`] is true.
    Gradients(Vec<Option<Gradient<T>>>),
    /// The rule is not defined for the operation; the sentence says why.
    Refused(String),
}

/// A backward pass that its rule refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The operation's name.
    pub operation: &'static str,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the operation {}: {}", self.operation, self.reason)
    }
}

impl std::error::Error for Refusal {}

/// What a tape keeps for its rule.
pub(crate) struct Ruled<T: Element> {
    pub rule: Arc<dyn Rule<T>>,
    /// The inputs and the output of each operation that the rule reads, by node.
    pub values: BTreeMap<usize, (Vec<Tensor<T>>, Tensor<T>)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tape, Var, grad, grad_each_by_rule};
    use cerberus_tensor::conv::Conv2dSpec;
    use cerberus_tensor::pooling::Pool2dSpec;

    /// Refuses one operation by name and reads another.
    struct Named {
        refused: &'static str,
        read: &'static str,
    }

    impl Rule<f64> for Named {
        fn reads(&self, operation: &str) -> bool {
            operation == self.read
        }

        fn backward(&self, step: &Step<'_, f64>, _dy: &Tensor<f64>) -> Answer<f64> {
            let name = step.operation.name();
            assert_eq!(step.output.is_some(), name == self.read, "{name}");
            assert_eq!(step.inputs.is_empty(), name != self.read, "{name}");
            if name == self.refused { Answer::Refused("not today".into()) } else { Answer::Own }
        }
    }

    fn network(x: Var<f64>) -> Var<f64> {
        let weight = Var::constant(Tensor::from_fn(&[3, 3, 2, 2], |i| (i as f64 * 0.7).sin()));
        let x = x.conv2d_relu(weight, None, Conv2dSpec::same(3));
        let x = x.clone().add_relu(x.scale(-0.4).affine(1.0, 0.1));
        x.max_pool2d_relu(Pool2dSpec::square(2)).square().sum_all()
    }

    fn image() -> Tensor<f64> {
        Tensor::from_fn(&[1, 4, 4, 2], |i| (i as f64 * 1.3).cos())
    }

    #[test]
    fn operations_with_a_relu_are_recorded_as_two_and_their_gradients_stay_the_same() {
        let plain = Tape::new();
        let x = plain.leaf(image());
        let expected = grad(&[&network(x.clone())], &[&x]).remove(0);
        assert!(!plain.operations().contains(&"relu"));
        let tape = Tape::with_rule(Arc::new(Named { refused: "nothing", read: "relu" }));
        let x = tape.leaf(image());
        let y = network(x.clone());
        let names = tape.operations();
        assert_eq!(names.iter().filter(|name| **name == "relu").count(), 3, "{names:?}");
        assert!(!names.contains(&"add_relu"));
        let mut found = None;
        grad_each_by_rule(&[&y], &[&x], |_, mut gradients| found = gradients.remove(0)).unwrap();
        let found = found.unwrap().into_dense();
        for (a, b) in found.to_vec().into_iter().zip(expected.to_vec()) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn a_refusal_names_the_operation() {
        let tape = Tape::with_rule(Arc::new(Named { refused: "max_pool2d", read: "relu" }));
        let x = tape.leaf(image());
        let y = network(x.clone());
        let refusal = grad_each_by_rule(&[&y], &[&x], |_, _| ()).unwrap_err();
        assert_eq!(refusal.to_string(), "the operation max_pool2d: not today");
    }
}

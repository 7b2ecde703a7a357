//! Reading what a tape has recorded, for programs that translate a computation
//! into another form, such as a file format for networks.
//!
//! An ordinary tape keeps only what the backward rules read. A
//! [tracing](Tape::tracing) tape also keeps every constant that an operation took,
//! so that its list of nodes is the whole computation.

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::Operation;
use crate::tape::{Node, Tape, Var};

/// Everything a [tracing](Tape::tracing) tape has recorded, in the order it was computed.
pub struct Trace<T: Element = f32> {
    /// The nodes; each takes only earlier ones.
    pub nodes: Vec<TracedNode<T>>,
}

/// A value in a [`Trace`].
pub struct TracedNode<T: Element = f32> {
    /// What made it; `None` for a value from outside.
    pub step: Option<TracedStep<T>>,
    /// Its shape.
    pub shape: Shape,
}

/// An operation as it was applied.
pub struct TracedStep<T: Element = f32> {
    /// The operation, with its arguments.
    pub operation: Arc<dyn Operation<T>>,
    /// Its inputs, in order.
    pub inputs: Vec<Source<T>>,
}

/// Where an operation's input comes from.
#[derive(Clone, Debug)]
pub enum Source<T: Element = f32> {
    /// The node with this number.
    Node(usize),
    /// A value that was not recorded, such as a parameter in a pass without training.
    Constant(Tensor<T>),
}

impl<T: Element> Tape<T> {
    /// An empty tape that also keeps the constants that operations take; see [`trace`](Self::trace). It needs more
    /// memory than an ordinary one.
    ///
    /// ```
    /// use cerberus_autograd::{Source, Tape, Var};
    /// use cerberus_tensor::Tensor;
    /// let tape = Tape::tracing();
    /// let x = tape.leaf(Tensor::from_vec(vec![1.0, 2.0], &[2]));
    /// let y = (x + Var::constant(Tensor::scalar(3.0))).relu();
    /// let trace = tape.trace();
    /// let step = trace.nodes[1].step.as_ref().unwrap();
    /// assert_eq!(step.operation.name(), "add");
    /// assert!(matches!(&step.inputs[..], [Source::Node(0), Source::Constant(three)] if three.item() == 3.0));
    /// assert_eq!(y.place(), Some(2));
    /// ```
    pub fn tracing() -> Self {
        Self::with_constants(Some(BTreeMap::new()))
    }

    /// What has been recorded. Drop it before a backward pass over [checkpoints](Self::checkpoint), which run the
    /// operations once more.
    ///
    /// # Panics
    /// If this is no [tracing](Self::tracing) tape, or `backward` has used it up.
    #[track_caller]
    pub fn trace(&self) -> Trace<T> {
        self.assert_usable();
        let record = self.read();
        let constants = record.constants.as_ref().expect("trace: the tape was not made by Tape::tracing");
        let traced = |(place, node): (usize, &Node<T>)| match node {
            Node::Leaf { shape, .. } => TracedNode { step: None, shape: *shape },
            Node::Result { operation, inputs, shape, .. } => {
                let sources = inputs.iter().enumerate().map(|(index, input)| match input.node {
                    Some(node) => Source::Node(node),
                    None => Source::Constant(constants[&(place, index)].clone()),
                });
                let step = TracedStep { operation: Arc::clone(operation), inputs: sources.collect() };
                TracedNode { step: Some(step), shape: *shape }
            }
        };
        Trace { nodes: record.nodes.iter().enumerate().map(traced).collect() }
    }
}

impl<T: Element> Var<T> {
    /// The number of this variable's node on its tape, by which a [`Trace`] names it; `None` for a constant.
    pub fn place(&self) -> Option<usize> {
        self.node().map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracing_tape_keeps_constants_that_no_backward_rule_reads() {
        let tape = Tape::<f64>::tracing();
        let x = tape.leaf(Tensor::from_vec(vec![1.0, 2.0], &[2]));
        let offset = Tensor::from_vec(vec![5.0, -7.0], &[2]);
        let y = Var::constant(offset.clone()) - x;
        let trace = tape.trace();
        let TracedStep { operation, inputs } = trace.nodes[y.place().unwrap()].step.as_ref().unwrap();
        assert_eq!(operation.name(), "sub");
        let Source::Constant(kept) = &inputs[0] else { panic!("{inputs:?}") };
        assert_eq!(kept.to_vec(), offset.to_vec());
        assert!(matches!(inputs[1], Source::Node(0)));
    }

    #[test]
    fn an_ordinary_tape_keeps_no_constants_and_says_so() {
        let tape = Tape::<f64>::new();
        let _ = tape.leaf(Tensor::ones(&[2])) + Var::constant(Tensor::ones(&[2]));
        assert!(tape.read().constants.is_none());
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tape.trace())).is_err());
    }
}

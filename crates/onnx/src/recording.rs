//! Recording a network's computation: one list of operations that holds for every
//! batch and every image.
//!
//! A forward pass in evaluation is [traced](cerberus_autograd::Tape::tracing)
//! twice, with two batch sizes and two different inputs. What differs between the
//! two passes depends on the batch or on the input. An extent may: it becomes a
//! multiple of the batch. A constant may only be repeated for every image. Any
//! other difference means that something was computed outside the recorded
//! operations, and would be frozen in the file with the value that it had for one
//! input: the export is refused.

use std::any::Any;
use std::sync::Arc;

use cerberus_autograd::{Operation, Source, Tape, Trace, TracedStep, Var};
use cerberus_nn::Context;
use cerberus_tensor::Tensor;

use crate::error::ExportError;
use crate::layout::Extent;

/// The batch sizes of the two passes.
const BATCHES: [usize; 2] = [2, 3];

/// A computation of one input.
pub(crate) struct Recording {
    /// In the order of their computation; the first is the input.
    pub nodes: Vec<Node>,
    /// The nodes that are the outputs, in order.
    pub outputs: Vec<usize>,
}

/// A value of the computation.
pub(crate) struct Node {
    /// What made it; `None` for the input.
    pub step: Option<Step>,
    /// Its extents, channels last.
    pub extents: Vec<Extent>,
}

/// An operation as it was applied.
pub(crate) struct Step {
    /// The operation in both passes.
    operations: [Arc<dyn Operation<f32>>; 2],
    pub inputs: Vec<Input>,
}

/// An input of a [`Step`].
pub(crate) enum Input {
    Node(usize),
    Constant(Constant),
}

/// A value that is the same for all inputs.
pub(crate) struct Constant {
    pub value: Tensor,
    /// The dimension along which the value, of extent 1 there, is to be repeated for every image, if it is.
    pub repeated: Option<usize>,
}

impl Step {
    pub fn name(&self) -> &'static str {
        self.operations[0].name()
    }

    /// The operation in both passes, if it is of this type.
    pub fn as_both<O: 'static>(&self) -> Option<[&O; 2]> {
        let [a, b] = self.operations.each_ref().map(|operation| {
            let any: &dyn Any = &**operation;
            any.downcast_ref::<O>()
        });
        Some([a?, b?])
    }

    pub fn is<O: 'static>(&self) -> bool {
        self.as_both::<O>().is_some()
    }
}

/// Records `forward` for inputs of shape `[N, sample..]`.
pub(crate) fn record(
    sample: &[usize],
    forward: &dyn Fn(Var, &mut Context) -> Vec<Var>,
) -> Result<Recording, ExportError> {
    let pass = |batch: usize| {
        let tape = Tape::tracing();
        let shape = [&[batch], sample].concat();
        // Two inputs without a value in common; both lie in the range of normalised pixels.
        let x = tape.leaf(Tensor::from_fn(&shape, |i| 2.0 * (i as f32 * 0.7 + batch as f32).sin()));
        let outputs = forward(x, &mut Context::evaluation());
        (tape.trace(), outputs.iter().map(Var::place).collect::<Option<Vec<usize>>>())
    };
    let (a, b) = (pass(BATCHES[0]), pass(BATCHES[1]));
    let (Some(outputs), Some(others)) = (a.1, b.1) else {
        return Err(ExportError::Network(
            "an output does not depend on the input, or is computed outside the operations of `Var`".into(),
        ));
    };
    let [a, b] = [a.0, b.0];
    if outputs != others || a.nodes.len() != b.nodes.len() {
        return Err(ExportError::Network(format!(
            "it takes other steps for a batch of {} than for one of {}; which operations are applied must not depend \
             on the batch or on the values",
            BATCHES[0], BATCHES[1]
        )));
    }
    Ok(Recording { nodes: merge(&a, &b)?, outputs })
}

/// The two passes as one.
fn merge(a: &Trace, b: &Trace) -> Result<Vec<Node>, ExportError> {
    let both = a.nodes.iter().zip(&b.nodes);
    both.map(|(a, b)| {
        let name = a.step.as_ref().map_or("input", |step| step.operation.name());
        let refuse = |problem: &str| ExportError::Use { operation: name.into(), problem: problem.into() };
        let extents = extents(&a.shape, &b.shape).ok_or_else(|| {
            refuse("its output has neither the same shape for every batch nor one that grows with the batch")
        })?;
        let step = match (&a.step, &b.step) {
            (None, None) => None,
            (Some(a), Some(b)) if alike(a, b) => {
                let pairs = a.inputs.iter().zip(&b.inputs);
                let inputs = pairs.map(|pair| match pair {
                    (Source::Node(a), Source::Node(b)) if a == b => Ok(Input::Node(*a)),
                    (Source::Constant(a), Source::Constant(b)) => {
                        constant(a, b).map(Input::Constant).ok_or_else(|| {
                            refuse(
                                "it takes a value that depends on the network's input but was not computed from it by \
                                 operations of `Var` alone",
                            )
                        })
                    }
                    _ => Err(refuse("it takes other values in another batch")),
                });
                let inputs = inputs.collect::<Result<_, _>>()?;
                let operations = [a, b].map(|step| Arc::clone(&step.operation));
                Some(Step { operations, inputs })
            }
            _ => return Err(refuse("another batch takes another operation in its place")),
        };
        Ok(Node { step, extents })
    })
    .collect()
}

/// Whether two steps apply one operation to as many inputs.
fn alike(a: &TracedStep, b: &TracedStep) -> bool {
    a.operation.name() == b.operation.name() && a.inputs.len() == b.inputs.len()
}

fn extents(a: &[usize], b: &[usize]) -> Option<Vec<Extent>> {
    let one = |(&a, &b): (&usize, &usize)| {
        if a == b {
            return Some(Extent::Fixed(a));
        }
        (a * BATCHES[1] == b * BATCHES[0]).then(|| Extent::PerImage(a / BATCHES[0]))
    };
    if a.len() != b.len() {
        return None;
    }
    a.iter().zip(b).map(one).collect()
}

/// What two passes' constants have in common; `None` if they are not one constant.
fn constant(a: &Tensor, b: &Tensor) -> Option<Constant> {
    if a.shape() == b.shape() {
        return same_values(a, b).then(|| Constant { value: a.clone(), repeated: None });
    }
    if a.rank() != b.rank() {
        return None;
    }
    let mut differing = (0..a.rank()).filter(|&axis| a.shape()[axis] != b.shape()[axis]);
    let (Some(axis), None) = (differing.next(), differing.next()) else { return None };
    let slice = a.narrow(axis, 0, a.shape()[axis].min(1));
    let repeats = |x: &Tensor| same_values(&slice.broadcast_to(x.shape()), x);
    let per_image = a.shape()[axis] == BATCHES[0] && b.shape()[axis] == BATCHES[1];
    (per_image && repeats(a) && repeats(b))
        .then(|| Constant { value: slice.contiguous(), repeated: Some(axis) })
}

/// Whether all elements are equal, bit by bit: NaN equals itself.
fn same_values(a: &Tensor, b: &Tensor) -> bool {
    let (a, b) = (a.contiguous(), b.contiguous());
    std::ptr::eq(a.data(), b.data())
        || a.data().iter().map(|x| x.to_bits()).eq(b.data().iter().map(|x| x.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(forward: impl Fn(Var, &mut Context) -> Vec<Var>) -> String {
        match record(&[4], &forward) {
            Ok(_) => panic!("it was recorded"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn values_computed_outside_the_tape_are_refused_and_not_frozen() {
        let message = problem(|x, _| {
            let scale = Var::constant(x.value().clone().map(|x| x * 2.0));
            vec![x * scale]
        });
        assert!(
            message.contains("operation mul") && message.contains("depends on the network's input"),
            "{message}"
        );
        let message = problem(|x, _| vec![x.detach()]);
        assert!(message.contains("does not depend on the input"), "{message}");
        let message = problem(|x, _| if x.shape()[0] == 2 { vec![x.relu()] } else { vec![x.relu().relu()] });
        assert!(message.contains("other steps"), "{message}");
    }

    #[test]
    fn extents_of_the_batch_are_told_from_fixed_ones() {
        let recording = record(&[4], &|x, _| {
            let n = x.shape()[0];
            let ones = Var::constant(Tensor::ones(&[n, 4]));
            vec![(x + ones).reshape(&[2 * n, 2])]
        })
        .unwrap();
        let last = &recording.nodes[recording.outputs[0]];
        assert_eq!(last.extents, [Extent::PerImage(2), Extent::Fixed(2)]);
        let Some(Step { inputs, .. }) = &recording.nodes[1].step else { panic!() };
        let Input::Constant(ones) = &inputs[1] else { panic!() };
        assert_eq!((ones.value.shape(), ones.repeated), (&[1, 4][..], Some(0)));
    }
}

//! Activation checkpointing: values that are computed again in the backward pass instead of being kept.
//!
//! Usually every node of the tape keeps what its backward rule reads. In a *segment* of the tape nodes keep nothing; the
//! segment keeps the values that come into it from outside. When the backward pass reaches the segment, its operations
//! run once more, in the same order and therefore with the same bits, and now their nodes keep what they need (Chen, Xu,
//! Zhang and Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016, section 4). Memory then holds the values
//! between segments and those of one segment, and the time of a forward pass is added.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cerberus_tensor::{Element, Tensor};

use super::{Input, Node, Record, Tape, Var};
use crate::operation::{Inputs, SavedValue};

/// Neighbouring nodes whose values are not kept.
pub(crate) struct Segment<T: Element> {
    /// The nodes. While it is recorded, the end is open.
    nodes: Range<usize>,
    /// The values of leaves among them, and of earlier nodes that they use.
    values: HashMap<usize, SavedValue<T>>,
    /// The constant inputs: node, place among its inputs, value.
    constants: HashMap<(usize, usize), SavedValue<T>>,
}

impl<T: Element> Tape<T> {
    /// Runs `forward`; what it records keeps no values for the backward pass, which computes them again. It changes no
    /// result. Values of its own that `forward` returns or passes on in other ways can be used as any other. Inside
    /// another call it only runs `forward`.
    ///
    /// [`grad`](crate::grad) and its relatives, which keep the tape, keep the recomputed values too.
    ///
    /// ```
    /// use cerberus_autograd::{Tape, backward};
    /// use cerberus_tensor::Tensor;
    /// let tape = Tape::new();
    /// let x = tape.leaf(Tensor::from_vec(vec![1.0, 2.0], &[2]));
    /// let y = tape.checkpoint(|| x.clone().exp().square()); // x is kept, exp(x) is not
    /// let gradients = backward(y.sum_all());
    /// assert_eq!(gradients.of(&x).unwrap().to_vec(), [2.0 * 1f32.exp().powi(2), 2.0 * 2f32.exp().powi(2)]);
    /// ```
    pub fn checkpoint<R>(&self, forward: impl FnOnce() -> R) -> R {
        {
            let mut record = self.write();
            record.depth += 1;
            if record.depth == 1 {
                let start = record.nodes.len();
                let (values, constants) = (HashMap::new(), HashMap::new());
                record.segments.push(Segment { nodes: start..usize::MAX, values, constants });
            }
        }
        let result = forward();
        let mut record = self.write();
        record.depth -= 1;
        let end = record.nodes.len();
        if record.depth == 0
            && let Some(segment) = record.segments.last_mut()
        {
            segment.nodes.end = end;
        }
        result
    }
}

impl<T: Element> Record<T> {
    /// The segment that is being recorded.
    pub(crate) fn open_segment(&mut self) -> Option<&mut Segment<T>> {
        self.segments.last_mut().filter(|_| self.depth > 0)
    }

    /// Whether the next node is in a segment, which then keeps those of the node's inputs that come from outside.
    pub(crate) fn keep_for_replay(&mut self, inputs: &[Var<T>]) -> bool {
        let index = self.nodes.len();
        let Some(segment) = self.open_segment() else { return false };
        for (place, input) in inputs.iter().enumerate() {
            match input.node() {
                None => drop(segment.constants.insert((index, place), input.kept())),
                Some((_, node)) if *node < segment.nodes.start => segment.keep(*node, input.kept()),
                Some(_) => {}
            }
        }
        true
    }

    /// Computes the values again of all segments for which `is_needed` is true of one of their nodes.
    pub(crate) fn replay_where(&mut self, is_needed: impl Fn(usize) -> bool) {
        let (needed, others) = std::mem::take(&mut self.segments)
            .into_iter()
            .partition(|segment| segment.nodes.clone().any(&is_needed));
        self.segments = others;
        let needed: Vec<Segment<T>> = needed;
        needed.into_iter().for_each(|segment| segment.replay(&mut self.nodes));
    }
}

impl<T: Element> Segment<T> {
    /// Keeps the value of a node.
    pub(crate) fn keep(&mut self, node: usize, value: SavedValue<T>) {
        self.values.entry(node).or_insert(value);
    }

    /// Whether all of the segment's nodes come before this one.
    pub(crate) fn is_before(&self, node: usize) -> bool {
        self.nodes.end <= node
    }

    /// Its nodes, as far as there are `len` nodes.
    pub(crate) fn nodes(&self, len: usize) -> Range<usize> {
        self.nodes.start.min(len)..self.nodes.end.min(len)
    }

    /// Runs the operations again, as far as `nodes` go; the nodes then hold what their backward rules read.
    pub(crate) fn replay(self, nodes: &mut [Node<T>]) {
        let range = self.nodes(nodes.len());
        let mut values: HashMap<usize, Tensor<T>> =
            self.values.into_iter().map(|(node, value)| (node, value.value())).collect();
        let mut constants = self.constants;
        let mut last_use = HashMap::new();
        for index in range.clone() {
            if let Node::Result { inputs, .. } = &nodes[index] {
                last_use.extend(inputs.iter().filter_map(|input| input.node).map(|node| (node, index)));
            }
        }
        for index in range {
            let Node::Result { operation, inputs, saved, .. } = &mut nodes[index] else { continue };
            let value = |(place, input): (usize, &Input)| match input.node {
                None => constants.remove(&(index, place)).map(SavedValue::value),
                Some(node) => values.get(&node).cloned(),
            };
            let taken: Vec<Option<Tensor<T>>> = inputs.iter().enumerate().map(value).collect();
            let taken: Vec<Tensor<T>> =
                taken.into_iter().map(|value| value.expect("a segment keeps what its nodes read")).collect();
            for input in inputs.iter().filter_map(|input| input.node) {
                if last_use.get(&input) == Some(&index) {
                    values.remove(&input);
                }
            }
            let operation = Arc::get_mut(operation).expect("a tape's operations have one owner");
            let saves = operation.saves();
            for &place in saves.inputs.iter().filter(|&&place| place < taken.len()) {
                saved.inputs[place] = Some(SavedValue::Value(taken[place].clone()));
            }
            let output = operation.forward(Inputs(taken));
            saved.output = saves.output.then(|| SavedValue::Value(output.clone()));
            // A value that only nodes after the segment use is with them.
            if last_use.contains_key(&index) {
                values.insert(index, output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::gradcheck::sample;
    use crate::{Operation, Saved, Saves, backward, grad, grad_with_graph};

    /// Doubles, and counts how often.
    struct Counted(Arc<AtomicUsize>);

    impl Operation<f64> for Counted {
        fn name(&self) -> &'static str {
            "counted"
        }

        fn saves(&self) -> Saves {
            Saves::NOTHING
        }

        fn forward(&mut self, inputs: Inputs<f64>) -> Tensor<f64> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let [x] = inputs.take();
            x.scale(2.0)
        }

        fn backward(&self, _: Saved<f64>, dy: Tensor<f64>, _: &[bool]) -> Vec<Option<crate::Gradient<f64>>> {
            vec![Some(dy.scale(2.0).into())]
        }
    }

    fn run(tape: &Tape<f64>, is_checkpointed: bool, forward: impl Fn() -> Var<f64>) -> Var<f64> {
        if is_checkpointed { tape.checkpoint(forward) } else { forward() }
    }

    /// Two segments, with branches, constants, leaves of their own, values from before the first, and an intermediate
    /// value that leaves the second by another way than its result.
    fn network(is_checkpointed: bool) -> (Tape<f64>, Vec<Var<f64>>, Var<f64>) {
        let tape = Tape::new();
        let x = tape.leaf(sample(1, &[3, 4]));
        let early = x.clone().sin();
        let own = RefCell::new(None);
        let y = run(&tape, is_checkpointed, || {
            let w = tape.leaf(sample(2, &[4, 4]));
            *own.borrow_mut() = Some(w.clone());
            let product = early.clone().matmul(w.clone()).tanh();
            product.clone() * sample(3, &[3, 4]) + product.exp() * x.clone()
        });
        let w = own.take().unwrap();
        let inside = RefCell::new(None);
        let z = run(&tape, is_checkpointed, || {
            let middle = y.clone().square() + early.clone();
            *inside.borrow_mut() = Some(middle.clone().sigmoid());
            middle.softmax(1)
        });
        let loss = (z * y).sum_all() + inside.take().unwrap().square().sum_all();
        (tape, vec![x, w], loss)
    }

    #[test]
    fn gradients_have_the_same_bits_with_and_without_checkpoints() {
        let gradients = |is_checkpointed| {
            let (_, leaves, loss) = network(is_checkpointed);
            let found = backward(loss);
            leaves.iter().map(|leaf| found.of(leaf).unwrap().to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(gradients(true), gradients(false));
    }

    #[test]
    fn a_tape_that_is_kept_gives_the_same_gradients_again_and_those_of_gradients() {
        let gradients = |is_checkpointed| {
            let (_, leaves, loss) = network(is_checkpointed);
            let wrt: Vec<&Var<f64>> = leaves.iter().collect();
            let first = grad(&[&loss], &wrt);
            let second = grad(&[&loss], &wrt[1..]);
            assert_eq!(first[1].to_vec(), second[0].to_vec());
            let with_graph = grad_with_graph(&[&loss], &wrt);
            let norm = with_graph[0].clone().square().sum_all() + with_graph[1].clone().square().sum_all();
            let third = grad(&[&norm], &wrt);
            first.into_iter().chain(third).map(|gradient| gradient.to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(gradients(true), gradients(false));
    }

    #[test]
    fn operations_run_again_once_and_only_if_a_gradient_needs_them() {
        let tape = Tape::new();
        let x = tape.leaf(sample(1, &[5]));
        let counts = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
        let segment = |count: &Arc<AtomicUsize>| {
            let count = Arc::clone(count);
            tape.checkpoint(|| tape.checkpoint(|| Var::apply(Counted(count), vec![x.clone()])).square())
        };
        let (used, unused) = (segment(&counts[0]), segment(&counts[1]));
        assert_eq!(counts.each_ref().map(|count| count.load(Ordering::Relaxed)), [1, 1]);
        grad(&[&used.clone().sum_all()], &[&tape.leaf(sample(2, &[1]))]);
        assert_eq!(
            counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            [1, 1],
            "the leaf is not computed from x"
        );
        let gradients = backward(used.sum_all() + unused.detach().sum_all());
        assert_eq!(counts.each_ref().map(|count| count.load(Ordering::Relaxed)), [2, 1]);
        let expected = x.value().clone().scale(8.0);
        assert_eq!(gradients.of(&x).unwrap().to_vec(), expected.to_vec());
    }

    #[test]
    fn a_segment_keeps_no_value_between_its_ends() {
        let tape = Tape::<f64>::new();
        let x = tape.leaf(sample(1, &[5]));
        let y = tape.checkpoint(|| x.clone().exp().square().sin());
        let record = tape.read();
        let kept = record.nodes.iter().filter(|node| match node {
            Node::Leaf { .. } => false,
            Node::Result { saved, .. } => saved.output.is_some() || saved.inputs.iter().any(Option::is_some),
        });
        assert_eq!((kept.count(), record.segments[0].values.len()), (0, 1));
        assert_eq!(y.shape(), [5]);
    }
}

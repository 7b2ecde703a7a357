//! The tape and its variables.
//!
//! A [`Tape`] is a list of nodes in the order they were computed (a Wengert
//! list). A [`Var`] is a value and, if gradients flow through it, its place in
//! the list. Because a node only ever refers to earlier ones, the backward pass
//! is one loop from the end to the start: no recursion, no sorting, no hashing.

mod checkpoint;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Boxed, Inputs, Operation, Precompiled, Recompute, Saved, SavedValue};
use crate::rules::{Rule, Ruled};
use checkpoint::Segment;

/// Identifies a parameter within one run of the program.
///
/// Fresh for every parameter that is made or cloned; never written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(u64);

impl ParamId {
    /// An id that no other parameter of this run has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One entry of the tape.
pub(crate) enum Node<T: Element> {
    /// A value from outside: a parameter, or an input whose gradient is wanted.
    Leaf { shape: Shape, parameter: Option<ParamId> },
    /// The result of an operation.
    Result {
        operation: Arc<dyn Operation<T>>,
        inputs: Vec<Input>,
        saved: Saved<T, SavedValue<T>>,
        shape: Shape,
    },
}

impl<T: Element> Node<T> {
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Leaf { shape, .. } | Self::Result { shape, .. } => *shape,
        }
    }
}

/// An input of a node: where it came from (nowhere, for a constant) and its shape.
#[derive(Clone, Copy)]
pub(crate) struct Input {
    pub node: Option<usize>,
    pub shape: Shape,
}

pub(crate) struct Record<T: Element> {
    pub nodes: Vec<Node<T>>,
    /// In the order of their nodes; none overlap.
    pub segments: Vec<Segment<T>>,
    /// How many calls of [`Tape::checkpoint`] are running.
    pub depth: usize,
    /// The call of `backward` that used the tape up.
    pub drained: Option<&'static Location<'static>>,
    /// On a [tracing](Tape::tracing) tape, the inputs that are constants, by node and position.
    pub constants: Option<BTreeMap<(usize, usize), Tensor<T>>>,
    /// On a tape [with a rule](Tape::with_rule), the rule and what it reads.
    pub ruled: Option<Ruled<T>>,
}

/// Records operations so that gradients can be computed; cheap to clone (a handle). A pass may go on on another thread;
/// two threads cannot record in an order that is of use.
///
/// ```
/// use cerberus_autograd::{Tape, backward};
/// use cerberus_tensor::Tensor;
/// let tape = Tape::new();
/// let x = tape.leaf(Tensor::from_vec(vec![1.0, 2.0, 3.0], &[3]));
/// let loss = (x.clone() * x.clone()).sum_all(); // x is used twice
/// let gradients = backward(loss);
/// assert_eq!(gradients.of(&x).unwrap().to_vec(), [2.0, 4.0, 6.0]);
/// ```
pub struct Tape<T: Element = f32> {
    record: Arc<RwLock<Record<T>>>,
}

impl<T: Element> Clone for Tape<T> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record) }
    }
}

impl<T: Element> Default for Tape<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Element> Tape<T> {
    /// An empty tape.
    pub fn new() -> Self {
        Self::with_constants(None)
    }

    /// An empty tape whose [backward pass by rule](crate::grad_each_by_rule) replaces some gradients. It keeps
    /// what the rule reads, and records pairs of operations that are usually computed in one pass (with a ReLU
    /// at the end) as two.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cerberus_autograd::{Answer, Rule, Step, Tape, grad_each_by_rule, one};
    /// use cerberus_tensor::Tensor;
    ///
    /// /// Every ReLU passes on everything.
    /// struct Open;
    ///
    /// impl Rule<f64> for Open {
    ///     fn reads(&self, _operation: &str) -> bool {
    ///         false
    ///     }
    ///
    ///     fn backward(&self, step: &Step<'_, f64>, dy: &Tensor<f64>) -> Answer<f64> {
    ///         match step.operation.name() {
    ///             "relu" => Answer::Gradients(one(dy.clone())),
    ///             _ => Answer::Own,
    ///         }
    ///     }
    /// }
    ///
    /// let tape = Tape::with_rule(Arc::new(Open));
    /// let x = tape.leaf(Tensor::from_vec(vec![-1.0, 2.0], &[2]));
    /// let y = x.clone().relu().scale(3.0).sum_all();
    /// let mut dx = Vec::new();
    /// grad_each_by_rule(&[&y], &[&x], |_, gradients| {
    ///     dx = gradients[0].clone().unwrap().into_dense().to_vec();
    /// })
    /// .unwrap();
    /// assert_eq!(dx, [3.0, 3.0]);
    /// ```
    pub fn with_rule(rule: Arc<dyn Rule<T>>) -> Self {
        let tape = Self::new();
        tape.write().ruled = Some(Ruled { rule, values: BTreeMap::new() });
        tape
    }

    pub(crate) fn with_constants(constants: Option<BTreeMap<(usize, usize), Tensor<T>>>) -> Self {
        Self {
            record: Arc::new(RwLock::new(Record {
                nodes: Vec::new(),
                segments: Vec::new(),
                depth: 0,
                drained: None,
                constants,
                ruled: None,
            })),
        }
    }

    /// A variable whose gradient can be computed.
    #[track_caller]
    pub fn leaf(&self, value: Tensor<T>) -> Var<T> {
        self.push_leaf(value, None)
    }

    /// A variable for the parameter `id`; its gradient is returned under that id.
    #[track_caller]
    pub fn parameter(&self, id: ParamId, value: Tensor<T>) -> Var<T> {
        self.push_leaf(value, Some(id))
    }

    #[track_caller]
    fn push_leaf(&self, value: Tensor<T>, parameter: Option<ParamId>) -> Var<T> {
        let node = self.push(Node::Leaf { shape: value.dims(), parameter });
        if let Some(segment) = self.write().open_segment() {
            segment.keep(node, SavedValue::Value(value.clone()));
        }
        Var { value, node: Some((self.clone(), node)), recompute: None }
    }

    /// How many nodes have been recorded.
    pub fn len(&self) -> usize {
        self.read().nodes.len()
    }

    /// How many numbers all recorded results have together: about what the tape keeps at most.
    pub fn elements(&self) -> usize {
        self.read().nodes.iter().map(|node| node.shape().elements()).sum()
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the operations that have been recorded, in order; leaves have none.
    pub fn operations(&self) -> Vec<&'static str> {
        let name = |node: &Node<T>| match node {
            Node::Result { saved, .. } => Some(saved.name),
            _ => None,
        };
        self.read().nodes.iter().filter_map(name).collect()
    }

    #[track_caller]
    fn push(&self, node: Node<T>) -> usize {
        self.assert_usable();
        let mut record = self.write();
        record.nodes.push(node);
        record.nodes.len() - 1
    }

    /// # Panics
    /// If `backward` has used the tape up; names that call and this one.
    #[track_caller]
    pub(crate) fn assert_usable(&self) {
        if let Some(place) = self.read().drained {
            panic!(
                "the tape was used up by `backward` at {place} and is used again at {}; \
                 record a new tape, or use `grad`, which keeps it",
                Location::caller()
            );
        }
    }

    /// The record, to read. A panic while it was written to has left it in order, or was told to whoever can use it.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Record<T>> {
        self.record.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record, to write to.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Record<T>> {
        self.record.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is(&self, other: &Tape<T>) -> bool {
        Arc::ptr_eq(&self.record, &other.record)
    }
}

/// A value that may be part of a computation to differentiate; cheap to clone.
///
/// Operations take their variables by value, so that a value is freed after its
/// last use; clone the ones that are used again.
#[derive(Clone)]
pub struct Var<T: Element = f32> {
    value: Tensor<T>,
    node: Option<(Tape<T>, usize)>,
    recompute: Option<Recompute<T>>,
}

impl<T: Element> Var<T> {
    /// A value through which no gradient flows.
    pub fn constant(value: Tensor<T>) -> Self {
        Self { value, node: None, recompute: None }
    }

    /// The same variable, but an operation that would keep its value for the backward pass keeps
    /// the function `recompute` instead and calls it there: this saves memory and costs time (Chen
    /// et al., "Training Deep Nets with Sublinear Memory Cost", 2016). It pays if the function is
    /// fast and needs only values that are kept anyway. `recompute` must give the same value every
    /// time.
    ///
    /// ```
    /// use cerberus_autograd::{Tape, backward};
    /// use cerberus_tensor::Tensor;
    /// let tape = Tape::new();
    /// let value = Tensor::from_vec(vec![1.0, 2.0], &[2]);
    /// let x = tape.leaf(value.clone());
    /// let twice = x.clone().affine(2.0, 0.0).recomputed(move || value.clone().scale(2.0));
    /// let gradients = backward(twice.square().sum_all());
    /// assert_eq!(gradients.of(&x).unwrap().to_vec(), [8.0, 16.0]);
    /// ```
    pub fn recomputed(self, recompute: impl Fn() -> Tensor<T> + Send + Sync + 'static) -> Self {
        Self { recompute: Some(Arc::new(recompute)), ..self }
    }

    /// The value.
    pub fn value(&self) -> &Tensor<T> {
        &self.value
    }

    /// The value, without the place on the tape.
    pub fn into_value(self) -> Tensor<T> {
        self.value
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    /// The same value as a constant: gradients stop here.
    pub fn detach(self) -> Self {
        Self::constant(self.value)
    }

    /// Whether gradients flow through this variable.
    pub fn is_recorded(&self) -> bool {
        self.node.is_some()
    }

    /// What a node or a segment keeps of the variable.
    pub(crate) fn kept(&self) -> SavedValue<T> {
        match &self.recompute {
            Some(recompute) => SavedValue::Recompute(Arc::clone(recompute)),
            None => SavedValue::Value(self.value.clone()),
        }
    }

    /// A value that is on the tape already, at this place.
    pub(crate) fn at_node(value: Tensor<T>, tape: &Tape<T>, node: Option<usize>) -> Self {
        Self { value, node: node.map(|node| (tape.clone(), node)), recompute: None }
    }

    /// Whether operations on this variable and a ReLU after them are recorded as two: for a
    /// [rule](Tape::with_rule), which may replace the gradient of either.
    pub(crate) fn is_taken_apart(&self) -> bool {
        self.node.as_ref().is_some_and(|(tape, _)| tape.read().ruled.is_some())
    }

    pub(crate) fn node(&self) -> Option<&(Tape<T>, usize)> {
        self.node.as_ref()
    }

    /// Applies an operation to variables and records it if any of them is recorded.
    ///
    /// # Panics
    /// If two inputs are on different tapes, if their tape is used up, or if the
    /// operation does not accept the shapes.
    #[track_caller]
    pub fn apply(operation: impl Operation<T>, inputs: Vec<Var<T>>) -> Var<T> {
        Self::apply_boxed(Box::new(operation), inputs)
    }

    /// [`apply`](Self::apply) for the operations of this crate, whose rules are compiled here.
    #[track_caller]
    pub(crate) fn record(operation: impl Precompiled, inputs: Vec<Var<T>>) -> Var<T> {
        Self::apply_boxed(T::choose(Boxed(operation)), inputs)
    }

    #[track_caller]
    fn apply_boxed(mut operation: Box<dyn Operation<T>>, inputs: Vec<Var<T>>) -> Var<T> {
        let tape = inputs.iter().find_map(|input| input.node.as_ref().map(|(tape, _)| tape.clone()));
        let Some(tape) = tape else {
            let values = inputs.into_iter().map(|input| input.value).collect();
            return Var::constant(operation.forward(Inputs(values)));
        };
        tape.assert_usable();
        let saves = operation.saves();
        let mut saved = Saved {
            name: operation.name(),
            inputs: vec![None; inputs.len()],
            output: None,
            element: PhantomData,
        };
        let is_checkpointed = tape.write().keep_for_replay(&inputs);
        for &index in saves.inputs.iter().filter(|&&index| index < inputs.len() && !is_checkpointed) {
            saved.inputs[index] = Some(inputs[index].kept());
        }
        let mut places = Vec::with_capacity(inputs.len());
        let mut values = Vec::with_capacity(inputs.len());
        let (traces, is_read) = {
            let record = tape.read();
            let is_read = record.ruled.as_ref().is_some_and(|ruled| ruled.rule.reads(saved.name));
            (record.constants.is_some(), is_read)
        };
        let mut constants: Vec<(usize, Tensor<T>)> = Vec::new();
        for (index, Var { value, node, .. }) in inputs.into_iter().enumerate() {
            if traces && node.is_none() {
                constants.push((index, value.clone()));
            }
            let shape = value.dims();
            let node = node.map(|(other, node)| {
                assert!(tape.is(&other), "{}: the inputs are on different tapes", saved.name);
                node
            });
            places.push(Input { node, shape });
            values.push(value);
        }
        let read = is_read.then(|| values.clone());
        let value = operation.forward(Inputs(values));
        saved.output = (saves.output && !is_checkpointed).then(|| SavedValue::Value(value.clone()));
        let shape = value.dims();
        let node = tape.push(Node::Result { operation: Arc::from(operation), inputs: places, saved, shape });
        {
            let mut record = tape.write();
            if let Some(kept) = &mut record.constants {
                kept.extend(constants.into_iter().map(|(index, value)| ((node, index), value)));
            }
            if let (Some(inputs), Some(ruled)) = (read, &mut record.ruled) {
                ruled.values.insert(node, (inputs, value.clone()));
            }
        }
        Var { value, node: Some((tape, node)), recompute: None }
    }
}

impl<T: Element> std::fmt::Debug for Var<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = self.node.as_ref().map_or("constant".to_string(), |(_, node)| format!("node {node}"));
        write!(f, "Var({place}, {:?})", self.value)
    }
}

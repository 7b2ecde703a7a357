//! The backward pass: one reverse loop over the tape.
//!
//! Every node's gradient is complete when the loop reaches it, because all
//! nodes that use it come later on the tape. The engine, not the rules, sums
//! gradients of broadcast inputs back to their shape and adds up the
//! contributions of several uses.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::{Arc, RwLockReadGuard};

use cerberus_tensor::{Element, Tensor};

use crate::gradients::{GradientSink, Gradients, Leaf};
use crate::operation::{Gradient, Saved};
use crate::rules::{Answer, Refusal, Step};
use crate::tape::{Input, Node, Record, Var};

/// The gradient of a scalar with respect to every leaf. Uses the tape up.
///
/// # Panics
/// If `loss` is not a single number, is a constant, or its tape is used up.
#[track_caller]
pub fn backward<T: Element>(loss: Var<T>) -> Gradients<T> {
    let mut gradients = Gradients::default();
    backward_into(loss, &mut gradients);
    gradients
}

/// Like [`backward`], but hands each leaf's gradient to `sink` as soon as it is
/// complete, and keeps none. Uses the tape up, and frees what each node saved
/// when the loop passes it.
///
/// # Panics
/// As [`backward`].
#[track_caller]
pub fn backward_into<T: Element>(loss: Var<T>, sink: &mut impl GradientSink<T>) {
    let (tape, last) = recorded_scalar("backward", &loss);
    drop(loss);
    let (mut nodes, mut segments) = {
        let mut record = tape.write();
        record.drained = Some(Location::caller());
        (std::mem::take(&mut record.nodes), std::mem::take(&mut record.segments))
    };
    nodes.truncate(last + 1);
    let mut gradients = seed(last, last, nodes[last].shape());
    while !nodes.is_empty() {
        let index = nodes.len() - 1;
        while let Some(segment) = segments.pop_if(|segment| !segment.is_before(index)) {
            // All gradients that later nodes give to the segment's are there.
            if gradients[segment.nodes(index + 1)].iter().any(Option::is_some) {
                segment.replay(&mut nodes);
            }
        }
        let node = nodes.pop().expect("there is a node");
        let Some(gradient) = gradients[index].take() else { continue };
        match node {
            Node::Leaf { parameter, .. } => sink.accept(Leaf { node: index, parameter }, gradient),
            Node::Result { operation, inputs, saved, .. } => {
                let wants: Vec<bool> = inputs.iter().map(|input| input.node.is_some()).collect();
                let answers = operation.backward(saved.recall(), gradient.into_dense(), &wants);
                distribute(operation.name(), &inputs, answers, &wants, &mut gradients);
            }
        }
    }
}

/// The gradients of the sum of `outputs` with respect to each of `wrt`, which
/// may be leaves or intermediate results. Keeps the tape, so it may be called
/// again; a variable the outputs do not depend on gets zeros.
///
/// # Panics
/// If an output is a constant or not a single number, if the variables are on
/// different tapes, or if the tape is used up.
#[track_caller]
pub fn grad<T: Element>(outputs: &[&Var<T>], wrt: &[&Var<T>]) -> Vec<Tensor<T>> {
    let mut zeros: Vec<Tensor<T>> = wrt.iter().map(|var| Tensor::zeros(var.shape())).collect();
    let Some(first) = outputs.first() else { return zeros };
    let (tape, _) = recorded_scalar("grad", first);
    let (places, seeds) = (places("grad", &tape, wrt), seeds("grad", &tape, outputs));
    let record = replayed(&tape, &places);
    let mut row = no_gradients(record.nodes.len());
    for node in seeds {
        add(&mut row[node], Gradient::Dense(Tensor::ones(&record.nodes[node].shape())));
    }
    walk(&record.nodes, &places, vec![row], |place, gradients| {
        let gradient = gradients.into_iter().flatten().next().expect("a visited variable has a gradient");
        zeros[place] = gradient.into_dense();
    });
    zeros
}

/// The gradients of each of `outputs` with respect to `wrt`, in one pass over the tape
/// that carries one gradient per output. As soon as a variable's gradients are
/// complete, `visit` gets its place in `wrt` and one gradient per output (`None` where
/// the output does not depend on it). Gradients that `visit` drops are freed, so all
/// outputs' gradients of all variables never exist at once. Places are visited in
/// reverse order of recording; places that no output depends on are not visited. Keeps
/// the tape.
///
/// # Panics
/// As [`grad`].
#[track_caller]
pub fn grad_each<T: Element>(
    outputs: &[&Var<T>],
    wrt: &[&Var<T>],
    visit: impl FnMut(usize, Vec<Option<Gradient<T>>>),
) {
    let Some(first) = outputs.first() else { return };
    let (tape, _) = recorded_scalar("grad_each", first);
    let (places, seeds) = (places("grad_each", &tape, wrt), seeds("grad_each", &tape, outputs));
    let record = replayed(&tape, &places);
    let last = record.nodes.len() - 1;
    let rows = seeds.into_iter().map(|node| seed(last, node, record.nodes[node].shape())).collect();
    walk(&record.nodes, &places, rows, visit);
}

/// [`grad_each`] on a tape [with a rule](crate::Tape::with_rule), which replaces the gradients of some operations.
///
/// # Errors
/// If the rule is not defined for an operation on the way; `visit` may have been called by then.
///
/// # Panics
/// As [`grad_each`], and if the tape has no rule.
#[track_caller]
pub fn grad_each_by_rule<T: Element>(
    outputs: &[&Var<T>],
    wrt: &[&Var<T>],
    visit: impl FnMut(usize, Vec<Option<Gradient<T>>>),
) -> Result<(), Refusal> {
    let Some(first) = outputs.first() else { return Ok(()) };
    let (tape, _) = recorded_scalar("grad_each_by_rule", first);
    let (places, seeds) =
        (places("grad_each_by_rule", &tape, wrt), seeds("grad_each_by_rule", &tape, outputs));
    let record = replayed(&tape, &places);
    let ruled = record.ruled.as_ref().expect("grad_each_by_rule: the tape was not made by Tape::with_rule");
    let last = record.nodes.len() - 1;
    let rows = seeds.into_iter().map(|node| seed(last, node, record.nodes[node].shape())).collect();
    walk_by(&record.nodes, &places, rows, visit, |index, dy, wants| {
        let Node::Result { operation, saved, .. } = &record.nodes[index] else { return Ok(Vec::new()) };
        let own = |dy: Tensor<T>| operation.backward(saved.clone().recall(), dy, wants);
        let (inputs, output) = match ruled.values.get(&index) {
            Some((inputs, output)) => (&inputs[..], Some(output)),
            None => (&[][..], None),
        };
        let step = Step { operation: &**operation, inputs, output, wants, own: &own };
        match ruled.rule.backward(&step, &dy) {
            Answer::Own => Ok(own(dy)),
            Answer::Gradients(gradients) => Ok(gradients),
            Answer::Refused(reason) => Err(Refusal { operation: operation.name(), reason }),
        }
    })
}

/// [`walk_by`] the operations' own rules.
fn walk<T: Element>(
    nodes: &[Node<T>],
    places: &[Option<usize>],
    rows: Vec<Vec<Option<Gradient<T>>>>,
    visit: impl FnMut(usize, Vec<Option<Gradient<T>>>),
) {
    let own = |index: usize, dy: Tensor<T>, wants: &[bool]| match &nodes[index] {
        Node::Result { operation, saved, .. } => Ok(operation.backward(saved.clone().recall(), dy, wants)),
        Node::Leaf { .. } => Ok(Vec::new()),
    };
    walk_by(nodes, places, rows, visit, own).expect("operations do not refuse their own gradients");
}

/// Goes back over the tape with several rows of gradients at once; a row has one
/// entry per node. Follows only the paths that lead to one of `places`, and calls
/// `visit` with the gradients of each place. `back` gives the gradients of a node's inputs, given that of its output.
fn walk_by<T: Element>(
    nodes: &[Node<T>],
    places: &[Option<usize>],
    mut rows: Vec<Vec<Option<Gradient<T>>>>,
    mut visit: impl FnMut(usize, Vec<Option<Gradient<T>>>),
    back: impl Fn(usize, Tensor<T>, &[bool]) -> Result<Vec<Option<Gradient<T>>>, Refusal>,
) -> Result<(), Refusal> {
    let leads = leading_to(nodes, places);
    for (index, node) in nodes.iter().enumerate().rev() {
        let here: Vec<Option<Gradient<T>>> = rows.iter_mut().map(|row| row[index].take()).collect();
        if here.iter().all(Option::is_none) {
            continue;
        }
        for (place, _) in places.iter().enumerate().filter(|(_, node)| **node == Some(index)) {
            visit(place, here.clone());
        }
        let Node::Result { operation, inputs, .. } = node else { continue };
        let wants: Vec<bool> =
            inputs.iter().map(|input| input.node.is_some_and(|node| leads[node])).collect();
        if !wants.contains(&true) {
            continue;
        }
        for (row, gradient) in rows.iter_mut().zip(here) {
            let Some(gradient) = gradient else { continue };
            let answers = back(index, gradient.into_dense(), &wants)?;
            distribute(operation.name(), inputs, answers, &wants, row);
        }
    }
    Ok(())
}

/// Like [`grad`], but the gradients are variables on the same tape and can be
/// differentiated again (`create_graph` elsewhere). Slower than [`grad`]: every
/// step of the backward pass is recorded.
///
/// # Panics
/// As [`grad`], and if an operation on the way has no differentiable backward
/// rule; the message names it.
#[track_caller]
pub fn grad_with_graph<T: Element>(outputs: &[&Var<T>], wrt: &[&Var<T>]) -> Vec<Var<T>> {
    let mut results: Vec<Var<T>> = wrt.iter().map(|var| Var::constant(Tensor::zeros(var.shape()))).collect();
    let Some(first) = outputs.first() else { return results };
    let (tape, _) = recorded_scalar("grad_with_graph", first);
    let (places, seeds) = (places("grad_with_graph", &tape, wrt), seeds("grad_with_graph", &tape, outputs));
    let leads = leading_to(&replayed(&tape, &places).nodes, &places);
    let mut gradients: Vec<Option<Var<T>>> = vec![None; leads.len()];
    for (output, node) in outputs.iter().zip(seeds) {
        add(&mut gradients[node], Var::constant(Tensor::ones(output.shape())));
    }
    for index in (0..leads.len()).rev() {
        let Some(gradient) = gradients[index].take() else { continue };
        for (result, _) in results.iter_mut().zip(&places).filter(|(_, place)| **place == Some(index)) {
            *result = gradient.clone();
        }
        // The rule will record on this tape, so the record must not stay borrowed.
        let (operation, inputs, saved) = match &tape.read().nodes[index] {
            Node::Leaf { .. } => continue,
            Node::Result { operation, inputs, saved, .. } => {
                (Arc::clone(operation), inputs.clone(), saved.clone().recall())
            }
        };
        let wants: Vec<bool> =
            inputs.iter().map(|input| input.node.is_some_and(|node| leads[node])).collect();
        if !wants.contains(&true) {
            continue;
        }
        let name = operation.name();
        let on_tape = |value: Option<Tensor<T>>, node| value.map(|value| Var::at_node(value, &tape, node));
        let saved = Saved {
            name,
            inputs: saved
                .inputs
                .into_iter()
                .zip(&inputs)
                .map(|(value, input)| on_tape(value, input.node))
                .collect(),
            output: on_tape(saved.output, Some(index)),
            element: PhantomData,
        };
        let answers = operation.backward_graph(saved, gradient, &wants).unwrap_or_else(|| {
            panic!(
                "grad_with_graph: {name} has no differentiable backward rule, so no gradients of gradients"
            )
        });
        distribute(name, &inputs, answers, &wants, &mut gradients);
    }
    results
}

/// The record of the tape, with the values of checkpointed segments that lead to one of `places`.
fn replayed<'a, T: Element>(
    tape: &'a crate::Tape<T>,
    places: &[Option<usize>],
) -> RwLockReadGuard<'a, Record<T>> {
    if !tape.read().segments.is_empty() {
        let mut record = tape.write();
        let leads = leading_to(&record.nodes, places);
        record.replay_where(|node| leads[node]);
    }
    tape.read()
}

/// For every node, whether it is one of `targets` or computed from one.
fn leading_to<T: Element>(nodes: &[Node<T>], targets: &[Option<usize>]) -> Vec<bool> {
    let mut leads = vec![false; nodes.len()];
    targets.iter().flatten().for_each(|&node| leads[node] = true);
    for (index, node) in nodes.iter().enumerate() {
        if let Node::Result { inputs, .. } = node {
            leads[index] |= inputs.iter().any(|input| input.node.is_some_and(|node| leads[node]));
        }
    }
    leads
}

/// For each of `wrt`, whether any of `outputs` depends on it.
pub fn depends_on<T: Element>(outputs: &[&Var<T>], wrt: &[&Var<T>]) -> Vec<bool> {
    let Some((tape, _)) = outputs.iter().find_map(|output| output.node()) else {
        return vec![false; wrt.len()];
    };
    let record = tape.read();
    let mut needed = vec![false; record.nodes.len()];
    let place = |var: &Var<T>| var.node().filter(|(other, _)| tape.is(other)).map(|(_, node)| *node);
    outputs.iter().filter_map(|output| place(output)).for_each(|node| needed[node] = true);
    for (index, node) in record.nodes.iter().enumerate().rev() {
        if let (true, Node::Result { inputs, .. }) = (needed[index], node) {
            inputs.iter().filter_map(|input| input.node).for_each(|node| needed[node] = true);
        }
    }
    wrt.iter().map(|var| place(var).is_some_and(|node| needed[node])).collect()
}

/// The variables' positions on the tape; `None` for constants.
#[track_caller]
fn places<T: Element>(call: &str, tape: &crate::Tape<T>, vars: &[&Var<T>]) -> Vec<Option<usize>> {
    let mut places = Vec::with_capacity(vars.len());
    for var in vars {
        let node = var.node();
        assert!(
            node.as_ref().is_none_or(|(other, _)| tape.is(other)),
            "{call}: the variables are on different tapes"
        );
        places.push(node.as_ref().map(|(_, node)| *node));
    }
    places
}

/// The positions on the tape of the outputs to differentiate.
#[track_caller]
fn seeds<T: Element>(call: &str, tape: &crate::Tape<T>, outputs: &[&Var<T>]) -> Vec<usize> {
    let mut seeds = Vec::with_capacity(outputs.len());
    for output in outputs {
        seeds.push(recorded_scalar(call, output).1);
    }
    places(call, tape, outputs);
    seeds
}

#[track_caller]
fn recorded_scalar<T: Element>(call: &str, output: &Var<T>) -> (crate::Tape<T>, usize) {
    assert!(
        output.value().len() == 1,
        "{call}: the output has shape {:?}; only a single number can be differentiated (sum it, or weigh it, first)",
        output.shape()
    );
    let Some((tape, node)) = output.node() else {
        panic!("{call}: the output is a constant: nothing it was computed from is on a tape");
    };
    tape.assert_usable();
    (tape.clone(), *node)
}

fn no_gradients<T: Element>(nodes: usize) -> Vec<Option<Gradient<T>>> {
    std::iter::repeat_with(|| None).take(nodes).collect()
}

/// A gradient for every node up to `last`: ones at `node`, none elsewhere.
fn seed<T: Element>(last: usize, node: usize, shape: cerberus_tensor::Shape) -> Vec<Option<Gradient<T>>> {
    let mut gradients = no_gradients(last + 1);
    gradients[node] = Some(Gradient::Dense(Tensor::ones(&shape)));
    gradients
}

/// A gradient that can be accumulated: a number array, or a variable that can be
/// differentiated again.
trait Accumulate: Sized {
    /// Summed over the dimensions in which an input of `shape` was broadcast.
    fn sum_to_shape(self, shape: &[usize]) -> Self;
    /// The sum of two contributions.
    fn plus(self, other: Self) -> Self;
}

impl<T: Element> Accumulate for Gradient<T> {
    fn sum_to_shape(self, shape: &[usize]) -> Self {
        match self {
            Gradient::Dense(gradient) if gradient.shape() != shape => Gradient::Dense(gradient.sum_to(shape)),
            other => other,
        }
    }

    fn plus(self, other: Self) -> Self {
        Gradient::Dense(self.into_dense() + other.into_dense())
    }
}

impl<T: Element> Accumulate for Var<T> {
    fn sum_to_shape(self, shape: &[usize]) -> Self {
        self.sum_to(shape)
    }

    fn plus(self, other: Self) -> Self {
        self + other
    }
}

/// Adds the gradients that a rule returns to those of its inputs.
fn distribute<G: Accumulate>(
    name: &str,
    inputs: &[Input],
    answers: Vec<Option<G>>,
    wants: &[bool],
    gradients: &mut [Option<G>],
) {
    assert_eq!(answers.len(), inputs.len(), "{name}: the backward rule must answer for every input");
    for ((input, answer), wanted) in inputs.iter().zip(answers).zip(wants) {
        let (Some(node), true) = (input.node, wanted) else { continue };
        // A rule that returns nothing would cut the gradient silently.
        let answer = answer
            .unwrap_or_else(|| panic!("{name}: the backward rule left out a gradient that was asked for"));
        add(&mut gradients[node], answer.sum_to_shape(&input.shape));
    }
}

fn add<G: Accumulate>(sum: &mut Option<G>, gradient: G) {
    *sum = Some(match sum.take() {
        None => gradient,
        Some(sum) => sum.plus(gradient),
    });
}

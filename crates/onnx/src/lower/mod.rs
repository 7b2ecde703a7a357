//! From recorded operations to ONNX operators.
//!
//! Each file here maps one kind of operation; [`Lowering::step`] tries them in
//! turn. A value gets its layout from the operator that makes it, and a `Transpose`
//! only where an operator needs the other layout: convolutions, pools and resizes
//! make channels first, element-wise operations follow their inputs, reductions
//! and concatenations translate their axes, and products, reshapes and the like
//! ask for the network's own order. A convolutional network therefore has hardly
//! any `Transpose`.

mod convolution;
mod elementwise;
mod mapped;
mod movement;
mod product;
mod reduction;

use std::collections::BTreeSet;

use cerberus_tensor::Tensor;

use crate::error::ExportError;
use crate::fold::{Fold, folds};
use crate::graph::Graph;
use crate::layout::Layout::{ChannelsFirst, Plain};
use crate::layout::{Extent, Layout, layouts_agree};
use crate::names::Names;
use crate::proto::AttributeProto;
use crate::recording::{Input, Recording, Step};

/// A value's names in the graph, by its layout.
#[derive(Clone, Default)]
struct Value {
    plain: Option<String>,
    channels_first: Option<String>,
}

impl Value {
    fn name(&self, layout: Layout) -> Option<&String> {
        match layout {
            Plain => self.plain.as_ref(),
            ChannelsFirst => self.channels_first.as_ref(),
        }
    }
}

/// A translation in progress.
pub(crate) struct Lowering<'a> {
    recording: &'a Recording,
    names: &'a Names,
    graph: Graph,
    values: Vec<Value>,
    folds: Vec<Option<Fold>>,
}

/// Whether a step was mapped.
type Mapped = Result<bool, ExportError>;

/// The layout of a network's inputs and outputs of this rank: images have the order that users of ONNX expect, all
/// else is as it is here.
pub(crate) fn outer_layout(rank: usize) -> Layout {
    if rank == 4 { ChannelsFirst } else { Plain }
}

/// The graph of a recording, whose input and outputs get these names.
pub(crate) fn lower(
    recording: &Recording,
    names: &Names,
    input: &str,
    outputs: &[String],
) -> Result<Graph, ExportError> {
    let used = used(recording);
    let mut lowering = Lowering {
        recording,
        names,
        graph: Graph::default(),
        values: vec![Value::default(); recording.nodes.len()],
        folds: folds(recording, &used),
    };
    lowering.graph.reserve(input);
    outputs.iter().for_each(|output| lowering.graph.reserve(output));
    lowering.set(0, outer_layout(lowering.extents(0).len()), input.into());
    let folded: BTreeSet<usize> =
        lowering.folds.iter().flatten().flat_map(|fold| fold.taken.iter().copied()).collect();
    for (place, node) in recording.nodes.iter().enumerate() {
        if let (Some(step), true, false) = (&node.step, used[place], folded.contains(&place)) {
            lowering.step(place, step)?;
        }
    }
    for (&place, name) in recording.outputs.iter().zip(outputs) {
        let value = lowering.value(place, outer_layout(lowering.extents(place).len()))?;
        lowering.graph.output(&value, name);
        // Several outputs may be one value, which now has the first one's name.
        lowering.rename(&value, name);
    }
    Ok(lowering.graph)
}

/// The nodes that an output depends on.
fn used(recording: &Recording) -> Vec<bool> {
    let mut used = vec![false; recording.nodes.len()];
    recording.outputs.iter().for_each(|&output| used[output] = true);
    for place in (0..used.len()).rev().filter(|&place| place > 0) {
        if !used[place] {
            continue;
        }
        for input in recording.nodes[place].step.iter().flat_map(|step| &step.inputs) {
            if let Input::Node(from) = input {
                used[*from] = true;
            }
        }
    }
    used
}

/// A refusal of a use of an operation.
fn refusal(step: &Step, problem: impl Into<String>) -> ExportError {
    ExportError::Use { operation: step.name().into(), problem: problem.into() }
}

impl Lowering<'_> {
    fn step(&mut self, place: usize, step: &Step) -> Result<(), ExportError> {
        let mapped = self.elementwise(place, step)?
            || self.convolution(place, step)?
            || self.movement(place, step)?
            || self.reduction(place, step)?
            || self.product(place, step)?
            || self.mapped(place, step)?;
        if mapped { Ok(()) } else { Err(ExportError::Operation { operation: step.name().into() }) }
    }

    fn extents(&self, place: usize) -> Vec<Extent> {
        self.recording.nodes[place].extents.clone()
    }

    /// The layout that a value has without a conversion.
    fn layout(&self, place: usize) -> Layout {
        if self.values[place].channels_first.is_some() { ChannelsFirst } else { Plain }
    }

    fn has(&self, place: usize, layout: Layout) -> bool {
        self.values[place].name(layout).is_some()
    }

    fn set(&mut self, place: usize, layout: Layout, name: String) {
        let value = &mut self.values[place];
        match layout {
            Plain => value.plain = Some(name),
            ChannelsFirst => value.channels_first = Some(name),
        }
    }

    /// Makes a node the same value as another of the same extents.
    fn alias(&mut self, place: usize, from: usize) {
        self.values[place] = self.values[from].clone();
    }

    fn rename(&mut self, from: &str, to: &str) {
        for value in &mut self.values {
            for name in [&mut value.plain, &mut value.channels_first].into_iter().flatten() {
                if name == from {
                    *name = to.into();
                }
            }
        }
    }

    /// The name of a value in a layout, after a conversion if it has only the other one.
    fn value(&mut self, place: usize, layout: Layout) -> Result<String, ExportError> {
        if let Some(name) = self.values[place].name(layout) {
            return Ok(name.clone());
        }
        let other = if layout == Plain { ChannelsFirst } else { Plain };
        let name = self.values[place].name(other).expect("a value is made before it is read").clone();
        let converted = self.converted(name, &self.extents(place), layout)?;
        self.set(place, layout, converted.clone());
        Ok(converted)
    }

    /// A value in the other layout converted to this one.
    fn converted(&mut self, name: String, extents: &[Extent], to: Layout) -> Result<String, ExportError> {
        if layouts_agree(extents) {
            return self.reshaped(name, &to.stored(extents));
        }
        let rank = extents.len();
        let order = match to {
            ChannelsFirst => ChannelsFirst.order(rank),
            Plain => (0..rank).map(|axis| ChannelsFirst.place(axis, rank)).collect(),
        };
        Ok(self.graph.node("Transpose", [name], [AttributeProto::ints("perm", order)]))
    }

    /// The same elements under another shape.
    fn reshaped(&mut self, name: String, extents: &[Extent]) -> Result<String, ExportError> {
        let shape: Vec<i64> = extents.iter().map(|extent| extent.in_shape()).collect();
        let open = shape.iter().filter(|&&extent| extent < 0).count();
        if open > 1 || (shape.contains(&0)) {
            return Err(ExportError::Use {
                operation: "reshape".into(),
                problem: format!(
                    "{extents:?} has no elements, or more than one extent that grows with the batch"
                ),
            });
        }
        let shape = self.graph.integers(&shape);
        Ok(self.graph.node("Reshape", [name, shape], []))
    }

    /// A constant under its path in the model, or else under `name`.
    fn constant(&mut self, tensor: &Tensor, name: &str) -> String {
        let name = self.names.find(tensor).unwrap_or(name);
        self.graph.floats(name, tensor.shape(), &tensor.to_vec())
    }

    /// An input in the network's own order, constant or not.
    fn plain(&mut self, step: &Step, index: usize) -> Result<String, ExportError> {
        match &step.inputs[index] {
            Input::Node(from) => self.value(*from, Plain),
            Input::Constant(constant) if constant.repeated.is_none() => {
                Ok(self.constant(&constant.value, step.name()))
            }
            Input::Constant(_) => {
                Err(refusal(step, "it takes a constant with an entry for each image of the batch"))
            }
        }
    }
}

/// The only input of an operation that has one.
fn input(step: &Step) -> usize {
    let Input::Node(from) = step.inputs[0] else {
        unreachable!("an operation is recorded because an input was")
    };
    from
}

/// The number in both passes' arguments, if it is the same.
fn same(step: &Step, [a, b]: [f64; 2]) -> Result<f64, ExportError> {
    if a == b || (a.is_nan() && b.is_nan()) {
        return Ok(a);
    }
    Err(refusal(step, format!("its argument is {a} for one batch and {b} for another")))
}

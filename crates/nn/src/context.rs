//! What a forward pass is told, and what it leaves behind.
//!
//! Whether a pass trains or evaluates is an argument of the pass, not a state
//! of the layers, and a forward pass changes nothing: new values for buffers
//! (running means, say) are collected in the [`Context`] and committed by
//! whoever decides that the step counts.

use std::collections::HashMap;
use std::sync::Arc;

use cerberus_autograd::{ParamId, Tape, Var};
use cerberus_tensor::conv::{Conv2dSpec, PreparedConv2d};
use cerberus_tensor::random::{Stream, stream};
use cerberus_tensor::{Element, Tensor};

use crate::layers::Layer;
use crate::module::{Buffer, EntryMut, Module, Parameter};

/// One forward pass: its mode, its tape, its chance, and its side results.
pub struct Context<T: Element = f32> {
    tape: Option<Tape<T>>,
    seed: u64,
    step: u64,
    draws: u64,
    /// A parameter used twice is one leaf.
    leaves: HashMap<ParamId, Var<T>>,
    updates: BufferUpdates<T>,
    /// Weights that an evaluation has packed, for its next passes.
    prepared: HashMap<ParamId, Arc<PreparedConv2d<T>>>,
}

/// New values for buffers, by the buffers' ids.
pub type BufferUpdates<T> = Vec<(ParamId, Tensor<T>)>;

impl<T: Element> Context<T> {
    /// A pass that trains: operations on parameters are recorded, dropout
    /// drops, batch norm uses the batch. `seed` and `step` choose the random
    /// numbers.
    pub fn training(seed: u64, step: u64) -> Self {
        Self { tape: Some(Tape::new()), ..Self::new(seed, step) }
    }

    /// A pass that only predicts: nothing is recorded. Used for several passes,
    /// it packs the weights of convolutions once; while it lives, the model's
    /// parameters cannot be changed in place.
    pub fn evaluation() -> Self {
        Self::new(0, 0)
    }

    fn new(seed: u64, step: u64) -> Self {
        Self {
            tape: None,
            seed,
            step,
            draws: 0,
            leaves: HashMap::new(),
            updates: Vec::new(),
            prepared: HashMap::new(),
        }
    }

    /// Whether this pass trains.
    pub fn is_training(&self) -> bool {
        self.tape.is_some()
    }

    /// The parameter as a variable of this pass.
    pub fn parameter(&mut self, parameter: &Parameter<T>) -> Var<T> {
        let Some(tape) = &self.tape else { return Var::constant(parameter.value.clone()) };
        let leaf = self.leaves.entry(parameter.id());
        leaf.or_insert_with(|| tape.parameter(parameter.id(), parameter.value.clone())).clone()
    }

    /// The weights of a convolution for passes that record nothing, packed once
    /// for this context.
    pub(crate) fn prepared(&mut self, weight: &Parameter<T>, spec: Conv2dSpec) -> Arc<PreparedConv2d<T>> {
        let entry = self.prepared.entry(weight.id());
        Arc::clone(entry.or_insert_with(|| Arc::new(PreparedConv2d::new(&weight.value, spec))))
    }

    /// A variable of this pass whose gradient can be asked for, cut off from how
    /// its value was computed; a constant outside training.
    pub fn leaf(&mut self, value: Tensor<T>) -> Var<T> {
        match &self.tape {
            Some(tape) => tape.leaf(value),
            None => Var::constant(value),
        }
    }

    /// The next random stream of this pass.
    pub fn random(&mut self) -> Stream {
        self.draws += 1;
        stream(self.seed, "layer", self.step, self.draws)
    }

    /// Records a new value for a buffer, to be committed after the step.
    pub fn update(&mut self, buffer: &Buffer<T>, value: Tensor<T>) {
        self.updates.push((buffer.id(), value));
    }

    /// Ends the pass and returns the buffers' new values.
    pub fn finish(self) -> BufferUpdates<T> {
        self.updates
    }
}

/// Writes the buffers' new values into the model.
///
/// # Panics
/// If an update belongs to no buffer of the model.
pub fn commit<T: Element>(model: &mut dyn Module<T>, updates: BufferUpdates<T>) {
    let mut updates: HashMap<ParamId, Tensor<T>> = updates.into_iter().collect();
    model.visit_mut("", &mut |_, entry| {
        if let EntryMut::Buffer(buffer) = entry
            && let Some(value) = updates.remove(&buffer.id())
        {
            buffer.value = value;
        }
    });
    assert!(updates.is_empty(), "commit: {} buffer updates belong to no buffer of this model", updates.len());
}

/// The prediction of `layer` for `x`, outside training.
pub fn predict<T: Element>(layer: &(impl Layer<T> + ?Sized), x: Tensor<T>) -> Tensor<T> {
    layer.forward(Var::constant(x), &mut Context::evaluation()).into_value()
}

//! What a forward pass is told, and what it leaves behind.
//!
//! Whether a pass trains or evaluates is an argument of the pass, not a state
//! of the layers, and a forward pass changes nothing: new values for buffers
//! (running means, say) are collected in the [`Context`] and committed by
//! whoever decides that the step counts.

use std::collections::HashMap;

use cerberus_autograd::{ParamId, Tape, Var};
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

    /// A pass that only predicts: nothing is recorded.
    pub fn evaluation() -> Self {
        Self::new(0, 0)
    }

    fn new(seed: u64, step: u64) -> Self {
        Self { tape: None, seed, step, draws: 0, leaves: HashMap::new(), updates: Vec::new() }
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

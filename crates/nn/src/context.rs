//! The context of a forward pass: its mode, and its results beside the output.
//!
//! Whether a pass trains or evaluates is an argument of the pass, not a state of
//! the layers, and a forward pass changes nothing: new values for buffers
//! (running means, say) are collected in the [`Context`], and the caller commits
//! them once the step is accepted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use cerberus_autograd::ops::{Among, Peers};
use cerberus_autograd::{ParamId, Tape, Var};
use cerberus_tensor::conv::{Conv2dSpec, PreparedConv2d};
use cerberus_tensor::random::{Stream, stream};
use cerberus_tensor::{Element, Tensor};

use crate::module::{Buffer, Module, ModuleTensorMut, Parameter, join};

/// One forward pass: its mode, its tape, its random seed, and its side results.
/// [`step`](crate::step) opens one for each training step and commits what the
/// layers recorded in it. If you open a training context yourself, end it with
/// [`finish`](Self::finish) and pass the result to [`commit`], or end it with
/// [`discard`](Self::discard). If it is dropped without either, the batch norms'
/// running statistics are not updated, and a warning goes to standard error.
#[must_use = "a training context ends with finish and commit, or with discard"]
pub struct Context<T: Element = f32> {
    tape: Option<Tape<T>>,
    seed: u64,
    step: u64,
    draws: u64,
    /// A parameter used twice is one leaf.
    leaves: HashMap<ParamId, Var<T>>,
    updates: BufferUpdates<T>,
    /// The passes over the other parts of the batch, if its norms join them.
    peers: Option<Arc<dyn Peers>>,
    recomputes: bool,
    /// Convolution weights that an evaluation context packed, for its next passes.
    prepared: HashMap<ParamId, Arc<PreparedConv2d<T>>>,
    /// Those with the norm after them in their weights, and what they were made of.
    normed: HashMap<[ParamId; 2], Normed<T>>,
    /// The path of the layer that is running; kept only while something is watched.
    path: String,
    /// The outputs of watched layers, by the layers' paths.
    watched: BTreeMap<String, Option<Var<T>>>,
    /// What a trunk's maps go through.
    change: Option<Arc<StageChange<T>>>,
    /// How many of them, from the first on.
    changed: usize,
    trace: Option<Trace>,
    rows: Option<Vec<Row>>,
    /// Multiply-adds since the last row.
    multiply_adds: u64,
}

type StageChange<T> = dyn Fn(usize, Var<T>) -> Var<T> + Send + Sync;

/// A convolution and its norm as one convolution.
pub(crate) struct Normed<T: Element> {
    pub convolution: PreparedConv2d<T>,
    pub bias: Tensor<T>,
    /// While these are held, nothing changes in place what the convolution was made of.
    pub _sources: Vec<Tensor<T>>,
}

/// What a pass for a [summary](crate::summary()) records of a layer.
pub(crate) struct Row {
    /// The layer's first parameter, if it has any.
    pub parameter: Option<ParamId>,
    /// The path of the part that ran; empty outside [`Context::part`].
    pub path: String,
    /// The shape of its output.
    pub shape: Vec<usize>,
    /// What the layer counted with [`Context::count_multiply_adds`].
    pub multiply_adds: u64,
}

/// The record of a layer with parameters in a pass that was [traced](Context::trace_layers).
#[derive(Clone, Debug)]
pub struct LayerTrace {
    /// The layer's first parameter; [visit](Module::visit) gives its path in the model.
    pub parameter: ParamId,
    /// The shape of its output.
    pub shape: Vec<usize>,
    /// Whether every value of its output is finite.
    pub is_finite: bool,
    /// The time since the previous traced layer ended, layers without parameters included.
    pub elapsed: Duration,
}

/// The layers so far, and when the last one ended.
struct Trace {
    layers: Vec<LayerTrace>,
    since: Instant,
}

/// New values for buffers, by the buffers' ids.
pub type BufferUpdates<T> = Vec<(ParamId, Tensor<T>)>;

impl<T: Element> Context<T> {
    /// A pass that trains: operations on parameters are recorded, dropout
    /// drops, batch norm uses the batch. `seed` and `step` choose the random
    /// numbers.
    pub fn training(seed: u64, step: u64) -> Self {
        Self::new(Some(Tape::new()), seed, step)
    }

    /// A pass that only predicts: nothing is recorded. Used for several passes,
    /// it packs the weights of convolutions once; while it lives, the model's
    /// parameters cannot be changed in place.
    pub fn evaluation() -> Self {
        Self::new(None, 0, 0)
    }

    /// A pass that works as in evaluation, with running statistics and without dropout, and records what is computed
    /// from the trainable ones of these parameters: for small parts that are tuned beside a frozen model. They must act
    /// outside the model's own layers, which are not differentiated by their weights here.
    pub fn evaluation_with(parameters: &[(String, &Parameter<T>)]) -> Self {
        let mut context = Self::evaluation();
        let tape = Tape::new();
        for (_, parameter) in parameters.iter().filter(|(_, parameter)| parameter.is_trainable()) {
            context.leaves.insert(parameter.id(), tape.parameter(parameter.id(), parameter.value.clone()));
        }
        context
    }

    fn new(tape: Option<Tape<T>>, seed: u64, step: u64) -> Self {
        Self {
            tape,
            seed,
            step,
            draws: 0,
            leaves: HashMap::new(),
            updates: Vec::new(),
            peers: None,
            recomputes: false,
            prepared: HashMap::new(),
            normed: HashMap::new(),
            path: String::new(),
            watched: BTreeMap::new(),
            change: None,
            changed: usize::MAX,
            trace: None,
            rows: None,
            multiply_adds: 0,
        }
    }

    /// Whether this pass trains.
    pub fn is_training(&self) -> bool {
        self.tape.is_some()
    }

    /// The parameter as a variable of this pass; a constant outside training or if it is frozen.
    pub fn parameter(&mut self, parameter: &Parameter<T>) -> Var<T> {
        let Some(tape) = self.tape.as_ref().filter(|_| parameter.is_trainable()) else {
            let chosen = self.leaves.get(&parameter.id()).cloned();
            return chosen.unwrap_or_else(|| Var::constant(parameter.value.clone()));
        };
        let leaf = self.leaves.entry(parameter.id());
        leaf.or_insert_with(|| tape.parameter(parameter.id(), parameter.value.clone())).clone()
    }

    /// From now on, this pass uses `value` for the parameter: for checks of gradients.
    #[cfg(test)]
    pub(crate) fn substitute(&mut self, parameter: &Parameter<T>, value: Var<T>) {
        self.leaves.insert(parameter.id(), value);
    }

    /// The weights of a convolution, or of a dense layer as one of a single pixel, for passes that record nothing,
    /// packed once for this context.
    pub(crate) fn prepared(&mut self, weight: &Parameter<T>, spec: Conv2dSpec) -> Arc<PreparedConv2d<T>> {
        let pack = || {
            let kernel = match weight.value.shape() {
                &[cin, cout] => weight.value.clone().reshape(&[1, 1, cin, cout]),
                _ => weight.value.clone(),
            };
            Arc::new(PreparedConv2d::new(&kernel, spec))
        };
        Arc::clone(self.prepared.entry(weight.id()).or_insert_with(pack))
    }

    /// A convolution that does what the one with this weight and the norm with this scale do one after the other, made
    /// once for this context.
    pub(crate) fn normed(
        &mut self,
        weight_and_scale: [ParamId; 2],
        make: impl FnOnce() -> Normed<T>,
    ) -> &Normed<T> {
        self.normed.entry(weight_and_scale).or_insert_with(make)
    }

    /// Whether the outputs of single layers are asked for, so that no layers may be computed together.
    pub(crate) fn observes_layers(&self) -> bool {
        !self.watched.is_empty() || self.trace.is_some() || self.rows.is_some()
    }

    /// A leaf variable of this pass with this value, detached from how it was
    /// computed; gradients with respect to it can be taken. A constant outside
    /// training.
    pub fn leaf(&mut self, value: Tensor<T>) -> Var<T> {
        match &self.tape {
            Some(tape) => tape.leaf(value),
            None => Var::constant(value),
        }
    }

    /// Watches the output of the layer at `path` (`conv2`, or `block1.conv2` inside a
    /// [`Sequential`](crate::Sequential) called `block1`); read it with
    /// [`activation`](Self::activation) after the forward pass.
    pub fn watch(&mut self, path: &str) {
        self.watched.insert(path.to_string(), None);
    }

    /// The output of a watched layer, as a variable of this pass: gradients can be
    /// taken of it and with respect to it. `None` if no such layer has run.
    pub fn activation(&self, path: &str) -> Option<&Var<T>> {
        self.watched.get(path)?.as_ref()
    }

    /// Runs the part called `name`, so that its output can be watched under that
    /// name. [`Sequential`](crate::Sequential) does this for its layers; call it
    /// in layers of your own to make their parts visible.
    #[track_caller]
    pub fn part(&mut self, name: &str, forward: impl FnOnce(&mut Self) -> Var<T>) -> Var<T> {
        if self.watched.is_empty() && self.rows.is_none() {
            return forward(self);
        }
        let outer = self.path.len();
        self.path = join(&self.path, name);
        let before = self.rows.as_ref().map(Vec::len);
        let output = forward(self);
        // A part in which no layer reported itself is a layer without parameters.
        if self.rows.as_ref().map(Vec::len) == before {
            self.add_row(None, &output);
        }
        if let Some(watched) = self.watched.get_mut(&self.path) {
            *watched = Some(output.clone());
        }
        self.path.truncate(outer);
        output
    }

    /// Whether the output of any layer is [watched](Self::watch).
    pub fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Makes a value that is no layer's output, such as a trunk's map, visible to those who
    /// [watch](Self::watch) `name`.
    pub fn note(&mut self, name: &str, value: &Var<T>) {
        if let Some(watched) = self.watched.get_mut(&join(&self.path, name)) {
            *watched = Some(value.clone());
        }
    }

    /// From now on, every map of a trunk goes through `change(i, map)`, where `i` counts its stages from 0, and what is
    /// returned, of the same shape, is what later layers and heads see: to find out what a channel is worth.
    pub fn change_stages(&mut self, change: impl Fn(usize, Var<T>) -> Var<T> + Send + Sync + 'static) {
        self.change = Some(Arc::new(change));
    }

    /// From now on, maps stay as they are.
    pub fn keep_stages(&mut self) {
        self.change = None;
    }

    /// Runs a trunk of whose maps only the first `count` go through the [change](Self::change_stages), since others
    /// replace the rest.
    pub fn with_stages<R>(&mut self, count: usize, forward: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::replace(&mut self.changed, count);
        let result = forward(self);
        self.changed = outer;
        result
    }

    /// A trunk's map number `index`, [changed](Self::change_stages) if that was asked for. Trunks call it for every
    /// stage, before anything else reads the map.
    #[track_caller]
    pub fn stage(&mut self, index: usize, map: Var<T>) -> Var<T> {
        let Some(change) = self.change.as_ref().filter(|_| index < self.changed) else { return map };
        let shape = map.shape().to_vec();
        let changed = change(index, map);
        assert!(changed.shape() == shape, "Context::stage: {shape:?} became {:?}", changed.shape());
        changed
    }

    /// From now on, records every layer with parameters; [`traced`](Self::traced) returns the records.
    pub fn trace_layers(&mut self) {
        self.trace = Some(Trace { layers: Vec::new(), since: Instant::now() });
    }

    /// The layers of a traced pass, in the order in which they ran.
    pub fn traced(&self) -> &[LayerTrace] {
        self.trace.as_ref().map_or(&[], |trace| &trace.layers)
    }

    /// From now on, records a row of a summary for every layer; [`rows`](Self::rows) returns them.
    pub(crate) fn record_rows(&mut self) {
        self.rows = Some(Vec::new());
    }

    /// The rows so far, in the order in which the layers ran.
    pub(crate) fn rows(&self) -> &[Row] {
        self.rows.as_deref().unwrap_or_default()
    }

    fn add_row(&mut self, parameter: Option<ParamId>, output: &Var<T>) {
        let Some(rows) = &mut self.rows else { return };
        let multiply_adds = std::mem::take(&mut self.multiply_adds);
        rows.push(Row { parameter, path: self.path.clone(), shape: output.shape().to_vec(), multiply_adds });
    }

    /// Adds to the multiply-adds of the layer that is running, for a [summary](crate::summary()). In your own
    /// layers, call it before [`layer_done`](Self::layer_done), or inside [`part`](Self::part) for a layer
    /// without parameters.
    pub fn count_multiply_adds(&mut self, count: usize) {
        if self.rows.is_some() {
            self.multiply_adds += count as u64;
        }
    }

    /// Records the output of a layer if the pass is traced or summarised; otherwise it costs nothing. In your
    /// own layers with parameters, call it with the layer's first parameter.
    pub fn layer_done(&mut self, parameter: &Parameter<T>, output: &Var<T>) {
        self.add_row(Some(parameter.id()), output);
        let Some(trace) = &mut self.trace else { return };
        let elapsed = trace.since.elapsed();
        trace.layers.push(LayerTrace {
            parameter: parameter.id(),
            shape: output.shape().to_vec(),
            is_finite: output.value().all_finite(),
            elapsed,
        });
        // The check of the values above does not count as the layer's time.
        trace.since = Instant::now();
    }

    /// From now on, [segments](Self::segment) keep no values for the backward pass, which computes them again: less
    /// memory for the time of a second forward pass (Chen et al., "Training Deep Nets with Sublinear Memory Cost",
    /// 2016). The gradients are the same, bit for bit.
    pub fn recompute(&mut self, recomputes: bool) {
        self.recomputes = recomputes;
    }

    /// From now on, batch norms use the statistics of all parts of the batch, of which this pass has one.
    pub fn join(&mut self, peers: Arc<dyn Peers>) {
        self.peers = Some(peers);
    }

    /// The passes that a batch norm with this parameter joins.
    pub(crate) fn among(&self, parameter: &Parameter<T>) -> Option<Among> {
        self.peers.as_ref().map(|peers| (Arc::clone(peers), parameter.id()))
    }

    /// Runs a part of a network, such as a residual block, whose values may be [recomputed](Self::recompute): few values
    /// should go in and come out compared with those inside.
    #[track_caller]
    pub fn segment<R>(&mut self, forward: impl FnOnce(&mut Self) -> R) -> R {
        match self.tape.clone().filter(|_| self.recomputes) {
            Some(tape) => tape.checkpoint(|| forward(self)),
            None => forward(self),
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

    /// Ends the pass and returns the buffers' new values, for [`commit`].
    #[must_use = "the updates take effect when `commit` writes them into the model"]
    pub fn finish(mut self) -> BufferUpdates<T> {
        std::mem::take(&mut self.updates)
    }

    /// Ends the pass and discards its buffer updates, as for a trial step.
    pub fn discard(mut self) {
        self.updates.clear();
    }
}

impl<T: Element> Drop for Context<T> {
    fn drop(&mut self) {
        static TOLD: Once = Once::new();
        if !self.updates.is_empty() && !std::thread::panicking() {
            let count = self.updates.len();
            TOLD.call_once(|| {
                eprintln!(
                    "warning: a training Context was dropped with {count} buffer updates, so that the running \
                     statistics of batch norms stay as they were; use step(..), commit(model, context.finish()), \
                     or context.discard() if that is meant"
                );
            });
        }
    }
}

/// Writes the buffers' new values into the model.
///
/// # Panics
/// If an update belongs to no buffer of the model.
pub fn commit<T: Element>(model: &mut dyn Module<T>, updates: BufferUpdates<T>) {
    let mut updates: HashMap<ParamId, Tensor<T>> = updates.into_iter().collect();
    model.visit_mut("", &mut |_, entry| {
        if let ModuleTensorMut::Buffer(buffer) = entry
            && let Some(value) = updates.remove(&buffer.id())
        {
            buffer.value = value;
        }
    });
    assert!(updates.is_empty(), "commit: {} buffer updates belong to no buffer of this model", updates.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchNorm2d, Conv2d, Init, Layer, Sequential};

    #[test]
    fn a_value_that_is_noted_can_be_watched_and_costs_nothing_otherwise() {
        let value = Var::constant(Tensor::from_vec(vec![1.0, 2.0], &[2]));
        let mut context = Context::<f32>::evaluation();
        context.note("trunk.stage1", &value);
        assert!(!context.is_watching() && context.activation("trunk.stage1").is_none());
        context.watch("trunk.stage1");
        assert!(context.is_watching());
        context.note("trunk.stage2", &value);
        assert!(context.activation("trunk.stage1").is_none());
        context.note("trunk.stage1", &value);
        assert_eq!(context.activation("trunk.stage1").unwrap().value().to_vec(), [1.0, 2.0]);
    }

    #[test]
    fn a_traced_pass_tells_the_first_layer_whose_output_is_not_finite() {
        let mut init = Init::new(1);
        let mut model = Sequential::<f32>::new()
            .add("conv1", Conv2d::new(2, 3, 3, &mut init))
            .add("norm", BatchNorm2d::new(3))
            .add("conv2", Conv2d::new(3, 2, 1, &mut init));
        model.visit_mut("", &mut |path, mut entry| {
            if path == "norm.gamma" {
                entry.value_mut().data_mut()[1] = f32::INFINITY;
            }
        });
        for training in [true, false] {
            let mut context = if training { Context::training(1, 0) } else { Context::evaluation() };
            context.trace_layers();
            let _ = model
                .forward(Var::constant(Tensor::from_fn(&[2, 6, 6, 2], |i| i as f32 / 50.0)), &mut context);
            let first = context.traced().iter().find(|layer| !layer.is_finite).expect("a layer");
            let path = model.parameters().into_iter().find(|(_, p)| p.id() == first.parameter).unwrap().0;
            assert_eq!((path.as_str(), &*first.shape), ("norm.gamma", &[2, 4, 4, 3][..]));
            assert_eq!(context.traced().len(), 3);
            context.discard();
        }
    }
}

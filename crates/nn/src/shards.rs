//! Steps on batches that are cut into [shards](cerberus_distributed::Shards), which several processes may share out.
//!
//! Each shard is a forward and a backward pass of its own. The gradients are summed along the fixed tree over the shards
//! and leave, bucket by bucket, while the pass goes on; all processes then take the same step. Batch norms use the
//! statistics of their shard, and the running ones become the mean over the shards; passes that [meet](crate::sync_norm)
//! use those of the whole batch.
//!
//! A batch that is not cut is one pass, and nothing is copied or added.

use std::collections::HashMap;
use std::ops::Range;

use cerberus_autograd::{self as autograd, Gradient, GradientSink, Gradients, ParamId, Var, backward_into};
use cerberus_distributed::{Leaf, Message, Shards, Sum};
use cerberus_tensor::{Element, Tensor};

use crate::context::{BufferUpdates, Context, commit};
use crate::module::{Module, ModuleTensor};
use crate::optim::Optimizer;
use crate::step::{StepOptions, checked_value, clip};
use crate::sync_norm::{SyncNorm, Way};

/// The number of the step that chooses the random numbers of a shard: the first one has those of a batch that is not
/// cut.
pub fn step_of_shard(step: u64, shard: usize) -> u64 {
    // No run takes so many steps that two coincide.
    step ^ ((shard as u64) << 40)
}

/// [`step_with`](crate::step_with) on a batch that is cut into shards: the loss is the mean of the shards' losses.
///
/// `loss` computes that of one shard, of whose samples [`Shards::samples`] gives the places in the batch. Every process
/// of the group must call this with the same model; all get the same weights, and the same loss, which is returned.
///
/// ```
/// use std::sync::Arc;
///
/// use cerberus_distributed::{Alone, Message, Shards};
/// use cerberus_nn::shards::step_over_shards;
/// use cerberus_nn::{Init, Layer, Linear, Sgd, SgdOptions, StepOptions};
/// use cerberus_tensor::Tensor;
///
/// let x = Tensor::from_vec(vec![0.0, 1.0, 2.0, 3.0], &[4, 1]);
/// let y = Tensor::from_vec(vec![1.0, 3.0, 5.0, 7.0], &[4, 1]);
/// let mut model = Linear::new(1, 1, &mut Init::new(0));
/// let mut optimizer = Sgd::new(SgdOptions { learning_rate: 0.1, ..SgdOptions::default() });
/// let shards = Shards::new(Arc::new(Alone), 2)?;
/// let mut losses = Vec::new();
/// for _ in 0..50 {
///     let options = StepOptions::default();
///     losses.push(step_over_shards(&mut model, &mut optimizer, options, (&shards, Message::Exact), |shard, model, context| {
///         let places = shards.samples(shard, 4);
///         let part = |of: &Tensor| of.narrow(0, places.start, places.len());
///         (model.forward(part(&x).into(), context) - &part(&y)).square().mean_all()
///     }));
/// }
/// assert!(losses[49] < 0.2 * losses[0]);
/// # Ok::<(), String>(())
/// ```
///
/// A loss that is not finite is returned, and the model and the optimiser are left as they were.
///
/// # Panics
/// As [`step`](crate::step()).
#[track_caller]
pub fn step_over_shards<T: Element, M: Module<T>>(
    model: &mut M,
    optimizer: &mut (impl Optimizer<T> + ?Sized),
    options: StepOptions,
    (shards, messages): (&Shards, Message),
    mut loss: impl FnMut(usize, &M, &mut Context<T>) -> Var<T>,
) -> f64 {
    let share = 1.0 / shards.count() as f64;
    let (mut losses, mut updates) = (Vec::new(), Vec::new());
    for shard in shards.own() {
        let mut context = Context::training(options.seed, step_of_shard(optimizer.steps(), shard));
        context.recompute(options.recompute);
        losses.push(loss(shard, model, &mut context));
        updates.push(context.finish());
    }
    let own = losses.iter().map(|loss| (checked_value(loss) * share).to_le_bytes().to_vec());
    let all = shards.gather(own.collect());
    let value = |bytes: &Vec<u8>| bytes.first_chunk().map_or(f64::NAN, |bytes| f64::from_le_bytes(*bytes));
    let value = all.iter().map(value).sum::<f64>();
    if !value.is_finite() {
        return value;
    }
    let own = losses.into_iter().zip(updates).collect();
    let (mut gradients, updates) =
        backward_over_shards(model, (shards, messages, None), own, |(loss, updates), sink| {
            let loss = if shards.is_whole() { loss } else { loss.scale(share) };
            backward_into(loss, sink);
            updates
        });
    clip(&mut gradients, options);
    optimizer.step(model, &gradients);
    commit(model, updates);
    value
}

/// The sums over all shards of the gradients that a backward pass of each gives, and the buffers' new values. Gradients
/// leave as they are complete; those of passes that meet, after the passes.
///
/// # Panics
/// Unless there is a pass for each of this process's shards.
#[track_caller]
pub fn backward_over_shards<T: Element, P: Send>(
    model: &dyn Module<T>,
    (shards, messages, sync): (&Shards, Message, Option<&SyncNorm>),
    mut own: Vec<P>,
    backward: impl Fn(P, &mut ShardSink<'_, '_, T>) -> BufferUpdates<T> + Sync,
) -> (Gradients<T>, BufferUpdates<T>) {
    assert!(
        own.len() == shards.own().len(),
        "backward_over_shards: {} passes for {:?}",
        own.len(),
        shards.own()
    );
    if shards.is_whole() {
        return kept(own.remove(0), &backward);
    }
    let mut layout = Layout::of(model, |entry| match entry {
        ModuleTensor::Parameter(parameter) => parameter.is_trainable().then(|| parameter.id()),
        _ => None,
    });
    // A backward pass gives the last parameters first.
    layout.entries.reverse();
    let places = layout.places();
    let mut sum = Sum::new(shards, layout.len(), messages);
    let mut updates = Vec::new();
    if let Some(sync) = sync {
        for (gradients, new) in sync.run(own, Way::Backward, |pass, _| kept(pass, &backward)) {
            let mut leaf = sum.leaf();
            for (id, gradient) in gradients.parameters() {
                put(&mut leaf, &places, id, gradient);
            }
            leaf.finish();
            updates.push(new);
        }
        return (sum_of(&layout, sum), mean_updates(model, shards, updates));
    }
    // One after another, so that a shard's tape is freed before the next one's gradients are computed.
    for pass in own {
        let mut sink = ShardSink(To::Sum(sum.leaf(), &places));
        updates.push(backward(pass, &mut sink));
        if let To::Sum(leaf, _) = sink.0 {
            leaf.finish();
        }
    }
    (sum_of(&layout, sum), mean_updates(model, shards, updates))
}

/// The gradients of a backward pass, which are kept.
fn kept<T: Element, P>(
    pass: P,
    backward: impl Fn(P, &mut ShardSink<'_, '_, T>) -> BufferUpdates<T>,
) -> (Gradients<T>, BufferUpdates<T>) {
    let mut sink = ShardSink(To::Whole(Gradients::default()));
    let updates = backward(pass, &mut sink);
    let To::Whole(gradients) = sink.0 else { unreachable!("nothing changes it") };
    (gradients, updates)
}

/// The sum of vectors of a [`Layout`] as gradients.
fn sum_of<T: Element>(layout: &Layout, sum: Sum<'_, T>) -> Gradients<T> {
    let mut found = Found::of(layout);
    sum.finish_into(|part| found.take(&part));
    found.tensors().map(|(id, tensor, _)| (id, tensor)).collect()
}

/// Adds a parameter's gradient to the vector of its shard.
fn put<T: Element>(
    leaf: &mut Leaf<'_, '_, T>,
    places: &HashMap<ParamId, Range<usize>>,
    id: ParamId,
    gradient: &Tensor<T>,
) {
    if let Some(place) = places.get(&id) {
        leaf.put(place.start, &[T::ONE]);
        leaf.put(place.start + 1, gradient.contiguous().data());
    }
}

/// Takes the gradients of a shard's backward pass.
pub struct ShardSink<'s, 'a, T: Element>(To<'s, 'a, T>);

/// Where the gradients go.
enum To<'s, 'a, T: Element> {
    /// They are kept.
    Whole(Gradients<T>),
    /// Into the sum over shards, at the places of a [`Layout`].
    Sum(Leaf<'s, 'a, T>, &'s HashMap<ParamId, Range<usize>>),
}

impl<T: Element> ShardSink<'_, '_, T> {
    /// Says before the pass that a parameter will have no gradient, so that those after it need not wait for it.
    pub fn skip(&mut self, id: ParamId) {
        if let To::Sum(leaf, places) = &mut self.0
            && let Some(place) = places.get(&id)
        {
            leaf.skip(place.start, place.len());
        }
    }
}

impl<T: Element> GradientSink<T> for ShardSink<'_, '_, T> {
    fn accept(&mut self, of: autograd::Leaf, gradient: Gradient<T>) {
        match &mut self.0 {
            To::Whole(gradients) => gradients.accept(of, gradient),
            To::Sum(leaf, places) => {
                if let Some(id) = of.parameter {
                    put(leaf, places, id, &gradient.into_dense());
                }
            }
        }
    }
}

/// The mean of the buffers' new values over the shards that have some.
pub fn mean_updates<T: Element>(
    model: &dyn Module<T>,
    shards: &Shards,
    mut own: Vec<BufferUpdates<T>>,
) -> BufferUpdates<T> {
    if shards.is_whole() {
        return own.remove(0);
    }
    let layout = Layout::of(model, |entry| match entry {
        ModuleTensor::Buffer(buffer) => Some(buffer.id()),
        _ => None,
    });
    // A buffer that a pass updated twice has its last value.
    let last = |updates: &BufferUpdates<T>, id| updates.iter().rposition(|(found, _)| *found == id);
    let flat = own.iter().map(|updates| layout.flat(|id| last(updates, id).map(|place| &updates[place].1)));
    let mut found = Found::of(&layout);
    found.take(&shards.sum(flat, Message::Exact));
    let mean = |(id, sum, count): (ParamId, Tensor<T>, T)| (id, sum.map(|x| x / count));
    found.tensors().map(mean).collect()
}

/// Some of a model's tensors as one vector, in order of declaration: of each, whether it is there, and its values.
struct Layout {
    entries: Vec<(ParamId, Vec<usize>)>,
}

impl Layout {
    fn of<T: Element>(model: &dyn Module<T>, chosen: impl Fn(&ModuleTensor<T>) -> Option<ParamId>) -> Self {
        let mut entries = Vec::new();
        model.visit("", &mut |_, entry| {
            entries.extend(chosen(&entry).map(|id| (id, entry.value().shape().to_vec())));
        });
        Self { entries }
    }

    /// The length of such a vector.
    fn len(&self) -> usize {
        self.entries.iter().map(|(_, shape)| 1 + shape.iter().product::<usize>()).sum()
    }

    /// The place of each tensor in such a vector.
    fn places(&self) -> HashMap<ParamId, Range<usize>> {
        let mut next = 0;
        let place = |(id, shape): &(ParamId, Vec<usize>)| {
            let start = next;
            next += 1 + shape.iter().product::<usize>();
            (*id, start..next)
        };
        self.entries.iter().map(place).collect()
    }

    /// 1 and the values of a tensor that is there; otherwise zeros.
    fn flat<'a, T: Element>(&self, tensor: impl Fn(ParamId) -> Option<&'a Tensor<T>>) -> Vec<T> {
        let mut flat = Vec::new();
        for (id, shape) in &self.entries {
            match tensor(*id) {
                Some(tensor) => {
                    flat.push(T::ONE);
                    flat.extend_from_slice(tensor.contiguous().data());
                }
                None => flat.resize(flat.len() + 1 + shape.iter().product::<usize>(), T::ZERO),
            }
        }
        flat
    }
}

/// The tensors in a sum of vectors of a [`Layout`], which comes in parts.
struct Found<T: Element> {
    /// Each with how many of the vectors had it.
    tensors: Vec<(ParamId, Tensor<T>, T)>,
    /// The tensor that the next number belongs to, and how many it has already, with that of how many had it.
    at: (usize, usize),
}

impl<T: Element> Found<T> {
    fn of(layout: &Layout) -> Self {
        let tensors = layout.entries.iter().map(|(id, shape)| (*id, Tensor::zeros(shape), T::ZERO));
        Self { tensors: tensors.collect(), at: (0, 0) }
    }

    fn take(&mut self, mut part: &[T]) {
        while let [first, rest @ ..] = part {
            let (place, have) = self.at;
            let (_, tensor, count) = &mut self.tensors[place];
            let len = tensor.len();
            let now = match have {
                0 => {
                    *count = *first;
                    part = rest;
                    1
                }
                _ => {
                    let (own, after) = part.split_at(part.len().min(len + 1 - have));
                    tensor.data_mut()[have - 1..][..own.len()].copy_from_slice(own);
                    part = after;
                    own.len()
                }
            };
            self.at = if have + now > len { (place + 1, 0) } else { (place, have + now) };
        }
    }

    /// Those that any of the vectors had.
    fn tensors(self) -> impl Iterator<Item = (ParamId, Tensor<T>, T)> {
        self.tensors.into_iter().filter(|(_, _, count)| *count > T::ZERO)
    }
}

//! Steps on batches that are cut into [shards](cerberus_distributed::Shards), which several processes may share out.
//!
//! Each shard is a forward and a backward pass of its own. The gradients are summed along the fixed tree over the shards
//! and leave, bucket by bucket, while the pass goes on; all processes then take the same step. Batch norms use the
//! statistics of their shard, and the running ones become the mean over the shards; passes that [meet](crate::sync_norm)
//! use those of the whole batch.
//!
//! A batch that is not cut is one pass, and nothing is copied or added.

mod layout;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cerberus_autograd::{self as autograd, Gradient, GradientSink, Gradients, ParamId, Var, backward_into};
use cerberus_distributed::{Leaf, Message, Shards, Sum};
use cerberus_tensor::{Element, Tensor};

use crate::context::{BufferUpdates, Context, commit};
use crate::module::{Module, ModuleTensor};
use crate::optim::{Optimizer, OwnGradients, Owners, StepGradients};
use crate::step::{StepOptions, checked_value};
use crate::sync_norm::{SyncNorm, Way};
use layout::{Found, Layout};

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
    let backward = |(loss, updates): (Var<T>, _), sink: &mut ShardSink<'_, '_, T>| {
        let loss = if shards.is_whole() { loss } else { loss.scale(share) };
        backward_into(loss, sink);
        updates
    };
    let owners = optimizer.owners(model);
    let (mut gradients, updates) =
        backward_to_owners(model, (shards, messages, None), owners.as_ref(), own, backward);
    if let Some(limit) = options.clip_value {
        gradients.clip_values(T::from_f64(limit));
    }
    if let Some(limit) = options.clip_norm {
        gradients.clip_global_norm(T::from_f64(limit));
    }
    gradients.apply(model, optimizer);
    commit(model, updates);
    value
}

/// The shards, the form of messages, and where passes meet, if they do.
pub type Over<'a> = (&'a Shards, Message, Option<&'a SyncNorm>);

/// The sums over all shards of the gradients that a backward pass of each gives, and the buffers' new values. Gradients
/// leave as they are complete; those of passes that meet, after the passes.
///
/// # Panics
/// Unless there is a pass for each of this process's shards.
#[track_caller]
pub fn backward_over_shards<T: Element, P: Send>(
    model: &dyn Module<T>,
    over: Over<'_>,
    mut own: Vec<P>,
    backward: impl Fn(P, &mut ShardSink<'_, '_, T>) -> BufferUpdates<T> + Sync,
) -> (Gradients<T>, BufferUpdates<T>) {
    let (shards, messages, sync) = over;
    assert_passes(&own, shards);
    if shards.is_whole() {
        return kept(own.remove(0), &backward);
    }
    let layout = layout_of(model);
    let mut sum = Sum::new(shards, layout.len(), messages);
    let updates = add_passes(sync, (&mut sum, &layout), own, backward);
    // Exchanges end in the order in which they began.
    let gradients = sum_of(&layout, sum);
    (gradients, mean_updates(model, shards, updates))
}

/// [`backward_over_shards`] where processes may [share](crate::optim::Shared) the optimiser: each number of the sum is
/// then sent to its owner alone.
///
/// # Panics
/// As [`backward_over_shards`], and unless the owners are the processes of the shards.
#[track_caller]
pub fn backward_to_owners<T: Element, P: Send>(
    model: &dyn Module<T>,
    over: Over<'_>,
    owners: Option<&Arc<Owners>>,
    own: Vec<P>,
    backward: impl Fn(P, &mut ShardSink<'_, '_, T>) -> BufferUpdates<T> + Sync,
) -> (StepGradients<T>, BufferUpdates<T>) {
    // What is not cut is in every process.
    let Some(owners) = owners.filter(|_| !over.0.is_whole()) else {
        let (gradients, updates) = backward_over_shards(model, over, own, backward);
        return (StepGradients::Everywhere(gradients), updates);
    };
    let (shards, messages, sync) = over;
    assert_passes(&own, shards);
    let layout = layout_of(model);
    let ids: Vec<ParamId> = layout.entries.iter().map(|(id, _)| *id).collect();
    let parts = owners.summing(&ids);
    let mut sum = Sum::to_owners(shards, &parts, messages);
    let updates = add_passes(sync, (&mut sum, &layout), own, backward);
    let gradients = OwnGradients::of_sum(owners, &ids, sum);
    (StepGradients::AtOwners(gradients), mean_updates(model, shards, updates))
}

#[track_caller]
fn assert_passes<P>(own: &[P], shards: &Shards) {
    let (count, range) = (own.len(), shards.own());
    assert!(count == range.len(), "backward over shards: {count} passes for {range:?}");
}

/// The trainable parameters of a model, the last ones first, as a backward pass gives them.
fn layout_of<T: Element>(model: &dyn Module<T>) -> Layout {
    let mut layout = Layout::of(model, |entry| match entry {
        ModuleTensor::Parameter(parameter) => parameter.is_trainable().then(|| parameter.id()),
        _ => None,
    });
    layout.entries.reverse();
    layout
}

/// Adds the gradients of a backward pass of each of this process's shards; returns each one's new values of buffers.
fn add_passes<T: Element, P: Send>(
    sync: Option<&SyncNorm>,
    (sum, layout): (&mut Sum<'_, T>, &Layout),
    own: Vec<P>,
    backward: impl Fn(P, &mut ShardSink<'_, '_, T>) -> BufferUpdates<T> + Sync,
) -> Vec<BufferUpdates<T>> {
    let places = layout.places();
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
        return updates;
    }
    // One after another, so that a shard's tape is freed before the next one's gradients are computed.
    for pass in own {
        let mut sink = ShardSink(To::Sum(sum.leaf(), &places));
        updates.push(backward(pass, &mut sink));
        if let To::Sum(leaf, _) = sink.0 {
            leaf.finish();
        }
    }
    updates
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
    sum.finish_into(|part| found.take(part));
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

#[cfg(test)]
mod tests;

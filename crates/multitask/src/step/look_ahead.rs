//! Losses for other parameter values: after a step, and around a trial step along
//! the gradient of the validation loss. The model is then restored.

use std::borrow::Cow;
use std::sync::Arc;

use cerberus_autograd::ops::Peers;
use cerberus_autograd::{Gradients, Var};
use cerberus_data::Batch;
use cerberus_nn::shards::step_of_shard;
use cerberus_nn::sync_norm::Way;
use cerberus_nn::{Context, Module, ModuleTensorMut};
use cerberus_tensor::{Element, Tensor};

use super::input::{Balancing, GradientsWrt, StepInput};
use super::passes::{Known, Passes};
use crate::model::MultiTaskModel;

/// The losses of the tasks that a batch has labels for, in training mode, without any effect.
pub(super) fn losses_of<T: Element>(model: &MultiTaskModel<T>, batch: &Batch, input: &StepInput) -> Vec<f64> {
    let of_shard = |(shard, batch): (usize, Cow<Batch>), peers: Option<Arc<dyn Peers>>| {
        let mut context = Context::training(input.seed[0], step_of_shard(input.seed[1], shard));
        peers.into_iter().for_each(|peers| context.join(peers));
        let features = model.features(&*batch, &mut context);
        let losses = model.losses(&features, &batch, &mut context);
        context.discard();
        let labels = (0..losses.len()).map(|task| model.labelled(task, &features, &batch).len()).collect();
        let value = |loss: Option<Var<T>>| loss.map_or(T::ZERO, |loss| loss.value().item());
        (losses.into_iter().map(value).collect(), labels)
    };
    let own = input.shards.own().zip(input.cut(batch));
    let own: Vec<(Vec<T>, Vec<usize>)> = match input.sync(model) {
        None => own.map(|shard| of_shard(shard, None)).collect(),
        Some(sync) => sync.run(own.collect(), Way::Forward, |shard, peers| of_shard(shard, Some(peers))),
    };
    let known = Known::of(
        &own.iter().map(|(losses, labels)| (losses.clone(), &labels[..])).collect::<Vec<_>>(),
        input,
    );
    let losses = known.losses::<T>();
    known.tasks().into_iter().map(|task| losses[task].as_f64()).collect()
}

/// The gradients of a weighted sum of the losses; none if there is no label.
fn gradients_of<T: Element>(
    model: &MultiTaskModel<T>,
    batch: &Batch,
    weights: &[f64],
    input: &StepInput,
) -> Gradients<T> {
    let passes = Passes::forward(model, batch, input, (GradientsWrt::Parameters, true));
    if passes.tasks().is_empty() { Gradients::default() } else { passes.backward(weights).0 }
}

/// How each training loss changes along the gradient of the validation loss
/// after a trial step (Liu et al., "Auto-Lambda", 2022).
pub(super) fn look_ahead<T: Element>(
    model: &mut MultiTaskModel<T>,
    balancing: &Balancing<T>,
    input: &StepInput,
    (validation, rate): (&Batch, f64),
) -> Vec<f64> {
    let start: Vec<Tensor<T>> = model.parameters().iter().map(|(_, p)| p.value.clone()).collect();
    let weights = balancing.strategy.weights_so_far(model.tasks().len());
    let trial = gradients_of(model, input.batch, &weights, input);
    shift(model, &start, &trial, -rate);
    let ahead = gradients_of(model, validation, &vec![1.0; weights.len()], input);
    let length = ahead.global_norm().as_f64();
    if length == 0.0 || !length.is_finite() {
        shift(model, &start, &ahead, 0.0);
        return vec![0.0; losses_of(model, input.batch, input).len()];
    }
    let epsilon = 0.01 / length;
    let mut at = |factor: f64| {
        shift(model, &start, &ahead, factor);
        losses_of(model, input.batch, input)
    };
    let (up, down) = (at(epsilon), at(-epsilon));
    // Restores the parameters exactly.
    shift(model, &start, &ahead, 0.0);
    up.iter().zip(down).map(|(up, down)| (up - down) / (2.0 * epsilon)).collect()
}

/// Sets the parameters to `start + factor * gradients`.
fn shift<T: Element>(
    model: &mut MultiTaskModel<T>,
    start: &[Tensor<T>],
    gradients: &Gradients<T>,
    factor: f64,
) {
    let mut index = 0;
    model.visit_mut("", &mut |_, entry| {
        if let ModuleTensorMut::Parameter(parameter) = entry {
            parameter.value = start[index].clone();
            if let (Some(gradient), true) = (gradients.parameter(parameter.id()), factor != 0.0) {
                parameter.value.add_scaled(T::from_f64(factor), gradient);
            }
            index += 1;
        }
    });
}

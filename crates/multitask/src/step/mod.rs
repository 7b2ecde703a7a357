//! One training step under a strategy: from the forward pass to the update.
//!
//! If a strategy uses gradients, they are taken either with respect to the
//! trunk's parameters, by one backward pass per task, or with respect to the
//! features that the heads see, which costs one pass through each head and a
//! single one through the trunk. Heads then always follow their own task's
//! unweighted gradient. Strategies that use losses alone take one backward pass
//! of the weighted sum, in which the weights apply to the heads too.
//!
//! A task without labels in the batch takes no part: the strategy does not see
//! it, its weight is 0, and its head does not change.
//!
//! A batch may be cut into [shards](cerberus_distributed::Shards), which several processes may share out: each shard is
//! a pass of its own, and the step moves along the sum over all of them. A strategy then sees the losses, and the
//! gradients or their products, of all shards, and decides in every process alike.

use std::borrow::Cow;
use std::sync::Arc;

use cerberus_autograd::backward;
use cerberus_data::Batch;
use cerberus_nn::optim::{Optimizer, Owners, StepGradients};
use cerberus_nn::{BufferUpdates, commit};
use cerberus_tensor::Element;

mod input;
mod look_ahead;
mod modulate;
mod pass;
mod passes;
#[cfg(test)]
mod tests;

use crate::model::MultiTaskModel;
use cerberus_balance::{BalanceError, Decision, Evidence, GradientNeed, Gramian, TaskGradients};
pub use input::{Balancing, GradientsWrt, StepInput, StepResult};
use look_ahead::{look_ahead, losses_of};
use modulate::modulate;
use pass::{Pass, conflicts_of, streamed_products, weighted};
use passes::{Direction, Passes};

/// The preference among the tasks that take part: sum 1, and equal if the preference for
/// all of them is 0.
fn preference_among(preference: &[f64], tasks: &[usize]) -> Vec<f64> {
    if tasks.len() == preference.len() {
        return preference.to_vec();
    }
    let sum: f64 = tasks.iter().map(|&task| preference[task]).sum();
    let share = |&task: &usize| if sum > 0.0 { preference[task] / sum } else { 1.0 / tasks.len() as f64 };
    tasks.iter().map(share).collect()
}

/// A step. Nothing is changed if a loss or a gradient is not finite, or if the
/// batch has no label at all.
///
/// # Errors
/// [`BalanceError::Option`] if the batch cannot be split as the strategy needs.
pub fn train_step<T: Element>(
    model: &mut MultiTaskModel<T>,
    optimizer: &mut dyn Optimizer<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
) -> Result<StepResult<T>, BalanceError> {
    let needs = balancing.strategy.needs();
    let lookahead = match (needs.lookahead, input.validation) {
        (true, Some(validation)) => {
            Some(look_ahead(model, balancing, input, (validation, optimizer.learning_rate())))
        }
        _ => None,
    };
    let (result, gradients, updates) = match needs.gradients {
        _ if needs.three_batches => three_batches(model, balancing, input)?,
        GradientNeed::None => {
            // What is summed has no other use then.
            let owners = if input.modulation.is_none() { optimizer.owners(model) } else { None };
            weighted_sum(model, balancing, input, (lookahead.as_deref(), owners.as_ref()))?
        }
        _ => by_gradients(model, balancing, input)?,
    };
    let Some(mut gradients) = gradients else { return Ok(result) };
    if let (Some(alpha), StepGradients::Everywhere(gradients)) = (input.modulation, &mut gradients) {
        modulate(model, &result, alpha, input.seed, gradients);
    }
    gradients.clip_global_norm(T::from_f64(input.clip_norm));
    gradients.apply(model, optimizer);
    commit(model, updates);
    if needs.losses_after_step {
        let losses = losses_of(model, input.batch, input);
        balancing.strategy.after_step(&losses);
    }
    Ok(result)
}

impl MultiTaskModel<f32> {
    /// [`train_step`] on this model, compiled in this crate.
    ///
    /// # Errors
    /// As [`train_step`].
    #[inline(never)]
    pub fn step(
        &mut self,
        optimizer: &mut dyn Optimizer<f32>,
        balancing: &mut Balancing<f32>,
        input: &StepInput,
    ) -> Result<StepResult<f32>, BalanceError> {
        train_step(self, optimizer, balancing, input)
    }
}

type Stepped<T> = (StepResult<T>, Option<StepGradients<T>>, BufferUpdates<T>);

/// A strategy's input besides losses and preference: see [`Evidence`].
struct Seen<'a, T: Element> {
    gradients: &'a [TaskGradients<T>],
    gramian: Option<&'a Gramian>,
    lookahead: Option<&'a [f64]>,
}

/// The strategy's decision, entered in the result; `None` if something is not finite.
fn decide<T: Element>(
    balancing: &mut Balancing<T>,
    input: &StepInput,
    result: &mut StepResult<T>,
    Seen { gradients, gramian, lookahead }: Seen<T>,
) -> Result<Option<Decision<T>>, BalanceError> {
    let evidence = Evidence {
        tasks: &result.tasks,
        losses: &result.present_losses(),
        preference: &preference_among(&balancing.preference, &result.tasks),
        gradients,
        gramian,
        lookahead,
        seed: input.seed,
    };
    match balancing.strategy.decide(&evidence) {
        Ok(decision) => {
            result.decided(&decision);
            Ok(Some(decision))
        }
        Err(BalanceError::NotFinite { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The result for a batch without any label: nothing changes, and it is no error.
fn nothing<T: Element>(mut result: StepResult<T>) -> Stepped<T> {
    result.weights = vec![0.0; result.losses.len()];
    (result, None, Vec::new())
}

/// Weights from the losses, and one backward pass.
fn weighted_sum<T: Element>(
    model: &MultiTaskModel<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
    (lookahead, owners): (Option<&[f64]>, Option<&Arc<Owners>>),
) -> Result<Stepped<T>, BalanceError> {
    let passes = Passes::forward(model, input.batch, input, (GradientsWrt::Parameters, true));
    let mut result = passes.result();
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    if input.diagnose {
        let products = if input.shards.is_whole() {
            streamed_products(&passes.own[0], &result.tasks).0
        } else {
            passes.task_gradients().0.products()
        };
        result.conflicts = conflicts_of(&products, &result.tasks);
    }
    let seen = Seen { gradients: &[], gramian: None, lookahead };
    if decide(balancing, input, &mut result, seen)?.is_none() {
        return Ok((result, None, Vec::new()));
    }
    let (gradients, updates) = passes.backward_to(owners, &result.weights);
    Ok((result, Some(gradients), updates))
}

/// Weights from the tasks' gradients.
fn by_gradients<T: Element>(
    model: &MultiTaskModel<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
) -> Result<Stepped<T>, BalanceError> {
    // A map that no head uses adds nothing in this step, but a head may use it in the next.
    let needs = balancing.strategy.needs();
    let passes = Passes::forward(model, input.batch, input, (balancing.wrt, needs.same_parts));
    let result = passes.result();
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    match balancing.wrt {
        GradientsWrt::StreamedParameters => by_products(passes, balancing, input, result),
        GradientsWrt::Features if needs.gradients == GradientNeed::Rows => {
            by_rows(passes, balancing, input, result)
        }
        GradientsWrt::Parameters => by_rows(passes, balancing, input, result),
        _ => by_features(passes, balancing, input, result),
    }
}

/// Weights, or a direction, from all entries of the tasks' gradients.
fn by_rows<T: Element>(
    passes: Passes<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
    mut result: StepResult<T>,
) -> Result<Stepped<T>, BalanceError> {
    let (gradients, heads) = passes.task_gradients();
    let products = gradients.products();
    let Ok(gramian) = products.gramian() else { return Ok((result, None, Vec::new())) };
    if input.diagnose {
        result.conflicts = conflicts_of(&products, &result.tasks);
    }
    let seen = [gradients];
    let evidence = Seen { gradients: &seen, gramian: Some(&gramian), lookahead: None };
    let Some(decision) = decide(balancing, input, &mut result, evidence)? else {
        return Ok((result, None, Vec::new()));
    };
    let direction = decision.direction.unwrap_or_else(|| seen[0].combine(&decision.weights));
    drop(seen);
    let direction = match balancing.wrt {
        GradientsWrt::Parameters => Direction::Parameters(direction),
        _ => Direction::Features(passes.own_part(&direction)),
    };
    let (all, updates) = passes.apply(direction, heads);
    Ok((result, Some(StepGradients::Everywhere(all)), updates))
}

/// Weights from the products of the features' gradients, each process multiplying those of its own images.
fn by_features<T: Element>(
    passes: Passes<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
    mut result: StepResult<T>,
) -> Result<Stepped<T>, BalanceError> {
    let is_summed = balancing.wrt == GradientsWrt::SummedFeatures;
    let (gradients, products, heads) = passes.feature_products(is_summed);
    let Ok(gramian) = products.gramian() else { return Ok((result, None, Vec::new())) };
    if input.diagnose {
        result.conflicts = conflicts_of(&products, &result.tasks);
    }
    let seen = Seen { gradients: &[], gramian: Some(&gramian), lookahead: None };
    let Some(decision) = decide(balancing, input, &mut result, seen)? else {
        return Ok((result, None, Vec::new()));
    };
    // The weights, even those of summed gradients, apply to the gradients of every image.
    let directions = gradients.iter().map(|gradients| gradients.combine(&decision.weights)).collect();
    let (all, updates) = passes.apply(Direction::Features(directions), heads);
    Ok((result, Some(StepGradients::Everywhere(all)), updates))
}

/// Weights from the products of the tasks' gradients, which are not kept: the
/// weighted losses then take one more backward pass.
fn by_products<T: Element>(
    mut passes: Passes<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
    mut result: StepResult<T>,
) -> Result<Stepped<T>, BalanceError> {
    if !input.shards.is_whole() {
        return Err(BalanceError::Option(
            "streamed parameters hold the gradients of one parameter at a time, and shards have them one after another; \
             take gradients with respect to parameters or features, or one shard"
                .into(),
        ));
    }
    let pass = passes.own.remove(0);
    let (products, own) = streamed_products(&pass, &result.tasks);
    let Ok(gramian) = products.gramian() else { return Ok((result, None, Vec::new())) };
    if input.diagnose {
        result.conflicts = conflicts_of(&products, &result.tasks);
    }
    let seen = Seen { gradients: &[], gramian: Some(&gramian), lookahead: None };
    if decide(balancing, input, &mut result, seen)?.is_none() {
        return Ok((result, None, Vec::new()));
    }
    let Pass { losses, shared, heads, updates, .. } = pass;
    drop((shared, heads));
    let mut gradients = backward(weighted(losses, &result.weights));
    // The weights apply to the trunk only.
    gradients.extend(own);
    Ok((result, Some(StepGradients::Everywhere(gradients)), updates))
}

/// The thirds of each of this process's shards, third by third.
fn thirds<'a>(input: &'a StepInput) -> Result<[Vec<Cow<'a, Batch>>; 3], BalanceError> {
    let shards = input.cut(input.batch);
    if shards.iter().any(|shard| shard.len() < 3) {
        return Err(BalanceError::Option(
            "this balance splits each batch, or each shard of it, into three; --batch must be at least 3 for each shard"
                .into(),
        ));
    }
    Ok([0, 1, 2].map(|part| {
        let of = |shard: &Cow<Batch>| {
            let third = shard.len() / 3;
            let len = if part == 2 { shard.len() - 2 * third } else { third };
            Cow::Owned(shard.narrow(part * third, len))
        };
        shards.iter().map(of).collect()
    }))
}

/// Weights from two thirds of the batch, the direction from the last third. Only
/// tasks with labels in all three take part.
fn three_batches<T: Element>(
    model: &MultiTaskModel<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
) -> Result<Stepped<T>, BalanceError> {
    let parts = thirds(input)?;
    let mut result =
        StepResult::new(vec![T::ZERO; model.tasks().len()], labelled_in_all(model, &parts, input));
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    let mut gradients = Vec::new();
    let mut last = None;
    for part in &parts {
        let mut passes = Passes::of_shards(model, part, input, (GradientsWrt::Parameters, true));
        passes.restrict(&result.tasks);
        let values = passes.values();
        result.tasks.iter().for_each(|&task| result.losses[task] += values[task] / T::from_f64(3.0));
        result.not_finite = result.not_finite.or(passes.result().not_finite);
        let (shared, heads) = passes.task_gradients();
        gradients.push(shared);
        last = Some((passes, heads));
    }
    let (passes, heads) = last.expect("there are three parts");
    let Ok(gramian) = gradients[0].gramian() else { return Ok((result, None, Vec::new())) };
    if input.diagnose {
        result.conflicts = conflicts_of(&gradients[2].products(), &result.tasks);
    }
    let seen = Seen { gradients: &gradients, gramian: Some(&gramian), lookahead: None };
    let Some(decision) = decide(balancing, input, &mut result, seen)? else {
        return Ok((result, None, Vec::new()));
    };
    let direction = gradients[2].combine(&decision.weights);
    let (all, updates) = passes.apply(Direction::Parameters(direction), heads);
    Ok((result, Some(StepGradients::Everywhere(all)), updates))
}

/// The places of the tasks that have labels in each of the parts, in whichever shard.
fn labelled_in_all<T: Element>(
    model: &MultiTaskModel<T>,
    parts: &[Vec<Cow<Batch>>; 3],
    input: &StepInput,
) -> Vec<usize> {
    let count = model.tasks().len();
    let flags = |shard: usize| {
        let flag = |part: usize, task: usize| !model.tasks()[task].labelled(&parts[part][shard]).is_empty();
        (0..3 * count).map(|place| u8::from(flag(place / count, place % count))).collect()
    };
    let all = input.shards.gather((0..parts[0].len()).map(flags).collect());
    let is_labelled = |part: usize, task: usize| all.iter().any(|flags| flags[part * count + task] == 1);
    (0..count).filter(|&task| (0..3).all(|part| is_labelled(part, task))).collect()
}

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

use cerberus_autograd::{Gradients, backward};
use cerberus_nn::optim::Optimizer;
use cerberus_nn::{BufferUpdates, commit};
use cerberus_tensor::Element;

mod input;
mod look_ahead;
mod modulate;
mod pass;
#[cfg(test)]
mod tests;

use crate::model::MultiTaskModel;
use cerberus_balance::{BalanceError, Decision, Evidence, GradientNeed, Gramian, TaskGradients};
pub use input::{Balancing, GradientsWrt, StepInput, StepResult};
use look_ahead::{look_ahead, losses_of};
use modulate::modulate;
use pass::{Pass, apply, conflicts_of, forward, streamed_products, summed, task_gradients, weighted};

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
        GradientNeed::None => weighted_sum(model, balancing, input, lookahead.as_deref())?,
        _ => by_gradients(model, balancing, input)?,
    };
    let Some(mut gradients) = gradients else { return Ok(result) };
    if let Some(alpha) = input.modulation {
        modulate(model, &result, alpha, input.seed, &mut gradients);
    }
    gradients.clip_global_norm(T::from_f64(input.clip_norm));
    optimizer.step(model, &gradients);
    commit(model, updates);
    if needs.losses_after_step {
        let losses = losses_of(model, input.batch, input.seed);
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

type Stepped<T> = (StepResult<T>, Option<Gradients<T>>, BufferUpdates<T>);

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
    lookahead: Option<&[f64]>,
) -> Result<Stepped<T>, BalanceError> {
    let pass = forward(model, input.batch, input.seed, (GradientsWrt::Parameters, true));
    let mut result = StepResult::new(pass.values(), pass.tasks());
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    if input.diagnose {
        result.conflicts = conflicts_of(&streamed_products(&pass, &result.tasks).0, &result.tasks);
    }
    let seen = Seen { gradients: &[], gramian: None, lookahead };
    if decide(balancing, input, &mut result, seen)?.is_none() {
        return Ok((result, None, Vec::new()));
    }
    let Pass { losses, shared, heads, updates, .. } = pass;
    drop((shared, heads));
    let gradients = backward(weighted(losses, &result.weights));
    Ok((result, Some(gradients), updates))
}

/// Weights from the tasks' gradients.
fn by_gradients<T: Element>(
    model: &MultiTaskModel<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
) -> Result<Stepped<T>, BalanceError> {
    // A map that no head uses adds nothing in this step, but a head may use it in the next.
    let all = balancing.strategy.needs().same_parts;
    let pass = forward(model, input.batch, input.seed, (balancing.wrt, all));
    let mut result = StepResult::new(pass.values(), pass.tasks());
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    if balancing.wrt == GradientsWrt::StreamedParameters {
        return by_products(pass, balancing, input, result);
    }
    let (gradients, heads) = task_gradients(&pass, &result.tasks);
    let is_summed = balancing.wrt == GradientsWrt::SummedFeatures;
    let seen = if is_summed { summed(&gradients) } else { gradients.clone() };
    let products = seen.products();
    let Ok(gramian) = products.gramian() else { return Ok((result, None, Vec::new())) };
    if input.diagnose {
        result.conflicts = conflicts_of(&products, &result.tasks);
    }
    let seen = [seen];
    let seen = Seen { gradients: &seen, gramian: Some(&gramian), lookahead: None };
    let Some(decision) = decide(balancing, input, &mut result, seen)? else {
        return Ok((result, None, Vec::new()));
    };
    // The weights, even those of summed gradients, apply to the gradients of every image.
    let direction = decision.direction.unwrap_or_else(|| gradients.combine(&decision.weights));
    let (all, updates) = apply(pass, direction, heads);
    Ok((result, Some(all), updates))
}

/// Weights from the products of the tasks' gradients, which are not kept: the
/// weighted losses then take one more backward pass.
fn by_products<T: Element>(
    pass: Pass<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
    mut result: StepResult<T>,
) -> Result<Stepped<T>, BalanceError> {
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
    Ok((result, Some(gradients), updates))
}

/// Weights from two thirds of the batch, the direction from the last third. Only
/// tasks with labels in all three take part.
fn three_batches<T: Element>(
    model: &MultiTaskModel<T>,
    balancing: &mut Balancing<T>,
    input: &StepInput,
) -> Result<Stepped<T>, BalanceError> {
    let third = input.batch.len() / 3;
    if third == 0 {
        return Err(BalanceError::Option(
            "this balance splits each batch into three; --batch must be at least 3".into(),
        ));
    }
    let parts = [0, 1, 2].map(|part| {
        let len = if part == 2 { input.batch.len() - 2 * third } else { third };
        input.batch.narrow(part * third, len)
    });
    let everywhere = |task: &usize| parts.iter().all(|part| !model.tasks()[*task].labelled(part).is_empty());
    let tasks: Vec<usize> = (0..model.tasks().len()).filter(everywhere).collect();
    let mut result = StepResult::new(vec![T::ZERO; model.tasks().len()], tasks);
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    let mut gradients = Vec::new();
    let mut last = None;
    for part in &parts {
        let pass = forward(model, part, input.seed, (GradientsWrt::Parameters, true));
        let values = pass.values();
        result.tasks.iter().for_each(|&task| result.losses[task] += values[task] / T::from_f64(3.0));
        let (shared, heads) = task_gradients(&pass, &result.tasks);
        gradients.push(shared);
        last = Some((pass, heads));
    }
    let (pass, heads) = last.expect("there are three parts");
    let Ok(gramian) = gradients[0].gramian() else { return Ok((result, None, Vec::new())) };
    if input.diagnose {
        result.conflicts = conflicts_of(&gradients[2].products(), &result.tasks);
    }
    let seen = Seen { gradients: &gradients, gramian: Some(&gramian), lookahead: None };
    let Some(decision) = decide(balancing, input, &mut result, seen)? else {
        return Ok((result, None, Vec::new()));
    };
    let direction = gradients[2].combine(&decision.weights);
    let (all, updates) = apply(pass, direction, heads);
    Ok((result, Some(all), updates))
}

//! One training step under a strategy: from the forward pass to the update.
//!
//! Where a strategy looks at gradients they are taken either with respect to
//! the trunk's parameters, one backward pass per task, or with respect to the
//! features that the heads see, which costs one pass through each head and a
//! single one through the trunk. Heads always move along their own task's
//! plain gradient then; under strategies on losses alone there is one backward
//! pass of the weighted sum, which weighs heads too.
//!
//! A task that the batch has no label for takes no part: the strategy does not
//! hear of it, its weight is 0, and its head stays as it is.

use cerberus_autograd::{Gradients, ParamId, Var, backward, grad};
use cerberus_data::Batch;
use cerberus_nn::optim::Optimizer;
use cerberus_nn::{BufferUpdates, Context, Entry, EntryMut, Module, commit};
use cerberus_tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::diagnostics::Conflicts;
use super::{BalanceError, Decision, Evidence, GradientNeed, Gramian, Strategy, TaskGradients};
use crate::model::MultiTaskModel;
use crate::trunk::Features;

/// With respect to what the tasks' gradients are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GradientPlace {
    /// The trunk's parameters: what the papers define.
    #[default]
    Parameters,
    /// The features of every image of the batch side by side (MGDA-UB: Sener and
    /// Koltun, 2018, section 3.3): an upper bound, at a fraction of the cost.
    Features,
    /// The features' gradients summed over the batch before they are multiplied
    /// (what LibMTL calls `rep_grad`): weights only, and other ones.
    SummedFeatures,
}

impl GradientPlace {
    /// The names on command lines.
    pub const NAMES: [&str; 3] = ["parameters", "features", "summed-features"];
}

impl std::str::FromStr for GradientPlace {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "parameters" => Ok(Self::Parameters),
            "features" => Ok(Self::Features),
            "summed-features" => Ok(Self::SummedFeatures),
            _ => {
                Err(format!("there is no place {name:?} for gradients; there are {}", Self::NAMES.join(", ")))
            }
        }
    }
}

/// A strategy at work.
pub struct Balancing {
    /// It.
    pub strategy: Box<dyn Strategy<f32>>,
    /// What each task should count for: sum 1.
    pub preference: Vec<f64>,
    /// Which gradients it sees.
    pub place: GradientPlace,
}

/// What a step is made with.
pub struct StepInput<'a> {
    /// The images and labels.
    pub batch: &'a Batch,
    /// Some of the validation split, for strategies that look ahead.
    pub validation: Option<&'a Batch>,
    /// The learning rate.
    pub rate: f64,
    /// Gradients with a larger global norm are scaled down to it.
    pub clip_norm: f64,
    /// The seed and the step.
    pub chance: [u64; 2],
    /// Whether to measure how much the tasks fight.
    pub diagnose: bool,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct StepResult {
    /// Each task's loss before it; 0 for tasks that took no part.
    pub losses: Vec<f32>,
    /// The places of the tasks that the batch had labels for.
    pub tasks: Vec<usize>,
    /// The weights that were used, of every task; empty if a loss or gradient was not finite and nothing was changed.
    pub weights: Vec<f64>,
    /// The order of the tasks, where chance chose one.
    pub order: Option<String>,
    /// How much the tasks fought: over all shared variables and each stage.
    pub conflicts: Vec<(String, Conflicts)>,
}

/// The tasks' losses and all that gradients need of a forward pass.
struct Pass {
    /// `None` for tasks without labels.
    losses: Vec<Option<Var>>,
    /// The shared variables that gradients are taken of.
    shared: Vec<(String, Var)>,
    /// In feature mode, what the trunk computed, in the same order.
    outputs: Vec<Var>,
    /// Each head's parameters.
    heads: Vec<Vec<(ParamId, Var)>>,
    shared_ids: Vec<ParamId>,
    updates: BufferUpdates<f32>,
}

impl Pass {
    /// The places of the tasks with labels.
    fn tasks(&self) -> Vec<usize> {
        (0..self.losses.len()).filter(|&task| self.losses[task].is_some()).collect()
    }

    fn values(&self) -> Vec<f32> {
        self.losses.iter().map(|loss| loss.as_ref().map_or(0.0, |loss| loss.value().item())).collect()
    }
}

impl StepResult {
    /// Of a step that was not made.
    fn new(losses: Vec<f32>, tasks: Vec<usize>) -> Self {
        Self { losses, tasks, weights: Vec::new(), order: None, conflicts: Vec::new() }
    }

    /// The losses of the tasks that take part.
    fn present_losses(&self) -> Vec<f64> {
        self.tasks.iter().map(|&task| f64::from(self.losses[task])).collect()
    }

    /// Enters what was decided for the tasks that take part.
    fn decided(&mut self, decision: &Decision) {
        self.weights = vec![0.0; self.losses.len()];
        self.tasks.iter().zip(&decision.weights).for_each(|(&task, &weight)| self.weights[task] = weight);
        let name =
            |place: &str| place.parse().map_or(place.into(), |place: usize| self.tasks[place].to_string());
        let order = |order: &str| order.split('-').map(name).collect::<Vec<String>>().join("-");
        let orders = |text: &String| text.split('|').map(order).collect::<Vec<String>>().join("|");
        self.order = decision.order.as_ref().map(orders);
    }
}

/// The preference among the tasks that take part: sum 1, equal where it names none of them.
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
pub fn balanced_step(
    model: &mut MultiTaskModel,
    optimizer: &mut dyn Optimizer<f32>,
    balancing: &mut Balancing,
    input: &StepInput,
) -> Result<StepResult, BalanceError> {
    let needs = balancing.strategy.needs();
    let lookahead = match (needs.lookahead, input.validation) {
        (true, Some(validation)) => Some(look_ahead(model, balancing, input, validation)),
        _ => None,
    };
    let (result, gradients, updates) = match needs.gradients {
        _ if needs.three_batches => three_batches(model, balancing, input)?,
        GradientNeed::None => weighted_sum(model, balancing, input, lookahead.as_deref())?,
        _ => by_gradients(model, balancing, input)?,
    };
    let Some(mut gradients) = gradients else { return Ok(result) };
    gradients.clip_global_norm(input.clip_norm as f32);
    optimizer.step(model, &gradients, input.rate);
    commit(model, updates);
    if needs.losses_after_step {
        let losses = losses_of(model, input.batch, input.chance);
        balancing.strategy.after_step(&losses);
    }
    Ok(result)
}

type Stepped = (StepResult, Option<Gradients>, BufferUpdates<f32>);

/// The strategy's decision; `None` if something is not finite.
fn decide(balancing: &mut Balancing, evidence: &Evidence) -> Result<Option<Decision>, BalanceError> {
    match balancing.strategy.decide(evidence) {
        Ok(decision) => Ok(Some(decision)),
        Err(BalanceError::NotFinite { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Of a batch without any label: nothing is learned, and nothing is wrong.
fn nothing(mut result: StepResult) -> Stepped {
    result.weights = vec![0.0; result.losses.len()];
    (result, None, Vec::new())
}

/// Weights from the losses, and one backward pass.
fn weighted_sum(
    model: &MultiTaskModel,
    balancing: &mut Balancing,
    input: &StepInput,
    lookahead: Option<&[f64]>,
) -> Result<Stepped, BalanceError> {
    let pass = forward(model, input.batch, input.chance, GradientPlace::Parameters);
    let mut result = StepResult::new(pass.values(), pass.tasks());
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    if input.diagnose {
        result.conflicts = conflicts_of(&task_gradients(&pass, &result.tasks).0, &result.tasks);
    }
    let evidence = Evidence {
        tasks: &result.tasks,
        losses: &result.present_losses(),
        preference: &preference_among(&balancing.preference, &result.tasks),
        gradients: &[],
        gramian: None,
        lookahead,
        chance: input.chance,
    };
    let Some(decision) = decide(balancing, &evidence)? else { return Ok((result, None, Vec::new())) };
    result.decided(&decision);
    let Pass { losses, shared, heads, updates, .. } = pass;
    drop((shared, heads));
    let gradients = backward(weighted(losses, &result.weights));
    Ok((result, Some(gradients), updates))
}

/// The sum of the losses that there are, each times its task's weight.
fn weighted(losses: Vec<Option<Var>>, weights: &[f64]) -> Var {
    let parts = losses.into_iter().zip(weights).filter_map(|(loss, &weight)| Some(loss?.scale(weight)));
    parts.reduce(|a, b| a + b).expect("at least one task takes part")
}

/// Weights from the tasks' gradients.
fn by_gradients(
    model: &MultiTaskModel,
    balancing: &mut Balancing,
    input: &StepInput,
) -> Result<Stepped, BalanceError> {
    let pass = forward(model, input.batch, input.chance, balancing.place);
    let mut result = StepResult::new(pass.values(), pass.tasks());
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    let (gradients, heads) = task_gradients(&pass, &result.tasks);
    let is_summed = balancing.place == GradientPlace::SummedFeatures;
    let seen = if is_summed { summed(&gradients) } else { gradients.clone() };
    let Ok(gramian) = seen.gramian() else { return Ok((result, None, Vec::new())) };
    if input.diagnose {
        result.conflicts = conflicts_of(&seen, &result.tasks);
    }
    let seen = [seen];
    let evidence = Evidence {
        tasks: &result.tasks,
        losses: &result.present_losses(),
        preference: &preference_among(&balancing.preference, &result.tasks),
        gradients: &seen,
        gramian: Some(&gramian),
        lookahead: None,
        chance: input.chance,
    };
    let Some(decision) = decide(balancing, &evidence)? else { return Ok((result, None, Vec::new())) };
    result.decided(&decision);
    // The weights of the sums apply to the gradients of every image.
    let direction = decision.direction.unwrap_or_else(|| gradients.combine(&decision.weights));
    let (all, updates) = apply(pass, direction, heads);
    Ok((result, Some(all), updates))
}

/// Weights from two thirds of the batch, the direction from the last third. Tasks
/// take part that have labels in all three.
fn three_batches(
    model: &MultiTaskModel,
    balancing: &mut Balancing,
    input: &StepInput,
) -> Result<Stepped, BalanceError> {
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
    let mut result = StepResult::new(vec![0.0; model.tasks().len()], tasks);
    if result.tasks.is_empty() {
        return Ok(nothing(result));
    }
    let mut gradients = Vec::new();
    let mut last = None;
    for part in &parts {
        let pass = forward(model, part, input.chance, GradientPlace::Parameters);
        let values = pass.values();
        result.tasks.iter().for_each(|&task| result.losses[task] += values[task] / 3.0);
        let (shared, heads) = task_gradients(&pass, &result.tasks);
        gradients.push(shared);
        last = Some((pass, heads));
    }
    let (pass, heads) = last.expect("there are three parts");
    let Ok(gramian) = gradients[0].gramian() else { return Ok((result, None, Vec::new())) };
    if input.diagnose {
        result.conflicts = conflicts_of(&gradients[2], &result.tasks);
    }
    let evidence = Evidence {
        tasks: &result.tasks,
        losses: &result.present_losses(),
        preference: &preference_among(&balancing.preference, &result.tasks),
        gradients: &gradients,
        gramian: Some(&gramian),
        lookahead: None,
        chance: input.chance,
    };
    let Some(decision) = decide(balancing, &evidence)? else { return Ok((result, None, Vec::new())) };
    let direction = gradients[2].combine(&decision.weights);
    result.decided(&decision);
    let (all, updates) = apply(pass, direction, heads);
    Ok((result, Some(all), updates))
}

/// The forward pass and the losses.
fn forward(model: &MultiTaskModel, batch: &Batch, chance: [u64; 2], place: GradientPlace) -> Pass {
    let mut context = Context::training(chance[0], chance[1]);
    let features = model.trunk().forward(Var::constant(batch.images.clone()), &mut context);
    let mut parameters: Vec<(String, ParamId, Var)> = Vec::new();
    let (mut shared, mut outputs) = (Vec::new(), Vec::new());
    let features = if place == GradientPlace::Parameters {
        features
    } else {
        let names = (1..=features.stages.len()).map(|stage| format!("stage{stage}")).chain(["merged".into()]);
        let taps = features.stages.into_iter().chain([features.merged]);
        for (name, tap) in names.zip(taps) {
            shared.push((name, context.leaf(tap.value().clone())));
            outputs.push(tap);
        }
        let mut leaves: Vec<Var> = shared.iter().map(|(_, leaf)| leaf.clone()).collect();
        let merged = leaves.pop().expect("a trunk has a merged map");
        Features { stages: leaves, merged }
    };
    let losses = model.losses(&features, batch, &mut context);
    model.visit("", &mut |path, entry| {
        if let Entry::Parameter(parameter) = entry {
            parameters.push((path, parameter.id(), context.parameter(parameter)));
        }
    });
    let mut heads: Vec<Vec<(ParamId, Var)>> = vec![Vec::new(); model.tasks().len()];
    let mut shared_ids = Vec::new();
    for (path, id, var) in parameters {
        let head = |name: &str| {
            path.strip_prefix("heads.").and_then(|p| p.strip_prefix(name)).is_some_and(|p| p.starts_with('.'))
        };
        match model.tasks().iter().position(|task| head(task.name())) {
            Some(task) => heads[task].push((id, var)),
            None if place == GradientPlace::Parameters => {
                shared.push((path, var));
                shared_ids.push(id);
            }
            None => {}
        }
    }
    Pass { losses, shared, outputs, heads, shared_ids, updates: context.finish() }
}

type HeadGradients = Vec<(ParamId, Tensor)>;

/// The gradients of the tasks that take part: of the shared variables, and each of its own head.
fn task_gradients(pass: &Pass, tasks: &[usize]) -> (TaskGradients, HeadGradients) {
    let mut rows = Vec::new();
    let mut own = Vec::new();
    for &task in tasks {
        let loss = pass.losses[task].as_ref().expect("a task with labels");
        let head = &pass.heads[task];
        let wrt: Vec<&Var> =
            pass.shared.iter().map(|(_, var)| var).chain(head.iter().map(|(_, var)| var)).collect();
        let mut all = grad(&[loss], &wrt);
        let head_gradients = all.split_off(pass.shared.len());
        own.extend(head.iter().map(|(id, _)| *id).zip(head_gradients));
        rows.push(all);
    }
    let names = pass.shared.iter().map(|(name, _)| name.clone()).collect();
    (TaskGradients::new(rows, names), own)
}

/// The features' gradients summed over the images.
fn summed(gradients: &TaskGradients) -> TaskGradients {
    let rows = gradients.rows().iter().map(|row| row.iter().map(|part| part.sum(&[0], false)).collect());
    TaskGradients::new(rows.collect(), gradients.names().to_vec())
}

/// All parameters' gradients, when the shared variables move along `direction`.
fn apply(pass: Pass, direction: Vec<Tensor>, heads: HeadGradients) -> (Gradients, BufferUpdates<f32>) {
    let Pass { losses, shared, outputs, heads: vars, shared_ids, updates } = pass;
    drop((losses, shared, vars));
    let mut gradients = if outputs.is_empty() {
        shared_ids.into_iter().zip(direction).collect()
    } else {
        // <Z, c> has gradient c at the features Z: the trunk's pass starts there.
        let products =
            outputs.into_iter().zip(direction).map(|(output, c)| (output * Var::constant(c)).sum_all());
        let total = products.reduce(|a, b| a + b).expect("a trunk has features");
        if total.is_recorded() { backward(total) } else { Gradients::default() }
    };
    gradients.extend(heads);
    (gradients, updates)
}

/// Conflicts over all parts, and over each stage of the trunk; `tasks` are the rows' places in the model.
fn conflicts_of(gradients: &TaskGradients, tasks: &[usize]) -> Vec<(String, Conflicts)> {
    let stage = |name: &str| -> String {
        let inner = name.strip_prefix("trunk.").unwrap_or(name);
        inner.split('.').next().unwrap_or(inner).to_string()
    };
    let mut scopes: Vec<String> = gradients.names().iter().map(|name| stage(name)).collect();
    scopes.dedup();
    let mut all = Vec::new();
    let mut add = |scope: String, gramian: Result<Gramian, BalanceError>| {
        if let Ok(gramian) = gramian {
            let mut found = Conflicts::of(&gramian);
            found.pairs.iter_mut().for_each(|pair| pair.tasks = pair.tasks.map(|place| tasks[place]));
            all.push((scope, found));
        }
    };
    add("all".into(), gradients.gramian());
    for scope in scopes {
        let gramian = gradients.gramian_of(|name| stage(name) == scope);
        add(scope, gramian);
    }
    all
}

/// The losses of the tasks that a batch has labels for, in training mode, without any effect.
fn losses_of(model: &MultiTaskModel, batch: &Batch, chance: [u64; 2]) -> Vec<f64> {
    let mut context = Context::training(chance[0], chance[1]);
    let features = model.features(Var::constant(batch.images.clone()), &mut context);
    let losses = model.losses(&features, batch, &mut context);
    losses.into_iter().flatten().map(|loss| f64::from(loss.value().item())).collect()
}

/// The gradients of a weighted sum of the losses; none if there is no label.
fn gradients_of(model: &MultiTaskModel, batch: &Batch, weights: &[f64], chance: [u64; 2]) -> Gradients {
    let pass = forward(model, batch, chance, GradientPlace::Parameters);
    if pass.tasks().is_empty() { Gradients::default() } else { backward(weighted(pass.losses, weights)) }
}

/// How each training loss changes along the gradient of the validation loss
/// after a trial step (Liu et al., "Auto-Lambda", 2022, eq. 8).
fn look_ahead(
    model: &mut MultiTaskModel,
    balancing: &Balancing,
    input: &StepInput,
    validation: &Batch,
) -> Vec<f64> {
    let start: Vec<Tensor> = model.parameters().iter().map(|(_, p)| p.value.clone()).collect();
    let weights = balancing.strategy.weights_so_far(model.tasks().len());
    let trial = gradients_of(model, input.batch, &weights, input.chance);
    shift(model, &start, &trial, -input.rate);
    let ahead = gradients_of(model, validation, &vec![1.0; weights.len()], input.chance);
    let length = f64::from(ahead.global_norm());
    if length == 0.0 || !length.is_finite() {
        shift(model, &start, &ahead, 0.0);
        return vec![0.0; losses_of(model, input.batch, input.chance).len()];
    }
    let epsilon = 0.01 / length;
    let mut at = |factor: f64| {
        shift(model, &start, &ahead, factor);
        losses_of(model, input.batch, input.chance)
    };
    let (up, down) = (at(epsilon), at(-epsilon));
    // Exactly where it was.
    shift(model, &start, &ahead, 0.0);
    up.iter().zip(down).map(|(up, down)| (up - down) / (2.0 * epsilon)).collect()
}

/// Sets the parameters to `start + factor * gradients`.
fn shift(model: &mut MultiTaskModel, start: &[Tensor], gradients: &Gradients, factor: f64) {
    let mut index = 0;
    model.visit_mut("", &mut |_, entry| {
        if let EntryMut::Parameter(parameter) = entry {
            parameter.value = start[index].clone();
            if let (Some(gradient), true) = (gradients.parameter(parameter.id()), factor != 0.0) {
                parameter.value.add_scaled(factor as f32, gradient);
            }
            index += 1;
        }
    });
}

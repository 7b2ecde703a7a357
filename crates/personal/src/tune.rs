//! Tuning a base's adapters on a person's labelled pictures, a few dozen steps on one small batch.

use std::collections::BTreeMap;

use cerberus_autograd::{Tape, Var, backward};
use cerberus_data::Batch;
use cerberus_multitask::{Features, MultiTaskModel};
use cerberus_nn::{Adam, AdamOptions, Context, Init, Module, ModuleTensorMut, Optimizer};
use cerberus_tensor::{Element, Tensor};

use crate::adapters::{LowRank, MapAdapter, MapAdapters};

/// How adapters are tuned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TuneOptions {
    /// Steps of Adam.
    pub steps: usize,
    /// Their rate.
    pub learning_rate: f64,
    /// The pull to where the base is, `½ pull |θ - θ₀|²` (L2-SP).
    pub pull: f64,
    /// Chooses fresh factors.
    pub seed: u64,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self { steps: 30, learning_rate: 3e-3, pull: 1e-2, seed: 1 }
    }
}

/// The model's weighted loss on features that need no trunk any more.
fn heads_loss<T: Element>(
    model: &MultiTaskModel<T>,
    features: &Features<T>,
    batch: &Batch,
    context: &mut Context<T>,
) -> Option<Var<T>> {
    let weights: Vec<f64> = model.tasks().iter().map(|task| task.config().weight).collect();
    let losses = model.losses(features, batch, context).into_iter().zip(weights);
    losses.filter_map(|(loss, weight)| Some(loss?.scale(weight))).reduce(|a, b| a + b)
}

/// The loss of a batch whose features are computed already, with adapters on them, and its gradients by the adapters'
/// parameters. Norms and dropout work as in evaluation. `None` if no label of the batch is of a task of the model.
pub fn map_gradients<T: Element>(
    model: &MultiTaskModel<T>,
    adapters: &MapAdapters<T>,
    features: &Features<T>,
    batch: &Batch,
) -> Option<(f64, cerberus_autograd::Gradients<T>)> {
    let mut context = Context::evaluation_with(&adapters.parameters());
    let features = adapters.apply(features.clone(), &mut context);
    let loss = heads_loss(model, &features, batch, &mut context)?;
    Some((loss.value().item().as_f64(), backward(loss)))
}

/// The gradient of `½ pull |θ - θ₀|²`, as a step that is taken beside the optimiser's.
fn pull_back<T: Element>(
    model: &mut dyn Module<T>,
    start: &BTreeMap<String, Tensor<T>>,
    options: &TuneOptions,
) {
    let share = T::from_f64(options.learning_rate * options.pull);
    model.visit_mut("", &mut |path, entry| {
        if let (ModuleTensorMut::Parameter(parameter), Some(start)) = (entry, start.get(&path)) {
            let value = parameter.value.clone();
            parameter.value = value.zip(start.clone(), |value, start| value - share * (value - start));
        }
    });
}

/// Values of their own: an optimiser changes those of parameters in place.
fn copies(tensors: Vec<(String, Tensor)>) -> BTreeMap<String, Tensor> {
    tensors.into_iter().map(|(path, value)| (path, value.map(|value| value))).collect()
}

fn adam<T: Element>(options: &TuneOptions) -> Adam<T> {
    Adam::new(AdamOptions { learning_rate: options.learning_rate, ..AdamOptions::default() })
}

/// The trunk's features of a batch, as the base makes them.
pub fn features(model: &MultiTaskModel, batch: &Batch) -> Features {
    model.features(Var::constant(batch.images.clone()), &mut Context::evaluation())
}

/// Adapters on the maps, tuned on a batch's features; the trunk is not run. `None` if the batch has no label for the
/// model.
pub fn tune_maps(
    model: &MultiTaskModel,
    kind: MapAdapter,
    features: &Features,
    batch: &Batch,
    options: &TuneOptions,
) -> Option<MapAdapters> {
    let trunk = model.trunk();
    let mut adapters = MapAdapters::new(kind, &trunk.stages(), trunk.neck().as_ref(), options.seed);
    let start = copies(adapters.tensors());
    let mut optimizer = adam(options);
    for _ in 0..options.steps {
        let (loss, gradients) = map_gradients(model, &adapters, features, batch)?;
        if !loss.is_finite() {
            break;
        }
        optimizer.step(&mut adapters, &gradients);
        pull_back(&mut adapters, &start, options);
    }
    Some(adapters)
}

/// The loss of a training pass over a batch and its gradients; the statistics of batch norms stay as they are.
fn gradients(
    model: &MultiTaskModel,
    batch: &Batch,
    step: u64,
    seed: u64,
) -> Option<cerberus_autograd::Gradients> {
    let mut context = Context::training(seed, step);
    let features = model.features(Var::constant(batch.images.clone()), &mut context);
    let loss = heads_loss(model, &features, batch, &mut context);
    let found = loss.filter(|loss| loss.value().item().is_finite()).map(backward);
    context.discard();
    found
}

/// Whether a parameter is the scale or shift of one of the trunk's norms.
pub(crate) fn is_norm(path: &str) -> bool {
    path.starts_with("trunk.") && (path.ends_with(".gamma") || path.ends_with(".beta"))
}

/// Tunes the scale and shift of the trunk's batch norms on a batch, in place, and returns the new values by their paths.
/// Only they change. `None` if the batch has no label for the model.
pub fn tune_norms(
    model: &mut MultiTaskModel,
    batch: &Batch,
    options: &TuneOptions,
) -> Option<Vec<(String, Tensor)>> {
    let trainable: Vec<bool> = train_only(model, is_norm);
    let start = copies(model.tensors().into_iter().filter(|(path, _)| is_norm(path)).collect());
    let mut optimizer = adam(options);
    let mut done = None;
    for step in 0..options.steps {
        let Some(found) = gradients(model, batch, step as u64, options.seed) else { break };
        optimizer.step(model, &found);
        pull_back(model, &start, options);
        done = Some(());
    }
    train_again(model, &trainable);
    done?;
    Some(model.tensors().into_iter().filter(|(path, _)| is_norm(path)).collect())
}

/// Tunes a product of rank `rank` beside every kernel of the trunk's convolutions on a batch; the kernels become the sums.
/// Returns the factors by the kernels' paths. `None` if the batch has no label for the model.
pub fn tune_kernels(
    model: &mut MultiTaskModel,
    rank: usize,
    batch: &Batch,
    options: &TuneOptions,
) -> Option<Vec<(String, LowRank)>> {
    let mut shapes = BTreeMap::new();
    for (path, parameter) in model.parameters() {
        if path.starts_with("trunk.") && parameter.value.shape().len() == 4 {
            shapes.insert(path, parameter.value.clone());
        }
    }
    let trainable: Vec<bool> = train_only(model, |path| shapes.contains_key(path));
    let mut init = Init::new(options.seed);
    let mut factors: Vec<(String, LowRank)> = shapes
        .iter()
        .map(|(path, kernel)| (path.clone(), LowRank::new(kernel.shape(), rank, &mut init)))
        .collect();
    let mut optimizers: Vec<Adam> = factors.iter().map(|_| adam(options)).collect();
    let mut done = None;
    for step in 0..options.steps {
        let Some(found) = gradients(model, batch, step as u64, options.seed) else { break };
        done = Some(());
        let ids: BTreeMap<String, _> =
            model.parameters().into_iter().map(|(path, parameter)| (path, parameter.id())).collect();
        for ((path, own), optimizer) in factors.iter_mut().zip(&mut optimizers) {
            let Some(kernel) = ids.get(path).and_then(|&id| found.parameter(id)) else { continue };
            let [da, db] = own.gradients(kernel);
            // The factors' gradients, in the form that an optimiser takes: those of a sum of products.
            let tape = Tape::new();
            let a = tape.parameter(own.a.id(), own.a.value.clone());
            let b = tape.parameter(own.b.id(), own.b.value.clone());
            let both = (a * Var::constant(da)).sum_all() + (b * Var::constant(db)).sum_all();
            let gradients = backward(both);
            drop(tape);
            optimizer.step(own, &gradients);
            // Towards a product of 0, by its second factor.
            let share = (options.learning_rate * options.pull) as f32;
            own.b.value = own.b.value.clone().map(|value| value - share * value);
        }
        let sums: BTreeMap<&str, Tensor> = factors
            .iter()
            .map(|(path, own)| (path.as_str(), shapes[path].clone() + own.product(shapes[path].shape())))
            .collect();
        model.set_tensors(&|path| sums.get(path).cloned());
    }
    train_again(model, &trainable);
    done?;
    Some(factors)
}

/// Freezes all parameters but those of these paths; returns what was trainable before.
fn train_only(model: &mut MultiTaskModel, chosen: impl Fn(&str) -> bool) -> Vec<bool> {
    let mut before = Vec::new();
    for (path, parameter) in model.parameters_mut() {
        before.push(parameter.is_trainable());
        let chosen = chosen(&path);
        parameter.set_trainable(chosen);
        if chosen {
            // Values of its own: the caller may hold the base's.
            parameter.value = parameter.value.clone().map(|value| value);
        }
    }
    before
}

fn train_again(model: &mut MultiTaskModel, before: &[bool]) {
    for ((_, parameter), &before) in model.parameters_mut().into_iter().zip(before) {
        parameter.set_trainable(before);
    }
}

//! The state of a training loop in one file, for loops that are written by hand.
//!
//! A run is determined by its model, its optimiser, the step it has reached, and the seed: random numbers are drawn
//! from streams numbered by (seed, step), so these two are the whole state of the random numbers. A loop that saves
//! them, stops, loads them and goes on computes the same bits as one that never stopped.
//!
//! The file is a checkpoint with the model under `model.`, the optimiser's state under `optimizer.` and the running
//! mean of the weights under `average.`; the trainer's `last.safetensors` has the same, and more.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use crate::average::WeightAverage;
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::module::{Module, join};
use crate::optim::Optimizer;
use crate::schedule::{ReduceOnPlateau, Schedule};

/// Where the tensors of the model are in a file.
pub const MODEL: &str = "model";
/// Where the state of the optimiser is.
pub const OPTIMIZER: &str = "optimizer";
/// Where the running mean of the weights is.
pub const AVERAGE: &str = "average";
/// The metadata's entry with the position.
const POSITION: &str = "training";

/// The position of a training loop: all that it needs besides tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingPosition {
    /// Steps taken.
    pub step: u64,
    /// The seed of the random numbers; with the step it is their whole state.
    pub seed: u64,
    /// The learning rate of every step, if it is a schedule's.
    pub schedule: Option<Schedule>,
    /// The learning rate's fall on a plateau, if there is one.
    pub plateau: Option<ReduceOnPlateau>,
    /// What else the loop wants to find again, by name.
    pub notes: BTreeMap<String, String>,
}

/// A position with what [`save_training`] reads off the optimiser and the average.
#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(flatten)]
    position: TrainingPosition,
    learning_rate: f64,
    averaged: u64,
}

/// The tensors of a model, its optimiser and the running mean of its weights, as a checkpoint names them.
pub fn training_tensors<T: Element>(
    model: &dyn Module<T>,
    optimizer: &dyn Optimizer<T>,
    average: Option<&WeightAverage<T>>,
) -> Vec<(String, Tensor<T>)> {
    let named =
        |prefix: &'static str| move |(path, tensor): (String, Tensor<T>)| (join(prefix, &path), tensor);
    let mut tensors: Vec<_> = model.tensors().into_iter().map(named(MODEL)).collect();
    tensors.extend(optimizer.state().into_iter().map(named(OPTIMIZER)));
    tensors.extend(average.into_iter().flat_map(WeightAverage::tensors).map(named(AVERAGE)));
    tensors
}

/// Sets a model and its optimiser to the state in a file of [`training_tensors`].
///
/// # Errors
/// If the file is of another model or another optimiser; both are then unchanged.
pub fn restore_training<T: Element>(
    file: &Checkpoint<T>,
    model: &mut dyn Module<T>,
    optimizer: &mut dyn Optimizer<T>,
) -> Result<(), CheckpointError> {
    file.check_fits(model, MODEL)?;
    file.load_optimizer(optimizer, model, OPTIMIZER)?;
    file.load_into(model, MODEL)
}

/// Writes a model, its optimiser, the running mean of its weights if one is kept, and the position to `path`,
/// atomically. Call it between two steps.
///
/// ```
/// use cerberus_nn::*;
/// use cerberus_tensor::Tensor;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("training.safetensors");
/// let x: Tensor = Tensor::from_fn(&[4, 3], |i| (i as f32).sin());
/// let fresh = || (Linear::new(3, 2, &mut Init::new(0)), AdamW::new(AdamOptions::default()));
/// let train = |model: &mut Linear, optimizer: &mut AdamW, position: &mut TrainingPosition, steps: u64| {
///     while position.step < steps {
///         step(model, optimizer, |model, context| model.forward((&x).into(), context).square().mean_all());
///         position.step += 1;
///     }
/// };
/// let (mut model, mut optimizer) = fresh();
/// let mut position = TrainingPosition::default();
/// train(&mut model, &mut optimizer, &mut position, 5);
/// save_training(&path, &model, &optimizer, None, &position)?;
///
/// // In another process:
/// let (mut model, mut optimizer) = fresh();
/// let mut position = load_training(&path, &mut model, &mut optimizer, None)?;
/// train(&mut model, &mut optimizer, &mut position, 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the file cannot be written; what was there before is then untouched.
pub fn save_training<T: Element>(
    path: impl AsRef<Path>,
    model: &dyn Module<T>,
    optimizer: &dyn Optimizer<T>,
    average: Option<&WeightAverage<T>>,
    position: &TrainingPosition,
) -> Result<(), CheckpointError> {
    let saved = Saved {
        position: position.clone(),
        learning_rate: optimizer.learning_rate(),
        averaged: average.map_or(0, WeightAverage::updates),
    };
    let text = serde_json::to_string(&saved).expect("numbers and strings are valid JSON");
    let metadata = BTreeMap::from([(POSITION.to_string(), text)]);
    checkpoint::save(path.as_ref(), &training_tensors(model, optimizer, average), &metadata)
}

/// Sets a model, its optimiser (learning rate included) and the running mean of its weights to the state that
/// [`save_training`] wrote, and returns the position. The optimiser must be of the same kind with the same options, and
/// the running mean of the same decay: a file holds their state only.
///
/// # Errors
/// If the file cannot be read, was not written by [`save_training`], or belongs to another model or optimiser, or there
/// is no running mean in it and one is asked for. Everything is then unchanged.
pub fn load_training<T: Element>(
    path: impl AsRef<Path>,
    model: &mut dyn Module<T>,
    optimizer: &mut dyn Optimizer<T>,
    average: Option<&mut WeightAverage<T>>,
) -> Result<TrainingPosition, CheckpointError> {
    let path = path.as_ref();
    let file = checkpoint::load::<T>(path)?;
    let refuse = |problem: String| CheckpointError::Training { path: path.to_path_buf(), problem };
    let text = file.metadata().get(POSITION).ok_or_else(|| {
        refuse("has no entry \"training\" in its metadata, so it is not a file of save_training".into())
    })?;
    let saved: Saved = serde_json::from_str(text)
        .map_err(|error| refuse(format!("has a \"training\" entry that cannot be understood: {error}")))?;
    if !(saved.learning_rate.is_finite() && saved.learning_rate >= 0.0) {
        return Err(refuse(format!("has the learning rate {}", saved.learning_rate)));
    }
    file.check_fits(model, MODEL)?;
    // The average is checked before the optimiser changes, and set after it.
    let mut restored = match &average {
        Some(average) => {
            let mut copy = (*average).clone();
            let missing = |name| refuse(format!("has no running mean of {name} with the shape in the model"));
            copy.restore(file.under(AVERAGE), saved.averaged).map_err(missing)?;
            Some(copy)
        }
        None => None,
    };
    restore_training(&file, model, optimizer)?;
    optimizer.set_learning_rate(saved.learning_rate);
    if let (Some(average), Some(restored)) = (average, restored.take()) {
        *average = restored;
    }
    Ok(saved.position)
}

#[cfg(test)]
mod tests;

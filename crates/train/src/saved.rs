//! Checkpoints of models and runs.
//!
//! `best.safetensors` holds a model: its tensors under `model.` and, as text, the
//! configuration that rebuilds it. `last.safetensors` holds a run: the same and
//! the optimiser's state under `optimizer.`, the balancing strategy's memory
//! under `balance.`, the running mean of the weights under `average.` if one is
//! kept, and the run's position. A classifier whose weights were imported is read as a model
//! too.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_data::{CLASS, DatasetInfo, LabelInfo, LabelKind};
use cerberus_nn::checkpoint::{self, Checkpoint, Transfer};
use cerberus_nn::optim::Optimizer;
use cerberus_nn::training::{AVERAGE, MODEL, restore_training, training_tensors};
use cerberus_nn::{Module, WeightAverage, join};
use cerberus_tensor::Tensor;

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::state::State;
use cerberus_balance::Memory;
use cerberus_multitask::Normalisation;
use cerberus_multitask::model::MultiTaskModel;
use cerberus_multitask::weights::{ClassifierInfo, load_classifier};

const BALANCE: &str = "balance";

/// The part of a run's checkpoint that is not the model.
pub struct Run<'a> {
    /// The optimiser.
    pub optimizer: &'a dyn Optimizer<f32>,
    /// The run's position.
    pub state: &'a State,
    /// The balancing strategy's memory.
    pub memory: Memory,
    /// The running mean of the weights, if one is kept.
    pub average: Option<&'a WeightAverage>,
}

/// A run's position as it was saved.
pub struct Saved {
    /// The position.
    pub state: State,
    /// The balancing strategy's memory.
    pub memory: Memory,
    /// The running mean of the weights; empty if none was kept.
    pub average: Vec<(String, Tensor)>,
}

/// Writes the model, and with it the optimiser and position if given.
///
/// # Errors
/// If the file cannot be written; what was there before is then untouched.
pub fn save(
    path: &Path,
    config: &TrainConfig,
    model: &MultiTaskModel,
    run: Option<Run>,
) -> Result<(), TrainError> {
    let named = |prefix: &'static str| move |(path, tensor): (String, Tensor)| (join(prefix, &path), tensor);
    let mut metadata = BTreeMap::from([("config".to_string(), to_json(config))]);
    let tensors = match run {
        None => model.tensors().into_iter().map(named(MODEL)).collect(),
        Some(Run { optimizer, state, memory, average }) => {
            metadata.insert("balance".to_string(), to_json(&memory.numbers));
            metadata.insert("state".to_string(), to_json(state));
            let mut tensors = training_tensors(model, optimizer, average);
            tensors.extend(memory.tensors.into_iter().map(named(BALANCE)));
            tensors
        }
    };
    Ok(checkpoint::save(path, &tensors, &metadata)?)
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("configurations and positions have no maps with odd keys")
}

/// [`load_model`] for programs that work on single images: the others are refused.
///
/// # Errors
/// Those of [`load_model`], and [`TrainError::Option`] for a model of several inputs or of one that is not an image.
pub fn load_image_model(path: &Path) -> Result<(TrainConfig, MultiTaskModel), TrainError> {
    let (config, model) = load_model(path)?;
    if !config.model.has_senses() {
        return Ok((config, model));
    }
    let inputs: Vec<&str> = config.model.inputs.iter().map(|input| input.name.as_str()).collect();
    Err(TrainError::Option(format!(
        "{}: this program takes models of one image, and this one has the input {}; give another with --model",
        path.display(),
        inputs.join(", ")
    )))
}

/// A model rebuilt from its checkpoint, with the configuration it was trained by.
///
/// # Errors
/// If the file is not a checkpoint of a model of this program.
pub fn load_model(path: &Path) -> Result<(TrainConfig, MultiTaskModel), TrainError> {
    let file = checkpoint::load(path)?;
    if let Some((info, model)) = load_classifier(&file)? {
        return Ok((classifier_config(&info), model));
    }
    let config: TrainConfig = parse(path, &file, "config")?;
    // A file made by hand may describe a model that cannot be built.
    let fail = |problem: String| TrainError::Folder { path: path.to_path_buf(), problem };
    config.model.check().map_err(fail)?;
    // Checked before memory is allocated: a few bytes can describe a model of any size.
    let held: u64 = file.under(MODEL).iter().map(|(_, tensor)| tensor.len() as u64).sum();
    if config.model.least_numbers() > held {
        return Err(fail(format!(
            "its configuration describes a trunk of {} numbers or more, its tensors hold {held} in all; write the file \
             again with the program that trained the model",
            config.model.least_numbers()
        )));
    }
    let mut model = MultiTaskModel::new(&config.model, config.seed);
    file.load_into(&mut model, MODEL)?;
    Ok((config, model))
}

/// The configuration of a classifier whose weights were imported: it was trained on no data that could be named, and
/// pictures are stretched to its size.
fn classifier_config(info: &ClassifierInfo) -> TrainConfig {
    let [height, width, channels] = info.image;
    let labels = vec![LabelInfo::new(CLASS, LabelKind::Class, &info.classes)];
    let accounts = Default::default();
    let data = DatasetInfo {
        name: info.network.clone(),
        height,
        width,
        channels,
        labels,
        accounts,
        inputs: Vec::new(),
    };
    TrainConfig { model: info.config(), ..TrainConfig::for_data(&info.network, &data) }
}

/// The normalisation of pixels that the weights in a checkpoint expect, if it is not that of the data sets.
///
/// # Errors
/// If the file is not a checkpoint of a model.
pub(crate) fn normalisation(path: &Path) -> Result<Option<Normalisation>, TrainError> {
    let metadata = checkpoint::metadata(path)?;
    if let Some(info) = ClassifierInfo::in_metadata(path, &metadata)? {
        return Ok(info.normalisation);
    }
    // What is wrong with a configuration is told where the tensors are loaded.
    let config: Option<TrainConfig> = metadata.get("config").and_then(|text| serde_json::from_str(text).ok());
    Ok(config.and_then(|config| config.model.normalisation))
}

/// Sets a model's parameters and buffers to those of a run's checkpoint: for models
/// with a trunk or heads of your own, which a file alone cannot rebuild.
///
/// # Errors
/// If the file is not a checkpoint, or of another model; the model is then unchanged.
pub fn load_into(path: &Path, model: &mut MultiTaskModel) -> Result<(), TrainError> {
    Ok(checkpoint::load(path)?.load_into(model, MODEL)?)
}

/// Restores a run's model and optimiser from its checkpoint; returns the position
/// and the strategy's memory.
///
/// # Errors
/// If the file is not a checkpoint of a run with this model and optimiser.
pub fn load_run(
    path: &Path,
    model: &mut MultiTaskModel,
    optimizer: &mut dyn Optimizer<f32>,
) -> Result<Saved, TrainError> {
    let file = checkpoint::load(path)?;
    restore_training(&file, model, optimizer)?;
    let state = parse(path, &file, "state")?;
    let mut memory = Memory::default();
    if file.metadata().contains_key("balance") {
        memory.numbers = parse(path, &file, "balance")?;
        memory.tensors = file.under(BALANCE).into_iter().collect();
    }
    Ok(Saved { state, memory, average: file.under(AVERAGE) })
}

/// Loads those tensors of a model that a checkpoint of another model has with the same name and
/// shape.
///
/// # Errors
/// If the file is not a checkpoint of a model, or a tensor holds values that are not finite.
pub(crate) fn load_matching(path: &Path, model: &mut MultiTaskModel) -> Result<Transfer, TrainError> {
    let file = checkpoint::load(path)?;
    if ClassifierInfo::in_metadata(path, file.metadata())?.is_some() {
        return load_trunk(&file, model);
    }
    // A run's checkpoint and a model's have their models under the same name.
    Ok(file.load_matching(model, MODEL)?)
}

/// Loads what a classifier's file has of a model's trunk, whose paths there have no `trunk.` before them.
fn load_trunk(file: &Checkpoint, model: &mut MultiTaskModel) -> Result<Transfer, TrainError> {
    let Transfer { taken, missing, reshaped, unused, left } = file.load_matching(model.trunk_mut(), "")?;
    let own = |name: String| join("trunk", &name);
    let heads = model.tensors().into_iter().map(|(name, _)| name).filter(|name| !name.starts_with("trunk."));
    Ok(Transfer {
        taken: taken.into_iter().map(own).collect(),
        missing: missing.into_iter().map(own).chain(heads).collect(),
        reshaped: reshaped.into_iter().map(|(name, a, b)| (own(name), a, b)).collect(),
        unused,
        left,
    })
}

fn parse<V: serde::de::DeserializeOwned>(path: &Path, file: &Checkpoint, key: &str) -> Result<V, TrainError> {
    let fail = |problem: String| TrainError::Folder { path: path.to_path_buf(), problem };
    let text = file.metadata().get(key).ok_or_else(|| {
        fail(format!(
            "the checkpoint has no {key:?} entry; it was not written by a training run of this program"
        ))
    })?;
    serde_json::from_str(text)
        .map_err(|error| fail(format!("the checkpoint's {key:?} entry cannot be understood: {error}")))
}

//! Shared by several of the example programs.

#![allow(dead_code, unused_imports)] // Each program uses its own part.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cerberus::multitask::MultiTaskModel;
use cerberus::nn::{checkpoint, join};
use cerberus::prelude::*;
use cerberus::train::{Observer, Outcome, Summary, TrainConfig, TrainError, Trainer};

pub use cerberus_cli::shell::{run_on, thread_pool};
pub use cerberus_cli::together::run_together;

/// Makes the folder that an export goes to.
///
/// # Errors
/// [`TrainError::Folder`] if it cannot be made.
pub fn make_folder(folder: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let problem = format!("cannot be made: {error}; choose another --out");
        TrainError::Folder { path: folder.to_path_buf(), problem }
    })
}

/// Saves a model as a checkpoint that `evaluate` and the programs in other languages read.
///
/// # Errors
/// Those of writing the file.
pub fn save_model<T: Element>(
    path: &Path,
    config: &TrainConfig,
    model: &MultiTaskModel<T>,
) -> Result<(), TrainError> {
    let named = |(name, tensor): (String, Tensor<T>)| (join("model", &name), tensor);
    let tensors: Vec<_> = model.tensors().into_iter().map(named).collect();
    let text = serde_json::to_string(config).expect("a configuration is valid JSON");
    Ok(checkpoint::save(path, &tensors, &BTreeMap::from([("config".to_string(), text)]))?)
}

/// How a run's data are opened.
pub type OpenData<'a> = &'a dyn Fn(&TrainConfig) -> Result<Arc<dyn Dataset>, TrainError>;

/// Trains in `folder` to the end, continuing an interrupted run.
///
/// # Errors
/// If the folder holds a run with other options, and the errors of a run.
pub fn finish_run(
    config: TrainConfig,
    folder: &Path,
    open: OpenData,
    watch: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    let mut trainer = if folder.join("config.json").exists() {
        let trainer = Trainer::resume(folder, open)?;
        // The run recorded the places and fingerprints of the data when it began, and has checked them.
        let TrainConfig { places, fingerprints, .. } = trainer.config().clone();
        let config = TrainConfig { places, fingerprints, ..config };
        if *trainer.config() != config {
            return Err(TrainError::Option(format!(
                "{} was begun with other options; choose another --out",
                folder.display()
            )));
        }
        trainer
    } else {
        let dataset = open(&config)?;
        Trainer::start(config, dataset, folder)?
    };
    match trainer.run(watch, &AtomicBool::new(false))? {
        Outcome::Finished(summary) => Ok(*summary),
        Outcome::Interrupted => unreachable!("nothing raises the flag"),
    }
}

/// The small network of the classic Keras example for pictures of `size` by `size`
/// pixels: two convolutions with pooling, then a dense layer that gives one score
/// per class. The ReLUs act after the poolings, which gives the same values as
/// before them.
pub fn small_cnn(size: usize, classes: usize, seed: u64) -> Sequential {
    let mut init = Init::new(seed);
    let valid = Conv2dSpec::default();
    // Each convolution takes off a border of one pixel, each pooling halves.
    let left = ((size - 2) / 2 - 2) / 2;
    Sequential::new()
        .add("conv1", Conv2d::with_spec(3, 32, 3, valid, &mut init))
        .add("pool1", MaxPool2d::new(2, 2).with_relu())
        .add("conv2", Conv2d::with_spec(32, 64, 3, valid, &mut init))
        .add("pool2", MaxPool2d::new(2, 2).with_relu())
        .add("flatten", Flatten::default())
        .add("dense", Linear::new(left * left * 64, classes, &mut init))
}

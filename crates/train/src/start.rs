//! The start of a run: weights of another model, and frozen parameters.

use std::path::Path;

use cerberus_multitask::{MultiTaskModel, Normalisation};
pub use cerberus_nn::checkpoint::Transfer;
use cerberus_nn::{Module, PathPattern};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::saved;

/// Gives the model of a new run the normalisation of pixels that the weights it starts with expect.
///
/// # Errors
/// If the file with the weights is not a checkpoint.
pub(crate) fn adopt_normalisation(config: &mut TrainConfig) -> Result<(), TrainError> {
    if let Some(file) = &config.init_from
        && config.model.normalisation.is_none()
    {
        // For images of other channels the first convolution is not taken from the file either.
        let fits = |found: &Normalisation| found.check(config.model.image[2]).is_ok();
        config.model.normalisation = saved::normalisation(file)?.filter(fits);
    }
    Ok(())
}

/// Sets the initial weights of a run's model and freezes parameters; returns what was loaded from another model.
///
/// # Errors
/// Those of [`init_from`] and [`freeze`].
pub(crate) fn prepare(
    model: &mut MultiTaskModel,
    config: &TrainConfig,
) -> Result<Option<Transfer>, TrainError> {
    let transfer = config.init_from.as_ref().map(|file| init_from(model, file)).transpose()?;
    freeze(model, &config.freeze)?;
    Ok(transfer)
}

/// The path of the layer that a parameter belongs to.
pub(crate) fn layer_of(parameter: &str) -> &str {
    parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer)
}

/// Loads the weights in a checkpoint, where names and shapes match.
///
/// # Errors
/// If the file is not a checkpoint, or nothing in it matches.
fn init_from(model: &mut MultiTaskModel, file: &Path) -> Result<Transfer, TrainError> {
    let transfer = saved::load_matching(file, model)?;
    if transfer.taken.is_empty() {
        let of = |names: &[String]| names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        return Err(TrainError::Folder {
            path: file.to_path_buf(),
            problem: format!(
                "no tensor has a name and a shape of this model's: the file has {}, .. and the model {}, ..; begin with \
                 a model of the same trunk",
                of(&transfer.unused),
                of(&transfer.missing)
            ),
        });
    }
    Ok(transfer)
}

/// Freezes the parameters that a pattern names: by path, by the path of a part that holds them, or with `*` and `?`.
///
/// # Errors
/// [`TrainError::Option`] for a pattern that cannot be understood or names nothing, or if nothing is left to train.
fn freeze(model: &mut MultiTaskModel, patterns: &[String]) -> Result<(), TrainError> {
    let mut parameters = model.parameters_mut();
    for pattern in patterns {
        let refuse = |problem: String| TrainError::Option(format!("--freeze {pattern}: {problem}"));
        let parsed = PathPattern::new(pattern).map_err(refuse)?;
        let mut found = false;
        for (_, parameter) in parameters.iter_mut().filter(|(path, _)| parsed.names(path)) {
            parameter.set_trainable(false);
            found = true;
        }
        if !found {
            let mut parts: Vec<&str> = parameters.iter().map(|(path, _)| layer_of(path)).collect();
            parts.dedup();
            return Err(refuse(format!("no parameter is called that; there are, in: {}", parts.join(", "))));
        }
    }
    if !patterns.is_empty() && parameters.iter().all(|(_, parameter)| !parameter.is_trainable()) {
        return Err(TrainError::Option("--freeze leaves nothing to train; freeze less".into()));
    }
    Ok(())
}

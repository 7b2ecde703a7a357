//! The errors of a run, with messages that tell the user what to do.

use std::path::PathBuf;

use cerberus_data::DataError;
use cerberus_nn::checkpoint::CheckpointError;
use cerberus_nn::files::WriteError;

use cerberus_balance::BalanceError;
use cerberus_multitask::weights::WeightsError;

/// A run could not start, continue or finish.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// An option has a value it cannot have.
    #[error("{0}")]
    Option(String),
    /// The data could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of the run could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A checkpoint could not be read or does not fit.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A classifier's file does not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Something is wrong with the run's folder.
    #[error("{path}: {problem}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The balance does not exist or does not fit.
    #[error(transparent)]
    Balance(#[from] BalanceError),
    /// A gradient is not finite.
    #[error(
        "training diverged: a gradient is not finite at step {step}; {kept}, and the last epoch's checkpoint is intact; \
         try a lower --learning-rate"
    )]
    DivergedGradient {
        /// The step.
        step: u64,
        /// What happened to the weights.
        kept: String,
    },
    /// The loss is not finite.
    #[error(
        "training diverged: the {task} loss became {value} at step {step}{at}; {place}; {kept}, and the last epoch's \
         checkpoint is intact; try a lower --learning-rate"
    )]
    Diverged {
        /// The shard of the batch and the rank that had it, if the batch was cut.
        at: String,
        /// The task whose loss it is.
        task: String,
        /// Its value.
        value: f32,
        /// The step.
        step: u64,
        /// Where the first value appears that is not finite.
        place: String,
        /// What happened to the weights.
        kept: String,
    },
}

impl TrainError {
    /// Whether the caller's options are at fault, rather than files or data.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            TrainError::Option(_)
                | TrainError::Data(DataError::Option { .. })
                | TrainError::Balance(BalanceError::Option(_))
                | TrainError::Weights(WeightsError::NoSuchNetwork { .. })
        )
    }
}

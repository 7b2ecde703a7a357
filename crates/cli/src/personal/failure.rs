//! How a command fails: by its options, or by files, data or the store.

use cerberus::data::DataError;
use cerberus::nn::checkpoint::CheckpointError;
use cerberus::nn::files::WriteError;
use cerberus::personal::PersonalError;
use cerberus::train::TrainError;

/// A command's failure, with a message for the user.
pub(super) enum Failure {
    Train(TrainError),
    Personal(PersonalError),
}

impl Failure {
    /// The user asked for something that cannot be.
    pub fn usage(problem: impl Into<String>) -> Self {
        Self::Train(TrainError::Option(problem.into()))
    }

    /// Whether the options are at fault.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Train(error) => error.is_usage(),
            Self::Personal(error) => matches!(error, PersonalError::Request(_)),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Train(error) => error.fmt(f),
            Self::Personal(error) => error.fmt(f),
        }
    }
}

impl From<PersonalError> for Failure {
    fn from(error: PersonalError) -> Self {
        Self::Personal(error)
    }
}

/// Errors that a [`TrainError`] is made of.
macro_rules! through_train {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Train(error.into())
            }
        }
    )*};
}

through_train!(DataError, CheckpointError, WriteError);

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        Self::Train(error)
    }
}

//! Training: epochs of steps, an evaluation after each, checkpoints, and one
//! evaluation on the test set at the end.
//!
//! A run is a function of its [`TrainConfig`]: the number of threads and of
//! processes, an interruption and a resumption change nothing but the time it takes. After
//! every epoch the whole run is saved (`last.safetensors`) and, when the
//! validation score is the best so far, the model (`best.safetensors`). The
//! test split is read once, with the best model.

#![forbid(unsafe_code)]

mod agree;
mod balance_log;
mod choices;
pub mod config;
mod data;
mod error;
mod evaluate;
mod events;
mod fit;
mod folder;
mod page;
mod profile;
mod report;
mod saved;
mod shown;
mod start;
mod state;
mod trainer;
mod trial;
mod watch;

pub use choices::{OptimizerConfig, OptimizerKind, ScheduleConfig};
pub use config::{SamplerChoice, TrainConfig};
pub use data::{IMBALANCE_METHODS, open_mixed};
pub use error::TrainError;
pub use evaluate::{TaskFigures, evaluate, score, score_split};
pub use fit::{EpochFigures, Figures, Fit, FitError, History};
pub use folder::{RunFolder, make_next};
pub use report::{Summary, annotate, drawn_names, peak_rss_mb, write_samples};
pub use saved::{load_image_model, load_into, load_model};
pub use shown::picture_of;
pub use start::Transfer;
pub use state::{EpochRow, State};
pub use trainer::{Observer, Outcome, StepReport, Trainer, TrainerBuilder};
pub use trial::{FittedBatch, RatePoint, RateTest, find_rate, fit_memory};

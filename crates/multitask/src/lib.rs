//! One trunk, several heads: the model, its tasks, their metrics, the trainer
//! and the pictures it leaves.
//!
//! - [`trunk`]: the shared features, computed once per image;
//! - [`tasks`]: a task is a head, its loss, its targets, how its output is
//!   decoded, and its metric; any number of them, by name;
//! - [`model`]: a trunk with any set of tasks, built from a [`config`];
//! - [`balance`]: how much each task counts in a step, when their gradients fight;
//! - [`metrics`], [`boxes`]: how predictions are scored;
//! - [`trainer`]: epochs, evaluation, checkpoints, interruption and resumption;
//! - [`draw`]: truth and prediction side by side.
#![forbid(unsafe_code)]

pub mod balance;
pub mod boxes;
pub mod config;
pub mod draw;
mod lenet;
pub mod metrics;
pub mod model;
pub mod tasks;
pub mod trainer;
pub mod trunk;

pub use config::{HeadConfig, HeadOptions, ModelConfig, TrunkKind};
pub use lenet::{LENET_SIDE, LeNet};
pub use model::MultiTaskModel;
pub use tasks::{Answer, Detection, HeadKind, Metric, Prediction, Site, Task};
pub use trunk::{ConvTrunk, Features, Trunk};

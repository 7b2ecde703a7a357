//! One trunk, several heads: the model and its tasks.
//!
//! - [`trunk`]: the shared features, computed once per image;
//! - [`tasks`]: a task is a head, its loss, its targets, how its output is
//!   decoded, and its metric; any number of them, by name;
//! - [`model`]: a trunk with any set of tasks, built from a [`config`];
//! - [`senses`]: several inputs, such as an image and a sound, and clips;
//! - [`weights`]: the networks' weights from and to PyTorch's files;
//! - [`step`]: one step of training under a balancing strategy.
//!
//! How the tasks are balanced is in `cerberus-balance`, how they are scored in
//! `cerberus-metrics`, how they are trained in `cerberus-train`.
#![forbid(unsafe_code)]

mod attention_pool;
pub mod config;
mod features;
mod head_config;
mod image_trunk;
mod inputs;
mod lenet;
pub mod model;
pub mod networks;
mod normalisation;
mod sense_config;
pub mod senses;
pub mod step;
pub mod tasks;
pub mod trunk;
pub mod weights;

pub use config::{HeadConfig, HeadOptions, ModelConfig, TrunkKind};
pub use features::{FeatureInfo, Features, MapInfo, Whole, WholeInfo};
pub use inputs::{Given, Inputs};
pub use lenet::{LENET_SIDE, LeNet};
pub use model::MultiTaskModel;
pub use normalisation::Normalisation;
pub use step::{Balancing, GradientsWrt, StepInput, StepResult, train_step};
pub use tasks::{Candidates, Detection, HeadKind, HeadOutput, Metric, Prediction, Task};
pub use trunk::{ConvTrunk, Trunk};

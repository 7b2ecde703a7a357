//! Modules, layers, losses, initialisers, optimisers, schedules and
//! checkpoints. Knows nothing of tasks.
#![forbid(unsafe_code)]

// The `module!` macro names this crate by its public path.
extern crate self as cerberus_nn;

mod average;
pub mod checkpoint;
pub mod context;
pub mod files;
pub mod inference;
pub mod init;
pub mod layers;
pub mod losses;
pub mod module;
pub mod optim;
mod sam;
pub mod schedule;
mod step;

// `module!` expands to code that uses this name, in whatever crate calls it.
#[doc(hidden)]
pub use cerberus_tensor::Element;

pub use average::WeightAverage;
pub use checkpoint::{Checkpoint, CheckpointError, load_model, save_model};
pub use context::{BufferUpdates, Context, LayerTrace, commit};
pub use inference::{output_shape, predict};
pub use init::Init;
pub use layers::{
    BatchNorm2d, Conv2d, Dropout, Flatten, GlobalAvgPool, Layer, Linear, MaxPool2d, Relu, Sequential,
};
pub use module::{Buffer, Module, ModuleTensor, ModuleTensorMut, Parameter, join};
pub use optim::{
    Adadelta, AdadeltaOptions, Adagrad, AdagradOptions, Adam, AdamOptions, AdamW, Lamb, LambOptions, Lion,
    LionOptions, Lookahead, LookaheadOptions, Muon, MuonOptions, Optimizer, ParameterGroup, ParameterGroups,
    RmsProp, RmsPropOptions, Sgd, SgdOptions,
};
pub use sam::{SamOptions, sam_step};
pub use schedule::{ReduceOnPlateau, Schedule};
pub use step::{StepOptions, step, step_with};

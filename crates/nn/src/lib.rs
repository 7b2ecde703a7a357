//! Modules, layers, losses, initialisers, optimisers, schedules and
//! checkpoints. Knows nothing of tasks.
#![forbid(unsafe_code)]

// The `module!` macro names this crate by its public path.
extern crate self as cerberus_nn;

mod attention_mask;
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
mod pattern;
mod sam;
pub mod schedule;
pub mod shards;
mod step;
pub mod summary;
pub mod sync_norm;
pub mod training;

// `module!` expands to code that uses this name, in whatever crate calls it.
#[doc(hidden)]
pub use cerberus_tensor::Element;

pub use attention_mask::AttentionMask;
pub use average::WeightAverage;
pub use checkpoint::{Checkpoint, CheckpointError, StateDict, load_model, save_model};
pub use context::{BufferUpdates, Context, LayerTrace, commit};
pub use inference::{output_shape, predict};
pub use init::{Fan, Init};
pub use layers::Joint;
pub use layers::joint::conv_norm;
pub use layers::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
    AdaptiveMaxPool3d, AlphaDropout, AvgPool1d, AvgPool2d, AvgPool3d, BatchNorm1d, BatchNorm2d, BatchNorm3d,
    Celu, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, DepthwiseConv2d,
    DropPath, Dropout, Elu, Embedding, Flatten, Gelu, GeluTanh, GlobalAvgPool, GlobalMaxPool, Glu, GroupNorm,
    Hardshrink, Hardsigmoid, Hardswish, Hardtanh, Identity, InstanceNorm, InvertedResidual,
    InvertedResidualSpec, Layer, LayerNorm, LeakyRelu, Linear, LogSigmoid, LogSoftmax, MaxPool1d, MaxPool2d,
    MaxPool3d, Mish, MultiHeadSelfAttention, PRelu, Pad2d, PixelShuffle, PixelUnshuffle, Relu, Relu6,
    Reshape, Residual, RmsNorm, Selu, SeparableConv2d, Sequential, Sigmoid, Silu, Softmax, Softplus,
    Softshrink, Softsign, SpatialDropout, SqueezeExcitation, Tanh, Tanhshrink, Threshold, TransformerBlock,
    Upsample,
};
pub use module::{Buffer, Module, ModuleTensor, ModuleTensorMut, Parameter, join};
pub use optim::{
    Adadelta, AdadeltaOptions, Adagrad, AdagradOptions, Adam, AdamOptions, AdamW, Lamb, LambOptions, Lion,
    LionOptions, Lookahead, LookaheadOptions, Muon, MuonOptions, Optimizer, ParameterGroup, ParameterGroups,
    RmsProp, RmsPropOptions, Sgd, SgdOptions,
};
pub use pattern::PathPattern;
pub use sam::{SamOptions, sam_step};
pub use schedule::{ReduceOnPlateau, Schedule};
pub use step::{StepOptions, step, step_with};
pub use summary::{LayerSummary, Summary, summary, summary_with};
pub use training::{TrainingPosition, load_training, save_training};

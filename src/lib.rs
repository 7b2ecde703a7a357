//! Cerberus: multi-task image recognition on the CPU.
//!
//! One convolutional trunk processes an image once; heads classify, detect and
//! segment from its features. The tensors, SIMD kernels, automatic
//! differentiation, layers and optimisers underneath are written here, to be read
//! as much as to be run.
//!
//! This crate is a facade: it gives the crates below one name and adds nothing of
//! its own. Each builds only on crates above it in the table.
//!
//! | module | what it holds |
//! |---|---|
//! | [`tensor`] | n-d arrays and CPU kernels: convolution, products, pooling, reductions |
//! | [`autograd`] | the tape, one backward rule per operation, the gradient check |
//! | [`nn`] | layers, losses, optimisers, schedules, checkpoints |
//! | [`data`] | images, labels, data sets, loaders (builds on [`tensor`] alone) |
//! | [`audio`] | sound files, resampling, spectrograms, augmentation (builds on nothing) |
//! | [`distributed`] | several processes, and sums over shards that have the same bits for any number of them |
//! | [`launch`] | joins the processes that `mpirun` or Slurm started |
//! | [`metrics`] | scores of predictions, boxes and their tracks (builds on nothing) |
//! | [`draw`] | pictures of labels and predictions |
//! | [`balance`] | how much each task counts in a step: strategies and solvers |
//! | [`multitask`] | trunks, heads, tasks, the model, the training step |
//! | [`onnx`] | networks as ONNX files |
//! | [`explain`] | what each head looked at |
//! | [`personal`] | what each person taught a model, beside it |
//! | [`train`] | the trainer, a run's folder and reports |
//!
//! # Example
//!
//! Fit a line through four points by gradient descent:
//!
//! ```
//! use cerberus::prelude::*;
//!
//! // A line through four points.
//! let x = Tensor::from_vec(vec![0.0, 1.0, 2.0, 3.0], &[4, 1]);
//! let y = Tensor::from_vec(vec![1.0, 3.0, 5.0, 7.0], &[4, 1]);
//! let mut line = Linear::new(1, 1, &mut Init::new(0));
//! let mut optimizer = Sgd::new(SgdOptions { learning_rate: 0.05, momentum: 0.9, ..SgdOptions::default() });
//! for _ in 0..200 {
//!     step(&mut line, &mut optimizer, |line, context| {
//!         (line.forward((&x).into(), context) - &y).square().mean_all()
//!     });
//! }
//! let answer: f32 = predict(&line, Tensor::from_vec(vec![10.0], &[1, 1])).item();
//! assert!((answer - 21.0).abs() < 0.1); // 2 * 10 + 1
//! ```
//!
//! The numbered programs in `examples/` are lessons, and `docs/` is the book.
#![forbid(unsafe_code)]

pub use cerberus_audio as audio;
pub use cerberus_autograd as autograd;
pub use cerberus_balance as balance;
pub use cerberus_data as data;
pub use cerberus_distributed as distributed;
pub use cerberus_draw as draw;
pub use cerberus_explain as explain;
pub use cerberus_launch as launch;
pub use cerberus_metrics as metrics;
pub use cerberus_multitask as multitask;
pub use cerberus_nn as nn;
pub use cerberus_onnx as onnx;
pub use cerberus_personal as personal;
pub use cerberus_tensor as tensor;
pub use cerberus_train as train;

/// The names that most programs need.
pub mod prelude {
    pub use crate::autograd::{Gradients, Tape, Var, backward, grad};
    pub use crate::data::{Batch, Dataset, EpochPlan, Loader, Split, TensorDataset};
    pub use crate::nn::losses::{
        BoxOverlap, CrossEntropy, Dice, DiceForm, Focal, KlTarget, MultiMargin, TripletMargin, Tversky,
        binary_cross_entropy, binary_cross_entropy_with, box_iou, contrastive, cosine_embedding,
        cosine_similarity, cross_entropy, cross_entropy_soft, cross_entropy_with, dice, dice_with,
        distribution_focal, expected_distance, focal, gaussian_focal, giou, hinge, huber, info_nce, kl_div,
        l1, lovasz_hinge, lovasz_softmax, mse, multi_margin, nll, nt_xent, smooth_l1, squared_hinge,
        supervised_contrastive, triplet_margin, tversky,
    };
    pub use crate::nn::{
        Adadelta, AdadeltaOptions, Adagrad, AdagradOptions, Adam, AdamOptions, AdamW, AdaptiveAvgPool1d,
        AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d,
        AlphaDropout, AttentionMask, AvgPool1d, AvgPool2d, AvgPool3d, BatchNorm1d, BatchNorm2d, BatchNorm3d,
        Celu, Context, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
        DepthwiseConv2d, DropPath, Dropout, Elu, Embedding, Fan, Flatten, Gelu, GeluTanh, GlobalAvgPool,
        GlobalMaxPool, Glu, GroupNorm, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, Identity, Init,
        InstanceNorm, InvertedResidual, InvertedResidualSpec, Lamb, LambOptions, Layer, LayerNorm, LeakyRelu,
        Linear, Lion, LionOptions, LogSigmoid, LogSoftmax, Lookahead, LookaheadOptions, MaxPool1d, MaxPool2d,
        MaxPool3d, Mish, Module, MultiHeadSelfAttention, Muon, MuonOptions, Optimizer, PRelu, Pad2d,
        Parameter, ParameterGroup, ParameterGroups, PixelShuffle, PixelUnshuffle, ReduceOnPlateau, Relu,
        Relu6, Reshape, Residual, RmsNorm, RmsProp, RmsPropOptions, SamOptions, Schedule, Selu,
        SeparableConv2d, Sequential, Sgd, SgdOptions, Sigmoid, Silu, Softmax, Softplus, Softshrink, Softsign,
        SpatialDropout, SqueezeExcitation, StepOptions, Summary, Tanh, Tanhshrink, Threshold,
        TrainingPosition, TransformerBlock, Upsample, WeightAverage, commit, load_model, load_training,
        module, output_shape, predict, sam_step, save_model, save_training, step, step_with, summary,
        summary_with,
    };
    pub use crate::tensor::conv::{Conv2dSpec, Padding};
    pub use crate::tensor::{Element, Tensor};
    pub use crate::train::{Fit, History};
}

/// Compiles and runs the README's example along with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Compiles and runs the programs of the chapter on layers.
#[cfg(doctest)]
#[doc = include_str!("../docs/nn.md")]
struct Layers;

/// Compiles and runs the program of the chapter on explanations.
#[cfg(doctest)]
#[doc = include_str!("../docs/explain.md")]
struct Explanations;

/// Compiles and runs the program of the chapter on sound.
#[cfg(doctest)]
#[doc = include_str!("../docs/audio.md")]
struct Sounds;

/// Compiles and runs the program of the chapter on personal models.
#[cfg(doctest)]
#[doc = include_str!("../docs/personal.md")]
struct PersonalModels;

/// Compiles and runs the programs of the chapter on several senses.
#[cfg(doctest)]
#[doc = include_str!("../docs/senses.md")]
struct Senses;

/// Compiles the programs of the chapter on weights.
#[cfg(doctest)]
#[doc = include_str!("../docs/weights.md")]
struct Weights;

/// Compiles and runs the program of the chapter on optimisers.
#[cfg(doctest)]
#[doc = include_str!("../docs/optimisers.md")]
struct Optimisers;

/// Compiles and runs the ten programs of the book.
#[cfg(doctest)]
#[doc = include_str!("../docs/ten-programs.md")]
struct TenPrograms;

/// Compiles and runs the programs of the chapter on moving pictures.
#[cfg(doctest)]
#[doc = include_str!("../docs/video.md")]
struct Video;

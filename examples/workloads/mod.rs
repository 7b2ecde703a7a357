//! The training steps and forward passes that speed is measured by.
//!
//! Each network is in its own file; here they get generated data, which is in
//! memory before the first step, and become closures that do one step. The same
//! networks on the same data, in PyTorch and Keras, are in `benches/peers/`: a
//! change here must be made there as well, where the number of parameters is
//! compared.

mod multitask;
mod resnet;
mod senses;
mod unet;

use cerberus::data::{self, Batch, Split};
use cerberus::explain::{Attribution, ExplainError, Explainer};
use cerberus::multitask::MultiTaskModel;
use cerberus::multitask::networks;
use cerberus::multitask::{StepInput, train_step};
use cerberus::nn::losses::cross_entropy;
use cerberus::prelude::*;
use cerberus::train::TrainConfig;
use clap::ValueEnum;

use crate::common::small_cnn;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What can be measured.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Workload {
    /// The network of the cifar10 example: 32x32 images, 10 classes, Adam
    Seed32,
    /// The same for 224x224 images and 1,000 classes: nearly all weights are in the dense layer
    Seed224,
    /// The ResNet-18 for 32x32 images, SGD with momentum
    Resnet18,
    /// One trunk with three plain heads on 64x64 images, Adam
    Mtl64,
    /// The default step of the train example on its 64x64 scenes, AdamW
    Scenes64,
    /// ResNet-50 on 224x224 images, 1,000 classes, SGD with momentum
    Resnet50,
    /// MobileNetV2 on 224x224 images, 1,000 classes, SGD with momentum
    #[value(name = "mobilenet_v2")]
    MobilenetV2,
    /// EfficientNet-B0 on 224x224 images, 1,000 classes, SGD with momentum
    #[value(name = "efficientnet_b0")]
    EfficientnetB0,
    /// ConvNeXt-tiny on 224x224 images, 1,000 classes, Adam
    #[value(name = "convnext_tiny")]
    ConvnextTiny,
    /// A small vision transformer on 224x224 images in patches of 16x16, 1,000 classes, Adam
    #[value(name = "vit_small")]
    VitSmall,
    /// A U-Net on 256x256 images, a class for each pixel, Adam
    Unet,
    /// The default model of sounds of a second at 8 kHz, their log-mel frames included, Adam
    AudioMel,
    /// Clips of 6 frames of 64x64 pixels as the channels of images, four plain heads, Adam
    VideoStack,
    /// The same with channels shifted between frames
    VideoShift,
    /// The same with convolutions over time and space
    VideoConv3d,
    /// The same with convolutions over space, then over time
    #[value(name = "video-r2plus1d")]
    VideoFactorised,
    /// Only the forward pass of seed32
    InferSeed32,
    /// Only the forward pass of resnet18
    InferResnet18,
    /// Only the forward pass of resnet50
    InferResnet50,
    /// Only the forward pass of mobilenet_v2
    #[value(name = "infer-mobilenet_v2")]
    InferMobilenetV2,
    /// Only the forward pass of efficientnet_b0
    #[value(name = "infer-efficientnet_b0")]
    InferEfficientnetB0,
    /// Only the forward pass of convnext_tiny
    #[value(name = "infer-convnext_tiny")]
    InferConvnextTiny,
    /// Only the forward pass of vit_small
    #[value(name = "infer-vit_small")]
    InferVitSmall,
    /// Only the forward pass of unet
    InferUnet,
    /// Integrated gradients of 50 steps for one number of each head of mtl64
    ExplainGradients,
    /// Occlusion by windows of 8x8, 4 apart, for one number of each head of mtl64
    ExplainOcclusion,
}

/// A workload with its data in memory.
pub struct Prepared {
    /// Number of trained values.
    pub parameters: usize,
    /// Does one step; returns the loss (the first output, if it only predicts).
    pub step: Box<dyn FnMut() -> f32>,
}

impl Workload {
    /// Whether nothing is trained.
    pub fn only_predicts(self) -> bool {
        let predicts = |name: &str| name.starts_with("infer-") || name.starts_with("explain-");
        self.to_possible_value().is_some_and(|value| predicts(value.get_name()))
    }

    /// The workload for `batch` images at a time, their values multiplied by `scale`. With `recompute`, the backward
    /// pass computes again what lies inside the blocks of published networks and of the train example's trunk.
    ///
    /// # Errors
    /// If data cannot be read.
    pub fn prepare(self, batch: usize, scale: f32, recompute: bool) -> Result<Prepared, Failure> {
        let options = StepOptions { recompute, ..StepOptions::default() };
        let images = |size: usize| wave(&[batch, size, size, 3]).scale(scale);
        let adam = || Adam::new(AdamOptions::default());
        let sgd = || Sgd::new(SgdOptions { momentum: 0.9, ..SgdOptions::default() });
        let labels = |classes: usize| move |i: usize| i % classes;
        Ok(match self {
            Self::Seed32 => classification(
                small_cnn(32, 10, 1),
                (adam(), options),
                1e-3,
                images(32),
                (0..batch).map(labels(10)).collect(),
            ),
            Self::Seed224 => {
                let model = small_cnn(224, 1000, 1);
                classification(
                    model,
                    (adam(), options),
                    1e-3,
                    images(224),
                    (0..batch).map(labels(250)).collect(),
                )
            }
            Self::Resnet18 => {
                let model = resnet::resnet18(10, 1);
                classification(
                    model,
                    (sgd(), options),
                    0.01,
                    images(32),
                    (0..batch).map(labels(10)).collect(),
                )
            }
            Self::Mtl64 => {
                let (model, targets) = (multitask::PlainHeads::new(1), multitask::Targets::made_up(batch));
                let images = images(64);
                training(model, (adam(), options), 1e-3, move |model, context| {
                    targets.loss(model.forward((&images).into(), context))
                })
            }
            Self::Scenes64 => scenes64(batch, scale, recompute)?,
            Self::Resnet50 => published("resnet50", (sgd(), options), 0.01, images(224)),
            Self::MobilenetV2 => published("mobilenet_v2", (sgd(), options), 0.01, images(224)),
            Self::EfficientnetB0 => published("efficientnet_b0", (sgd(), options), 0.01, images(224)),
            Self::ConvnextTiny => published("convnext_tiny", (adam(), options), 1e-4, images(224)),
            Self::VitSmall => published("vit_small", (adam(), options), 1e-4, images(224)),
            Self::Unet => {
                let target: Vec<usize> = (0..batch * 256 * 256).map(|i| i / 977 % unet::CLASSES).collect();
                classification(unet::Unet::new(1), (adam(), options), 1e-3, images(256), target)
            }
            Self::AudioMel => {
                let (model, sounds) = senses::sounds(batch, scale)?;
                training(model, (adam(), options), 1e-3, move |model, context| {
                    model.loss(&sounds, &[1.0], context).expect("sounds have a class")
                })
            }
            Self::VideoStack => clips("stack", (adam(), options), batch, scale)?,
            Self::VideoShift => clips("shift", (adam(), options), batch, scale)?,
            Self::VideoConv3d => clips("conv3d", (adam(), options), batch, scale)?,
            Self::VideoFactorised => clips("r2plus1d", (adam(), options), batch, scale)?,
            Self::InferSeed32 => inference(small_cnn(32, 10, 1), images(32)),
            Self::InferResnet18 => inference(resnet::resnet18(10, 1), images(32)),
            Self::InferResnet50 => inference(network("resnet50"), images(224)),
            Self::InferMobilenetV2 => inference(network("mobilenet_v2"), images(224)),
            Self::InferEfficientnetB0 => inference(network("efficientnet_b0"), images(224)),
            Self::InferConvnextTiny => inference(network("convnext_tiny"), images(224)),
            Self::InferVitSmall => inference(network("vit_small"), images(224)),
            Self::InferUnet => inference(unet::Unet::new(1), images(256)),
            Self::ExplainGradients => {
                explanation(images(64), |explainer, x| explainer.integrated_gradients(x, &Default::default()))
            }
            Self::ExplainOcclusion => {
                explanation(images(64), |explainer, x| explainer.occlusion(x, &Default::default()))
            }
        })
    }
}

/// Numbers from -1 to 1 without a pattern that arithmetic could profit from.
fn wave(shape: &[usize]) -> Tensor {
    Tensor::from_fn(shape, |i| (i as f32 * 0.37).sin())
}

/// A published network with 1,000 classes.
fn network(name: &str) -> Box<dyn Layer> {
    let network = networks::find::<f32>(name).expect("a network of the registry");
    (network.classifier)([3, 1000], &mut Init::new(1))
}

/// Steps of a published network.
fn published(
    name: &str,
    optimizer: (impl Optimizer + 'static, StepOptions),
    rate: f64,
    images: Tensor,
) -> Prepared {
    let target = (0..images.shape()[0]).map(|i| i % 250).collect();
    classification(network(name), optimizer, rate, images, target)
}

/// Steps of a model with one output and class ids.
fn classification(
    model: impl Layer + 'static,
    optimizer: (impl Optimizer + 'static, StepOptions),
    rate: f64,
    images: Tensor,
    target: Vec<usize>,
) -> Prepared {
    training(model, optimizer, rate, move |model, context| {
        cross_entropy(model.forward((&images).into(), context), &target)
    })
}

/// Steps of any model: forward, `loss`, backward, update.
fn training<M: Module + 'static>(
    mut model: M,
    (mut optimizer, options): (impl Optimizer + 'static, StepOptions),
    rate: f64,
    loss: impl Fn(&M, &mut Context) -> Var + 'static,
) -> Prepared {
    let parameters = model.parameter_count();
    optimizer.set_learning_rate(rate);
    let step = move || step_with(&mut model, &mut optimizer, options, &loss) as f32;
    Prepared { parameters, step: Box::new(step) }
}

/// Steps on clips with this encoder.
fn clips(
    encoder: &str,
    optimizer: (impl Optimizer + 'static, StepOptions),
    batch: usize,
    scale: f32,
) -> Result<Prepared, Failure> {
    let (model, targets) = (senses::Moving::new(encoder, 1)?, multitask::Targets::made_up(batch));
    let clips = wave(&senses::clips(batch)).scale(scale);
    Ok(training(model, optimizer, 1e-3, move |model, context| model.loss((&clips).into(), &targets, context)))
}

/// Forward passes in one evaluation context, which packs the weights once.
fn inference(model: impl Layer + 'static, images: Tensor) -> Prepared {
    let parameters = model.parameter_count();
    let mut context = Context::evaluation();
    let step = move || model.forward(Var::constant(images.clone()), &mut context).value().data()[0];
    Prepared { parameters, step: Box::new(step) }
}

/// Maps of one number of each head.
fn explanation(
    images: Tensor,
    explain: fn(&Explainer, &Tensor) -> Result<Vec<Attribution>, ExplainError>,
) -> Prepared {
    let model = multitask::PlainHeads::new(1);
    let parameters = model.parameter_count();
    let step = move || {
        let answers = |x: Var, context: &mut Context| model.numbers(x, context);
        let maps = explain(&Explainer::new(&answers), &images).expect("methods for any network");
        maps.iter().map(|map| map.values.sum_all().item()).sum()
    };
    Prepared { parameters, step: Box::new(step) }
}

/// The step of the train example, on its own data.
fn scenes64(batch: usize, scale: f32, recompute: bool) -> Result<Prepared, Failure> {
    let scenes = data::open("fashion-scenes", 1)?;
    let config = TrainConfig::for_data("fashion-scenes", scenes.info());
    let indices: Vec<usize> = (0..batch).collect();
    let samples: Result<Vec<_>, _> =
        indices.iter().map(|&i| scenes.sample(Split::Train, 0, i % scenes.len(Split::Train))).collect();
    let mut batch = Batch::assemble(&samples?, indices)?;
    batch.images = batch.images.scale(scale);
    let mut model = MultiTaskModel::new(&config.model, 1);
    model.recompute(recompute);
    let mut optimizer = AdamW::new(AdamOptions::default());
    let mut balancing = config.balancing()?;
    let parameters = model.parameter_count();
    let step = move || {
        let input = StepInput { clip_norm: config.clip_norm, seed: [1, 0], ..StepInput::new(&batch) };
        let result = train_step(&mut model, &mut optimizer, &mut balancing, &input);
        result.expect("fixed weights suit any batch").losses.iter().sum()
    };
    Ok(Prepared { parameters, step: Box::new(step) })
}

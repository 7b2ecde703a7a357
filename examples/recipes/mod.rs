//! The fast recipe for CIFAR-10: to 94 % of the test images within a few epochs.
//!
//! It follows the records for short training on this data set (Page, "How to train your ResNet", 2018-2019; Jordan,
//! "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, and its Muon variant): a frozen first layer that whitens,
//! convolutions that begin as the identity, batch norms without scales, label smoothing, flips that alternate between
//! epochs, shifts of up to two pixels, Muon for the convolutions with weights of fixed norm, a learning rate that falls
//! in a straight line, and the mean of the predictions for a test image, its mirror image and the two shifted by a pixel.

mod images;

use std::sync::Arc;
use std::time::Instant;

use cerberus::autograd::ops::PadMode;
use cerberus::data::{Cifar10, DataError};
use cerberus::nn::init::whitening;
use cerberus::nn::optim::GroupError;
use cerberus::prelude::*;
use cerberus_cli::say;

use images::Shifted;

/// Channels of the three stages.
const WIDTHS: [usize; 3] = [64, 256, 256];
/// Training images whose patches the first layer whitens.
const WHITENED: usize = 5000;
/// The share of the epochs after which the first layer's bias stays.
const WHITENING_BIAS: f64 = 0.375;
/// The learning rates of the convolutions, the shifts and the last layer.
const RATE: f64 = 0.24;
const BIAS_RATE: f64 = 0.053;
const HEAD_RATE: f64 = 0.67;
/// What a step takes off the shifts and the last layer, for each image of the batch.
const DECAY: f64 = 2e-6;
/// The loss is a sum over this many images, whatever the batch: the rates are made for that.
const SUM: f64 = 2000.0;

/// The views of a test picture whose logits are averaged, most first (Jordan, 2024, section 3.5).
pub const VIEWS: [&str; 3] = ["mirrored and shifted by a pixel", "mirrored", "alone"];

/// What a run takes.
pub struct Options {
    pub epochs: usize,
    pub batch: usize,
    pub seed: u64,
    pub samples: Option<usize>,
}

/// What a run gives.
pub struct Outcome {
    /// Accuracy on the test images, by the [`VIEWS`].
    pub accuracy: [f64; 3],
    /// Wall time of training, whitening included.
    pub training_seconds: f64,
    /// Wall time of training and of the test.
    pub seconds: f64,
}

/// Trains and tests.
///
/// # Errors
/// If the data cannot be read.
pub fn run(
    data: &Arc<Cifar10>,
    options: &Options,
) -> Result<Outcome, Box<dyn std::error::Error + Send + Sync>> {
    let clock = Instant::now();
    let mut model = network(first_images(data, options)?, options.seed);
    let mut optimizer = optimizer(&model, options.batch)?;
    let images = Arc::new(Shifted::new(data.clone(), options.seed));
    let samples = data.len(Split::Train).min(options.samples.unwrap_or(usize::MAX));
    let batch = options.batch.min(samples);
    let steps = options.epochs * (samples / batch);
    let mut step_number = 0;
    say!("{:>5} {:>10} {:>9}", "epoch", "loss", "images/s");
    for epoch in 0..options.epochs {
        let plan = EpochPlan {
            seed: options.seed,
            limit: options.samples,
            drop_last: true,
            ..EpochPlan::training(epoch, batch)
        };
        let (mut loss_sum, mut count, start) = (0.0, 0, Instant::now());
        for batch in Loader::new(images.clone(), plan)? {
            let batch = batch?;
            if step_number == (WHITENING_BIAS * steps as f64) as usize {
                model.freeze("whiten");
            }
            optimizer.set_learning_rate(RATE * (1.0 - step_number as f64 / steps as f64));
            loss_sum += step(&mut model, &mut optimizer, |model, context| {
                let logits = model.forward((&batch.images).into(), context);
                let smooth = CrossEntropy { label_smoothing: 0.2, ..CrossEntropy::default() };
                cross_entropy_with(logits, &batch.classes, &smooth).scale(SUM)
            });
            fix_norms(&mut model);
            (step_number, count) = (step_number + 1, count + batch.len());
        }
        let rate = count as f64 / start.elapsed().as_secs_f64();
        let loss = loss_sum * batch as f64 / (SUM * count as f64);
        say!("{:>5} {loss:>10.4} {rate:>9.0}", epoch + 1);
    }
    let training_seconds = clock.elapsed().as_secs_f64();
    let accuracy = accuracy(&model, data, options.samples)?;
    Ok(Outcome { accuracy, training_seconds, seconds: clock.elapsed().as_secs_f64() })
}

/// The images whose patches the first layer whitens.
fn first_images(data: &Arc<Cifar10>, options: &Options) -> Result<Tensor<f32>, DataError> {
    let limit = Some(WHITENED.min(options.samples.unwrap_or(WHITENED)));
    let plan = EpochPlan { batch_size: WHITENED, limit, ..EpochPlan::new(Split::Train) };
    let batch = Loader::new(data.clone(), plan)?.next().expect("the data are not empty")?;
    Ok(batch.images)
}

/// `whiten`, three stages of two convolutions each, the last layer.
fn network(images: Tensor<f32>, seed: u64) -> Sequential {
    let mut init = Init::new(seed);
    let valid = Conv2dSpec::default();
    let kernels = whitening(&images, [2, 2], 5e-4);
    let whitened = kernels.shape()[3];
    let mut model = Sequential::new()
        .add("whiten", Conv2d::with_spec(3, whitened, 2, valid, &mut init).with_weight(kernels))
        .add("act", Gelu::default());
    let mut cin = whitened;
    for (stage, width) in WIDTHS.into_iter().enumerate() {
        let layers = Sequential::new()
            .add("conv1", convolution(cin, width, &mut init))
            .add("pool", MaxPool2d::new(2, 2))
            .add("norm1", norm(width))
            .add("act1", Gelu::default())
            .add("conv2", convolution(width, width, &mut init))
            .add("norm2", norm(width))
            .add("act2", Gelu::default());
        model = model.add(&format!("stage{}", stage + 1), layers);
        cin = width;
    }
    let deviation = 1.0 / cin as f64;
    let head = Linear::new(cin, 10, &mut init).without_bias().with_weight(init.normal(&[cin, 10], deviation));
    let mut model =
        model.add("pool", MaxPool2d::new(3, 3)).add("flatten", Flatten::default()).add("head", head);
    model.freeze("whiten.weight");
    for stage in 1..=WIDTHS.len() {
        model.freeze(&format!("stage{stage}.norm1.gamma"));
        model.freeze(&format!("stage{stage}.norm2.gamma"));
    }
    fix_norms(&mut model);
    model
}

/// The first `cin` outputs are the inputs; the others begin at random.
fn convolution(cin: usize, cout: usize, init: &mut Init) -> Conv2d {
    let shape = [3, 3, cin, cout];
    let random: Tensor = init.uniform(&shape, 1.0 / (9.0 * cin as f64).sqrt());
    let identity: Tensor = Init::identity(&shape);
    let weight = Tensor::from_fn(&shape, |i| {
        let from = if i % cout < cin { &identity } else { &random };
        from.data()[i]
    });
    Conv2d::new(cin, cout, 3, init).same().without_bias().with_weight(weight)
}

fn norm(channels: usize) -> BatchNorm2d {
    BatchNorm2d::new(channels).with_momentum(0.4).with_eps(1e-12)
}

/// Scales the weights of every convolution so that their norm is the root of its channels: only their direction is
/// trained, since a norm follows.
fn fix_norms(model: &mut Sequential) {
    for (path, parameter) in model.parameters_mut() {
        if path.starts_with("stage") && path.ends_with("weight") {
            let cout = parameter.value.shape()[3] as f64;
            let scale = (cout / parameter.value.squared_norm()).sqrt() as f32;
            parameter.value.data_mut().iter_mut().for_each(|weight| *weight *= scale);
        }
    }
}

/// Muon for the convolutions, SGD for the rest.
fn optimizer(model: &Sequential, batch: usize) -> Result<ParameterGroups, GroupError> {
    // The last layer's outputs are not divided by its inputs, so its weights are smaller, and its rate.
    let head_rate = HEAD_RATE / (WIDTHS[2] * WIDTHS[2]) as f64;
    let group = |pattern: &str, rate: f64| {
        let weight_decay = Some(DECAY * batch as f64 / rate);
        ParameterGroup { rate_factor: rate / RATE, weight_decay, ..ParameterGroup::new(pattern) }
    };
    let groups = [group("head", head_rate), group("*.beta", BIAS_RATE), group("whiten", BIAS_RATE)];
    ParameterGroups::new(model, &groups, |group| match group {
        Some(ParameterGroup { weight_decay: Some(weight_decay), .. }) => Box::new(Sgd::new(SgdOptions {
            momentum: 0.85,
            nesterov: true,
            weight_decay: *weight_decay,
            decay_all: true,
            ..SgdOptions::default()
        })),
        _ => Box::new(Muon::new(MuonOptions {
            learning_rate: RATE,
            momentum: 0.6,
            weight_decay: 0.0,
            iterations: 3,
            ..MuonOptions::default()
        })),
    })
}

/// The accuracy on the test images, by the [`VIEWS`] whose logits are averaged.
fn accuracy(model: &Sequential, data: &Arc<Cifar10>, limit: Option<usize>) -> Result<[f64; 3], DataError> {
    let (mut right, mut seen) = ([0; VIEWS.len()], 0);
    let plan = EpochPlan { batch_size: 500, limit, ..EpochPlan::new(Split::Test) };
    for batch in Loader::new(data.clone(), plan)? {
        let batch = batch?;
        let logits = |images: Var| predict(model, images.into_value());
        let with_mirror = |images: Var| logits(images.clone()) + logits(images.flip(&[2]));
        let images = Var::from(&batch.images);
        // One pixel down and to the right, and one up and to the left.
        let padded = images.clone().pad(&[(0, 0), (1, 1), (1, 1), (0, 0)], PadMode::Reflect);
        let shifted = |start: usize| {
            let rows = padded.clone().narrow(1, start, batch.images.shape()[1]);
            rows.narrow(2, start, batch.images.shape()[2])
        };
        let alone = logits(images.clone());
        let mirrored = with_mirror(images);
        let moved = with_mirror(shifted(0)) + with_mirror(shifted(2));
        // The picture where it is counts as much as the two shifted ones together.
        let all = mirrored.clone().map(|logit| 2.0 * logit) + moved;
        for (right, logits) in right.iter_mut().zip([all, mirrored, alone]) {
            let best = logits.argmax();
            *right += best.iter().zip(&batch.classes).filter(|&(best, class)| Some(*best) == *class).count();
        }
        seen += batch.len();
    }
    Ok(right.map(|right| right as f64 / seen.max(1) as f64))
}

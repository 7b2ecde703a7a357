//! Steps on a batch that is cut into shards: the same bits for any number of processes, here threads.

use std::sync::Arc;
use std::thread;

use cerberus_balance::{GradientNeed, NAMES, by_name};
use cerberus_data::{Batch, Dataset, FashionScenes, Split};
use cerberus_distributed::{Alone, Group, Message, Shards, thread_groups};
use cerberus_nn::Module;
use cerberus_nn::optim::{AdamOptions, AdamW, Sgd, SgdOptions, Shared};
use cerberus_nn::shards::step_of_shard;

use super::super::*;
use crate::config::{HeadConfig, ModelConfig};

/// Most tests cut a batch of [`SAMPLES`] into so many shards, of three or four samples.
const SHARDS: usize = 4;
const SAMPLES: usize = 14;

/// As many samples as fill so many shards; one shard has no mask, and one sample no class.
fn batch(dataset: &FashionScenes, first: usize, shards: usize) -> Batch {
    let count = shards * SAMPLES / SHARDS;
    let samples: Vec<_> =
        (first..first + count).map(|index| dataset.sample(Split::Train, 0, index).unwrap()).collect();
    let mut batch = Batch::assemble(&samples, (0..count).collect()).unwrap();
    batch.masks[count / 2..].iter_mut().take(if shards == 2 { 4 } else { 3 }).for_each(|mask| *mask = None);
    batch.classes[0] = None;
    batch
}

fn config(dataset: &FashionScenes) -> ModelConfig {
    let heads =
        ["classify", "detect", "segment"].map(|name| HeadConfig::parse(name, dataset.info()).unwrap());
    let mut heads = heads.to_vec();
    heads[0].options.dropout = 0.2;
    ModelConfig::with_stages([64, 64, 3], vec![vec![2], vec![2], vec![4], vec![4]], heads)
}

/// How processes work together.
#[derive(Clone, Copy, Default)]
struct Way {
    messages: Message,
    sync_norm: bool,
    /// Whether they share the optimiser.
    is_shared: bool,
}

/// The losses of two steps, and the model's tensors after them.
type After = (Vec<Vec<f32>>, Vec<(String, Vec<f32>)>);

fn two_steps(
    dataset: &FashionScenes,
    (name, wrt): (&str, GradientsWrt),
    group: Arc<dyn Group>,
    (count, way): (usize, Way),
) -> After {
    let shards = Shards::new(Arc::clone(&group), count).unwrap();
    let config = config(dataset);
    let mut model = MultiTaskModel::new(&config, 3);
    let adam = AdamW::boxed(AdamOptions { learning_rate: 1e-3, ..AdamOptions::default() });
    let mut optimizer: Box<dyn Optimizer> =
        if way.is_shared { Box::new(Shared::new(adam, group)) } else { adam };
    let strategy = by_name::<f32>(name, 3, &config.weights()).unwrap();
    let mut balancing = Balancing { strategy, preference: vec![1.0 / 3.0; 3], wrt };
    let samples = shards.count() * SAMPLES / SHARDS;
    let own = shards.own_samples(samples);
    let part = |first| batch(dataset, first, shards.count()).narrow(own.start, own.len());
    let validation = part(60);
    let mut losses = Vec::new();
    for step in 0..2 {
        let batch = part(SAMPLES * step);
        let input = StepInput {
            samples,
            shards: shards.clone(),
            messages: way.messages,
            sync_norm: way.sync_norm,
            validation: Some(&validation),
            clip_norm: 10.0,
            seed: [5, step as u64],
            diagnose: step == 1,
            ..StepInput::new(&batch)
        };
        let result = model.step(&mut *optimizer, &mut balancing, &input).unwrap();
        assert!(!result.is_diverged() && result.tasks == [0, 1, 2], "{name}: {result:?}");
        losses.push(result.losses);
    }
    let tensors = model.tensors().into_iter().map(|(path, tensor)| (path, tensor.to_vec())).collect();
    (losses, tensors)
}

fn assert_same(dataset: &FashionScenes, choice: (&str, GradientsWrt), way: Way, sizes: &[usize]) {
    // Two processes need no more than two shards.
    let count = if sizes == [2] { 2 } else { SHARDS };
    let run = |group: Arc<dyn Group>| two_steps(dataset, choice, group, (count, way));
    let alone = run(Arc::new(Alone));
    for &size in sizes {
        let all: Vec<After> = thread::scope(|scope| {
            let ranks: Vec<_> =
                thread_groups(size).into_iter().map(|group| scope.spawn(|| run(group))).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        for (rank, after) in all.iter().enumerate() {
            assert_eq!(after.0, alone.0, "{choice:?}: losses of rank {rank} of {size}");
            for ((name, found), (_, expected)) in after.1.iter().zip(&alone.1) {
                assert!(found == expected, "{choice:?}: {name} of rank {rank} of {size}");
            }
        }
    }
}

#[test]
fn every_strategy_moves_the_weights_alike_in_any_number_of_processes() {
    let dataset = FashionScenes::embedded(1);
    for name in NAMES {
        // Two are enough to have them sum apart; more do it in the same code.
        let sizes: &[usize] = if ["fixed", "mgda", "modo"].contains(&name) { &[2, 3, 4] } else { &[2] };
        assert_same(&dataset, (name, GradientsWrt::Parameters), Way::default(), sizes);
    }
}

#[test]
fn so_do_gradients_of_features_and_messages_of_16_bits() {
    let dataset = FashionScenes::embedded(1);
    for name in ["mgda", "graddrop", "moco", "gradnorm"] {
        assert_same(&dataset, (name, GradientsWrt::Features), Way::default(), &[3]);
    }
    assert_same(&dataset, ("upgrad", GradientsWrt::SummedFeatures), Way::default(), &[3]);
    for name in ["equal", "mgda"] {
        assert_same(
            &dataset,
            (name, GradientsWrt::Parameters),
            Way { messages: Message::Bf16, ..Way::default() },
            &[3],
        );
    }
}

const NORMS: Way = Way { messages: Message::Exact, sync_norm: true, is_shared: false };
const SHARED: Way = Way { is_shared: true, ..NORMS };

#[test]
fn and_processes_that_share_the_optimiser() {
    let dataset = FashionScenes::embedded(1);
    // Gradients that only their owners need, those of each task, and those of trial steps.
    for name in ["fixed", "mgda", "modo", "auto-lambda"] {
        let sizes: &[usize] = if name == "fixed" { &[2, 3, 4] } else { &[2] };
        let way = Way { sync_norm: false, ..SHARED };
        assert_same(&dataset, (name, GradientsWrt::Parameters), way, sizes);
    }
    assert_same(&dataset, ("mgda", GradientsWrt::Features), SHARED, &[3]);
    assert_same(&dataset, ("equal", GradientsWrt::Parameters), SHARED, &[3]);
    let way = Way { messages: Message::Bf16, sync_norm: false, ..SHARED };
    assert_same(&dataset, ("equal", GradientsWrt::Parameters), way, &[3]);
}

#[test]
fn and_with_norms_that_see_all_shards() {
    let dataset = FashionScenes::embedded(1);
    // One strategy for each way through a step.
    let mut ways = Vec::new();
    for name in NAMES {
        let needs = format!("{:?}", by_name::<f32>(name, 3, &[1.0; 3]).unwrap().needs());
        if ways.contains(&needs) {
            continue;
        }
        ways.push(needs);
        // With four shards in three processes, one process has two that meet.
        let sizes: &[usize] = if ["equal", "mgda"].contains(&name) { &[3] } else { &[2] };
        assert_same(&dataset, (name, GradientsWrt::Parameters), NORMS, sizes);
    }
    for wrt in [GradientsWrt::Features, GradientsWrt::SummedFeatures] {
        assert_same(&dataset, ("upgrad", wrt), NORMS, &[3]);
    }
}

#[test]
fn shards_with_such_norms_move_the_weights_as_the_whole_batch_does() {
    let dataset = FashionScenes::embedded(1);
    let mut config = config(&dataset);
    // A loss over boxes is normalised within its shard, and dropout draws another mask in each.
    config.heads.remove(1);
    config.heads[0].options.dropout = 0.0;
    // Only the first shard has masks: the gradients of their task come to the others' values through the norms alone.
    // A loss over masks is not a mean over samples, so that they must be in one shard.
    let mut whole = batch(&dataset, 0, SHARDS);
    whole.masks[3..].fill(None);
    for (name, wrt) in [
        ("equal", GradientsWrt::Parameters),
        ("mgda", GradientsWrt::Parameters),
        ("mgda", GradientsWrt::Features),
    ] {
        let after = |count: usize, sync_norm: bool| {
            let mut model = MultiTaskModel::<f64>::new(&config, 3);
            let mut optimizer = Sgd::new(SgdOptions { learning_rate: 0.1, ..SgdOptions::default() });
            let strategy = by_name(name, 2, &[1.0, 1.0]).unwrap();
            let mut balancing = Balancing { strategy, preference: vec![0.5; 2], wrt };
            let shards = Shards::new(Arc::new(Alone), count).unwrap();
            let input = StepInput { shards, sync_norm, seed: [1, 0], ..StepInput::new(&whole) };
            let result = train_step(&mut model, &mut optimizer, &mut balancing, &input).unwrap();
            let tensors = model.tensors().into_iter().flat_map(|(_, tensor)| tensor.to_vec());
            result.losses.into_iter().chain(result.weights).chain(tensors).collect::<Vec<f64>>()
        };
        let distance = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f64::max)
        };
        let whole = after(1, false);
        for count in [2, 4] {
            let found = distance(&whole, &after(count, true));
            assert!(found < 1e-10, "{name} {wrt:?} in {count} shards: {found}");
        }
        assert!(distance(&whole, &after(4, false)) > 1e-4, "norms of their shards are others");
    }
}

#[test]
fn a_loss_is_the_mean_over_the_labels_of_all_shards() {
    let dataset = FashionScenes::embedded(1);
    let whole = batch(&dataset, 0, SHARDS);
    let (config, mut balancing) = (config(&dataset), Balancing::fixed(&[1.0; 3]));
    let mut optimizer = AdamW::new(AdamOptions::default());
    let shards = Shards::new(Arc::new(Alone), SHARDS).unwrap();
    let mut model = MultiTaskModel::<f32>::new(&config, 3);
    let input = StepInput { shards: shards.clone(), seed: [0, 0], ..StepInput::new(&whole) };
    let found = model.step(&mut optimizer, &mut balancing, &input).unwrap().losses;
    let (mut sums, mut counts) = ([0.0; 3], [0.0; 3]);
    for shard in 0..SHARDS {
        let range = shards.samples(shard, SAMPLES);
        let part = whole.narrow(range.start, range.len());
        let mut model = MultiTaskModel::<f32>::new(&config, 3);
        let seed = [0, step_of_shard(0, shard)];
        let input = StepInput { seed, ..StepInput::new(&part) };
        let result = model.step(&mut AdamW::new(AdamOptions::default()), &mut balancing, &input).unwrap();
        for task in 0..3 {
            let labels = model.tasks()[task].labelled(&part).len() as f32;
            sums[task] += labels * result.losses[task];
            counts[task] += labels;
        }
    }
    assert_eq!(counts, [13.0, 14.0, 11.0]);
    for task in 0..3 {
        let expected = sums[task] / counts[task];
        assert!((found[task] - expected).abs() < 1e-5 * expected.abs(), "{} {expected}", found[task]);
    }
}

#[test]
fn the_shard_of_a_loss_that_is_not_finite_is_named() {
    let dataset = FashionScenes::embedded(1);
    let mut whole = batch(&dataset, 0, SHARDS);
    let range = Shards::new(Arc::new(Alone), SHARDS).unwrap().samples(2, SAMPLES);
    let value = whole.images.shape()[1..].iter().product::<usize>() * range.start;
    whole.images.data_mut()[value] = f32::NAN;
    let mut model = MultiTaskModel::<f32>::new(&config(&dataset), 3);
    let before = model.tensors();
    let shards = Shards::new(Arc::new(Alone), SHARDS).unwrap();
    let input = StepInput { shards, ..StepInput::new(&whole) };
    let mut optimizer = AdamW::new(AdamOptions::default());
    let result = model.step(&mut optimizer, &mut Balancing::fixed(&[1.0; 3]), &input).unwrap();
    let (task, value, shard) = result.not_finite.unwrap();
    assert!(result.is_diverged() && task == 0 && value.is_nan() && shard == 2, "{task} {value} {shard}");
    assert!(before.iter().zip(model.tensors()).all(|((_, a), (_, b))| a.data() == b.data()));
}

#[test]
fn streamed_parameters_are_refused_with_shards() {
    let dataset = FashionScenes::embedded(1);
    let whole = batch(&dataset, 0, SHARDS);
    let mut model = MultiTaskModel::<f32>::new(&config(&dataset), 3);
    let strategy = by_name::<f32>("mgda", 3, &[1.0; 3]).unwrap();
    assert_eq!(strategy.needs().gradients, GradientNeed::Gramian);
    let wrt = GradientsWrt::StreamedParameters;
    let mut balancing = Balancing { strategy, preference: vec![1.0 / 3.0; 3], wrt };
    let shards = Shards::new(Arc::new(Alone), 2).unwrap();
    let input = StepInput { shards, ..StepInput::new(&whole) };
    let told = model.step(&mut AdamW::new(AdamOptions::default()), &mut balancing, &input).unwrap_err();
    assert!(told.to_string().contains("streamed parameters"), "{told}");
}

//! Steps on batches that lack a task's labels altogether: under every strategy
//! the task must take no part, as if the model had no such head.

use std::collections::BTreeMap;

use cerberus_data::{Batch, Dataset, FashionScenes, Split};
use cerberus_nn::Module;
use cerberus_nn::optim::{AdamOptions, AdamW};

use crate::config::{HeadConfig, ModelConfig};
use crate::model::MultiTaskModel;
use crate::step::{Balancing, GradientsWrt, StepInput, StepResult, train_step};
use cerberus_balance::{NAMES, by_name};

fn config(dataset: &dyn Dataset, heads: &[&str]) -> ModelConfig {
    let head = |kind: &&str| HeadConfig::new(kind, kind, None, dataset.info()).unwrap();
    let stages = vec![vec![4], vec![4], vec![6], vec![6]];
    ModelConfig::with_stages([64, 64, 3], stages, heads.iter().map(head).collect())
}

/// Scenes from `first` on; the first of a batch lacks its class, all lack their masks.
fn batch(dataset: &dyn Dataset, first: usize) -> Batch {
    let sample = |index: usize| {
        let mut sample = dataset.sample(Split::Train, 0, first + index).unwrap();
        sample.mask = None;
        sample.class = sample.class.filter(|_| index > 0);
        sample
    };
    Batch::assemble(&(0..6).map(sample).collect::<Vec<_>>(), (0..6).collect()).unwrap()
}

/// Two steps of a strategy on a model with these heads, and the parameters after them.
fn two_steps(name: &str, heads: &[&str]) -> (Vec<StepResult>, BTreeMap<String, Vec<f32>>) {
    let dataset = FashionScenes::embedded(1);
    let config = config(&dataset, heads);
    let mut model = MultiTaskModel::new(&config, 3);
    let mut optimizer = AdamW::new(AdamOptions { learning_rate: 1e-3, ..AdamOptions::default() });
    let tasks = heads.len();
    let strategy = by_name::<f32>(name, tasks, &config.weights()).unwrap();
    let preference = vec![1.0 / tasks as f64; tasks];
    let mut balancing = Balancing { strategy, preference, wrt: GradientsWrt::Parameters };
    let validation = batch(&dataset, 60);
    let results = (0..2).map(|step| {
        let batch = batch(&dataset, 10 * step);
        let input = StepInput {
            validation: Some(&validation),
            clip_norm: 10.0,
            seed: [5, step as u64],
            diagnose: true,
            ..StepInput::new(&batch)
        };
        train_step(&mut model, &mut optimizer, &mut balancing, &input).unwrap()
    });
    let results = results.collect();
    let after = model.parameters().into_iter().map(|(path, p)| (path, p.value.to_vec())).collect();
    (results, after)
}

#[test]
fn a_task_without_labels_takes_no_part_under_any_strategy() {
    let names = NAMES.iter().map(|name| name.to_string());
    for name in names.chain(["smooth-mgda".to_string()]) {
        let (results, after) = two_steps(&name, &["classify", "detect", "segment"]);
        for result in &results {
            assert_eq!(result.tasks, [0, 1], "{name}");
            assert!(result.weights.len() == 3 && result.weights[2] == 0.0, "{name}: {:?}", result.weights);
            assert!(result.weights.iter().all(|weight| weight.is_finite()), "{name}");
            assert!(result.conflicts.iter().all(|(_, c)| c.pairs.iter().all(|p| p.tasks == [0, 1])));
        }
        // Its head still has its initial weights.
        let dataset = FashionScenes::embedded(1);
        let fresh = MultiTaskModel::<f32>::new(&config(&dataset, &["classify", "detect", "segment"]), 3);
        let mut trained = 0;
        for (path, parameter) in fresh.parameters() {
            let same = after[&path] == parameter.value.to_vec();
            assert!(same || !path.starts_with("heads.segment"), "{name}: {path}");
            trained += usize::from(!same);
        }
        assert!(trained > 10, "{name} learned nothing");
        // These need three tasks.
        if matches!(name.as_str(), "krum" | "trimmed-mean") {
            continue;
        }
        let (alone, expected) = two_steps(&name, &["classify", "detect"]);
        for (with, without) in results.iter().zip(&alone) {
            let off =
                with.weights.iter().zip(&without.weights).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
            assert!(off.fold(0.0, f64::max) < 1e-9, "{name}: {:?}, {:?}", with.weights, without.weights);
        }
        for (path, values) in expected {
            let off = after[&path].iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-6, "{name}: {path} is off by {off:e}");
        }
    }
}

#[test]
fn a_batch_without_any_label_changes_nothing_and_is_no_error() {
    let dataset = FashionScenes::embedded(1);
    let config = config(&dataset, &["classify", "segment"]);
    for name in ["uw", "mgda", "famo", "modo", "auto-lambda"] {
        let mut model = MultiTaskModel::new(&config, 3);
        let before: Vec<Vec<f32>> = model.tensors().into_iter().map(|(_, tensor)| tensor.to_vec()).collect();
        let mut blank = batch(&dataset, 0);
        blank.classes.fill(None);
        let strategy = by_name::<f32>(name, 2, &[1.0; 2]).unwrap();
        let mut balancing = Balancing { strategy, preference: vec![0.5; 2], wrt: GradientsWrt::Parameters };
        let input =
            StepInput { validation: Some(&blank), clip_norm: 10.0, seed: [5, 0], ..StepInput::new(&blank) };
        let mut optimizer = AdamW::new(AdamOptions { learning_rate: 1e-3, ..AdamOptions::default() });
        let result = train_step(&mut model, &mut optimizer, &mut balancing, &input).unwrap();
        assert_eq!((result.tasks.len(), &result.weights[..]), (0, &[0.0, 0.0][..]), "{name}");
        let after: Vec<Vec<f32>> = model.tensors().into_iter().map(|(_, tensor)| tensor.to_vec()).collect();
        assert!(before == after, "{name}");
    }
}

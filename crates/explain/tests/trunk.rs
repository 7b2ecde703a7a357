//! Exact small cases of what heads rely on, and of how alike two maps are.

mod heads_of;

use std::sync::{Arc, Mutex};

use cerberus_autograd::Var;
use cerberus_explain::trunk::{Ablation, Cka, Overlap, Reliance, reliance, reliance_on, reliance_through};
use cerberus_explain::{Explainer, HeadTargets, Target};
use cerberus_multitask::networks::Neck;
use cerberus_multitask::{ModelConfig, MultiTaskModel};
use cerberus_nn::{Context, Module};
use cerberus_tensor::Tensor;
use heads_of::head;

/// Values between -1 and 1 without any order.
fn noise(shape: &[usize], seed: u64) -> Tensor<f64> {
    let mut state = seed;
    Tensor::from_fn(shape, |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    })
}

fn cka(x: &Tensor<f64>, y: &Tensor<f64>) -> f64 {
    let mut cka = Cka::new();
    cka.add(x, y).unwrap();
    cka.value().unwrap()
}

/// Two heads: one is linear in the channels 0 and 1, the other reads the square of channel 2.
fn heads(maps: &[Var<f64>], _: &mut Context<f64>) -> Vec<Var<f64>> {
    let sum = |map: Var<f64>, channel: usize| {
        let (n, places) = (map.shape()[0], map.shape()[1] * map.shape()[2]);
        let ones = Var::constant(Tensor::from_fn(&[places, 1], |_| 1.0));
        map.narrow(3, channel, 1).reshape(&[n, places]).matmul(ones)
    };
    let map = maps[0].clone();
    let square = map.clone() * map.clone();
    vec![sum(map.clone(), 0).scale(2.0) + sum(map, 1), sum(square, 2)]
}

#[test]
fn ablating_a_channel_changes_only_the_head_that_reads_it() {
    let maps = [noise(&[3, 2, 2, 4], 1), noise(&[3, 1, 1, 2], 2)];
    for ablation in [Ablation::Zero, Ablation::Mean] {
        let found = reliance_on(&maps, &heads, ablation);
        for (head, reads) in [[true, true, false, false], [false, false, true, false]].iter().enumerate() {
            for numbers in [&found[0][head].ablation, &found[0][head].gradient] {
                let moved: Vec<bool> = numbers.iter().map(|v| *v > 1e-9).collect();
                assert_eq!(moved, reads, "{ablation:?} {head}: {numbers:?}");
            }
            assert_eq!(found[1][head].ablation, [0.0; 2]);
            assert_eq!(found[1][head].gradient, [0.0; 2]);
        }
    }
}

#[test]
fn gradient_x_activation_is_the_ablation_to_zero_for_a_linear_head_and_twice_it_for_a_square() {
    let found = reliance_on(&[noise(&[3, 2, 2, 4], 5)], &heads, Ablation::Zero);
    for (head, times) in [1.0, 2.0].into_iter().enumerate() {
        for (slope, change) in found[0][head].gradient.iter().zip(&found[0][head].ablation) {
            assert!((slope - times * change).abs() < 1e-12, "{head}: {slope} and {change}");
        }
    }
}

#[test]
fn cka_is_1_for_a_map_that_is_rotated_scaled_and_moved_and_the_same_in_batches() {
    let x = noise(&[6, 3, 3, 2], 7);
    let (sin, cos) = 0.7f64.sin_cos();
    let rotated =
        x.to_vec().chunks(2).flat_map(|v| [cos * v[0] - sin * v[1], sin * v[0] + cos * v[1]]).collect();
    let y = Tensor::from_vec(rotated, x.shape()).map(|v: f64| 3.0 * v + 5.0);
    assert!((cka(&x, &y) - 1.0).abs() < 1e-12);
    let z = noise(&[6, 3, 3, 5], 8);
    let mut parts = Cka::new();
    for (first, len) in [(0, 1), (1, 5)] {
        parts.add(&x.narrow(0, first, len).contiguous(), &z.narrow(0, first, len).contiguous()).unwrap();
    }
    assert!((parts.value().unwrap() - cka(&x, &z)).abs() < 1e-12);
    assert!(parts.add(&z, &x).is_err() && parts.add(&x, &z.narrow(0, 0, 2)).is_err());
}

#[test]
fn cka_of_independent_noise_is_about_the_channels_over_the_examples() {
    let found = cka(&noise(&[5000, 4], 11), &noise(&[5000, 4], 1234567));
    assert!(found > 0.0 && found < 5.0 * 4.0 / 5000.0, "{found}");
    assert_eq!(Cka::new().value(), None);
}

#[test]
fn overlap_is_the_cosine_and_the_share_of_the_largest() {
    let found = Overlap::of(&[3.0, 4.0, 0.0], &[4.0, 3.0, 0.0], 2);
    assert!((found.cosine - 24.0 / 25.0).abs() < 1e-12 && found.top == 1.0);
    assert_eq!(Overlap::of(&[3.0, 4.0, 0.0], &[4.0, 3.0, 0.0], 1).top, 0.0);
    assert_eq!(Overlap::of(&[0.0, 0.0], &[1.0, 0.0], 0), Overlap { cosine: 0.0, top: 0.0 });
}

/// Three stages of 4, 5 and 8 channels, and two heads.
fn config() -> ModelConfig {
    let heads = vec![head("mlp"), head("segment")];
    ModelConfig::with_stages([16, 16, 3], vec![vec![4], vec![5], vec![8]], heads)
}

fn targets() -> [(usize, Target); 2] {
    [(0, Target::Logit { class: 1 }), (1, Target::Region { class: Some(0), pixels: vec![3, 90] })]
}

#[test]
fn a_models_reliance_has_a_number_per_map_head_and_channel_that_does_not_depend_on_the_other_heads() {
    let (config, targets) = (config(), targets());
    let model = MultiTaskModel::<f64>::new(&config, 1);
    let pictures = noise(&[2, 16, 16, 3], 21);
    let found = reliance(&model, &pictures, &targets, Ablation::Mean);
    let sizes: Vec<(&str, usize)> =
        found.iter().map(|(name, found)| (name.as_str(), found[0].ablation.len())).collect();
    assert_eq!(sizes, [("stage1", 4), ("stage2", 5), ("stage3", 8), ("merged", 5)]);
    for (place, target) in targets.iter().enumerate() {
        let alone = reliance(&model, &pictures, std::slice::from_ref(target), Ablation::Mean);
        let mut total = 0.0;
        for ((_, all), (_, alone)) in found.iter().zip(&alone) {
            assert_eq!(all[place], alone[0]);
            assert_eq!(all[place].gradient.len(), all[place].ablation.len());
            total += all[place].ablation.iter().sum::<f64>();
        }
        assert!(total > 0.0, "{target:?}");
    }
}

#[test]
fn a_channel_that_is_taken_away_is_missing_in_all_later_layers() {
    let (config, targets, picture) = (config(), targets(), noise(&[1, 16, 16, 3], 5));
    let answers = |model: &MultiTaskModel<f64>| {
        let targets = HeadTargets::new(model, targets.to_vec());
        Explainer::new(&targets).answers(&picture).into_iter().map(|answer| answer[0]).collect::<Vec<f64>>()
    };
    let model = MultiTaskModel::<f64>::new(&config, 1);
    let plain = answers(&model);
    let found = reliance_through(&model, &picture, &targets, Ablation::Zero).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["stage1", "stage2", "stage3", "merged"]);
    for channel in 0..4 {
        // The first head reads no map but the deepest: without the weights that read the channel, it never sees it.
        let mut blind = MultiTaskModel::<f64>::new(&config, 1);
        blind.visit_mut("", &mut |path, mut entry| {
            if path == "trunk.stage2.block1.conv.weight" {
                let weights = entry.value_mut();
                let shape = weights.shape().to_vec();
                assert_eq!(shape[2..], [4, 5]);
                for (i, weight) in weights.data_mut().iter_mut().enumerate() {
                    *weight *= f64::from(u8::from(i / 5 % 4 != channel));
                }
            }
        });
        let change = (answers(&blind)[0] - plain[0]).abs();
        let ablation = found[0].1[0].ablation[channel];
        assert!(change > 1e-9 && (change - ablation).abs() < 1e-9, "{channel}: {change} and {ablation}");
    }
    // After the joined map there are only the heads.
    assert_eq!(found[3], reliance(&model, &picture, &targets, Ablation::Zero).pop().unwrap());
    // The mean of a channel is what is left of it if it is the same everywhere.
    let flat = Tensor::full(0.3, &[1, 16, 16, 3]);
    let mean = reliance_through(&model, &flat, &targets, Ablation::Mean).unwrap();
    let zero = reliance_through(&model, &flat, &targets, Ablation::Zero).unwrap();
    let total = |found: &[(String, Vec<Reliance>)]| found[0].1[0].ablation.iter().sum::<f64>();
    assert!(total(&mean) < total(&zero), "{} and {}", total(&mean), total(&zero));
}

#[test]
fn every_neck_lets_the_channels_of_its_maps_be_taken_away() {
    for &neck in &Neck::ALL[1..] {
        let mut config = config();
        config.image = [32, 32, 3];
        config.set_trunk("small_cnn").unwrap();
        config.neck = neck;
        let model = MultiTaskModel::<f64>::new(&config, 2);
        let found = reliance_through(&model, &noise(&[1, 32, 32, 3], 3), &targets(), Ablation::Zero).unwrap();
        let stages = model.trunk().stages();
        assert_eq!(found.len(), stages.len() + 1, "{neck:?}");
        for ((name, heads), info) in found.iter().zip(&stages) {
            // A map that any of the heads reads, or a later layer does, counts by both measures or by none.
            let sums: Vec<[f64; 2]> =
                heads.iter().map(|r| [r.gradient.iter().sum(), r.ablation.iter().sum()]).collect();
            for (found, [gradient, ablation]) in heads.iter().zip(&sums) {
                assert_eq!(
                    [found.gradient.len(), found.ablation.len()],
                    [info.channels; 2],
                    "{neck:?} {name}"
                );
                assert_eq!(*gradient > 1e-12, *ablation > 1e-12, "{neck:?} {name}: {sums:?}");
            }
        }
    }
}

#[test]
fn every_trunk_shows_each_of_its_maps_once_before_anything_else_reads_it() {
    for trunk in ["base", "resnet9", "resnet18", "resnet50-cifar", "mobilenet_v3_small", "vit_tiny"] {
        let mut config = config();
        config.image = [32, 32, 3];
        config.set_trunk(trunk).unwrap();
        let model = MultiTaskModel::<f32>::new(&config, 2);
        let picture = Var::constant(Tensor::from_vec(
            noise(&[1, 32, 32, 3], 3).to_vec().into_iter().map(|v| v as f32).collect(),
            &[1, 32, 32, 3],
        ));
        let features = model.features(picture.clone(), &mut Context::evaluation());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut context = Context::evaluation();
        let list = seen.clone();
        context.change_stages(move |index, map| {
            list.lock().unwrap().push((index, map.shape().to_vec()));
            map
        });
        model.features(picture, &mut context);
        let expected: Vec<(usize, Vec<usize>)> =
            features.stages.iter().map(|map| map.shape().to_vec()).enumerate().collect();
        assert_eq!(*seen.lock().unwrap(), expected, "{trunk}");
    }
}

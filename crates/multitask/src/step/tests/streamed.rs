//! Gradients that are multiplied as they come, compared with gradients that are kept.

use cerberus_data::{Batch, Dataset, FashionScenes, Split};
use cerberus_nn::Module;
use cerberus_nn::optim::{Sgd, SgdOptions};

use crate::config::{HeadConfig, ModelConfig};
use crate::model::MultiTaskModel;
use crate::step::{Balancing, GradientsWrt, StepInput, StepResult, train_step};
use cerberus_balance::{GradientNeed, NAMES, by_name};

type Parameters = Vec<(String, Vec<f64>)>;

/// Two steps, and all parameters after them.
fn two_steps(name: &str, place: GradientsWrt) -> (Vec<StepResult<f64>>, Parameters) {
    let dataset = FashionScenes::embedded(1);
    let head = |kind: &str| HeadConfig::new(kind, kind, None, dataset.info()).unwrap();
    let stages = vec![vec![4], vec![4], vec![6], vec![6]];
    let heads = ["classify", "detect", "segment"].map(head).to_vec();
    let config = ModelConfig::with_stages([64, 64, 3], stages, heads);
    let mut model = MultiTaskModel::<f64>::new(&config, 3);
    let mut optimizer = Sgd::new(SgdOptions { learning_rate: 1e-2, ..SgdOptions::default() });
    let strategy = by_name::<f64>(name, 3, &config.weights()).unwrap();
    let mut balancing = Balancing { strategy, preference: vec![1.0 / 3.0; 3], wrt: place };
    let results = (0..2usize)
        .map(|step| {
            let sample = |index: usize| dataset.sample(Split::Train, 0, 4 * step + index).unwrap();
            let batch = Batch::assemble(&(0..4).map(sample).collect::<Vec<_>>(), (0..4).collect()).unwrap();
            let input = StepInput {
                clip_norm: 10.0,
                seed: [5, step as u64],
                diagnose: true,
                ..StepInput::new(&batch)
            };
            train_step(&mut model, &mut optimizer, &mut balancing, &input).unwrap()
        })
        .collect();
    let after = model.parameters().into_iter().map(|(path, p)| (path, p.value.to_vec())).collect();
    (results, after)
}

#[test]
fn a_step_from_products_alone_is_the_step_from_the_gradients() {
    let on_products = |name: &&&str| {
        let needs = by_name::<f64>(name, 3, &[1.0; 3]).unwrap().needs();
        needs.gradients == GradientNeed::Gramian && !needs.three_batches
    };
    let names: Vec<&&str> = NAMES.iter().filter(on_products).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let (expected, kept) = two_steps(name, GradientsWrt::Parameters);
        let (found, streamed) = two_steps(name, GradientsWrt::StreamedParameters);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.order, expected.order, "{name}");
            for (a, b) in found.weights.iter().zip(&expected.weights) {
                assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{name}: {a} is not {b}");
            }
            let scopes = |result: &StepResult<f64>| -> Vec<String> {
                result.conflicts.iter().map(|(scope, _)| scope.clone()).collect()
            };
            assert!(scopes(found).len() > 3 && scopes(found) == scopes(expected), "{name}");
        }
        for ((path, a), (_, b)) in streamed.iter().zip(&kept) {
            let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-9, "{name}: {path} is off by {off:e}");
        }
    }
}

#[test]
fn only_maps_that_a_head_taps_are_shared_features() {
    let (results, _) = two_steps("mgda", GradientsWrt::Features);
    for result in results {
        let scopes: Vec<&str> = result.conflicts.iter().map(|(scope, _)| scope.as_str()).collect();
        // Of four stages `classify` uses the last; `segment` uses the second and, like `detect`, the merged map.
        assert_eq!(scopes, ["all", "stage2", "stage4", "merged"]);
    }
}

//! Every published network as the trunk: gradients reach the picture, and DeepLIFT is complete or names what it cannot
//! treat.

mod heads_of;

use cerberus_explain::{Baseline, Cam, Explainer, HeadTargets};
use cerberus_multitask::networks::networks;
use cerberus_multitask::{ModelConfig, MultiTaskModel};
use cerberus_tensor::Tensor;
use heads_of::head;

const SIDE: usize = 32;

/// One network of each family and of each kind of block.
const TRUNKS: [&str; 10] = [
    "base",
    "small_cnn",
    "resnet9",
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_tiny",
];

#[test]
fn every_kind_of_trunk_is_explained_and_deep_lift_is_complete_or_refused_by_name() {
    let names: Vec<&str> = networks::<f32>().iter().map(|network| network.name).collect();
    let x = Tensor::from_fn(&[1, SIDE, SIDE, 3], |i| (i as f32 * 0.05).sin() * (i as f32 * 0.013).cos());
    let mut complete = 0;
    for trunk in TRUNKS {
        assert!(trunk == "base" || names.contains(&trunk), "{trunk} is none of {names:?}");
        let mut config =
            ModelConfig::with_stages([SIDE, SIDE, 3], vec![], vec![head("mlp"), head("segment")]);
        config.set_trunk(trunk).unwrap();
        let model = MultiTaskModel::<f32>::new(&config, 1);
        let targets = HeadTargets::of(&model, &x, &[("mlp", "margin"), ("segment", "dog@9,9")]).unwrap();
        let explainer = Explainer::new(&targets);
        for (found, name) in explainer.gradients(&x).iter().zip(["mlp", "segment"]) {
            assert!(found.values.all_finite() && found.values.squared_norm() > 0.0, "{trunk} {name}");
        }
        for stage in targets.stages() {
            // Not every head uses every map.
            let found = explainer.cam(&x, &stage, Cam::Layer, false).unwrap();
            assert!(found.iter().all(|found| found.values.all_finite()), "{trunk} {stage}");
        }
        let answers = explainer.answers(&x);
        match explainer.deep_lift(&x, &Baseline::Mean) {
            Ok(found) => {
                complete += 1;
                for (found, answers) in found.iter().zip(answers) {
                    let gap = found.gap.as_ref().unwrap()[0];
                    let size: f64 = found.values.to_vec().iter().map(|v| f64::from(v.abs())).sum();
                    assert!(gap.abs() < 1e-3 * (size + answers[0].abs()), "{trunk}: {gap} of {size}");
                }
            }
            Err(error) => {
                let error = error.to_string();
                println!("{trunk}: {error}");
                let expected = ["mul", "layer_norm", "self_attention", "softmax"];
                assert!(
                    expected.iter().any(|name| error.contains(&format!("the operation {name}: "))),
                    "{trunk}: {error}"
                );
            }
        }
    }
    assert!(complete >= 4, "{complete}");
}

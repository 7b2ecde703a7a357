//! Targets of every kind of head of a model with all of them.

use cerberus_autograd::Var;
use cerberus_explain::{
    Averaging, Baseline, Cam, ExplainError, Explainer, HeadTargets, Method, Occlusion, Side, SmoothGrad,
    Target,
};
use cerberus_multitask::{HeadConfig, ModelConfig, MultiTaskModel, Prediction};
use cerberus_nn::{Context, Module};
use cerberus_tensor::Tensor;

const SIDE: usize = 16;

/// The kinds of head; each task has its kind's name.
const KINDS: [&str; 11] = [
    "classify",
    "mlp",
    "multi_label",
    "regress",
    "detect",
    "centernet",
    "fcos",
    "segment",
    "fcn",
    "unet",
    "depth",
];

fn model() -> MultiTaskModel<f64> {
    let names = ["cat", "dog", "owl"].map(String::from).to_vec();
    let head = |kind: &&str| HeadConfig {
        name: kind.to_string(),
        kind: kind.to_string(),
        label: kind.to_string(),
        classes: if *kind == "depth" { vec!["metres".into()] } else { names.clone() },
        weight: 1.0,
        options: Default::default(),
    };
    let heads = KINDS.iter().map(head).collect();
    let config = ModelConfig::with_stages([SIDE, SIDE, 3], vec![vec![4], vec![6], vec![8]], heads);
    let mut model = MultiTaskModel::new(&config, 3);
    // Outputs start all alike: larger weights make them differ.
    model.visit_mut("", &mut |path, mut entry| {
        if path.starts_with("heads.") && path.ends_with("weight") {
            let value = entry.value_mut();
            let size = (value.squared_norm() / value.len() as f64).sqrt();
            if size < 0.02 {
                *value = value.clone().scale(0.3 / size.max(1e-6));
            }
        }
    });
    model
}

fn picture() -> Tensor<f64> {
    Tensor::from_fn(&[1, SIDE, SIDE, 3], |i| 1.5 * (i as f64 * 0.05).sin() * (i as f64 * 0.013).cos())
}

fn found(model: &MultiTaskModel<f64>, task: &str, text: &str) -> Result<(Target, f64), ExplainError> {
    let targets = HeadTargets::of(model, &picture(), &[(task, text)])?;
    let value = Explainer::new(&targets).answers(&picture())[0][0];
    Ok((targets.chosen()[0].1.clone(), value))
}

fn prediction(model: &MultiTaskModel<f64>, task: &str) -> Prediction {
    let place = KINDS.iter().position(|kind| *kind == task).unwrap();
    model.predict(picture())[place].remove(0)
}

/// The raw output of a head.
fn raw(model: &MultiTaskModel<f64>, task: &str) -> Tensor<f64> {
    let place = KINDS.iter().position(|kind| *kind == task).unwrap();
    let outputs = model.forward(Var::constant(picture()), &mut Context::evaluation());
    outputs[place].maps[0].value().contiguous()
}

#[test]
fn classes_are_logits_by_name_by_number_or_as_predicted_and_margins_their_differences() {
    let model = model();
    for task in ["classify", "mlp"] {
        let logits = raw(&model, task).to_vec();
        let mut order = [0, 1, 2];
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let [best, second, last] = order;
        assert_eq!(found(&model, task, "").unwrap(), (Target::Logit { class: best }, logits[best]));
        assert_eq!(found(&model, task, "dog").unwrap(), (Target::Logit { class: 1 }, logits[1]));
        assert_eq!(found(&model, task, "2").unwrap(), (Target::Logit { class: 2 }, logits[2]));
        let (target, value) = found(&model, task, "margin").unwrap();
        assert_eq!(target, Target::Margin { class: best, over: second });
        assert!((value - (logits[best] - logits[second])).abs() < 1e-12);
        let name = ["cat", "dog", "owl"][last];
        let (target, value) = found(&model, task, &format!("margin:{name}")).unwrap();
        assert_eq!(target, Target::Margin { class: last, over: best });
        assert!(value < 0.0);
    }
}

#[test]
fn labels_and_numbers_are_rows_of_the_heads_output() {
    let model = model();
    let logits = raw(&model, "multi_label").to_vec();
    let best = (0..3).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
    assert_eq!(found(&model, "multi_label", "").unwrap(), (Target::Logit { class: best }, logits[best]));
    assert_eq!(found(&model, "multi_label", "owl").unwrap().1, logits[2]);
    let numbers = raw(&model, "regress").to_vec();
    assert_eq!(found(&model, "regress", "").unwrap(), (Target::Number { index: 0 }, numbers[0]));
    assert_eq!(found(&model, "regress", "dog").unwrap(), (Target::Number { index: 1 }, numbers[1]));
}

#[test]
fn a_detection_has_the_score_and_the_sides_that_were_predicted() {
    let model = model();
    for task in ["detect", "centernet", "fcos"] {
        let Prediction::Objects(objects) = prediction(&model, task) else { panic!("{task}") };
        assert!(objects.len() >= 2, "{task} finds {}", objects.len());
        for (number, object) in objects.iter().enumerate().take(5) {
            let (target, score) = found(&model, task, &(number + 1).to_string()).unwrap();
            assert!(
                matches!(target, Target::Score { class, .. } if class == object.class),
                "{task}: {target:?}"
            );
            assert!((score - f64::from(object.score)).abs() < 1e-6, "{task}: {score}, {}", object.score);
            for (side, expected) in Side::ALL.into_iter().zip(object.bbox) {
                let text = format!("{}:{}", number + 1, side.name());
                let (_, value) = found(&model, task, &text).unwrap();
                // The prediction is clipped to the image, what is explained is not.
                let clipped = value.clamp(0.0, SIDE as f64);
                assert!((clipped - f64::from(expected)).abs() < 1e-4, "{task} {text}: {value}, {expected}");
            }
        }
        assert_eq!(found(&model, task, "").unwrap().0, found(&model, task, "1").unwrap().0);
    }
}

#[test]
fn a_class_of_a_mask_is_its_mean_logit_where_it_is_predicted_at_a_pixel_or_in_a_box() {
    let model = model();
    for task in ["segment", "fcn", "unet"] {
        let Prediction::Mask(classes) = prediction(&model, task) else { panic!("{task}") };
        let logits = raw(&model, task);
        let mean = |channel: usize, pixels: &[usize]| {
            pixels.iter().map(|pixel| logits.data()[pixel * 4 + channel]).sum::<f64>() / pixels.len() as f64
        };
        for (channel, name) in ["background", "cat", "dog", "owl"].into_iter().enumerate() {
            let pixels: Vec<usize> =
                (0..SIDE * SIDE).filter(|&p| usize::from(classes[p]) == channel).collect();
            match found(&model, task, name) {
                Ok((target, value)) => {
                    assert_eq!(
                        target,
                        Target::Region { class: channel.checked_sub(1), pixels: pixels.clone() }
                    );
                    assert!((value - mean(channel, &pixels)).abs() < 1e-12);
                    assert_eq!(found(&model, task, &format!("{name}@predicted")).unwrap().0, target);
                }
                Err(error) => {
                    assert!(pixels.is_empty() && error.to_string().contains("predicted nowhere"), "{error}");
                }
            }
        }
        let (target, value) = found(&model, task, "dog@5,9").unwrap();
        assert_eq!(target, Target::Region { class: Some(1), pixels: vec![9 * SIDE + 5] });
        assert!((value - mean(2, &[9 * SIDE + 5])).abs() < 1e-12);
        let (_, value) = found(&model, task, "owl@3,4,5,6").unwrap();
        assert!((value - mean(3, &[4, 5].map(|y| [y * SIDE + 3, y * SIDE + 4]).concat())).abs() < 1e-12);
    }
}

#[test]
fn a_depth_is_a_mean_over_the_picture_a_box_or_a_pixel() {
    let model = model();
    let values = raw(&model, "depth").to_vec();
    let near = |text: &str, expected: f64| {
        let (_, value) = found(&model, "depth", text).unwrap();
        assert!((value - expected).abs() < 1e-12, "{text}: {value}, {expected}");
    };
    near("", values.iter().sum::<f64>() / values.len() as f64);
    near("2,3", values[3 * SIDE + 2]);
    near("@2,3,4,4", (values[3 * SIDE + 2] + values[3 * SIDE + 3]) / 2.0);
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let model = model();
    for (task, text, expected) in [
        (
            "classify",
            "bird",
            "the task \"classify\" has no target \"bird\": there is no \"bird\"; there are cat, dog, owl",
        ),
        ("classify", "3", "there are cat, dog, owl"),
        ("classify", "margin:bird", "there are cat, dog, owl"),
        ("regress", "age", "there are cat, dog, owl"),
        ("detect", "0", "there are detections 1 to"),
        ("detect", "100000", "most certain first"),
        ("detect", "1:middle", "2 or 2:left (top, right, bottom)"),
        ("segment", "dog@16,0", "inside the 16 x 16 pixels"),
        ("segment", "dog@there", "\"there\" is no place"),
        ("segment", "bird", "there are cat, dog, owl"),
        ("depth", "4,4,4,8", "name a pixel x,y or a box x1,y1,x2,y2"),
        ("talk", "", "the model has no task \"talk\"; it has classify, mlp"),
    ] {
        let error = found(&model, task, text).unwrap_err().to_string();
        assert!(error.contains(expected), "{task} {text}: {error}");
    }
}

#[test]
fn heads_are_explained_together_as_alone() {
    let model = model();
    let wanted: Vec<(&str, &str)> = KINDS.iter().map(|kind| (*kind, "")).collect();
    let together = HeadTargets::of(&model, &picture(), &wanted).unwrap();
    let options = SmoothGrad { averaging: Averaging::Mean, samples: 2, noise: 0.1, seed: 1 };
    let occlusion = Occlusion { window: [8; 2], stride: [8; 2], baseline: Baseline::Mean };
    let stage = together.stages()[1].clone();
    assert_eq!(stage, "trunk.stage2");
    for method in [
        Method::Saliency,
        Method::GuidedBackprop,
        Method::SmoothGrad(options),
        Method::Cam(Cam::Grad, stage.clone()),
        Method::ScoreCam(stage),
        Method::Occlusion(occlusion),
    ] {
        let all = Explainer::new(&together).explain(&picture(), &method).unwrap();
        assert_eq!(all.len(), KINDS.len());
        for (one, all) in wanted.iter().zip(&all) {
            let alone = HeadTargets::of(&model, &picture(), &[*one]).unwrap();
            let alone = &Explainer::new(&alone).explain(&picture(), &method).unwrap()[0];
            let values = alone.values.to_vec();
            let size = values.iter().fold(1e-9f64, |most, v| most.max(v.abs()));
            for (a, b) in all.values.to_vec().iter().zip(&values) {
                assert!((a - b).abs() < 1e-10 * size, "{} of {}: {a} {b}", method.name(), one.0);
            }
        }
    }
}

#[test]
fn deep_lift_is_complete_where_it_is_defined_and_refused_by_name_where_it_is_not() {
    let model = model();
    let baseline = Baseline::Blur { sigma: 2.0 };
    for task in KINDS {
        let targets = HeadTargets::of(&model, &picture(), &[(task, "")]).unwrap();
        let found = Explainer::new(&targets).deep_lift(&picture(), &baseline);
        // Attention pooling multiplies the features by weights that depend on them.
        if task == "classify" {
            let error = found.unwrap_err().to_string();
            assert!(error.starts_with("DeepLIFT is not defined for this network: the operation "), "{error}");
            continue;
        }
        let gap = found.unwrap_or_else(|error| panic!("{task}: {error}"))[0].gap.as_ref().unwrap()[0];
        assert!(gap.abs() < 1e-9, "{task}: {gap}");
    }
}

#[test]
fn targets_describe_themselves() {
    let model = model();
    let wanted = [("classify", "dog"), ("detect", "1:top"), ("segment", "owl@1,1"), ("depth", "")];
    let targets = HeadTargets::of(&model, &picture(), &wanted).unwrap();
    let texts: Vec<String> =
        targets.descriptions().into_iter().map(|(task, text)| format!("{task}: {text}")).collect();
    assert_eq!(texts[0], "classify: the logit of dog");
    assert_eq!(texts[1], "detect: the top side of a box");
    assert_eq!(texts[2], "segment: the mean logit of owl over a pixel");
    assert_eq!(texts[3], "depth: the mean number over 256 pixels");
}

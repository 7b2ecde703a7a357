//! Models of several inputs: what is missing changes nothing else, under every fusion.

use std::collections::BTreeMap;

use cerberus_autograd::backward;
use cerberus_data::{
    AUDIO, Batch, CLASS, DatasetInfo, IMAGE, Image, Input, InputInfo, InputKind, LabelInfo, LabelKind, MASK,
    Mask, OBJECTS, Object, Sample, VIDEO,
};
use cerberus_nn::optim::{Sgd, SgdOptions};
use cerberus_nn::{Context, Module, Parameter};
use proptest::prelude::*;

use super::*;
use crate::{Balancing, GradientsWrt, MultiTaskModel, StepInput, train_step};

mod dropped;
mod least;
mod modulation;

/// Rows and columns of images and frames.
const SIDE: usize = 16;
const FRAMES: usize = 3;
/// Samples of a sound at a rate of 1,000.
const LEN: usize = 400;

fn info() -> DatasetInfo {
    let names: Vec<String> = ["a", "b", "c"].map(String::from).into();
    DatasetInfo {
        name: "senses".into(),
        height: SIDE,
        width: SIDE,
        channels: 1,
        inputs: vec![
            InputInfo::new(AUDIO, InputKind::Sound { rate: 1000, len: LEN }),
            InputInfo::new(VIDEO, InputKind::Clip { shape: [FRAMES, SIDE, SIDE, 1] }),
            InputInfo::new("place", InputKind::Numbers { len: 5 }),
        ],
        labels: vec![
            LabelInfo::new(CLASS, LabelKind::Class, &names),
            LabelInfo::new(OBJECTS, LabelKind::Objects, &names),
            LabelInfo::new(MASK, LabelKind::Mask, &names),
        ],
        accounts: Default::default(),
    }
}

/// A small model of these inputs with these heads.
fn config(inputs: &[&str], heads: &[&str], fusion: Fusion) -> ModelConfig {
    let info = info();
    let mut config = ModelConfig::for_data(&info);
    config.stages = vec![vec![4], vec![6], vec![8]];
    config.heads = heads.iter().map(|head| crate::HeadConfig::parse(head, &info).unwrap()).collect();
    let names: Vec<String> = inputs.iter().map(|name| name.to_string()).collect();
    config.set_inputs(&names, &info).unwrap();
    for input in &mut config.inputs {
        match &mut input.encoder {
            EncoderConfig::LogMel { mel, stages, hide, .. } => {
                *mel = cerberus_audio::LogMelConfig::new(1000, 8);
                (*stages, *hide) = (vec![vec![4], vec![6]], Default::default());
            }
            EncoderConfig::Numbers { hidden, .. } => *hidden = vec![6],
            _ => {}
        }
    }
    config.fusion = FusionConfig { kind: fusion, width: 8, modality_dropout: 0.0 };
    config.check().unwrap();
    config
}

/// Sample `index` with those inputs that `has` lets it keep.
fn sample(index: usize, has: impl Fn(&str) -> bool) -> Sample {
    let noise = |place: usize| ((place * 7919 + index * 104_729) % 251) as u8;
    let image = |salt: usize| {
        let pixels: Vec<u8> = (0..SIDE * SIDE).map(|place| noise(place + salt)).collect();
        Image { height: SIDE, width: SIDE, channels: 1, pixels: pixels.into() }
    };
    let frames: Vec<Image> = (0..FRAMES).map(|frame| image(1000 * (frame + 1))).collect();
    let tone = |place: usize| (place as f32 * (0.1 + 0.07 * index as f32)).sin() * 0.5;
    let sound: Vec<f32> = (0..LEN).map(|place| tone(place) + f32::from(noise(place)) / 1000.0).collect();
    let numbers: Vec<f32> = (0..5).map(|place| f32::from(noise(place)) / 100.0 - 1.0).collect();
    let all = [
        (AUDIO, Input::Sound(sound.into())),
        (VIDEO, Input::Clip(frames.into())),
        ("place", Input::Numbers(numbers)),
    ];
    let classes = (0..SIDE * SIDE).map(|place| u16::from(place % SIDE < 8)).collect();
    Sample {
        image: if has(IMAGE) { image(0) } else { Image::missing() },
        class: Some(index % 3),
        objects: Some(vec![Object::new(index % 3, [2.0, 2.0, 9.0, 9.0])]),
        mask: has(IMAGE).then_some(Mask { height: SIDE, width: SIDE, classes }),
        inputs: all
            .into_iter()
            .filter(|(name, _)| has(name))
            .map(|(name, input)| (name.into(), input))
            .collect(),
        ..Sample::default()
    }
}

fn batch(samples: &[Sample]) -> Batch {
    Batch::assemble(samples, (0..samples.len()).collect()).unwrap()
}

/// A model whose batch norms do not look at the batch, and weights that are not at their start.
fn model(config: &ModelConfig) -> MultiTaskModel<f64> {
    let mut model = MultiTaskModel::<f64>::new(config, 3);
    let mut salt = 0;
    model.visit_mut("", &mut |path, mut entry| {
        salt += 1;
        let shift = |(place, value): (usize, &mut f64)| *value += 0.05 * ((place + 31 * salt) as f64).sin();
        if !path.ends_with("variance") {
            entry.value_mut().data_mut().iter_mut().enumerate().for_each(shift);
        }
    });
    model
}

/// The same with a trunk whose layers look at one sample at a time: the network without batch norm.
fn apart(inputs: &[&str], heads: &[&str], fusion: Fusion) -> ModelConfig {
    let mut config = config(inputs, heads, fusion);
    config.set_trunk("small_cnn").unwrap();
    config.neck = crate::networks::Neck::None;
    config.check().unwrap();
    config
}

/// The gradient of the summed losses, times `share`.
fn gradient(model: &MultiTaskModel<f64>, batch: &Batch, share: f64) -> BTreeMap<String, Vec<f64>> {
    let mut context = Context::<f64>::training(1, 1);
    let features = model.features(batch, &mut context);
    let losses = model.losses(&features, batch, &mut context);
    let total = losses.into_iter().flatten().map(|loss| loss.scale(share)).reduce(|a, b| a + b).unwrap();
    context.discard();
    let gradients = backward(total);
    let named = model.parameters().into_iter();
    named
        .filter_map(|(path, parameter)| Some((path, gradients.parameter(parameter.id())?.to_vec())))
        .collect()
}

fn close(a: &BTreeMap<String, Vec<f64>>, b: &BTreeMap<String, Vec<f64>>, case: &str) {
    let empty = Vec::new();
    for path in a.keys().chain(b.keys()) {
        let (one, other) = (a.get(path).unwrap_or(&empty), b.get(path).unwrap_or(&empty));
        for place in 0..one.len().max(other.len()) {
            let [x, y] = [one, other].map(|list| list.get(place).copied().unwrap_or(0.0));
            assert!(
                (x - y).abs() <= 1e-9 * (1.0 + x.abs().max(y.abs())),
                "{case}: {path}[{place}]: {x} or {y}"
            );
        }
    }
}

/// The inputs that a number stands for, of two: never none.
fn kept(number: usize) -> impl Fn(&str) -> bool {
    move |name| [true, name == IMAGE, name != IMAGE][number % 3]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_gradient_of_a_batch_is_that_of_its_samples_one_by_one_with_what_each_has(
        missing in proptest::collection::vec(0_usize..3, 1..5),
        fusion in 0_usize..Fusion::ALL.len(),
    ) {
        let (name, fusion) = Fusion::ALL[fusion];
        let model = model(&apart(&[IMAGE, "place"], &["classify"], fusion));
        let samples: Vec<Sample> =
            missing.iter().enumerate().map(|(index, &number)| sample(index, kept(number))).collect();
        let whole = gradient(&model, &batch(&samples), 1.0);
        let mut sum: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for sample in &samples {
            for (path, values) in gradient(&model, &batch(std::slice::from_ref(sample)), 1.0 / samples.len() as f64) {
                let held = sum.entry(path).or_insert_with(|| vec![0.0; values.len()]);
                held.iter_mut().zip(values).for_each(|(held, value)| *held += value);
            }
        }
        close(&whole, &sum, name);
    }
}

#[test]
fn a_batch_in_which_an_input_is_missing_everywhere_is_legal_and_leaves_its_encoder_alone() {
    for (name, fusion) in Fusion::ALL {
        for without in [IMAGE, AUDIO] {
            let model = model(&config(&[IMAGE, AUDIO], &["classify", "detect", "segment"], fusion));
            let samples: Vec<Sample> = (0..3).map(|index| sample(index, |input| input != without)).collect();
            let batch = batch(&samples);
            let found = gradient(&model, &batch, 1.0);
            let encoder = format!("trunk.{without}.encoder");
            assert!(!found.is_empty() && found.keys().all(|path| !path.starts_with(&encoder)), "{name}");
            // Heads that find places need the image.
            assert_eq!(found.keys().any(|path| path.starts_with("heads.detect")), without == AUDIO, "{name}");
            let predictions = model.predict(&batch);
            assert!(predictions.iter().all(|task| task.len() == 3), "{name}");
            let answered: Vec<usize> = (0..3).map(|task| model.answerable(task, &batch).len()).collect();
            assert_eq!(answered, if without == AUDIO { [3, 3, 3] } else { [3, 0, 0] }, "{name}");
        }
    }
}

#[test]
fn what_a_model_says_of_a_sample_does_not_depend_on_the_others() {
    for (name, fusion) in Fusion::ALL {
        let model = model(&config(&[IMAGE, AUDIO, VIDEO, "place"], &["classify", "segment"], fusion));
        let samples: Vec<Sample> = (0..4).map(|index| sample(index, kept(index))).collect();
        let outputs = |samples: &[Sample]| {
            let outputs = model.forward(&batch(samples), &mut Context::evaluation());
            outputs[0].maps[0].value().to_vec()
        };
        let together = outputs(&samples);
        let alone: Vec<f64> =
            samples.iter().flat_map(|sample| outputs(std::slice::from_ref(sample))).collect();
        let near = together.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near && together.len() == alone.len(), "{name}: {together:?} {alone:?}");
    }
}

#[test]
fn nothing_of_a_sample_without_any_input_is_not_a_number() {
    for (name, fusion) in Fusion::ALL {
        let model = model(&config(&[IMAGE, AUDIO], &["classify"], fusion));
        let samples = [sample(0, |_| true), sample(1, |_| false)];
        let outputs = model.forward(&batch(&samples), &mut Context::evaluation());
        assert!(outputs[0].maps[0].value().all_finite(), "{name}");
    }
}

/// A step on samples that have everything changes every parameter.
fn reaches_all(config: &ModelConfig, case: &str) {
    let mut model = MultiTaskModel::<f64>::new(config, 5);
    let before: Vec<(String, Vec<f64>)> =
        model.parameters().into_iter().map(|(path, parameter)| (path, parameter.value.to_vec())).collect();
    // A learned stand-in is used where an input is missing.
    let samples: Vec<Sample> = (0..6).map(|index| sample(index, kept(index))).collect();
    let batch = batch(&samples);
    let mut sgd = Sgd::new(SgdOptions::default());
    cerberus_nn::optim::Optimizer::<f64>::set_learning_rate(&mut sgd, 0.1);
    let weights = vec![1.0; config.heads.len()];
    for step in 0..3 {
        let input = StepInput { seed: [1, step], ..StepInput::new(&batch) };
        train_step(&mut model, &mut sgd, &mut Balancing::fixed(&weights), &input).unwrap();
    }
    let after: BTreeMap<String, &Parameter<f64>> = model.parameters().into_iter().collect();
    for (path, values) in before {
        assert!(after[&path].value.to_vec() != values, "{case}: {path} did not change");
    }
}

#[test]
fn a_step_reaches_every_parameter_of_every_fusion_and_every_encoder() {
    let heads = ["classify", "detect", "segment"];
    for (name, fusion) in Fusion::ALL {
        reaches_all(&config(&[IMAGE, AUDIO, "place"], &heads, fusion), name);
    }
    for (name, encoder) in ClipEncoder::ALL {
        let mut config = config(&[VIDEO], &heads, Fusion::Concat);
        config.set_clip_encoder(encoder.name()).unwrap();
        reaches_all_of_clips(&config, name);
    }
    let mut waves = config(&[AUDIO], &["classify"], Fusion::Concat);
    waves.set_audio_encoder("waveform").unwrap();
    waves.inputs[0].encoder = EncoderConfig::Waveform { len: LEN, rate: 1000, channels: vec![4, 6] };
    reaches_all_of_clips(&waves, "waveform");
}

/// The same for models of one input, which all samples have.
fn reaches_all_of_clips(config: &ModelConfig, case: &str) {
    let model = MultiTaskModel::<f64>::new(config, 5);
    let samples: Vec<Sample> = (0..4).map(|index| sample(index, |_| true)).collect();
    let batch = batch(&samples);
    let mut context = Context::<f64>::training(1, 1);
    let features = model.features(&batch, &mut context);
    let losses = model.losses(&features, &batch, &mut context);
    let total = losses.into_iter().flatten().reduce(|a, b| a + b).unwrap();
    context.discard();
    let gradients = backward(total);
    for (path, parameter) in model.parameters() {
        let found = gradients.parameter(parameter.id()).map(|gradient| gradient.to_vec()).unwrap_or_default();
        assert!(found.iter().any(|value| *value != 0.0), "{case}: nothing reaches {path}");
    }
}

#[test]
fn the_encoders_that_look_at_several_frames_see_their_order_and_the_others_do_not() {
    for (name, encoder) in ClipEncoder::ALL {
        let mut config = config(&[VIDEO], &["classify"], Fusion::Concat);
        config.set_clip_encoder(encoder.name()).unwrap();
        let model = model(&config);
        let forwards = sample(0, |_| true);
        let Input::Clip(frames) = &forwards.inputs[VIDEO] else { unreachable!() };
        let reversed = Input::Clip(frames.iter().rev().cloned().collect());
        let backwards =
            Sample { inputs: BTreeMap::from([(VIDEO.to_string(), reversed)]), ..forwards.clone() };
        let logits = |sample: &Sample| {
            let outputs = model.forward(&batch(std::slice::from_ref(sample)), &mut Context::evaluation());
            outputs[0].maps[0].value().to_vec()
        };
        let [one, other] = [&forwards, &backwards].map(logits);
        let far = one.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-9);
        let blind = matches!(encoder, ClipEncoder::Mean | ClipEncoder::Attention);
        assert_eq!(far, !blind, "{name}: {one:?} and {other:?}");
    }
}

#[test]
fn gradients_at_features_equal_those_at_parameters() {
    // With equal weights the direction at the features is the sum of the tasks' gradients, as at the parameters.
    for fusion in [Fusion::Gated, Fusion::Late] {
        let mut config = config(&[IMAGE, AUDIO], &["classify", "segment"], fusion);
        config.add_auxiliary(0.5);
        assert_eq!(
            config.heads.iter().map(|head| head.name.as_str()).collect::<Vec<_>>(),
            ["classify", "segment", "classify_image", "classify_audio"]
        );
        let samples: Vec<Sample> = (0..4).map(|index| sample(index, |_| true)).collect();
        let batch = batch(&samples);
        let weights_after = |wrt: GradientsWrt| {
            let mut model = MultiTaskModel::<f64>::new(&config, 5);
            let strategy = cerberus_balance::by_name::<f64>("graddrop", 4, &[1.0; 4]);
            let strategy =
                strategy.or_else(|_| cerberus_balance::by_name::<f64>("mgda", 4, &[1.0; 4])).unwrap();
            let mut balancing = Balancing { strategy, preference: vec![0.25; 4], wrt };
            let mut sgd = Sgd::new(SgdOptions::default());
            cerberus_nn::optim::Optimizer::<f64>::set_learning_rate(&mut sgd, 0.1);
            let result = train_step(&mut model, &mut sgd, &mut balancing, &StepInput::new(&batch)).unwrap();
            assert_eq!(result.tasks.len(), 4);
            model.tensors().into_iter().all(|(_, tensor)| tensor.all_finite())
        };
        assert!(weights_after(GradientsWrt::Features) && weights_after(GradientsWrt::Parameters));
    }
}

/// Makes a configuration wrong.
type Change<'a> = &'a dyn Fn(&mut ModelConfig);

#[test]
fn configurations_that_do_not_go_together_are_refused_with_a_sentence() {
    let good = config(&[IMAGE, AUDIO], &["classify", "detect"], Fusion::Film);
    let told = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config.check().unwrap_err()
    };
    let cases: [(Change, &str); 6] = [
        (&|config| config.inputs[1].name = IMAGE.into(), "named twice"),
        (&|config| config.inputs.remove(0).name.clear(), "finds places in an image or a clip"),
        (
            &|config| config.heads[0].options.input = Some("smell".into()),
            "which must be one of several inputs",
        ),
        (&|config| config.heads[1].options.input = Some(AUDIO.into()), "name no input"),
        (&|config| config.fusion.width = 0, "width"),
        (&|config| config.fusion.modality_dropout = 1.0, "dropout"),
    ];
    for (change, expected) in &cases {
        let told = told(change);
        assert!(told.contains(expected), "{told}");
    }
    let info = info();
    let mut config = good.clone();
    assert!(
        config
            .set_inputs(&["smell".into()], &info)
            .unwrap_err()
            .contains("it has: image, audio, video, place")
    );
    assert!(config.set_clip_encoder("shift").unwrap_err().contains("none as input"));
    assert!(Fusion::by_name("early").unwrap_err().contains("stack"));
    assert!(Fusion::by_name("sum").unwrap_err().contains("concat, gated, film"));
    assert!(good.check_without(&[IMAGE.into(), AUDIO.into()]).unwrap_err().contains("leave one"));
    assert!(good.check_without(&["smell".into()]).unwrap_err().contains("image, audio"));
    let json = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<ModelConfig>(&json).unwrap(), good);
}

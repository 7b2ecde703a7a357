//! Lesson 13: two senses.
//!
//! `cargo run --release --example 13_two_senses`
//!
//! A picture shows one of two shapes, a sound has one of two pitches, and the class
//! is the pair of them: neither sense can tell it alone. A model with an encoder for
//! each sense learns it from both. Then one sense is taken away. Without the other,
//! half of the answers can still be right, and a model that knows what it does not
//! know is sure of no more than that; but a model that has never met samples with a
//! sense missing is surer. Modality dropout makes such samples (Neverova et al.,
//! "ModDrop: Adaptive Multi-Modal Gesture Recognition", 2016).

use std::collections::BTreeMap;

use cerberus::audio::LogMelConfig;
use cerberus::data::{
    AUDIO, DatasetInfo, IMAGE, Image, Input, InputInfo, InputKind, LabelInfo, LabelKind, Sample,
};
use cerberus::multitask::MultiTaskModel;
use cerberus::multitask::config::{HeadConfig, ModelConfig};
use cerberus::multitask::senses::{EncoderConfig, Fusion, FusionConfig};
use cerberus::multitask::tasks::Prediction;
use cerberus::prelude::*;
use cerberus::tensor::random::stream;
use cerberus_cli::say;
use rand::RngExt;

/// Rows and columns of a picture.
const SIDE: usize = 16;
/// Samples a second, and of a sound: a quarter of a second.
const RATE: u32 = 2000;
const LEN: usize = 500;
/// Shape and pitch.
const CLASSES: [&str; 4] = ["bar low", "bar high", "ring low", "ring high"];
const STEPS: usize = 120;

// 1. What the data has: an image, and an input by name.
fn info() -> DatasetInfo {
    let names = CLASSES.map(String::from);
    DatasetInfo {
        name: "shapes and tones".into(),
        height: SIDE,
        width: SIDE,
        channels: 1,
        inputs: vec![InputInfo::new(AUDIO, InputKind::Sound { rate: RATE, len: LEN })],
        labels: vec![LabelInfo::new("class", LabelKind::Class, &names)],
        accounts: Default::default(),
    }
}

/// The samples `first..first + 32`, with noise in both senses.
fn batch(first: usize) -> Batch {
    let samples: Vec<Sample> = (first..first + 32).map(sample).collect();
    Batch::assemble(&samples, (first..first + 32).collect()).expect("samples of one size")
}

fn sample(index: usize) -> Sample {
    let mut random = stream(1, "shapes and tones", 0, index as u64);
    let class = random.random_range(0..CLASSES.len());
    let [ring, high] = [class / 2 == 1, class % 2 == 1];
    let middle = [0, 1].map(|_| random.random_range(6.0..10.0));
    let pixel = |place: usize| {
        let [y, x] = [place / SIDE, place % SIDE].map(|at| at as f64 + 0.5);
        let [dy, dx] = [y - middle[0], x - middle[1]];
        let inside = if ring { (dy.hypot(dx) - 4.0).abs() < 1.0 } else { dy.abs() < 5.0 && dx.abs() < 1.5 };
        let noise: f64 = random.random_range(0.0..160.0);
        (noise + if inside { 90.0 } else { 0.0 }) as u8
    };
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(pixel).collect();
    let hertz = random.random_range(if high { 500.0..800.0 } else { 150.0..250.0 });
    let value = |at: usize| {
        let tone = (std::f64::consts::TAU * hertz * at as f64 / f64::from(RATE)).sin();
        (0.3 * tone + random.random_range(-0.4..0.4)) as f32
    };
    let sound: Vec<f32> = (0..LEN).map(value).collect();
    Sample {
        image: Image { height: SIDE, width: SIDE, channels: 1, pixels: pixels.into() },
        inputs: BTreeMap::from([(AUDIO.into(), Input::Sound(sound.into()))]),
        class: Some(class),
        ..Sample::default()
    }
}

// 2. A model with an encoder for each input, whose vectors are joined.
fn model(modality_dropout: f64) -> Result<MultiTaskModel, String> {
    let info = info();
    let mut config = ModelConfig::for_data(&info);
    config.stages = vec![vec![8], vec![16], vec![16]];
    config.heads = vec![HeadConfig::parse("classify", &info)?];
    config.set_inputs(&[IMAGE.into(), AUDIO.into()], &info)?;
    for input in &mut config.inputs {
        if let EncoderConfig::LogMel { mel, stages, .. } = &mut input.encoder {
            // Few bands and small layers for a small sound.
            *mel = LogMelConfig::new(RATE, 12);
            *stages = vec![vec![8], vec![16]];
        }
    }
    config.fusion = FusionConfig { kind: Fusion::Concat, width: 32, modality_dropout };
    config.check()?;
    Ok(MultiTaskModel::new(&config, 2))
}

/// The share of right answers, and how sure the model is of its answers, on samples that it was not trained with.
fn score(model: &MultiTaskModel, without: Option<&str>) -> [f64; 2] {
    let (mut right, mut sure, mut count) = (0.0, 0.0, 0.0);
    for index in 0..8 {
        let batch = batch(100_000 + 32 * index);
        // 4. A batch as if no sample had the input.
        let batch = without.map_or(batch.clone(), |name| batch.without(name));
        for (prediction, class) in model.predict(&batch)[0].iter().zip(&batch.classes) {
            let Prediction::Classes(shares) = prediction else { unreachable!("the head classifies") };
            let best = (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b]));
            right += f64::from(best == *class);
            sure += f64::from(shares[best.expect("there are classes")]);
            count += 1.0;
        }
    }
    [right / count, sure / count]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut surest = Vec::new();
    for dropout in [0.0, 0.3] {
        let mut model = model(dropout)?;
        say!("-- Modality dropout {dropout}");
        // 3. Training does not know of inputs: the batch carries them.
        let mut optimizer = AdamW::new(AdamOptions::default());
        let schedule = Schedule::one_cycle(1e-2, STEPS);
        for index in 0..STEPS {
            let batch = batch(32 * index);
            optimizer.set_learning_rate(schedule.rate(index));
            let loss = step(&mut model, &mut optimizer, |model, context| {
                model.loss(&batch, &[1.0], context).expect("every sample has a class")
            });
            if index % 40 == 0 {
                say!("step {index:>3}: loss {loss:.3}");
            }
        }
        let all = [None, Some(AUDIO), Some(IMAGE)].map(|without| {
            let [right, sure] = score(&model, without);
            let what = without.map_or("with both senses".into(), |name| format!("without {name}"));
            let best = if without.is_none() { 1.0 } else { 0.5 };
            say!("{what:<16} {right:.3} right (at best about {best:.1}), {sure:.3} sure");
            [right, sure]
        });
        say!("");
        let [[both, _], deaf, blind] = all;
        assert!(both > 0.9, "both senses tell the class");
        assert!(deaf[0] < 0.7 && blind[0] < 0.7, "neither does alone");
        assert!(deaf[0].min(blind[0]) > 0.35, "one of the two that are left is right");
        surest.push(deaf[1].max(blind[1]));
    }
    // What surprises: both models give about as many right answers, but the one that never
    // missed a sense is surer of them than it may be. It had no reason to learn what it
    // does not know.
    assert!(surest[1] < 0.65 && surest[1] < surest[0], "only the other knows that two answers are left");
    Ok(())
}

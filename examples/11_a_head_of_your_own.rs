//! Lesson 11: a head of your own, in one file.
//!
//! Fashion scenes show one to four garments. Nobody labelled how many, but the
//! boxes say it, so a head can learn to count: `Count` below. It stands beside
//! the usual classifier on one trunk, and neither knows of the other. Nothing in
//! the library changes for it; a head that belongs into the library is the same
//! file in `crates/multitask/src/tasks/` and a line in the list there.
//!
//! `cargo run --release --example 11_a_head_of_your_own`

mod common;

use cerberus::data::{self, LabelInfo, LabelKind};
use cerberus::multitask::config::HeadConfig;
use cerberus::multitask::tasks::{Answer, Classify, Metric, Prediction, Site, Task};
use cerberus::multitask::trainer::train_step;
use cerberus::multitask::trunk::{ConvTrunk, Features, Trunk};
use cerberus::multitask::{MultiTaskModel, metrics::TopKAccuracy};
use cerberus::nn::losses::cross_entropy;
use cerberus::prelude::*;

/// How many garments a scene shows at most.
const MOST: usize = 4;

// 1. The head's layers, and where the library finds their parameters.
struct Count<T: Element = f32> {
    output: Linear<T>,
    config: HeadConfig,
}

module!(Count { output } without { config });

impl<T: Element> Count<T> {
    fn new(site: &Site, config: HeadConfig, init: &mut Init) -> Self {
        // What a scene is full of shows in the deepest map and in the merged one.
        let channels = site.channels[site.stages() - 1] + site.merged_channels();
        Self { output: Linear::new(channels, MOST, init), config }
    }
}

// 2. The question: outputs, loss, answers, figures.
impl<T: Element> Task<T> for Count<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        (0..batch.len()).filter(|&place| batch.objects[place].is_some()).collect()
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> Prediction<T> {
        let deepest = features.stages[features.stages.len() - 1].clone().global_avg_pool();
        let merged = features.merged.clone().global_avg_pool();
        let x = Var::concat(vec![deepest, merged], 1);
        Prediction { outputs: vec![self.output.forward(x, context)] }
    }

    fn loss(&self, prediction: Prediction<T>, batch: &Batch) -> Var<T> {
        let target: Vec<u8> =
            batch.objects.iter().flatten().map(|objects| class_of(objects.len()) as u8).collect();
        cross_entropy(prediction.outputs[0].clone(), &target)
    }

    fn decode(&self, prediction: &Prediction<T>) -> Vec<Answer> {
        let shares = prediction.outputs[0].clone().detach().softmax(1).into_value().contiguous();
        let row = |row: &[T]| Answer::Classes(row.iter().map(|p| p.as_f64() as f32).collect());
        shares.data().chunks_exact(MOST).map(row).collect()
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(CountAccuracy(TopKAccuracy::new(1)))
    }
}

/// One garment is class 0; more than the most count as the most.
fn class_of(garments: usize) -> usize {
    garments.clamp(1, MOST) - 1
}

struct CountAccuracy(TopKAccuracy);

impl Metric for CountAccuracy {
    fn update(&mut self, answers: &[Answer], batch: &Batch) {
        for (answer, objects) in answers.iter().zip(&batch.objects) {
            if let (Answer::Classes(shares), Some(objects)) = (answer, objects) {
                self.0.record(shares, class_of(objects.len()));
            }
        }
    }

    fn values(&self) -> Vec<(&'static str, f64)> {
        vec![("count_accuracy", self.0.value())]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scenes = data::open("fashion-scenes", 1)?;
    let info = scenes.info();

    // 3. One trunk, two heads.
    let mut init = Init::new(1);
    let trunk = ConvTrunk::new(info.channels, &[vec![16], vec![32], vec![64], vec![64]], &mut init);
    let site = Site { image: [info.height, info.width], channels: trunk.channels().to_vec() };
    let garments = HeadConfig::new("classify", "classify", None, info)?;
    // Our kind of head is in no list, so its configuration only names it.
    let numbers: Vec<String> = (1..=MOST).map(|n| n.to_string()).collect();
    let label = LabelInfo::new("objects", LabelKind::Objects, &numbers);
    let count =
        HeadConfig { name: "count".into(), kind: "count".into(), classes: label.classes, ..garments.clone() };
    let heads: Vec<Box<dyn Task>> = vec![
        Box::new(Classify::new(&site, &garments, &mut init)),
        Box::new(Count::new(&site, count, &mut init)),
    ];
    let mut model = MultiTaskModel::from_parts(trunk, heads);

    // 4. Training knows of tasks, not of ours.
    let mut optimizer = AdamW::new(AdamOptions::default());
    let plan =
        EpochPlan { batch_size: 32, limit: Some(32 * 60), shuffle: true, ..EpochPlan::new(Split::Train) };
    for (step, batch) in Loader::new(scenes.clone(), plan)?.enumerate() {
        let losses =
            train_step(&mut model, &mut optimizer, &batch?, &[1.0, 1.0], 3e-3, 10.0, [1, step as u64]);
        if step % 20 == 0 {
            say!("step {step:>2}: classify {:.3}, count {:.3}", losses[0], losses[1]);
        }
    }
    let mut metric = model.tasks()[1].metric();
    let plan = EpochPlan { limit: Some(320), ..EpochPlan::new(Split::Test) };
    for batch in Loader::new(scenes, plan)? {
        let batch = batch?;
        let answers = model.predict(batch.images.clone());
        metric.update(&answers[1], &batch);
    }
    let (name, accuracy) = metric.values()[0];
    say!("{name} on 320 test scenes: {accuracy:.3} (guessing: about 0.25)");
    assert!(accuracy > 0.4, "the head has learned to count");
    Ok(())
}

//! Lesson 11: a head of your own, in one file.
//!
//! Fashion scenes show one to four garments. The number is not a label, but the
//! boxes give it, so a head can learn to count: `Count` below. It shares one trunk
//! with the usual classifier, and neither depends on the other. The library does
//! not change for it; a head that becomes part of the library is the same file in
//! `crates/multitask/src/tasks/` and a line in the list there.
//!
//! `cargo run --release --example 11_a_head_of_your_own`

use cerberus::data::{self, LabelInfo, LabelKind};
use cerberus::metrics::TopKAccuracy;
use cerberus::multitask::MultiTaskModel;
use cerberus::multitask::config::HeadConfig;
use cerberus::multitask::tasks::{Classify, HeadOutput, Metric, Prediction, Task};
use cerberus::multitask::{ConvTrunk, FeatureInfo, Features, Trunk};
use cerberus::nn::losses::cross_entropy;
use cerberus::prelude::*;
use cerberus_cli::say;

/// Training steps: a few seconds.
const STEPS: usize = 240;

/// How many garments a scene shows at most.
const MOST: usize = 4;

// 1. The head's layers, and where the library finds their parameters.
struct Count<T: Element = f32> {
    output: Linear<T>,
    config: HeadConfig,
}

module!(Count { output } without { config });

impl<T: Element> Count<T> {
    fn new(info: &FeatureInfo, config: HeadConfig, init: &mut Init) -> Self {
        // The head counts from the deepest map and the merged one.
        let channels = info.channels(info.depth() - 1) + info.main().channels;
        Self { output: Linear::new(channels, MOST, init), config }
    }
}

// 2. The task: outputs, loss, predictions, metric.
impl<T: Element> Task<T> for Count<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        (0..batch.len()).filter(|&place| batch.objects[place].is_some()).collect()
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let deepest = features.stages[features.stages.len() - 1].clone().global_avg_pool();
        let merged = features.main().clone().global_avg_pool();
        let x = Var::concat(vec![deepest, merged], 1);
        HeadOutput { maps: vec![self.output.forward(x, context)] }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let target: Vec<usize> =
            batch.objects.iter().flatten().map(|objects| class_of(objects.len())).collect();
        cross_entropy(output.maps[0].clone(), &target)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        let shares = output.maps[0].clone().detach().softmax(1).into_value().contiguous();
        let row = |row: &[T]| Prediction::Classes(row.iter().map(|p| p.as_f64() as f32).collect());
        shares.data().chunks_exact(MOST).map(row).collect()
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(CountAccuracy(TopKAccuracy::new(1)))
    }
}

/// One garment is class 0; more than `MOST` garments count as `MOST`.
fn class_of(garments: usize) -> usize {
    garments.clamp(1, MOST) - 1
}

struct CountAccuracy(TopKAccuracy);

impl Metric for CountAccuracy {
    fn update(&mut self, predictions: &[Prediction], batch: &Batch) {
        for (prediction, objects) in predictions.iter().zip(&batch.objects) {
            if let (Prediction::Classes(shares), Some(objects)) = (prediction, objects) {
                self.0.record(shares, class_of(objects.len()));
            }
        }
    }

    fn values(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![("count_accuracy", (self.0.samples() > 0).then(|| self.0.value()))]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scenes = data::open("fashion-scenes", 1)?;
    let info = scenes.info();

    // 3. One trunk, two heads.
    let mut init = Init::new(1);
    let trunk = ConvTrunk::new(info.channels, &[vec![16], vec![32], vec![64], vec![64]], &mut init);
    let maps = trunk.info([info.height, info.width]);
    let garments = HeadConfig::new("classify", "classify", None, info)?;
    // The library's list does not have our kind of head, so its configuration only
    // names it.
    let numbers: Vec<String> = (1..=MOST).map(|n| n.to_string()).collect();
    let label = LabelInfo::new("objects", LabelKind::Objects, &numbers);
    let count =
        HeadConfig { name: "count".into(), kind: "count".into(), classes: label.classes, ..garments.clone() };
    let heads: Vec<Box<dyn Task>> = vec![
        Box::new(Classify::new(&maps, &garments, &mut init)),
        Box::new(Count::new(&maps, count, &mut init)),
    ];
    let mut model = MultiTaskModel::from_parts(trunk, heads);

    // 4. Training is the same for every task.
    let mut optimizer = AdamW::new(AdamOptions::default());
    let schedule = Schedule::one_cycle(5e-3, STEPS);
    let plan =
        EpochPlan { batch_size: 32, limit: Some(32 * STEPS), shuffle: true, ..EpochPlan::new(Split::Train) };
    for (index, batch) in Loader::new(scenes.clone(), plan)?.enumerate() {
        let batch = batch?;
        optimizer.set_learning_rate(schedule.rate(index));
        let loss = step(&mut model, &mut optimizer, |model, context| {
            model.loss(&batch, &[1.0, 1.0], context).expect("scenes have all labels")
        });
        if index % 40 == 0 {
            say!("step {index:>3}: loss {loss:.3}");
        }
    }

    // 5. Both are scored by their own metrics.
    let mut metrics: Vec<_> = model.tasks().iter().map(|task| task.metric()).collect();
    let plan = EpochPlan { limit: Some(320), ..EpochPlan::new(Split::Test) };
    for batch in Loader::new(scenes, plan)? {
        let batch = batch?;
        let predictions = model.predict(batch.images.clone());
        for (metric, predictions) in metrics.iter_mut().zip(&predictions) {
            metric.update(predictions, &batch);
        }
    }
    let [(name, right), (count_name, counted)] = [metrics[0].values()[0], metrics[1].values()[0]];
    // A metric without data would be unknown.
    let (right, counted) = (right.unwrap_or(0.0), counted.unwrap_or(0.0));
    say!("{name} on 320 test scenes: {right:.3} (guessing: 0.100)");
    say!("{count_name}: {counted:.3} (guessing: about 0.25)");
    assert!(right > 0.3, "the classifier has learned garments");
    assert!(counted > 0.4, "the head has learned to count");
    Ok(())
}

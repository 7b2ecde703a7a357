//! A run with a trunk, a head and an optimiser of its own: it trains, stops and
//! continues like any other.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cerberus::data::{self, Dataset};
use cerberus::metrics::TopKAccuracy;
use cerberus::multitask::config::HeadConfig;
use cerberus::multitask::tasks::{Classify, HeadOutput, Metric, Prediction, Task};
use cerberus::multitask::{Features, MapInfo, MultiTaskModel, Trunk};
use cerberus::nn::losses::cross_entropy;
use cerberus::prelude::*;
use cerberus::train::{EpochRow, Observer, Outcome, StepReport, TrainConfig, TrainError, Trainer, load_into};

/// Two convolutions, each halving the image.
struct Stem<T: Element = f32> {
    first: Conv2d<T>,
    second: Conv2d<T>,
}
module!(Stem { first, second });

impl Trunk for Stem {
    fn stages(&self) -> Vec<MapInfo> {
        vec![
            MapInfo { name: "half".into(), channels: 8, stride: 2 },
            MapInfo { name: "quarter".into(), channels: 16, stride: 4 },
        ]
    }

    fn forward(&self, images: Var, context: &mut Context) -> Features {
        let half = self.first.forward(images, context);
        let quarter = self.second.forward(half.clone(), context);
        Features::new(vec![half, quarter], None)
    }
}

/// Does the scene show more than one garment?
struct Several<T: Element = f32> {
    output: Linear<T>,
    config: HeadConfig,
}
module!(Several { output } without { config });

impl Task for Several {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        (0..batch.len()).filter(|&index| batch.objects[index].is_some()).collect()
    }

    fn forward(&self, features: &Features, context: &mut Context) -> HeadOutput {
        HeadOutput { maps: vec![self.output.forward(features.main().clone().global_avg_pool(), context)] }
    }

    fn loss(&self, output: HeadOutput, batch: &Batch) -> Var {
        let target: Vec<usize> = batch.objects.iter().flatten().map(|o| usize::from(o.len() > 1)).collect();
        cross_entropy(output.maps[0].clone(), &target)
    }

    fn decode(&self, output: &HeadOutput) -> Vec<Prediction> {
        let shares = output.maps[0].clone().detach().softmax(1).into_value().contiguous();
        shares.data().chunks(2).map(|shares| Prediction::Classes(shares.to_vec())).collect()
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(SeveralAccuracy(TopKAccuracy::new(1)))
    }
}

struct SeveralAccuracy(TopKAccuracy);

impl Metric for SeveralAccuracy {
    fn update(&mut self, predictions: &[Prediction], batch: &Batch) {
        for (prediction, objects) in predictions.iter().zip(&batch.objects) {
            if let (Prediction::Classes(shares), Some(objects)) = (prediction, objects) {
                self.0.record(shares, usize::from(objects.len() > 1));
            }
        }
    }

    fn values(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![("accuracy", (self.0.samples() > 0).then(|| self.0.value()))]
    }
}

fn model(scenes: &dyn Dataset) -> MultiTaskModel {
    let (mut init, info) = (Init::new(5), scenes.info());
    let trunk = Stem {
        first: Conv2d::new(3, 8, 3, &mut init).same().stride(2).with_relu(),
        second: Conv2d::new(8, 16, 3, &mut init).same().stride(2).with_relu(),
    };
    let maps = trunk.info([info.height, info.width]);
    let garment = HeadConfig::new("classify", "classify", None, info).expect("scenes have classes");
    let several = HeadConfig { name: "several".into(), kind: "several".into(), ..garment.clone() };
    let heads: Vec<Box<dyn Task>> = vec![
        Box::new(Classify::new(&maps, &garment, &mut init)),
        Box::new(Several { output: Linear::new(16, 2, &mut init), config: several }),
    ];
    MultiTaskModel::from_parts(trunk, heads)
}

fn trainer(scenes: &Arc<dyn Dataset>) -> cerberus::train::TrainerBuilder {
    let mut config = TrainConfig::for_data("fashion-scenes", scenes.info());
    (config.epochs, config.batch, config.samples, config.seed) = (2, 8, Some(32), 5);
    Trainer::builder(config, scenes.clone())
        .model(model(&**scenes))
        .optimizer(Sgd::new(SgdOptions { momentum: 0.9, ..SgdOptions::default() }))
        .schedule(Schedule::one_cycle(0.05, 8))
}

#[test]
fn the_chapter_quotes_what_stands_above() {
    let (file, chapter) = (include_str!("own_parts.rs"), include_str!("../docs/train.md"));
    let shown = chapter.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let told = file.split("\n#[test]\nfn the_chapter_quotes").next().expect("this very line");
    assert_eq!(told.trim_end(), shown.trim_end(), "docs/train.md does not quote tests/own_parts.rs");
}

/// Stops the run after a number of steps.
struct StopAt<'a>(u64, &'a AtomicBool);

impl Observer for StopAt<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.step[0] == self.0 {
            self.1.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    fn evaluating(&mut self, _: Split, _: usize, _: usize) {}
    fn epoch(&mut self, _: &EpochRow) {}
}

fn tensors(folder: &std::path::Path, scenes: &dyn Dataset) -> Vec<Vec<f32>> {
    let mut loaded = model(scenes);
    load_into(&folder.join("checkpoints/last.safetensors"), &mut loaded).expect("a checkpoint of this model");
    loaded.parameters().iter().map(|(_, parameter)| parameter.value.to_vec()).collect()
}

#[test]
fn a_run_of_own_parts_trains_both_heads_and_continues_where_it_was_stopped() -> Result<(), TrainError> {
    let folder = tempfile::tempdir().expect("a folder");
    let scenes = data::open("fashion-scenes", 5)?;
    let never = AtomicBool::new(false);
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    let Outcome::Finished(summary) = trainer(&scenes).start(&whole)?.run(&mut StopAt(0, &never), &never)?
    else {
        panic!("nothing stopped it")
    };
    assert!(summary.tasks.contains_key("classify") && summary.tasks.contains_key("several"));

    let flag = AtomicBool::new(false);
    let outcome = trainer(&scenes).start(&stopped)?.run(&mut StopAt(3, &flag), &flag)?;
    assert!(matches!(outcome, Outcome::Interrupted));
    assert_ne!(tensors(&stopped, &*scenes), tensors(&whole, &*scenes));
    trainer(&scenes).resume(&stopped)?.run(&mut StopAt(0, &never), &never)?;
    assert_eq!(tensors(&stopped, &*scenes), tensors(&whole, &*scenes));

    // A run cannot be resumed without the configuration's model or with another
    // optimiser.
    assert!(Trainer::resume(&stopped, |_| Ok(scenes.clone())).is_err());
    assert!(trainer(&scenes).optimizer(Adam::new(AdamOptions::default())).resume(&stopped).is_err());
    Ok(())
}

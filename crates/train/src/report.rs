//! The results of a finished run: figures and pictures.

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus_data::{Batch, CLASS, Dataset, Sample, Split};
use cerberus_nn::Module;
use cerberus_nn::files::write_atomically;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::evaluate::TaskFigures;
use crate::folder::RunFolder;
use crate::shown::picture_of;
use crate::state::State;
use cerberus_draw::{Annotated, DrawnBox, RgbImage, comfortable_scale, encode_png, gallery, side_by_side};
use cerberus_metrics::argmax;
use cerberus_multitask::config::HeadConfig;
use cerberus_multitask::model::MultiTaskModel;
use cerberus_multitask::tasks::Prediction;

/// Test scenes drawn at the end of a run.
const SAMPLES: usize = 24;
/// Detections less certain than this are not drawn.
pub(crate) const SHOWN: f32 = 0.3;

/// `summary.json`: the test split's figures with the best model, and the run's cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// By task, then by metric; null for a metric without data.
    pub tasks: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    /// The epoch with the best validation score, from 1.
    pub best_epoch: usize,
    /// Epochs trained.
    pub epochs: usize,
    /// Training images per second, evaluation not counted.
    pub images_per_second: f64,
    /// Seconds of the whole run, evaluation included, interruptions not.
    pub wall_seconds: f64,
    /// The most memory the process held, in MiB; absent if the system does not report it.
    pub peak_rss_mb: Option<f64>,
    /// The run's seed.
    pub seed: u64,
    /// The number of threads that computed.
    pub threads: usize,
    /// Trained values of the model.
    pub parameters: usize,
    /// The data set.
    pub data: String,
    /// Samples of each split: of training, per epoch.
    pub splits: BTreeMap<String, usize>,
    /// The split that `tasks` was measured on: `test`, or `validation` if there is no test part; the best epoch was
    /// then chosen on the same pictures.
    #[serde(default)]
    pub scored_on: Option<String>,
}

impl Summary {
    pub(super) fn new(
        config: &TrainConfig,
        model: &MultiTaskModel,
        state: &State,
        dataset: &Arc<dyn Dataset>,
        figures: &[TaskFigures],
    ) -> Self {
        let size = |split: Split| config.samples_of(&**dataset, split);
        let splits = [Split::Train, Split::Validation, Split::Test];
        Self {
            tasks: figures
                .iter()
                .map(|task| (task.task.clone(), task.metrics.iter().cloned().collect()))
                .collect(),
            best_epoch: state.best().map_or(0, |row| row.epoch),
            epochs: state.epoch,
            images_per_second: state.images_per_second(),
            wall_seconds: state.seconds,
            peak_rss_mb: peak_rss_mb(),
            seed: config.seed,
            threads: cerberus_tensor::parallel::threads(),
            parameters: model.parameter_count(),
            data: config.data.clone(),
            scored_on: None,
            splits: splits.into_iter().map(|split| (split.name().to_string(), size(split))).collect(),
        }
    }
}

impl Summary {
    /// Records the split that the figures were measured on.
    pub(super) fn scored_on(self, split: Split) -> Self {
        let scored_on = (!self.tasks.is_empty()).then(|| split.name().to_string());
        Self { scored_on, ..self }
    }
}

/// The most memory this process has held so far, in MiB, if Linux reports it.
pub fn peak_rss_mb() -> Option<f64> {
    status_bytes("VmHWM:").map(|bytes| bytes as f64 / (1 << 20) as f64)
}

/// The memory that this process holds, in bytes, if Linux reports it.
pub(crate) fn rss_bytes() -> Option<usize> {
    status_bytes("VmRSS:")
}

fn status_bytes(entry: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(entry))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}

/// Writes pictures of the first test samples, truth and prediction side by
/// side: one file each, and `gallery.png` with the first dozen.
///
/// # Errors
/// If a sample cannot be read or a picture not written.
pub fn write_samples(
    folder: &RunFolder,
    model: &MultiTaskModel,
    dataset: &Arc<dyn Dataset>,
) -> Result<(), TrainError> {
    // Without a test part, validation samples are shown, or else training samples.
    let parts = [Split::Test, Split::Validation, Split::Train];
    let split = parts.into_iter().find(|&split| !dataset.is_empty(split)).unwrap_or(Split::Test);
    let count = SAMPLES.min(dataset.len(split));
    let samples: Vec<Sample> =
        (0..count).map(|index| dataset.sample(split, 0, index)).collect::<Result<_, _>>()?;
    if samples.is_empty() {
        return Ok(());
    }
    let batch = Batch::assemble(&samples, (0..count).collect())?;
    let predictions = model.predict(&batch);
    let heads: Vec<&HeadConfig> = model.tasks().iter().map(|task| task.config()).collect();
    let names = drawn_names(&heads);
    let names = &names;
    let mut pictures = Vec::with_capacity(count);
    for (index, sample) in samples.iter().enumerate() {
        let found: Vec<(&HeadConfig, &Prediction)> =
            heads.iter().zip(&predictions).map(|(head, task)| (*head, &task[index])).collect();
        let picture = picture_of(sample);
        let scale = comfortable_scale(picture.width(), picture.height());
        let truth = annotate_truth(sample, &heads);
        let size = [sample.image.height, sample.image.width];
        let predicted = annotate(&found, size, sample.class, SHOWN);
        pictures.push(side_by_side(&picture, &truth, &predicted, names, scale));
    }
    let write = |name: &str, picture: &RgbImage| -> Result<(), TrainError> {
        let path = folder.sample(name);
        let bytes = encode_png(picture).map_err(|error| TrainError::Folder {
            path: path.clone(),
            problem: format!("cannot encode: {error}"),
        })?;
        Ok(write_atomically(&path, &bytes)?)
    };
    for (index, picture) in pictures.iter().enumerate() {
        write(&format!("test_{index:03}.png"), picture)?;
    }
    write("gallery.png", &gallery(&pictures[..pictures.len().min(12)]))
}

/// The class names of boxes and masks in pictures: those of the first head that predicts any.
pub fn drawn_names(heads: &[&HeadConfig]) -> Vec<String> {
    let draws = |head: &&&HeadConfig| {
        ["detect", "centernet", "fcos", "segment", "fcn", "unet"].contains(&&*head.kind)
    };
    heads.iter().find(draws).map_or(Vec::new(), |head| head.classes.clone())
}

fn annotate_truth(sample: &Sample, heads: &[&HeadConfig]) -> Annotated {
    let boxes = sample.objects.iter().flatten().filter(|object| !object.crowd);
    let classes = heads.iter().find(|head| head.label == CLASS);
    let name = sample.class.and_then(|class| classes.and_then(|head| head.classes.get(class).cloned()));
    Annotated {
        title: name.unwrap_or_default(),
        title_correct: None,
        mask: sample.mask.as_ref().map(|mask| (mask.height, mask.width, mask.classes.clone())),
        boxes: boxes.map(|o| DrawnBox { class: o.class, bbox: o.bbox, score: None }).collect(),
    }
}

/// The predictions of heads for one image of `[height, width]` in a form to draw. `truth` is the image's class if
/// known, to mark the predicted one right or wrong; objects less certain than `threshold` are left out. The first
/// prediction of each kind is drawn.
pub fn annotate(
    predictions: &[(&HeadConfig, &Prediction)],
    [height, width]: [usize; 2],
    truth: Option<usize>,
    threshold: f32,
) -> Annotated {
    let mut annotated = Annotated::default();
    for (head, prediction) in predictions {
        match prediction {
            Prediction::Classes(probabilities) if annotated.title.is_empty() => {
                let Some(best) = argmax(probabilities) else { continue };
                annotated.title = format!("{} {:.2}", head.classes[best], probabilities[best]);
                annotated.title_correct = truth.filter(|_| head.label == CLASS).map(|truth| truth == best);
            }
            Prediction::Objects(found) if annotated.boxes.is_empty() => {
                let shown = found.iter().filter(|detection| detection.score >= threshold);
                annotated.boxes =
                    shown.map(|d| DrawnBox { class: d.class, bbox: d.bbox, score: Some(d.score) }).collect();
            }
            Prediction::Mask(classes) if annotated.mask.is_none() => {
                annotated.mask = Some((height, width, classes.clone()));
            }
            _ => {}
        }
    }
    annotated
}

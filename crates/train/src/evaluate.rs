//! Scoring a model on a split.

use std::sync::Arc;

use cerberus_data::{Batch, Dataset, EpochPlan, Loader, Split};

use crate::error::TrainError;
use cerberus_multitask::model::MultiTaskModel;
use cerberus_multitask::tasks::{Metric, Prediction};

/// One task's figures: its name, and each metric by name, the main one first.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TaskFigures {
    /// The task's name.
    pub task: String,
    /// Metrics by name; the first is the main one. `None` for a metric without data.
    pub metrics: Vec<(String, Option<f64>)>,
}

/// The mean of the tasks' main metrics, by which checkpoints are compared; unknown ones are left out, and `None` is
/// returned if all are unknown.
pub fn score(figures: &[TaskFigures]) -> Option<f64> {
    let known: Vec<f64> =
        figures.iter().filter_map(|task| task.metrics.first()).filter_map(|(_, value)| *value).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// Every task's figures on `split`, at most `limit` samples of it; `progress` is
/// called with the number of images done. Empty for a split without samples.
///
/// # Errors
/// If a sample cannot be read.
pub fn evaluate(
    model: &MultiTaskModel,
    dataset: &Arc<dyn Dataset>,
    split: Split,
    limit: Option<usize>,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<TaskFigures>, TrainError> {
    if dataset.is_empty(split) {
        return Ok(Vec::new());
    }
    let metrics = score_seen(model, dataset, (split, limit), &mut |batch, _| progress(batch.len()))?;
    Ok(figures(model, &metrics))
}

/// The metrics' figures, in the model's order; empty without metrics.
pub(crate) fn figures(model: &MultiTaskModel, metrics: &[Box<dyn Metric>]) -> Vec<TaskFigures> {
    let figures = model.tasks().iter().zip(metrics).map(|(task, metric)| TaskFigures {
        task: task.name().to_string(),
        metrics: metric.values().into_iter().map(|(name, v)| (name.to_string(), v)).collect(),
    });
    figures.collect()
}

/// Every task's metric after it has seen `split`: for callers that want more than [`evaluate`] reports.
///
/// # Errors
/// If a sample cannot be read.
pub fn score_split(
    model: &MultiTaskModel,
    dataset: &Arc<dyn Dataset>,
    split: Split,
    limit: Option<usize>,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Box<dyn Metric>>, TrainError> {
    score_seen(model, dataset, (split, limit), &mut |batch, _| progress(batch.len()))
}

/// [`score_split`] that also calls `seen` with every batch and each task's predictions for it.
pub(crate) fn score_seen(
    model: &MultiTaskModel,
    dataset: &Arc<dyn Dataset>,
    (split, limit): (Split, Option<usize>),
    seen: &mut dyn FnMut(&Batch, &[Vec<Prediction>]),
) -> Result<Vec<Box<dyn Metric>>, TrainError> {
    let mut metrics: Vec<_> = model.tasks().iter().map(|task| task.metric()).collect();
    let plan = EpochPlan { limit, ..EpochPlan::new(split) };
    for batch in Loader::new(Arc::clone(dataset), plan)? {
        let batch = batch?;
        let predictions = model.predict(&batch);
        for (task, (metric, predictions)) in metrics.iter_mut().zip(&predictions).enumerate() {
            let answered = model.answerable(task, &batch);
            if answered.len() == batch.len() {
                metric.update(predictions, &batch);
            } else if !answered.is_empty() {
                let predictions: Vec<_> = answered.iter().map(|&place| predictions[place].clone()).collect();
                metric.update(&predictions, &batch.select(&answered));
            }
        }
        seen(&batch, &predictions);
    }
    Ok(metrics)
}

//! Scoring a model on a split.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use cerberus_data::{Batch, Dataset, EpochPlan, Label, Loader, Mask, Object, Split};
use cerberus_distributed::{Alone, Group};
use cerberus_tensor::Tensor;
use serde::{Deserialize, Serialize};

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
    evaluate_among(&Alone, model, dataset, (split, limit), progress)
}

/// [`evaluate`], shared out among the processes of a group; all get the figures that one process would.
pub(crate) fn evaluate_among(
    group: &dyn Group,
    model: &MultiTaskModel,
    dataset: &Arc<dyn Dataset>,
    (split, limit): (Split, Option<usize>),
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<TaskFigures>, TrainError> {
    if dataset.is_empty(split) {
        return Ok(Vec::new());
    }
    let metrics = score_seen(group, model, dataset, (split, limit), &mut |batch, _| progress(batch.len()))?;
    Ok(shared(group, figures(model, &metrics)))
}

/// The figures of rank 0, which has seen all predictions.
pub(crate) fn shared(group: &dyn Group, figures: Vec<TaskFigures>) -> Vec<TaskFigures> {
    if group.size() == 1 {
        return figures;
    }
    let bytes = postcard::to_allocvec(&figures).expect("names and numbers can be encoded");
    postcard::from_bytes(&group.broadcast(bytes)).expect("rank 0 is the same program")
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
    score_seen(&Alone, model, dataset, (split, limit), &mut |batch, _| progress(batch.len()))
}

/// [`score_split`] that also calls `seen` with every batch and each task's predictions for it.
///
/// The processes of a group take turns with the batches and send what they predicted to rank 0, which scores it in the
/// order of the batches: its metrics, and what it has seen, are those of a single process. Those of the others are empty,
/// and its batches hold labels alone.
pub(crate) fn score_seen(
    group: &dyn Group,
    model: &MultiTaskModel,
    dataset: &Arc<dyn Dataset>,
    (split, limit): (Split, Option<usize>),
    seen: &mut dyn FnMut(&Batch, &[Vec<Prediction>]),
) -> Result<Vec<Box<dyn Metric>>, TrainError> {
    let mut metrics: Vec<_> = model.tasks().iter().map(|task| task.metric()).collect();
    let mut score = |batch: &Batch, predictions: &[Vec<Prediction>], answered: &[Vec<usize>]| {
        for ((metric, predictions), answered) in metrics.iter_mut().zip(predictions).zip(answered) {
            if answered.len() == batch.len() {
                metric.update(predictions, batch);
            } else if !answered.is_empty() {
                let predictions: Vec<_> = answered.iter().map(|&place| predictions[place].clone()).collect();
                metric.update(&predictions, &batch.select(answered));
            }
        }
        seen(batch, predictions);
    };
    let plan = EpochPlan { limit, ..EpochPlan::new(split) };
    let batches = plan.order(dataset.len(split)).len().div_ceil(plan.batch_size);
    let (start_batch, every) = (group.rank().min(batches), group.size());
    let mut loader = Loader::new(Arc::clone(dataset), EpochPlan { start_batch, every, ..plan })?;
    for _ in 0..batches.div_ceil(every) {
        // In the last round, some have no turn.
        let batch = loader.next().transpose()?;
        let predictions = batch.as_ref().map(|batch| model.predict(batch)).unwrap_or_default();
        let answered = |batch: &Batch| {
            (0..model.tasks().len()).map(|task| model.answerable(task, batch)).collect::<Vec<_>>()
        };
        match batch {
            Some(batch) if every == 1 => score(&batch, &predictions, &answered(&batch)),
            batch => {
                let turn = batch.map(|batch| {
                    let answered = answered(&batch);
                    Turn::of(batch, predictions, answered)
                });
                for turn in group.gather_at_first(turn.map(|turn| turn.encoded()).unwrap_or_default()) {
                    if let Some(mut turn) = Turn::decoded(&turn) {
                        score(&turn.take_batch(), &turn.predictions, &turn.answered);
                    }
                }
            }
        }
    }
    Ok(metrics)
}

/// What a process sends of a batch that it predicted: the labels and the predictions.
#[derive(Serialize, Deserialize)]
struct Turn {
    classes: Vec<Option<usize>>,
    objects: Vec<Option<Vec<Object>>>,
    masks: Vec<Option<Mask>>,
    more: Vec<BTreeMap<String, Label>>,
    indices: Vec<usize>,
    predictions: Vec<Vec<Prediction>>,
    answered: Vec<Vec<usize>>,
}

impl Turn {
    fn of(batch: Batch, predictions: Vec<Vec<Prediction>>, answered: Vec<Vec<usize>>) -> Self {
        let Batch { classes, objects, masks, more, indices, .. } = batch;
        Self { classes, objects, masks, more, indices, predictions, answered }
    }

    fn encoded(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("labels and predictions can be encoded")
    }

    /// What [`encoded`](Self::encoded) made; `None` for no turn.
    fn decoded(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| postcard::from_bytes(bytes).expect("every rank is the same program"))
    }

    /// A batch with the labels, which are moved out.
    fn take_batch(&mut self) -> Batch {
        let (classes, objects) = (take(&mut self.classes), take(&mut self.objects));
        let (masks, more, indices) = (take(&mut self.masks), take(&mut self.more), take(&mut self.indices));
        let (images, inputs) = (Tensor::zeros(&[indices.len(), 0, 0, 0]), BTreeMap::new());
        let without_image = vec![true; indices.len()];
        Batch { images, without_image, inputs, classes, objects, masks, more, indices }
    }
}

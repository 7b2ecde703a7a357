//! The position of a run: all that a checkpoint holds besides tensors.

use serde::{Deserialize, Serialize};

use crate::evaluate::TaskFigures;

/// One finished epoch, a row of `metrics.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Counting from 1.
    pub epoch: usize,
    /// Steps taken in all.
    pub step: u64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mean training loss of each task, in the model's order.
    pub losses: Vec<f64>,
    /// Mean weight of each task over the epoch's steps.
    #[serde(default)]
    pub weights: Vec<f64>,
    /// Figures on the validation split.
    pub validation: Vec<TaskFigures>,
    /// Mean of the tasks' main metrics; `None` if all are unknown.
    #[serde(default)]
    pub score: Option<f64>,
    /// Whether this is the best epoch so far.
    pub is_best: bool,
    /// Training images per second, evaluation not counted.
    pub images_per_second: f64,
    /// Seconds since the start of the run, interruptions not counted.
    pub seconds: f64,
}

/// The position of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Finished epochs.
    pub epoch: usize,
    /// Finished batches of the current epoch.
    pub batch: usize,
    /// Steps taken in all.
    pub step: u64,
    /// Sums over the current epoch of the tasks' losses times images.
    pub loss_sums: Vec<f64>,
    /// Images of the batches that had labels for each task.
    #[serde(default)]
    pub loss_images: Vec<usize>,
    /// Sums of the tasks' weights over the steps of the current epoch.
    #[serde(default)]
    pub weight_sums: Vec<f64>,
    /// Images trained on in the current epoch.
    pub images: usize,
    /// Finished epochs' figures.
    pub history: Vec<EpochRow>,
    /// Seconds of the whole run so far.
    pub seconds: f64,
    /// Seconds spent in training steps, and the images they saw.
    pub training_seconds: f64,
    /// Images trained on in all.
    pub training_images: u64,
    /// Seconds spent in training steps before the current epoch.
    pub training_seconds_before: f64,
    /// Updates of the running mean of the weights.
    #[serde(default)]
    pub averaged: u64,
}

impl State {
    /// The best epoch so far.
    pub fn best(&self) -> Option<&EpochRow> {
        self.history.iter().rev().find(|row| row.is_best)
    }

    /// Finished epochs after the best one.
    pub fn epochs_since_best(&self) -> usize {
        self.history.iter().rev().take_while(|row| !row.is_best).count()
    }

    /// Whether an epoch with this score is the best so far. If nothing can be scored, the last epoch is the best.
    pub fn would_be_best(&self, score: Option<f64>) -> bool {
        let best = self.best().map(|row| row.score);
        match (score, best) {
            (Some(score), Some(Some(best))) => score > best,
            (None, Some(Some(_))) => false,
            _ => true,
        }
    }

    /// Each task's mean loss over the current epoch; 0 before its first label.
    pub fn mean_losses(&self) -> Vec<f64> {
        self.loss_sums.iter().zip(&self.loss_images).map(|(sum, &n)| sum / n.max(1) as f64).collect()
    }

    /// Training images per second over the current epoch.
    pub fn epoch_images_per_second(&self) -> f64 {
        self.images as f64 / (self.training_seconds - self.training_seconds_before).max(1e-9)
    }

    /// Training images per second over the whole run.
    pub fn images_per_second(&self) -> f64 {
        self.training_images as f64 / self.training_seconds.max(1e-9)
    }
}

/// `metrics.csv`: a header and a row per epoch.
pub fn to_csv(tasks: &[String], history: &[EpochRow]) -> String {
    // An unknown figure is an empty cell.
    let figure = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
    let mut columns: Vec<String> = ["epoch", "step", "learning_rate"].map(String::from).to_vec();
    columns.extend(tasks.iter().map(|task| format!("train_loss_{task}")));
    columns.extend(tasks.iter().map(|task| format!("weight_{task}")));
    if let Some(row) = history.first() {
        for figures in &row.validation {
            columns.extend(
                figures.metrics.iter().map(|(name, _)| format!("validation_{}_{name}", figures.task)),
            );
        }
    }
    columns.extend(["score", "best", "images_per_second", "seconds"].map(String::from));
    let mut text = columns.join(",") + "\n";
    for row in history {
        let mut cells =
            vec![row.epoch.to_string(), row.step.to_string(), format!("{:.6e}", row.learning_rate)];
        cells.extend(row.losses.iter().map(|loss| format!("{loss:.6}")));
        // A run that began before weights were recorded has none.
        let weight = |task| row.weights.get(task).map_or(String::new(), |weight| format!("{weight:.6}"));
        cells.extend((0..tasks.len()).map(weight));
        cells.extend(row.validation.iter().flat_map(|f| f.metrics.iter().map(|(_, value)| figure(*value))));
        cells.push(figure(row.score));
        cells.push(u8::from(row.is_best).to_string());
        cells.push(format!("{:.1}", row.images_per_second));
        cells.push(format!("{:.1}", row.seconds));
        text += &(cells.join(",") + "\n");
    }
    text
}

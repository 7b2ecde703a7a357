//! What a training tells about its epochs.

use cerberus_data::Batch;
use cerberus_tensor::Tensor;

use super::Metric;

/// The loss and the metrics of one pass over samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The mean loss of the samples.
    pub loss: f64,
    /// Names and values, in the order of [`Fit::metric`](super::Fit::metric).
    pub metrics: Vec<(String, f64)>,
    /// Samples seen.
    pub samples: usize,
}

impl Figures {
    /// The value of a metric.
    ///
    /// # Panics
    /// If there is none of that name.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let found = self.metrics.iter().find(|(metric, _)| metric == name);
        found
            .unwrap_or_else(|| {
                let names: Vec<&str> = self.metrics.iter().map(|(name, _)| name.as_str()).collect();
                panic!("there is no metric {name:?}, but {names:?}")
            })
            .1
    }
}

/// One epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochFigures {
    /// Means over the epoch's steps, each with the weights it found.
    pub train: Figures,
    /// The validation samples with the weights after the epoch, if there are such samples.
    pub validation: Option<Figures>,
    /// Wall time, with validation.
    pub seconds: f64,
}

impl EpochFigures {
    /// The figures by which epochs are compared: those of validation, if there are any.
    pub fn judged(&self) -> &Figures {
        self.validation.as_ref().unwrap_or(&self.train)
    }
}

/// All epochs of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// In order.
    pub epochs: Vec<EpochFigures>,
    /// The epoch with the lowest loss, from 0.
    pub best: usize,
}

impl History {
    /// The last epoch.
    ///
    /// # Panics
    /// If there was none.
    #[track_caller]
    pub fn last(&self) -> &EpochFigures {
        self.epochs.last().expect("History::last: a training of no epochs")
    }
}

/// Means over samples, of values that are means over batches.
#[derive(Default)]
pub(super) struct Means {
    loss: f64,
    metrics: Vec<(String, f64)>,
    samples: usize,
}

impl Means {
    pub(super) fn metrics(&mut self, metrics: &[(String, Metric)], outputs: &Tensor<f32>, batch: &Batch) {
        if self.metrics.is_empty() {
            self.metrics = metrics.iter().map(|(name, _)| (name.clone(), 0.0)).collect();
        }
        for ((_, sum), (_, metric)) in self.metrics.iter_mut().zip(metrics) {
            *sum += batch.len() as f64 * metric(outputs, batch);
        }
    }

    pub(super) fn loss(&mut self, loss: f64, samples: usize) {
        self.loss += samples as f64 * loss;
        self.samples += samples;
    }

    pub(super) fn figures(self) -> Figures {
        let count = self.samples as f64;
        let metrics = self.metrics.into_iter().map(|(name, sum)| (name, sum / count)).collect();
        Figures { loss: self.loss / count, metrics, samples: self.samples }
    }
}

/// The figures of an epoch as one line.
pub(super) fn line(epoch: &EpochFigures) -> String {
    let part = |before: &str, figures: &Figures| {
        let mut text = format!("{before}loss {:.4}", figures.loss);
        for (name, value) in &figures.metrics {
            text += &format!("  {before}{name} {value:.4}");
        }
        text
    };
    let mut text = part("", &epoch.train);
    if let Some(validation) = &epoch.validation {
        text += &format!("  {}", part("validation ", validation));
    }
    text + &format!("  {:.1} s", epoch.seconds)
}

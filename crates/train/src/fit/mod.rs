//! Training any layer on any data set in a few lines: batches, epochs, metrics and progress, as `fit` in Keras.
//!
//! It is a loop over [`step_with`] and hides nothing else: who needs another loop writes one, or uses the
//! [`Trainer`](crate::Trainer), which adds tasks, checkpoints and reports.

mod history;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;

use cerberus_autograd::Var;
use cerberus_data::{Batch, DataError, Dataset, EpochPlan, Loader, Split, VALUES};
use cerberus_nn::losses::cross_entropy;
use cerberus_nn::{Context, Layer, Optimizer, Schedule, StepOptions, WeightAverage, step_with};
use cerberus_tensor::Tensor;

pub use history::{EpochFigures, Figures, History};
use history::{Means, line};

/// A training could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The data could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data have no samples of a split.
    #[error("the data set {data:?} has no {split} samples")]
    Empty {
        /// The name of the data set.
        data: String,
        /// The name of the split.
        split: &'static str,
    },
    /// The loss is not finite. The model has the weights of the step before.
    #[error(
        "the loss is {value} in epoch {epoch}, batch {batch}; try a lower learning rate, or clip the gradients, and \
         see whether the inputs are finite and of order one"
    )]
    NotFinite {
        /// The loss.
        value: f64,
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        batch: usize,
    },
}

type Loss = Box<dyn Fn(Var, &Batch) -> Var>;
type Metric = Box<dyn Fn(&Tensor<f32>, &Batch) -> f64>;

/// How to train a layer on a data set.
///
/// ```
/// use cerberus_data::{Split, TensorDataset};
/// use cerberus_nn::{Adam, AdamOptions, Init, Linear, Relu, Sequential};
/// use cerberus_tensor::Tensor;
/// use cerberus_train::Fit;
///
/// // Is the second number the larger one?
/// let rows = Tensor::from_fn(&[200, 2], |i| ((i * i) as f32 * 0.37).sin());
/// let classes: Vec<usize> = rows.data().chunks(2).map(|row| usize::from(row[1] > row[0])).collect();
/// let data = TensorDataset::new(rows, &classes).hold_out(0.2, 0);
///
/// let mut model = Linear::new(2, 2, &mut Init::new(0));
/// let mut optimizer = Adam::new(AdamOptions { learning_rate: 0.1, ..AdamOptions::default() });
/// let history = Fit::classifier(data).epochs(10).quiet().run(&mut model, &mut optimizer)?;
/// assert!(history.last().validation.as_ref().unwrap().metric("accuracy") > 0.9);
/// # Ok::<(), cerberus_train::FitError>(())
/// ```
pub struct Fit {
    data: Arc<dyn Dataset>,
    loss: Loss,
    metrics: Vec<(String, Metric)>,
    epochs: usize,
    batch_size: usize,
    schedule: Option<Schedule>,
    options: StepOptions,
    patience: Option<usize>,
    quiet: bool,
}

impl Fit {
    /// Trains a layer from the batches' images to outputs whose loss this function computes, as one number.
    pub fn new(data: impl Dataset + 'static, loss: impl Fn(Var, &Batch) -> Var + 'static) -> Self {
        Self {
            data: Arc::new(data),
            loss: Box::new(loss),
            metrics: Vec::new(),
            epochs: 10,
            batch_size: 32,
            schedule: None,
            options: StepOptions::default(),
            patience: None,
            quiet: false,
        }
    }

    /// Trains a layer from images to logits `[N, classes]` by softmax cross-entropy, with the metric `accuracy`.
    pub fn classifier(data: impl Dataset + 'static) -> Self {
        Self::new(data, |logits, batch| cross_entropy(logits, &batch.classes)).metric("accuracy", accuracy)
    }

    /// Trains a layer from images to numbers `[N, K]`, the label [`VALUES`], by the mean squared error, with the metric
    /// `mae`, the mean absolute error.
    ///
    /// # Panics
    /// If the data set does not have that label.
    #[track_caller]
    pub fn regressor(data: impl Dataset + 'static) -> Self {
        let info = data.info();
        assert!(info.label(VALUES).is_some(), "Fit::regressor: {:?} has no label {VALUES:?}", info.name);
        let mse = |y: Var, batch: &Batch| {
            let targets = targets(batch, y.shape());
            (y - &targets).square().mean_all()
        };
        Self::new(data, mse).metric("mae", |y, batch| {
            let targets = targets(batch, y.shape());
            let errors = y.to_vec().into_iter().zip(targets.to_vec()).map(|(y, t)| f64::from((y - t).abs()));
            errors.sum::<f64>() / targets.len() as f64
        })
    }

    /// Another metric: a mean over the samples of a batch, from the layer's outputs. Its value for an epoch is the mean
    /// over all samples.
    pub fn metric(mut self, name: &str, metric: impl Fn(&Tensor<f32>, &Batch) -> f64 + 'static) -> Self {
        self.metrics.push((name.to_string(), Box::new(metric)));
        self
    }

    /// The number of passes over the training samples; 10 unless set.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Samples per step; 32 unless set.
    ///
    /// # Panics
    /// If it is 0.
    #[track_caller]
    pub fn batch_size(mut self, samples: usize) -> Self {
        assert!(samples > 0, "Fit: a batch needs at least one sample");
        self.batch_size = samples;
        self
    }

    /// Sets the learning rate of every step; otherwise the optimiser's own is kept.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Clipping, and the seed of dropout and of the order of the samples.
    pub fn options(mut self, options: StepOptions) -> Self {
        self.options = options;
        self
    }

    /// Stops when the loss (that of validation if there are such samples) has not become lower for so many epochs, and
    /// gives the model back with the weights of the best epoch.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = Some(epochs);
        self
    }

    /// Prints nothing; otherwise a line per epoch goes to the standard error.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The steps of the whole training, for schedules.
    pub fn steps(&self) -> usize {
        self.epochs * self.data.len(Split::Train).div_ceil(self.batch_size)
    }

    /// Trains the model. If the data have validation samples, they are scored after every epoch.
    ///
    /// # Errors
    /// If there are no training samples, a sample cannot be read, or the loss is not finite.
    ///
    /// # Panics
    /// As the model's forward pass, the loss and [`step_with`].
    #[track_caller]
    pub fn run<M: Layer>(
        &self,
        model: &mut M,
        optimizer: &mut (impl Optimizer + ?Sized),
    ) -> Result<History, FitError> {
        let mut history = History { epochs: Vec::new(), best: 0 };
        let mut best: Option<(f64, WeightAverage)> = None;
        for epoch in 1..=self.epochs {
            let clock = Instant::now();
            let train = self.train(model, optimizer, epoch)?;
            let has_validation = !self.data.is_empty(Split::Validation);
            let validation = has_validation.then(|| self.score(model, Split::Validation)).transpose()?;
            let figures = EpochFigures { train, validation, seconds: clock.elapsed().as_secs_f64() };
            self.say(&format!("epoch {epoch}/{}  {}", self.epochs, line(&figures)), true);
            let loss = figures.judged().loss;
            history.epochs.push(figures);
            if best.as_ref().is_none_or(|(lowest, _)| loss < *lowest) {
                history.best = epoch - 1;
                // Without patience the weights of the last epoch stay, and no copy is needed.
                best = self.patience.map(|_| (loss, WeightAverage::equal(&*model))).or(best);
            }
            if self.patience.is_some_and(|patience| epoch - 1 - history.best >= patience) {
                break;
            }
        }
        if let Some((_, mut weights)) = best {
            weights.swap(model);
        }
        Ok(history)
    }

    /// The loss and the metrics of the model on a split.
    ///
    /// # Errors
    /// If the split has no samples, or one cannot be read.
    pub fn score<M: Layer>(&self, model: &M, split: Split) -> Result<Figures, FitError> {
        let mut means = Means::default();
        let plan = EpochPlan { batch_size: self.batch_size, ..EpochPlan::new(split) };
        for batch in self.loader(plan)? {
            let batch = batch?;
            let output = model.forward((&batch.images).into(), &mut Context::evaluation());
            means.metrics(&self.metrics, output.value(), &batch);
            means.loss(f64::from((self.loss)(output, &batch).value().item()), batch.len());
        }
        Ok(means.figures())
    }

    fn train<M: Layer>(
        &self,
        model: &mut M,
        optimizer: &mut (impl Optimizer + ?Sized),
        epoch: usize,
    ) -> Result<Figures, FitError> {
        let mut means = Means::default();
        let plan = EpochPlan { seed: self.options.seed, ..EpochPlan::training(epoch - 1, self.batch_size) };
        let loader = self.loader(plan)?;
        let batches = loader.batches();
        for (index, batch) in loader.enumerate() {
            let batch = batch?;
            if let Some(schedule) = &self.schedule {
                optimizer.set_learning_rate(schedule.rate((epoch - 1) * batches + index));
            }
            let loss = step_with(model, optimizer, self.options, |model, context| {
                let output = model.forward((&batch.images).into(), context);
                means.metrics(&self.metrics, output.value(), &batch);
                (self.loss)(output, &batch)
            });
            if !loss.is_finite() {
                return Err(FitError::NotFinite { value: loss, epoch, batch: index + 1 });
            }
            means.loss(loss, batch.len());
            self.say(
                &format!("epoch {epoch}/{}  batch {}/{batches}  loss {loss:.4}", self.epochs, index + 1),
                false,
            );
        }
        Ok(means.figures())
    }

    fn loader(&self, plan: EpochPlan) -> Result<Loader, FitError> {
        if self.data.is_empty(plan.split) {
            return Err(FitError::Empty { data: self.data.info().name.clone(), split: plan.split.name() });
        }
        Ok(Loader::new(self.data.clone(), plan)?)
    }

    /// A line that stays, or, on a terminal, one that the next line overwrites.
    fn say(&self, text: &str, stays: bool) {
        let mut stderr = std::io::stderr();
        if self.quiet || (!stays && !stderr.is_terminal()) {
            return;
        }
        let clear = if stderr.is_terminal() { "\r\x1b[K" } else { "" };
        let end = if stays { "\n" } else { "" };
        // A terminal that is gone is no reason to stop the training.
        let _ = write!(stderr, "{clear}{text}{end}");
    }
}

/// The share of the batch's labelled samples whose class has the largest logit.
fn accuracy(logits: &Tensor<f32>, batch: &Batch) -> f64 {
    let labelled = batch.classes.iter().flatten().count().max(1);
    let best = logits.argmax();
    let right = best.iter().zip(&batch.classes).filter(|&(best, class)| Some(*best) == *class).count();
    right as f64 / labelled as f64
}

/// The batch's numbers in the shape of the outputs.
#[track_caller]
fn targets(batch: &Batch, outputs: &[usize]) -> Tensor<f32> {
    let targets = batch.values_tensor(VALUES).unwrap_or_else(|| panic!("Fit: a sample has no {VALUES:?}"));
    assert!(
        targets.len() == outputs.iter().product::<usize>(),
        "Fit: outputs {outputs:?} for values {:?}; the last layer must give as many numbers as the samples have",
        targets.shape()
    );
    targets.reshape(outputs)
}

#[cfg(test)]
mod tests;

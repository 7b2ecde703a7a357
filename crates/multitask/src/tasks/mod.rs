//! Tasks: what is asked of an image, and everything that belongs to the question.
//!
//! A [`Task`] owns its head's parameters, turns features into raw outputs,
//! compares them with the labels of a batch (its loss), decodes them into
//! [`Answer`]s, and opens the [`Metric`] that scores those. Whatever it is, the
//! trainer, the checkpoints and the reports treat it the same.

mod classify;
mod detect;
mod segment;

pub use classify::Classify;
pub use detect::Detect;
pub use segment::Segment;

use cerberus_autograd::Var;
use cerberus_data::Batch;
use cerberus_nn::{Context, Module};
use cerberus_tensor::Element;

use crate::config::TaskKind;
use crate::trunk::Features;

pub use crate::boxes::BBox;

/// Raw outputs of one head for a batch, as many maps as the head has.
#[derive(Clone)]
pub struct Prediction<T: Element = f32> {
    /// The head's outputs, in its own order.
    pub outputs: Vec<Var<T>>,
}

/// A box that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Index into the class names.
    pub class: usize,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// x1, y1, x2, y2 in pixels.
    pub bbox: BBox,
}

/// What a task says about one image.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A probability for every class.
    Classes(Vec<f32>),
    /// Objects, most certain first.
    Objects(Vec<Detection>),
    /// A class for every pixel, row by row; 0 is background.
    Mask(Vec<u8>),
}

/// Scores answers against labels, batch by batch.
pub trait Metric {
    /// Adds the answers for one batch; samples without a label are passed over.
    fn update(&mut self, answers: &[Answer], batch: &Batch);

    /// The figures so far by name, each 0 to 1 and better when larger; the
    /// first is the task's main one, by which checkpoints are compared.
    fn values(&self) -> Vec<(&'static str, f64)>;
}

/// One question put to the shared features; see the module's description.
pub trait Task<T: Element = f32>: Module<T> + Send + Sync {
    /// What kind of task this is.
    fn kind(&self) -> TaskKind;

    /// The name under which the task is trained and reported.
    fn name(&self) -> &str {
        self.kind().name()
    }

    /// The head's raw outputs.
    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> Prediction<T>;

    /// The loss of the outputs against the batch's labels: a single number, 0
    /// when no sample of the batch has a label for this task.
    fn loss(&self, prediction: Prediction<T>, batch: &Batch) -> Var<T>;

    /// One answer per image.
    fn decode(&self, prediction: &Prediction<T>) -> Vec<Answer>;

    /// A metric that has seen nothing yet.
    fn metric(&self) -> Box<dyn Metric>;
}

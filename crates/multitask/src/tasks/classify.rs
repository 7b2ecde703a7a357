//! One class for the whole image.
//!
//! The head looks where it matters: a 1x1 convolution gives every position of
//! the deepest map a score, a softmax over positions turns the scores into
//! weights, and the weighted mean of the features goes through a dense layer
//! (attention pooling; Ilse, Tomczak and Welling, 2018, without their hidden
//! layer). With scores all equal this is plain average pooling.

use cerberus_autograd::Var;
use cerberus_data::{Batch, IGNORED};
use cerberus_nn::losses::{CrossEntropy, cross_entropy};
use cerberus_nn::{Context, Conv2d, Init, Layer, Linear, module};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;

use super::{Answer, Metric, Prediction, Task};
use crate::config::TaskKind;
use crate::metrics::TopKAccuracy;
use crate::trunk::Features;

/// Classification by attention pooling and softmax cross-entropy.
pub struct Classify<T: Element = f32> {
    attention: Conv2d<T>,
    output: Linear<T>,
    classes: usize,
}

module!(Classify { attention, output } without { classes });

impl<T: Element> Classify<T> {
    /// A head for `classes` classes on a map of `channels` channels.
    pub fn new(channels: usize, classes: usize, init: &mut Init) -> Self {
        Self {
            attention: Conv2d::new(channels, 1, 1, Conv2dSpec::default(), init).with_weight_std(0.01, init),
            output: Linear::new(channels, classes, init),
            classes,
        }
    }
}

impl<T: Element> Task<T> for Classify<T> {
    fn kind(&self) -> TaskKind {
        TaskKind::Classify
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> Prediction<T> {
        let x = features.stages[features.stages.len() - 1].clone();
        let (n, places, channels) = (x.shape()[0], x.shape()[1] * x.shape()[2], x.shape()[3]);
        let scores = self.attention.forward(x.clone(), context).reshape(&[n, places]);
        let weights = scores.softmax().reshape(&[n, places, 1]);
        let pooled = (x.reshape(&[n, places, channels]) * weights).sum(&[1], false);
        Prediction { outputs: vec![self.output.forward(pooled, context)] }
    }

    fn loss(&self, prediction: Prediction<T>, batch: &Batch) -> Var<T> {
        let [logits] = outputs(prediction);
        let target: Vec<u8> =
            batch.classes.iter().map(|class| class.map_or(IGNORED, |class| class as u8)).collect();
        cross_entropy(logits, &target, &CrossEntropy::default())
    }

    fn decode(&self, prediction: &Prediction<T>) -> Vec<Answer> {
        let probabilities = prediction.outputs[0].clone().detach().softmax().into_value();
        let row = |row: &[T]| Answer::Classes(row.iter().map(|p| p.as_f64() as f32).collect());
        probabilities.contiguous().data().chunks_exact(self.classes).map(row).collect()
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(Accuracy(TopKAccuracy::new(1)))
    }
}

/// The outputs as an array.
pub(super) fn outputs<T: Element, const N: usize>(prediction: Prediction<T>) -> [Var<T>; N] {
    let found = prediction.outputs.len();
    prediction.outputs.try_into().unwrap_or_else(|_| panic!("a head of {N} outputs was given {found}"))
}

/// Share of images whose most probable class is the right one.
struct Accuracy(TopKAccuracy);

impl Metric for Accuracy {
    fn update(&mut self, answers: &[Answer], batch: &Batch) {
        for (answer, class) in answers.iter().zip(&batch.classes) {
            if let (Answer::Classes(probabilities), Some(class)) = (answer, class) {
                self.0.record(probabilities, *class);
            }
        }
    }

    fn values(&self) -> Vec<(&'static str, f64)> {
        vec![("accuracy", self.0.value())]
    }
}

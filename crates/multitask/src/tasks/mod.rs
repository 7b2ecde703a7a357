//! Tasks: what is asked of an image, and everything that belongs to the question.
//!
//! A [`Task`] owns its head's parameters, turns features into raw outputs,
//! compares them with the labels of a batch (its loss), decodes them into
//! [`Prediction`]s, and opens the [`Metric`] that scores those. Whatever it is, the
//! trainer, the checkpoints and the reports treat it the same.
//!
//! A kind of head is one file and one line in the list below: its [`HeadKind`]
//! tells what it is called, which kind of label it needs, and how it is built on
//! the maps of a trunk.
//!
//! | kind | label | head |
//! |---|---|---|
//! | `classify` | a class per image | attention pooling, softmax cross-entropy |
//! | `mlp` | a class per image | average pooling, a hidden layer, softmax cross-entropy |
//! | `multi_label` | several classes per image | average pooling, a yes or no per class |
//! | `regress` | numbers per image | average pooling, smooth absolute error |
//! | `detect` | boxes | centre heat map, sides learned around it |
//! | `centernet` | boxes | "Objects as Points" as published: heat, size, offset |
//! | `fcos` | boxes | FCOS: classes, sides, centre-ness, on one or several levels |
//! | `segment` | a class per pixel | light decoder on two maps |
//! | `fcn` | a class per pixel | FCN: scores of several stages, enlarged and summed |
//! | `unet` | a class per pixel | U-Net: skip connections at every step up |
//! | `depth` | a number per pixel | light decoder, smooth absolute error |

use std::marker::PhantomData;

use cerberus_autograd::Var;
use cerberus_data::{Batch, ClassId, LabelKind};
use cerberus_nn::{Context, Init, Module};
use cerberus_tensor::{Element, PerElement};

use crate::features::{FeatureInfo, Features};
use crate::head_config::HeadConfig;
use cerberus_metrics::{ClassSamples, ConfusionMatrix};

pub use cerberus_metrics::boxes::BBox;

pub use centernet::gaussian_radius;
pub use fcos::centre_ness;

mod annotated;
mod scores;
mod shared;

macro_rules! heads {
    ($($module:ident::$head:ident),* $(,)?) => {
        $(mod $module; pub use $module::$head;)*

        /// The kinds of head there are.
        pub fn kinds<T: Element>() -> Vec<HeadKind<T>> {
            T::choose(Kinds(PhantomData::<T>))
        }

        fn listed<T: Element>() -> Vec<HeadKind<T>> {
            vec![$($module::kind()),*]
        }
    };
}

heads! {
    classify::Classify,
    detect::Detect,
    segment::Segment,
    multi_label::MultiLabel,
    regress::Regress,
    centernet::CenterNet,
    fcos::Fcos,
    fcn::Fcn,
    unet::UNet,
    depth::Depth,
    mlp::Mlp,
}

/// The list of kinds. The heads for `f32` are compiled here; those for `f64`, with
/// whoever asks for them.
struct Kinds<T>(PhantomData<T>);

impl<U> PerElement for Kinds<U> {
    type Output<T: Element> = Vec<HeadKind<T>>;

    fn single(self) -> Vec<HeadKind<f32>> {
        single()
    }

    fn double(self) -> Vec<HeadKind<f64>> {
        listed()
    }
}

#[inline(never)]
fn single() -> Vec<HeadKind<f32>> {
    listed()
}

/// A kind of head.
pub struct HeadKind<T: Element = f32> {
    /// What it is called on command lines and in files.
    pub name: &'static str,
    /// The kind of label it learns from.
    pub label: LabelKind,
    /// Its loss's usual weight beside others.
    pub weight: f64,
    /// Builds one.
    pub build: fn(&FeatureInfo, &HeadConfig, &mut Init) -> Box<dyn Task<T>>,
}

/// Raw outputs of one head for a batch, as many maps as the head has.
#[derive(Clone)]
pub struct HeadOutput<T: Element = f32> {
    /// The head's outputs, in its own order.
    pub maps: Vec<Var<T>>,
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
pub enum Prediction {
    /// A probability for every class, one of which is right.
    Classes(Vec<f32>),
    /// For every class the probability that it is there.
    ClassSet(Vec<f32>),
    /// Numbers for the image.
    Values(Vec<f32>),
    /// Objects, most certain first.
    Objects(Vec<Detection>),
    /// A class for every pixel, row by row; 0 is background.
    Mask(Vec<ClassId>),
    /// A number for every pixel, row by row.
    ValueMap(Vec<f32>),
}

/// Scores predictions against labels, batch by batch.
pub trait Metric {
    /// Adds the predictions for one batch; samples without a label are passed over.
    fn update(&mut self, predictions: &[Prediction], batch: &Batch);

    /// The figures so far by name; the first is the task's main one, by which
    /// checkpoints are compared: from 0 to 1, better when larger. `None` for a figure that
    /// nothing was seen for: what is unknown is not 0.
    fn values(&self) -> Vec<(&'static str, Option<f64>)>;

    /// Further figures for an evaluation: curves'
    /// averages, calibration, scores by size.
    fn details(&self) -> Vec<(&'static str, Option<f64>)> {
        Vec::new()
    }

    /// Figures of the single classes by name: of those in [`HeadConfig::classes`], in that
    /// order, `None` for one that does not occur.
    fn per_class(&self) -> Vec<(&'static str, Vec<Option<f64>>)> {
        Vec::new()
    }

    /// Precision against recall, for tasks whose predictions have scores.
    fn curves(&self) -> Vec<PrecisionCurve> {
        Vec::new()
    }

    /// How often each class was taken for which, for tasks that choose one class for an image or a pixel. Of masks
    /// the first is the background.
    fn confusion(&self) -> Option<&ConfusionMatrix> {
        None
    }

    /// What was said of every image, for tasks that give each one class: to be calibrated.
    fn class_samples(&self) -> Option<&ClassSamples> {
        None
    }
}

/// The precision of one class at rising recalls.
#[derive(Clone, Debug, PartialEq)]
pub struct PrecisionCurve {
    /// Index into the class names.
    pub class: usize,
    /// The least overlap of a hit, where predictions are boxes.
    pub iou: Option<f64>,
    /// Recall and precision.
    pub points: Vec<[f64; 2]>,
}

/// One question put to the shared features; see the module's description.
pub trait Task<T: Element = f32>: Module<T> + Send + Sync {
    /// What the head was built from.
    fn config(&self) -> &HeadConfig;

    /// The name under which the task is trained and reported.
    fn name(&self) -> &str {
        &self.config().name
    }

    /// The samples of the batch that have a label for this task.
    fn labelled(&self, batch: &Batch) -> Vec<usize>;

    /// The head's raw outputs.
    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T>;

    /// The loss of the outputs against the batch's labels, a single number: the
    /// mean over the labels that are there. Called with batches alone in which
    /// every sample has a label.
    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T>;

    /// One prediction per image.
    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction>;

    /// A metric that has seen nothing yet.
    fn metric(&self) -> Box<dyn Metric>;
}

#[cfg(test)]
mod tests;

//! Tasks: heads with their losses, predictions and metrics.
//!
//! A [`Task`] owns its head's parameters, turns features into raw outputs, compares
//! them with the labels of a batch (its loss), decodes them into [`Prediction`]s, and
//! opens the [`Metric`] that scores those. The trainer, the checkpoints and the
//! reports treat all tasks the same.
//!
//! A kind of head is one file and one line in the list below: its [`HeadKind`] gives
//! its name, the kind of label it needs, and the function that builds it on the maps
//! of a trunk.
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
use serde::{Deserialize, Serialize};

use crate::features::{FeatureInfo, Features};
use crate::head_config::HeadConfig;
use cerberus_metrics::{ClassSamples, ConfusionMatrix};

pub use cerberus_metrics::boxes::BBox;

pub use centernet::gaussian_radius;
pub use decoding::{Decoding, OutputInfo};
pub use fcos::centre_ness;

mod annotated;
mod decoding;
mod scores;
mod shared;
mod whole;

pub use whole::WholeNetwork;

macro_rules! heads {
    ($($module:ident::$head:ident),* $(,)?) => {
        $(mod $module; pub use $module::$head;)*

        /// All kinds of head.
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

/// The list of kinds. The heads for `f32` are compiled here; those for `f64`, in the
/// crate that uses them.
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
    /// Its name on command lines and in files.
    pub name: &'static str,
    /// The kind of label it learns from.
    pub label: LabelKind,
    /// Its loss's usual weight beside others.
    pub weight: f64,
    /// Builds one.
    pub build: fn(&FeatureInfo, &HeadConfig, &mut Init) -> Box<dyn Task<T>>,
}

impl<T: Element> HeadKind<T> {
    /// Whether its answers have places in the image.
    pub fn finds_places(&self) -> bool {
        matches!(self.label, LabelKind::Objects | LabelKind::Mask | LabelKind::ValueMap)
    }
}

/// Raw outputs of one head for a batch, as many maps as the head has.
#[derive(Clone)]
pub struct HeadOutput<T: Element = f32> {
    /// The head's outputs, in its own order.
    pub maps: Vec<Var<T>>,
}

/// A box that a detector found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Index into the class names.
    pub class: usize,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// x1, y1, x2, y2 in pixels.
    pub bbox: BBox,
}

/// Everything that a detector could find: at each of `P` places a box, and a score for each of `C` classes. Those that
/// [`decode`](Task::decode) keeps are its detections. Both depend on the raw outputs by differentiable operations.
pub struct Candidates<T: Element = f32> {
    /// How sure the detector is, `[N, P, C]`, 0 to 1.
    pub scores: Var<T>,
    /// x1, y1, x2, y2 in pixels, `[N, P, 4]`, not clipped to the image.
    pub boxes: Var<T>,
}

/// A task's prediction for one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Prediction {
    /// A probability for every class, of which exactly one is right.
    Classes(Vec<f32>),
    /// For every class the probability that it is present.
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
    /// Adds the predictions for one batch; samples without a label are skipped.
    fn update(&mut self, predictions: &[Prediction], batch: &Batch);

    /// The figures so far by name; the first is the task's main one, by which checkpoints
    /// are compared: from 0 to 1, better when larger. `None` for a figure that had no data:
    /// what is unknown is not 0.
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

    /// The confusion matrix, for tasks that choose one class for an image or a pixel. For masks its first class is
    /// the background.
    fn confusion(&self) -> Option<&ConfusionMatrix> {
        None
    }

    /// The predictions for all images, for tasks that give each one class: to calibrate them.
    fn class_samples(&self) -> Option<&ClassSamples> {
        None
    }
}

/// The metric of a head that gives classes to images, objects or pixels, for images of so many rows and columns. Its classes
/// may be more than the head learned, for predictions to which something else has added others. `None` for other heads.
pub fn metric_of(head: &HeadConfig, image: [usize; 2]) -> Option<Box<dyn Metric>> {
    match kinds::<f32>().into_iter().find(|kind| kind.name == head.kind)?.label {
        LabelKind::Class => Some(Box::new(scores::ClassScores::new(head))),
        LabelKind::Objects => Some(Box::new(scores::ObjectScores::new(head))),
        LabelKind::Mask => Some(Box::new(scores::MaskScores::new(head, image))),
        LabelKind::Classes | LabelKind::Values | LabelKind::ValueMap => None,
    }
}

/// The precision of one class at rising recalls.
#[derive(Clone, Debug, PartialEq)]
pub struct PrecisionCurve {
    /// Index into the class names.
    pub class: usize,
    /// The smallest IoU of a hit, if predictions are boxes.
    pub iou: Option<f64>,
    /// Recall and precision.
    pub points: Vec<[f64; 2]>,
}

/// A head with its loss, its predictions and its metric; see the module's description.
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

    /// The raw outputs, and what the head's last dense layer sees of each image, `[N, D]`: a description of the image by
    /// which classes that the head does not know can be told apart, too. `None` for heads that do not end so.
    fn forward_with_embedding(
        &self,
        features: &Features<T>,
        context: &mut Context<T>,
    ) -> (HeadOutput<T>, Option<Var<T>>) {
        (self.forward(features, context), None)
    }

    /// The loss of the outputs against the batch's labels, a single number: the
    /// mean over the labels that are present. Called only with batches in which
    /// every sample has a label.
    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T>;

    /// One prediction per image.
    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction>;

    /// Everything that the outputs of a head for objects could mean; `None` for other heads.
    fn candidates(&self, _output: &HeadOutput<T>) -> Option<Candidates<T>> {
        None
    }

    /// The names of the raw outputs and what [`decode`](Self::decode) does with them, for programs that run the
    /// network elsewhere. Without it, outputs are numbered there.
    fn decoding(&self) -> Decoding {
        Decoding::default()
    }

    /// A new metric, without data.
    fn metric(&self) -> Box<dyn Metric>;
}

#[cfg(test)]
mod tests;

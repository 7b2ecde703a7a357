//! One class for the whole image.
//!
//! The head attends to positions: a 1x1 convolution gives every position of the
//! deepest map a score, a softmax over positions turns the scores into weights,
//! and the weighted mean of the features goes through a dense layer (attention
//! pooling; Ilse, Tomczak and Welling, 2018, without their hidden layer). With
//! equal scores this is plain average pooling.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind};
use cerberus_nn::{Context, Conv2d, Dropout, Init, Layer, Linear, module};
use cerberus_tensor::Element;

use super::scores::ClassScores;
use super::shared::{class_predictions, label_loss, outputs, present};
use super::{Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use crate::attention_pool::{attended, scorer};
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features};

/// Classification by attention pooling and softmax cross-entropy.
pub struct Classify<T: Element = f32> {
    /// None on a map of one position.
    attention: Option<Conv2d<T>>,
    dropout: Dropout<T>,
    output: Linear<T>,
    config: HeadConfig,
}

module!(Classify { attention, dropout, output } without { config });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "classify",
        label: LabelKind::Class,
        weight: 1.0,
        build: |info, head, init| Box::new(Classify::new(info, head, init)),
    }
}

impl<T: Element> Classify<T> {
    /// A head on the deepest map.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let channels = info.channels(info.depth() - 1);
        Self {
            attention: (info.image != [1, 1]).then(|| scorer(channels, init)),
            dropout: Dropout::new(head.options.dropout),
            output: Linear::new(channels, head.outputs(), init),
            config: head.clone(),
        }
    }

    /// The mean of the deepest map, weighted by attention, `[N, C]`; a map of one position as it is.
    fn pooled(&self, features: &Features<T>, context: &mut Context<T>) -> Var<T> {
        attended(features.stages[features.stages.len() - 1].clone(), self.attention.as_ref(), context)
    }
}

impl<T: Element> Task<T> for Classify<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.classes_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        self.forward_with_embedding(features, context).0
    }

    fn forward_with_embedding(
        &self,
        features: &Features<T>,
        context: &mut Context<T>,
    ) -> (HeadOutput<T>, Option<Var<T>>) {
        let embedding = self.pooled(features, context);
        let x = self.dropout.forward(embedding.clone(), context);
        (HeadOutput { maps: vec![self.output.forward(x, context)] }, Some(embedding))
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let [logits] = outputs(output);
        label_loss(logits, batch, &self.config)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        class_predictions(output)
    }

    fn decoding(&self) -> Decoding {
        Decoding::one_class()
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(ClassScores::new(&self.config))
    }
}

//! One class for the whole image, as in the MultiMNIST literature: the mean over the
//! deepest map (LeNet's has a single position), a hidden dense layer of the same width
//! with ReLU, a dense layer, softmax cross-entropy.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind};
use cerberus_nn::{Context, Dropout, Init, Layer, Linear, module};
use cerberus_tensor::Element;

use super::scores::ClassScores;
use super::shared::{class_predictions, label_loss, outputs, present};
use super::{Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features};

/// Classification by a hidden layer and softmax cross-entropy.
pub struct Mlp<T: Element = f32> {
    hidden: Linear<T>,
    dropout: Dropout<T>,
    output: Linear<T>,
    config: HeadConfig,
}

module!(Mlp { hidden, dropout, output } without { config });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "mlp",
        label: LabelKind::Class,
        weight: 1.0,
        build: |info, head, init| Box::new(Mlp::new(info, head, init)),
    }
}

impl<T: Element> Mlp<T> {
    /// A head on the deepest map.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let channels = info.channels(info.depth() - 1);
        Self {
            hidden: Linear::new(channels, channels, init),
            dropout: Dropout::new(head.options.dropout),
            output: Linear::new(channels, head.outputs(), init),
            config: head.clone(),
        }
    }

    /// The hidden layer, `[N, C]`.
    fn hidden(&self, features: &Features<T>, context: &mut Context<T>) -> Var<T> {
        let x = features.stages[features.stages.len() - 1].clone().global_avg_pool();
        self.hidden.forward(x, context).relu()
    }
}

impl<T: Element> Task<T> for Mlp<T> {
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
        let embedding = self.hidden(features, context);
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

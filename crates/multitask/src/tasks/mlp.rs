//! One class for the whole image, as the MultiMNIST literature asks for it: the
//! mean over the deepest map (of LeNet's single position: that position), a
//! hidden dense layer as wide as it with ReLU, a dense layer, softmax cross-entropy.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind};
use cerberus_nn::{Context, Dropout, Init, Layer, Linear, module};
use cerberus_tensor::Element;

use super::scores::ClassScores;
use super::shared::{class_answers, class_loss, class_targets, outputs, present};
use super::{Answer, HeadKind, Metric, Prediction, Site, Task};
use crate::config::HeadConfig;
use crate::trunk::Features;

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
        build: |site, head, init| Box::new(Mlp::new(site, head, init)),
    }
}

impl<T: Element> Mlp<T> {
    /// A head on the deepest map.
    pub fn new(site: &Site, head: &HeadConfig, init: &mut Init) -> Self {
        let channels = site.channels[site.stages() - 1];
        Self {
            hidden: Linear::new(channels, channels, init),
            dropout: Dropout::new(head.options.dropout),
            output: Linear::new(channels, head.outputs(), init),
            config: head.clone(),
        }
    }
}

impl<T: Element> Task<T> for Mlp<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.classes_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> Prediction<T> {
        let x = features.stages[features.stages.len() - 1].clone().global_avg_pool();
        let x = self.hidden.forward(x, context).relu();
        let x = self.dropout.forward(x, context);
        Prediction { outputs: vec![self.output.forward(x, context)] }
    }

    fn loss(&self, prediction: Prediction<T>, batch: &Batch) -> Var<T> {
        let [logits] = outputs(prediction);
        class_loss(logits, &class_targets(batch, &self.config.label), &self.config.options)
    }

    fn decode(&self, prediction: &Prediction<T>) -> Vec<Answer> {
        class_answers(prediction)
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(ClassScores::new(&self.config))
    }
}

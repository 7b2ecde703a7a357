//! A published network that classifies by itself, as a task: the whole network is the head, and the trunk only hands it
//! the image. So a classifier that was imported runs in every program that takes a model.

use cerberus_autograd::Var;
use cerberus_data::Batch;
use cerberus_nn::{Context, Layer, module};
use cerberus_tensor::Element;

use super::scores::ClassScores;
use super::shared::{class_predictions, label_loss, outputs, present};
use super::{HeadOutput, Metric, Prediction, Task};
use crate::features::Features;
use crate::head_config::HeadConfig;

/// One class for the whole image, by a layer from the trunk's last map (the image) to logits `[N, classes]`.
pub struct WholeNetwork<T: Element = f32> {
    network: Box<dyn Layer<T>>,
    config: HeadConfig,
}

module!(WholeNetwork { network } without { config });

impl<T: Element> WholeNetwork<T> {
    /// The task of `config` by this network, which has as many outputs as the task has classes.
    pub fn new(network: Box<dyn Layer<T>>, config: HeadConfig) -> Self {
        Self { network, config }
    }
}

impl<T: Element> Task<T> for WholeNetwork<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.classes_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let image = features.stages[features.stages.len() - 1].clone();
        HeadOutput { maps: vec![self.network.forward(image, context)] }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let [logits] = outputs(output);
        label_loss(logits, batch, &self.config)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        class_predictions(output)
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(ClassScores::new(&self.config))
    }
}

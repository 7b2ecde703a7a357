//! Any number of classes for the whole image: for each a yes or no.
//!
//! Average pooling of the deepest map, a dense layer, and binary cross-entropy per class, or, with a focal exponent,
//! the focal loss (Lin et al., 2017). Class weights weigh a class's presence against its absence. The mean is over the
//! classes that are judged in each image.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind};
use cerberus_nn::losses::{Focal, binary_cross_entropy, focal};
use cerberus_nn::{Context, Dropout, Init, Layer, Linear, module};
use cerberus_tensor::{Element, Tensor, sigmoid};

use super::annotated::{held, judged};
use super::scores::ClassSetScores;
use super::shared::{outputs, present};
use super::{Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features};

/// Classification with several labels per image.
pub struct MultiLabel<T: Element = f32> {
    dropout: Dropout<T>,
    output: Linear<T>,
    config: HeadConfig,
    level: usize,
}

module!(MultiLabel { dropout, output } without { config, level });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "multi_label",
        label: LabelKind::Classes,
        weight: 1.0,
        build: |info, head, init| Box::new(MultiLabel::new(info, head, init)),
    }
}

impl<T: Element> MultiLabel<T> {
    /// A head on the deepest map, or on the deepest of its levels.
    pub fn new(info: &FeatureInfo, head: &HeadConfig, init: &mut Init) -> Self {
        let levels = info.levels(head, &[info.depth() - 1]);
        let level = levels[levels.len() - 1];
        Self {
            dropout: Dropout::new(head.options.dropout),
            output: Linear::new(info.channels(level), head.outputs(), init),
            config: head.clone(),
            level,
        }
    }

    /// The mean loss of logits against a target, both `[N, C]`.
    fn mean_loss(&self, logits: Var<T>, target: Tensor<T>) -> Var<T> {
        let classes = self.config.outputs();
        let options = &self.config.options;
        if let Some(gamma) = options.focal {
            let count = logits.value().len() as f64;
            return focal(logits, target, &Focal { alpha: 0.5, gamma }, count).scale(2.0);
        }
        let weight = options.class_weights.as_ref().map(|weights| {
            Tensor::from_fn(target.shape(), |i| {
                if target.data()[i] == T::ONE { T::from_f64(weights[i % classes]) } else { T::ONE }
            })
        });
        binary_cross_entropy(logits, target, weight, None)
    }
}

impl<T: Element> Task<T> for MultiLabel<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.class_sets_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let pooled = features.stages[self.level].clone().global_avg_pool();
        let pooled = self.dropout.forward(pooled, context);
        HeadOutput { maps: vec![self.output.forward(pooled, context)] }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let [logits] = outputs(output);
        let sets = batch.class_sets_of(&self.config.label);
        let values = sets.iter().flatten().flat_map(|set| set.iter());
        let target: Vec<T> = values.map(|&there| if there { T::ONE } else { T::ZERO }).collect();
        let target = Tensor::from_vec(target, logits.shape());
        let judged = judged(batch, &self.config, target.len(), |place| target.data()[place] == T::ONE);
        let logits = held(logits, judged.as_deref());
        let loss = self.mean_loss(logits, target);
        // Turns the mean over all entries into one over those that are judged.
        match judged {
            None => loss,
            Some(judged) => {
                let count = judged.iter().filter(|&&judged| judged).count().max(1);
                loss.scale(judged.len() as f64 / count as f64)
            }
        }
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        let logits = output.maps[0].value().contiguous();
        let row = |row: &[T]| Prediction::ClassSet(row.iter().map(|&x| sigmoid(x).as_f64() as f32).collect());
        logits.data().chunks_exact(self.config.outputs()).map(row).collect()
    }

    fn decoding(&self) -> Decoding {
        Decoding::of(
            &[("logits", "a logit for each class", None)],
            &["the sigmoid of a logit is the probability that its class is present"],
        )
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(ClassSetScores::new(&self.config))
    }
}

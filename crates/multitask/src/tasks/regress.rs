//! Numbers for the whole image: an age, an angle, a count.
//!
//! Average pooling of the deepest map and a dense layer; the loss is the smooth
//! absolute error with its bend at 1 (Girshick, 2015), a mean over the numbers
//! that are known. Labels should be of order one, because their unit decides
//! where the bend is.

use cerberus_autograd::Var;
use cerberus_data::{Batch, LabelKind};
use cerberus_nn::losses::smooth_l1;
use cerberus_nn::{Context, Dropout, Init, Layer, Linear, module};
use cerberus_tensor::{Element, Tensor};

use super::scores::NumberScores;
use super::shared::{outputs, present};
use super::{Decoding, Prediction, HeadKind, Metric, HeadOutput, Task};
use crate::head_config::HeadConfig;
use crate::features::{FeatureInfo, Features};

/// Regression of one or several numbers per image.
pub struct Regress<T: Element = f32> {
    dropout: Dropout<T>,
    output: Linear<T>,
    config: HeadConfig,
    level: usize,
}

module!(Regress { dropout, output } without { config, level });

pub(super) fn kind<T: Element>() -> HeadKind<T> {
    HeadKind {
        name: "regress",
        label: LabelKind::Values,
        weight: 1.0,
        build: |info, head, init| Box::new(Regress::new(info, head, init)),
    }
}

impl<T: Element> Regress<T> {
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
}

impl<T: Element> Task<T> for Regress<T> {
    fn config(&self) -> &HeadConfig {
        &self.config
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        present(&batch.values_of(&self.config.label))
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let pooled = features.stages[self.level].clone().global_avg_pool();
        let pooled = self.dropout.forward(pooled, context);
        HeadOutput { maps: vec![self.output.forward(pooled, context)] }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        let [x] = outputs(output);
        let values = batch.values_of(&self.config.label);
        let values: Vec<f32> = values.into_iter().flatten().flatten().copied().collect();
        known_error(x, &values)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        let values = output.maps[0].value().contiguous();
        let row = |row: &[T]| Prediction::Values(row.iter().map(|x| x.as_f64() as f32).collect());
        values.data().chunks_exact(self.config.outputs()).map(row).collect()
    }

    fn decoding(&self) -> Decoding {
        Decoding::of(&[("values", "the numbers, in the order of the classes", None)], &["values are the prediction"])
    }

    fn metric(&self) -> Box<dyn Metric> {
        Box::new(NumberScores::of_images(&self.config))
    }
}

/// The mean smooth absolute error of `x` over the targets that are finite.
pub(super) fn known_error<T: Element>(x: Var<T>, values: &[f32]) -> Var<T> {
    let shape = x.shape().to_vec();
    let known = values.iter().filter(|value| value.is_finite()).count();
    let of = |f: &dyn Fn(f32) -> f64| Tensor::from_vec(values.iter().map(|&v| T::from_f64(f(v))).collect(), &shape);
    let target = of(&|v| if v.is_finite() { v.into() } else { 0.0 });
    let weights = (known < values.len()).then(|| of(&|v| f64::from(u8::from(v.is_finite()))));
    smooth_l1(x, target, 1.0, weights, known.max(1) as f64)
}

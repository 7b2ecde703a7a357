//! Late fusion: a head of each input, and one answer made of theirs.

use cerberus_autograd::Var;
use cerberus_data::Batch;
use cerberus_nn::{Context, Init, Module, ModuleTensor, ModuleTensorMut, Parameter, join};
use cerberus_tensor::{Element, Tensor};

use crate::features::{FeatureInfo, Features, View, WholeInfo};
use crate::head_config::HeadConfig;
use crate::sense_config::{Fusion, FusionConfig};
use crate::tasks::{Decoding, HeadOutput, Metric, Prediction, Task};

/// A task whose raw outputs are the mean, or a weighted mean, of those of one head for each input that the sample has.
///
/// For classes the outputs are logits, so the mean of two inputs is the product of their opinions.
pub(crate) struct OfEach<T: Element> {
    heads: Vec<Box<dyn Task<T>>>,
    names: Vec<String>,
    /// The logarithm of each input's weight before they are made to sum to 1; none for a plain mean.
    weights: Option<Parameter<T>>,
}

impl<T: Element> OfEach<T> {
    /// A head of each input of `whole`, built by `build`.
    pub fn new(
        build: fn(&FeatureInfo, &HeadConfig, &mut Init) -> Box<dyn Task<T>>,
        info: &FeatureInfo,
        whole: &WholeInfo,
        head: &HeadConfig,
        fusion: FusionConfig,
        init: &mut Init,
    ) -> Self {
        let heads = (0..whole.inputs.len()).map(|input| build(&info.seen(View::Alone(input)), head, init));
        let heads: Vec<Box<dyn Task<T>>> = heads.collect();
        let weighted = fusion.kind == Fusion::LateWeighted;
        let weights = weighted.then(|| Parameter::new(Tensor::zeros(&[heads.len()])));
        Self { heads, names: whole.inputs.clone(), weights }
    }
}

impl<T: Element> Task<T> for OfEach<T> {
    fn config(&self) -> &HeadConfig {
        self.heads[0].config()
    }

    fn labelled(&self, batch: &Batch) -> Vec<usize> {
        self.heads[0].labelled(batch)
    }

    fn forward(&self, features: &Features<T>, context: &mut Context<T>) -> HeadOutput<T> {
        let whole = features.whole.as_ref().expect("a trunk of several inputs");
        let weights = self.weights.as_ref().map(|weights| context.parameter(weights).exp());
        let samples = whole.kept[0].len();
        // The weight of each input in each sample, [N, 1], and their sum.
        let shares: Vec<Var<T>> = (0..self.heads.len())
            .map(|input| {
                let here = Var::constant(super::fusion::mask::<T>(&whole.kept[input]));
                match &weights {
                    None => here,
                    Some(weights) => here * weights.clone().narrow(0, input, 1),
                }
            })
            .collect();
        let total = shares.iter().cloned().reduce(|a, b| a + b).expect("several inputs");
        // Without any input the outputs are 0.
        let none = (0..samples).map(|sample| !whole.kept.iter().any(|has| has[sample])).collect::<Vec<_>>();
        let total = total + Var::constant(super::fusion::mask(&none));
        let mut sums: Vec<Var<T>> = Vec::new();
        for (input, (head, share)) in self.heads.iter().zip(shares).enumerate() {
            let output = head.forward(&features.seen(View::Alone(input)), context);
            let share = share / total.clone();
            for (place, map) in output.maps.into_iter().enumerate() {
                let mut shape = vec![1; map.shape().len()];
                shape[0] = samples;
                let part = map * share.clone().reshape(&shape);
                match sums.get_mut(place) {
                    None => sums.push(part),
                    Some(sum) => *sum = sum.clone() + part,
                }
            }
        }
        HeadOutput { maps: sums }
    }

    fn loss(&self, output: HeadOutput<T>, batch: &Batch) -> Var<T> {
        self.heads[0].loss(output, batch)
    }

    fn decode(&self, output: &HeadOutput<T>) -> Vec<Prediction> {
        self.heads[0].decode(output)
    }

    fn decoding(&self) -> Decoding {
        self.heads[0].decoding()
    }

    fn metric(&self) -> Box<dyn Metric> {
        self.heads[0].metric()
    }
}

/// Paths read `image.output.weight`, `audio.output.weight`, `weights`.
impl<T: Element> Module<T> for OfEach<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for (head, name) in self.heads.iter().zip(&self.names) {
            head.visit(&join(path, name), f);
        }
        self.weights.visit(&join(path, "weights"), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for (head, name) in self.heads.iter_mut().zip(&self.names) {
            head.visit_mut(&join(path, name), f);
        }
        self.weights.visit_mut(&join(path, "weights"), f);
    }
}

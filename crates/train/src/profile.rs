//! The cost of each layer: time forward and backward, and the memory of its output.
//!
//! In the forward pass, a trace records when each layer ends. In the backward pass, each parameter's gradient arrives
//! as soon as it is complete, the last layers first: the time since the previous gradient counts for the parameter's
//! layer, including operations without parameters in between.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cerberus_autograd::{Gradient, GradientSink, Leaf, ParamId, backward_into};
use cerberus_data::Batch;
use cerberus_multitask::MultiTaskModel;
use cerberus_nn::{Context, LayerTrace, Module};

use crate::start::layer_of;

/// The number of measured steps; their median counts.
const STEPS: usize = 5;

/// The costs of the layers of a model in a step, in the order in which they run.
pub(crate) struct Profile {
    /// Images of the batch.
    pub images: usize,
    pub layers: Vec<LayerCost>,
}

/// The cost of one layer in a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerCost {
    pub path: String,
    /// The shape of its output.
    pub shape: Vec<usize>,
    pub forward: Duration,
    /// Zero for a layer without a gradient.
    pub backward: Duration,
}

impl LayerCost {
    /// Bytes of the output.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * size_of::<f32>()
    }
}

impl Profile {
    /// Measures steps with a batch; the model does not change.
    pub fn of(model: &MultiTaskModel, batch: &Batch, seed: u64) -> Self {
        let parameters = model.parameters();
        let paths: HashMap<ParamId, String> =
            parameters.iter().map(|(path, parameter)| (parameter.id(), layer_of(path).to_string())).collect();
        let weights = vec![1.0; model.tasks().len()];
        let mut passes: Vec<(Vec<LayerTrace>, HashMap<String, Duration>)> = Vec::with_capacity(STEPS);
        for _ in 0..STEPS {
            let mut context = Context::training(seed, 0);
            context.trace_layers();
            let loss = model.loss(batch, &weights, &mut context);
            let forward = context.traced().to_vec();
            context.discard();
            let mut clock = Clock { paths: &paths, last: Instant::now(), layers: HashMap::new() };
            if let Some(loss) = loss.filter(|loss| loss.is_recorded()) {
                backward_into(loss, &mut clock);
            }
            passes.push((forward, clock.layers));
        }
        let layers = passes[0].0.iter().enumerate().map(|(place, layer)| {
            let path = paths.get(&layer.parameter).cloned().unwrap_or_default();
            LayerCost {
                shape: layer.shape.clone(),
                forward: median(
                    passes.iter().filter_map(|(forward, _)| Some(forward.get(place)?.elapsed)).collect(),
                ),
                backward: median(
                    passes.iter().filter_map(|(_, backward)| backward.get(&path).copied()).collect(),
                ),
                path,
            }
        });
        Self { images: batch.len(), layers: layers.collect() }
    }
}

/// Records when gradients arrive, and drops them.
struct Clock<'a> {
    paths: &'a HashMap<ParamId, String>,
    last: Instant,
    layers: HashMap<String, Duration>,
}

impl GradientSink<f32> for Clock<'_> {
    fn accept(&mut self, leaf: Leaf, gradient: Gradient<f32>) {
        drop(gradient);
        if let Some(path) = leaf.parameter.and_then(|id| self.paths.get(&id)) {
            *self.layers.entry(path.clone()).or_default() += self.last.elapsed();
        }
        self.last = Instant::now();
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cerberus_data::{Dataset, FashionScenes, Split};
    use cerberus_multitask::ModelConfig;

    use super::*;

    #[test]
    fn every_layer_with_parameters_is_measured_once_and_none_is_changed() {
        let scenes: Arc<dyn Dataset> = Arc::new(FashionScenes::embedded(1));
        let mut config = ModelConfig::for_data(scenes.info());
        config.stages = vec![vec![4], vec![4], vec![8], vec![8]];
        let model = MultiTaskModel::new(&config, 1);
        let samples: Vec<_> = (0..2).map(|index| scenes.sample(Split::Train, 0, index).unwrap()).collect();
        let batch = Batch::assemble(&samples, vec![0, 1]).unwrap();
        let before = model.tensors();
        let profile = Profile::of(&model, &batch, 1);
        assert_eq!(profile.images, 2);
        let first = &profile.layers[0];
        assert_eq!((first.path.as_str(), &*first.shape), ("trunk.stage1.block1.conv", &[2, 64, 64, 4][..]));
        let mut paths: Vec<&str> = profile.layers.iter().map(|layer| layer.path.as_str()).collect();
        assert!(profile.layers.iter().all(|layer| layer.backward > Duration::ZERO), "{:?}", profile.layers);
        let count = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), count);
        let owners =
            model.parameters().into_iter().map(|(path, _)| path.rsplit_once('.').unwrap().0.to_string());
        assert_eq!(owners.collect::<std::collections::BTreeSet<_>>().len(), count);
        for ((name, a), (_, b)) in before.iter().zip(model.tensors()) {
            assert_eq!(a.data(), b.data(), "{name}");
        }
    }
}

//! A person's style: the statistics of their pictures in every batch norm.
//!
//! Camera, light and colours shift the activations of all layers alike. Batch norms that use the statistics of the
//! person's own pictures, mixed with those of the base's, take most of the shift back, without any label (Li et al.,
//! "Revisiting batch normalization for practical domain adaptation", 2017; the mixture from Schneider et al., "Improving
//! robustness against common corruptions by covariate shift adaptation", 2020). All heads gain.

use std::collections::BTreeMap;

use cerberus_autograd::{ParamId, Var};
use cerberus_multitask::MultiTaskModel;
use cerberus_nn::{Context, Module, ModuleTensor, ModuleTensorMut};
use cerberus_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The base's statistics count like those of this many pictures.
pub const PRIOR: f64 = 16.0;

/// The statistics of all batch norms, by their paths, each `[C]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Style {
    /// How many pictures they are of.
    pub pictures: usize,
    /// `trunk.stage1.block1.norm.running_mean` and so on, in the model's order.
    #[serde(skip)]
    pub statistics: Vec<(String, Vec<f32>)>,
}

/// Whether a buffer is a statistic of a batch norm.
fn is_statistic(path: &str) -> bool {
    path.ends_with(".running_mean") || path.ends_with(".running_variance")
}

impl Style {
    /// The statistics of `batches` of pictures `[N, H, W, C]`, mixed with the model's own. The model is changed
    /// meanwhile, and is then what it was. `None` without a picture or without a batch norm, or for pictures whose
    /// statistics are not finite.
    ///
    /// Layers that are random in training are random here, too, from a fixed seed.
    pub fn measure(model: &mut MultiTaskModel, batches: &[Tensor]) -> Option<Self> {
        let own = statistics(model);
        let pictures: usize = batches.iter().map(|batch| batch.shape()[0]).sum();
        if pictures == 0 || own.is_empty() {
            return None;
        }
        // A norm records (1 - m) old + m new: the same batch after 0 and after 1 tells its m.
        let one = batches[0].narrow(0, 0, 1);
        let [after_0, after_1] = [0.0, 1.0].map(|value| recorded(model, &one, value, &own));
        let mut sums = vec![Vec::new(); own.len()];
        for batch in batches {
            let share = batch.shape()[0] as f64 / pictures as f64;
            for (sum, new) in sums.iter_mut().zip(recorded(model, batch, 0.0, &own)) {
                sum.resize(new.len(), 0.0);
                sum.iter_mut().zip(new).for_each(|(sum, new)| *sum += share * new);
            }
        }
        set(model, &own);
        let weight = pictures as f64 / (pictures as f64 + PRIOR);
        let mixed = own.iter().enumerate().map(|(i, (path, old))| {
            let momentum = 1.0 - (after_1[i].first()? - after_0[i].first()?);
            let mix = |(&old, &sum): (&f32, &f64)| {
                ((1.0 - weight) * f64::from(old) + weight * sum / momentum) as f32
            };
            let values: Vec<f32> = old.iter().zip(&sums[i]).map(mix).collect();
            let fits = values.len() == old.len() && values.iter().all(|value| value.is_finite());
            fits.then(|| (path.clone(), values))
        });
        Some(Self { pictures, statistics: mixed.collect::<Option<_>>()? })
    }

    /// The model's own statistics, of no picture in particular.
    pub fn of(model: &MultiTaskModel) -> Self {
        Self { pictures: 0, statistics: statistics(model) }
    }

    /// Gives the model these statistics.
    ///
    /// # Errors
    /// A sentence if the model has no such batch norms; it is then unchanged.
    pub fn apply(&self, model: &mut MultiTaskModel) -> Result<(), String> {
        let mut left: BTreeMap<&str, &[f32]> =
            self.statistics.iter().map(|(path, values)| (path.as_str(), values.as_slice())).collect();
        model.visit("", &mut |path, entry| {
            if left.get(path.as_str()).is_some_and(|values| values.len() == entry.value().len()) {
                left.remove(path.as_str());
            }
        });
        if let Some(path) = left.keys().next() {
            return Err(format!("this base has no batch norm {path:?} of that size"));
        }
        set(model, &self.statistics);
        Ok(())
    }
}

/// The statistics of a model's batch norms by their paths.
fn statistics(model: &MultiTaskModel) -> Vec<(String, Vec<f32>)> {
    let mut found = Vec::new();
    model.visit("", &mut |path, entry| {
        if let ModuleTensor::Buffer(buffer) = entry
            && is_statistic(&path)
        {
            found.push((path, buffer.value.to_vec()));
        }
    });
    found
}

/// Sets statistics that the model has.
fn set(model: &mut MultiTaskModel, statistics: &[(String, Vec<f32>)]) {
    let values: BTreeMap<&str, &Vec<f32>> =
        statistics.iter().map(|(path, values)| (path.as_str(), values)).collect();
    model.visit_mut("", &mut |path, entry| {
        if let ModuleTensorMut::Buffer(buffer) = entry
            && let Some(values) = values.get(path.as_str())
        {
            buffer.value = Tensor::from_vec((*values).clone(), &[values.len()]);
        }
    });
}

/// What the norms record of a batch if all their statistics are `value` before, in the order of `own`; nothing for a
/// norm that the pass did not reach.
fn recorded(
    model: &mut MultiTaskModel,
    batch: &Tensor,
    value: f32,
    own: &[(String, Vec<f32>)],
) -> Vec<Vec<f64>> {
    let before: Vec<(String, Vec<f32>)> =
        own.iter().map(|(path, old)| (path.clone(), vec![value; old.len()])).collect();
    set(model, &before);
    let mut context = Context::training(0, 0);
    drop(model.forward(Var::constant(batch.clone()), &mut context));
    let mut updates: BTreeMap<ParamId, Tensor> = context.finish().into_iter().collect();
    let mut found = Vec::with_capacity(own.len());
    model.visit("", &mut |path, entry| {
        if let ModuleTensor::Buffer(buffer) = entry
            && is_statistic(&path)
        {
            let new = updates.remove(&buffer.id()).map_or_else(Vec::new, |new| new.to_vec());
            found.push(new.into_iter().map(f64::from).collect());
        }
    });
    found
}

//! The running mean of a model's weights over its training.

use cerberus_tensor::{Element, Tensor};

use crate::checkpoint::owned;
use crate::module::Module;

/// An exponential moving average of a model's parameters and buffers (Polyak and Juditsky, 1992, with the weights of
/// Tarvainen and Valpola, "Mean teachers", 2017): after update `t`, counted from 1, `mean += (1 - d) (model - mean)`
/// with `d = min(decay, t / (10 + t))`, so the average quickly forgets the first steps, which are far from the final
/// weights. It often predicts better than the weights of any single step, above all at a high learning rate.
///
/// Or their equal average (Izmailov et al., "Averaging weights leads to wider optima", 2018, algorithm 1):
/// `mean += (model - mean) / t`. It is usually updated once an epoch, at a constant or cyclic learning rate, after most
/// of the training. Like `torch.optim.swa_utils.AveragedModel` with `use_buffers`.
#[derive(Clone, Debug)]
pub struct WeightAverage<T: Element = f32> {
    /// The largest share of the mean that an update keeps; `None` for the equal average.
    decay: Option<f64>,
    updates: u64,
    means: Vec<(String, Tensor<T>)>,
}

impl<T: Element> WeightAverage<T> {
    /// An average that starts at the current weights of `model`.
    ///
    /// # Panics
    /// Unless `decay` is at least 0 and below 1.
    #[track_caller]
    pub fn new(decay: f64, model: &dyn Module<T>) -> Self {
        assert!(
            (0.0..1.0).contains(&decay),
            "WeightAverage: the decay must be from 0 to below 1, found {decay}"
        );
        Self::start(Some(decay), model)
    }

    /// The equal average of the weights at every update; that of no update yet is the current weights of `model`.
    pub fn equal(model: &dyn Module<T>) -> Self {
        Self::start(None, model)
    }

    fn start(decay: Option<f64>, model: &dyn Module<T>) -> Self {
        let means = model.tensors().into_iter().map(|(name, tensor)| (name, owned(&tensor)));
        Self { decay, updates: 0, means: means.collect() }
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Updates the mean with the model's weights; call it after each step.
    ///
    /// # Panics
    /// If the model does not have the same tensors as the one passed to [`new`](Self::new).
    #[track_caller]
    pub fn update(&mut self, model: &dyn Module<T>) {
        self.updates += 1;
        let t = self.updates as f64;
        let decay = self.decay.map_or((t - 1.0) / t, |decay| decay.min(t / (10.0 + t)));
        let (keep, take) = (T::from_f64(decay), T::from_f64(1.0 - decay));
        let tensors = model.tensors();
        assert_eq!(tensors.len(), self.means.len(), "WeightAverage: a model of other tensors");
        for ((_, mean), (_, value)) in self.means.iter_mut().zip(&tensors) {
            let data = mean.data_mut();
            for (mean, value) in data.iter_mut().zip(value.contiguous().data()) {
                *mean = keep * *mean + take * *value;
            }
        }
    }

    /// Exchanges the model's weights with the mean: once to evaluate or save the mean, and once more to go on training.
    ///
    /// # Panics
    /// If the model does not have the same tensors as the one passed to [`new`](Self::new).
    #[track_caller]
    pub fn swap(&mut self, model: &mut dyn Module<T>) {
        let mut means = self.means.iter_mut();
        model.visit_mut("", &mut |_, mut entry| {
            let (_, mean) = means.next().expect("WeightAverage: a model of other tensors");
            std::mem::swap(entry.value_mut(), mean);
        });
    }

    /// The means and their tensors' names, for a checkpoint; with [`updates`](Self::updates) the whole state.
    pub fn tensors(&self) -> Vec<(String, Tensor<T>)> {
        self.means.clone()
    }

    /// Restores the state that [`tensors`](Self::tensors) and [`updates`](Self::updates) returned.
    ///
    /// # Errors
    /// The name of a tensor that is missing or has another shape; the mean is then unchanged.
    pub fn restore(&mut self, tensors: Vec<(String, Tensor<T>)>, updates: u64) -> Result<(), String> {
        let mut found: std::collections::BTreeMap<String, Tensor<T>> = tensors.into_iter().collect();
        let mut restored = Vec::with_capacity(self.means.len());
        for (name, mean) in &self.means {
            match found.remove(name).filter(|tensor| tensor.shape() == mean.shape()) {
                Some(tensor) => restored.push((name.clone(), owned(&tensor))),
                None => return Err(name.clone()),
            }
        }
        (self.means, self.updates) = (restored, updates);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Linear, Parameter};
    use approx::assert_abs_diff_eq;

    fn set(model: &mut Parameter<f64>, value: f64) {
        model.value = Tensor::from_vec(vec![value], &[1]);
    }

    #[test]
    fn the_mean_follows_the_formula_and_swapping_twice_changes_nothing() {
        let mut model = Parameter::new(Tensor::from_vec(vec![1.0], &[1]));
        let mut average = WeightAverage::new(0.2, &model);
        let mut expected = 1.0;
        for t in 1..=6 {
            set(&mut model, f64::from(t * t));
            average.update(&model);
            let d = 0.2f64.min(f64::from(t) / f64::from(10 + t));
            expected = d * expected + (1.0 - d) * f64::from(t * t);
        }
        average.swap(&mut model);
        assert_abs_diff_eq!(model.value.data()[0], expected, epsilon = 1e-12);
        average.swap(&mut model);
        assert_eq!(model.value.data(), [36.0]);
    }

    #[test]
    fn the_equal_average_is_the_mean_of_the_weights_at_the_updates_and_forgets_the_start() {
        let mut model = Parameter::new(Tensor::from_vec(vec![100.0], &[1]));
        let mut average = WeightAverage::equal(&model);
        for value in [1.0, 2.0, 6.0, 7.0] {
            set(&mut model, value);
            average.update(&model);
        }
        assert_eq!(average.updates(), 4);
        average.swap(&mut model);
        assert_abs_diff_eq!(model.value.data()[0], 4.0, epsilon = 1e-12);
    }

    #[test]
    fn a_restored_mean_goes_on_with_the_same_bits_and_one_of_another_model_is_refused() {
        let model = Linear::<f32>::new(3, 2, &mut Init::new(1));
        let mut average = WeightAverage::new(0.9, &Linear::new(3, 2, &mut Init::new(2)));
        average.update(&model);
        let mut again = WeightAverage::new(0.9, &model);
        again.restore(average.tensors(), average.updates()).unwrap();
        average.update(&model);
        again.update(&model);
        for ((name, a), (_, b)) in average.tensors().into_iter().zip(again.tensors()) {
            assert_eq!(a.data(), b.data(), "{name}");
        }
        let other = WeightAverage::new(0.9, &Linear::<f32>::new(3, 4, &mut Init::new(1)));
        assert_eq!(again.restore(other.tensors(), 1), Err("weight".to_string()));
    }
}

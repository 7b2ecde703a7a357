//! What all optimisers share: state by path, and the pass over memory.

use std::collections::BTreeMap;

use cerberus_autograd::Gradients;
use cerberus_tensor::parallel::PIECE;
use cerberus_tensor::{Element, Tensor};

use crate::losses::pieces::map_jobs;
use crate::module::Module;

/// Saved optimiser state does not fit the model or the optimiser.
#[derive(Debug, thiserror::Error)]
#[error(
    "optimiser state {name:?} {problem}; resume with the model and the optimiser that wrote it, or start the optimiser afresh"
)]
pub struct StateError {
    /// The tensor's name.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Per parameter, `B` tensors of its shape and a count of steps.
pub(super) struct State<T: Element, const B: usize> {
    /// The optimiser's name, and its tensors'.
    name: &'static str,
    quantities: [&'static str; B],
    /// In the model's declaration order, from the first step on.
    slots: Vec<Slot<T, B>>,
}

struct Slot<T: Element, const B: usize> {
    path: String,
    /// 0 until the parameter's first gradient; the tensors exist from then on.
    steps: u64,
    tensors: Option<[Tensor<T>; B]>,
}

/// One parameter of one step, for the choice of its coefficients.
pub(super) struct Situation {
    /// Of the parameter.
    pub rank: usize,
    /// Which of the parameter's steps this is, from 1.
    pub step: u64,
}

/// A run of one parameter's values with everything that belongs to them.
pub(super) struct Piece<'a, T, const B: usize> {
    pub value: &'a mut [T],
    pub gradient: &'a [T],
    /// Zeros in the parameter's first step.
    pub state: [&'a mut [T]; B],
}

impl<T: Element, const B: usize> State<T, B> {
    pub fn new(name: &'static str, quantities: [&'static str; B]) -> Self {
        Self { name, quantities, slots: Vec::new() }
    }

    /// Updates all parameters that have a gradient: `coefficients` once per
    /// parameter, `update` on every piece of it, in parallel over everything.
    #[track_caller]
    pub fn step<C: Copy + Send + Sync>(
        &mut self,
        model: &mut dyn Module<T>,
        gradients: &Gradients<T>,
        coefficients: impl Fn(Situation) -> C,
        update: impl Fn(C, Piece<'_, T, B>) + Sync,
    ) {
        let mut parameters = model.parameters_mut();
        let paths = parameters.iter().map(|(path, _)| path.as_str());
        if !self.slots.iter().map(|slot| slot.path.as_str()).eq(paths.clone()) {
            self.arrange(paths);
        }
        let dense: Vec<Option<Tensor<T>>> =
            parameters.iter().map(|(_, p)| gradients.parameter(p.id()).map(Tensor::contiguous)).collect();
        let mut jobs = Vec::new();
        for (((path, parameter), slot), gradient) in parameters.iter_mut().zip(&mut self.slots).zip(&dense) {
            let Some(gradient) = gradient else { continue };
            let shape = parameter.value.dims();
            assert!(
                gradient.shape() == &*shape,
                "{}: the gradient of {path} has shape {:?}, the parameter {shape:?}",
                self.name,
                gradient.shape()
            );
            slot.steps += 1;
            let coefficients = coefficients(Situation { rank: shape.len(), step: slot.steps });
            let tensors = slot.tensors.get_or_insert_with(|| std::array::from_fn(|_| Tensor::zeros(&shape)));
            let Some(value) = parameter.value.unique_data_mut() else {
                panic!(
                    "{}: the values of {path} are shared with another tensor and cannot be changed in place; \
                     drop the tapes, contexts, clones and views that hold them before the step",
                    self.name
                );
            };
            // State that a caller of `state` still holds is copied here; it is the caller's snapshot.
            let mut state = tensors.each_mut().map(|tensor| tensor.data_mut().chunks_mut(PIECE));
            for (value, gradient) in value.chunks_mut(PIECE).zip(gradient.data().chunks(PIECE)) {
                let state =
                    state.each_mut().map(|chunks| chunks.next().expect("as many pieces as the value"));
                jobs.push((coefficients, Piece { value, gradient, state }));
            }
        }
        map_jobs(jobs, |(coefficients, piece)| update(coefficients, piece));
    }

    /// Puts the slots in the order of `paths`, with new ones where there are none.
    #[track_caller]
    fn arrange<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        let mut known: BTreeMap<String, Slot<T, B>> =
            self.slots.drain(..).map(|slot| (slot.path.clone(), slot)).collect();
        let fresh = |path: &str| Slot { path: path.to_string(), steps: 0, tensors: None };
        self.slots = paths.map(|path| known.remove(path).unwrap_or_else(|| fresh(path))).collect();
        // Slots that never had a gradient hold nothing to lose.
        if let Some(path) = known.values().find(|slot| slot.steps > 0).map(|slot| &slot.path) {
            panic!(
                "{}: there is state for {path}, which this model does not have; it is of another model",
                self.name
            );
        }
    }

    /// Name and tensor of everything that is known, steps as numbers of rank 0.
    pub fn save(&self) -> Vec<(String, Tensor<T>)> {
        let mut all = Vec::new();
        for slot in &self.slots {
            let Some(tensors) = &slot.tensors else { continue };
            let entry = |quantity: &str| format!("{}.{quantity}.{}", self.name, slot.path);
            // Exact up to 2^24 steps in f32; no correction still depends on the count by then.
            all.push((entry("step"), Tensor::scalar(T::from_f64(slot.steps as f64))));
            all.extend(
                self.quantities
                    .iter()
                    .zip(tensors)
                    .map(|(quantity, tensor)| (entry(quantity), tensor.clone())),
            );
        }
        all
    }

    /// See [`Optimizer::load_state`](super::Optimizer::load_state).
    pub fn load(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        let mut found: BTreeMap<String, Tensor<T>> = tensors.into_iter().collect();
        let mut slots = Vec::new();
        for (path, parameter) in model.parameters() {
            let name = |quantity: &str| format!("{}.{quantity}.{path}", self.name);
            let mut take = |quantity: &str, shape: &[usize]| match found.remove(&name(quantity)) {
                Some(tensor) if tensor.shape() == shape => Ok(Some(tensor)),
                Some(tensor) => {
                    let problem = format!("has shape {:?} where {shape:?} is needed", tensor.shape());
                    Err(StateError { name: name(quantity), problem })
                }
                None => Ok(None),
            };
            let steps = take("step", &[])?.map_or(0.0, |steps| steps.item().as_f64());
            if !(steps >= 0.0 && steps.fract() == 0.0) {
                return Err(StateError {
                    name: name("step"),
                    problem: format!("is {steps}, not a count of steps"),
                });
            }
            let mut slot = Slot { path: path.clone(), steps: steps as u64, tensors: None };
            if slot.steps > 0 {
                let mut tensors: [Tensor<T>; B] = std::array::from_fn(|_| Tensor::scalar(T::ZERO));
                for (tensor, quantity) in tensors.iter_mut().zip(self.quantities) {
                    let missing = || StateError { name: name(quantity), problem: "is missing".to_string() };
                    *tensor = take(quantity, parameter.value.shape())?.ok_or_else(missing)?;
                }
                slot.tensors = Some(tensors);
            }
            slots.push(slot);
        }
        if let Some(name) = found.into_keys().next() {
            let problem = format!("belongs to no parameter of this model under {}", self.name);
            return Err(StateError { name, problem });
        }
        self.slots = slots;
        Ok(())
    }
}

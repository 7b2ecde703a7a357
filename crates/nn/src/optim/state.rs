//! The state that an optimiser keeps for each parameter, by path: how it is named, saved and loaded.

use std::collections::BTreeMap;

use cerberus_tensor::{Element, Tensor};

use crate::module::Module;

/// The methods of an [`Optimizer`](super::Optimizer) with the fields `options` and `state` and a
/// [`Reach`](super::Reach), all but its step.
macro_rules! kept_in_state {
    ($reach:ident) => {
        fn learning_rate(&self) -> f64 {
            self.options.learning_rate
        }

        #[track_caller]
        fn set_learning_rate(&mut self, rate: f64) {
            super::assert_learning_rate(self.state.name(), rate);
            self.options.learning_rate = rate;
        }

        fn steps(&self) -> u64 {
            self.state.steps()
        }

        fn state(&self) -> Vec<(String, Tensor<T>)> {
            self.state.save()
        }

        fn load_state(
            &mut self,
            model: &dyn Module<T>,
            tensors: Vec<(String, Tensor<T>)>,
        ) -> Result<(), StateError> {
            self.state.load(model, tensors)
        }

        fn reach(&self) -> super::Reach {
            super::Reach::$reach
        }

        fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
            self.state.parameter_of(name)
        }
    };
}
pub(super) use kept_in_state;

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
    /// The names of the optimiser and of its tensors.
    name: &'static str,
    quantities: [&'static str; B],
    /// In the model's declaration order, from the first step on.
    pub(super) slots: Vec<Slot<T, B>>,
}

/// The state of one parameter.
pub(super) struct Slot<T: Element, const B: usize> {
    pub path: String,
    /// 0 until the parameter's first gradient; the tensors exist from then on.
    pub steps: u64,
    pub tensors: Option<[Tensor<T>; B]>,
}

impl<T: Element, const B: usize> State<T, B> {
    pub fn new(name: &'static str, quantities: [&'static str; B]) -> Self {
        Self { name, quantities, slots: Vec::new() }
    }

    /// The optimiser's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// See [`Optimizer::parameter_of`](super::Optimizer::parameter_of).
    pub fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_prefix(self.name)?.strip_prefix('.')?;
        self.quantities.iter().find_map(|quantity| rest.strip_prefix(quantity)?.strip_prefix('.'))
    }

    /// The step count of the parameter with the most steps.
    pub fn steps(&self) -> u64 {
        self.slots.iter().map(|slot| slot.steps).max().unwrap_or(0)
    }

    /// The state of every parameter of the last step's model, in declaration order.
    pub fn tensors(&self) -> impl Iterator<Item = Option<&[Tensor<T>; B]>> {
        self.slots.iter().map(|slot| slot.tensors.as_ref())
    }

    /// Puts the slots in the order of `paths`, with new ones where there are none.
    #[track_caller]
    pub fn arrange<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        let mut known: BTreeMap<String, Slot<T, B>> =
            self.slots.drain(..).map(|slot| (slot.path.clone(), slot)).collect();
        let fresh = |path: &str| Slot { path: path.to_string(), steps: 0, tensors: None };
        self.slots = paths.map(|path| known.remove(path).unwrap_or_else(|| fresh(path))).collect();
        // Slots that never had a gradient hold no state, so nothing is lost.
        if let Some(path) = known.values().find(|slot| slot.steps > 0).map(|slot| &slot.path) {
            panic!(
                "{}: there is state for {path}, which this model does not have; it is of another model",
                self.name
            );
        }
    }

    /// The names and tensors of the whole state; step counts are tensors of rank 0.
    pub fn save(&self) -> Vec<(String, Tensor<T>)> {
        let mut all = Vec::new();
        for slot in &self.slots {
            let Some(tensors) = &slot.tensors else { continue };
            let entry = |quantity: &str| format!("{}.{quantity}.{}", self.name, slot.path);
            // Exact up to 2^24 steps in f32; by then no bias correction depends on the count.
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

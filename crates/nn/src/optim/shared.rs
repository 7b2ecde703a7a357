//! One optimiser in several processes, each of which holds the state of a part of the parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;

use cerberus_autograd::{Gradients, ParamId};
use cerberus_distributed::{Group, Parts};
use cerberus_tensor::{Element, Tensor};

use super::own::OwnGradients;
use super::owners::{Fill, Owners, Reach};
use super::{Optimizer, StateError};
use crate::module::{Module, ModuleTensor, ModuleTensorMut, Parameter};

/// An optimiser that the processes of a group share (Rajbhandari et al., "ZeRO: Memory optimizations toward training
/// trillion parameter models", 2020, section 5.1): each keeps the state of its part of the parameters only, updates
/// that part, and gets the others' new values. Weights and state have the same bits as without sharing.
///
/// Parts are pieces of tensors if the optimiser inside reaches no further than a [value](Reach::Value), and whole
/// tensors if it reaches as far as [those](Reach::Tensor). One that reaches further, or is alone, does everything
/// everywhere.
///
/// All processes must call [`step`](Optimizer::step), [`load_state`](Optimizer::load_state) and, unlike elsewhere,
/// [`state`](Optimizer::state) together.
///
/// ```
/// use cerberus_distributed::thread_groups;
/// use cerberus_nn::optim::{AdamOptions, AdamW, Optimizer, Shared};
/// use cerberus_nn::{Init, Layer, Linear, step};
/// use cerberus_tensor::Tensor;
///
/// let rank = |group| {
///     let mut model: Linear = Linear::new(300, 200, &mut Init::new(0));
///     let mut optimizer = Shared::new(AdamW::new(AdamOptions::default()), group);
///     let x: Tensor = Tensor::ones(&[1, 300]);
///     // In every process the same step.
///     step(&mut model, &mut optimizer, |model, context| model.forward((&x).into(), context).square().mean_all());
///     optimizer.own_state().iter().map(|(_, tensor)| tensor.len()).sum::<usize>()
/// };
/// let held: Vec<usize> = std::thread::scope(|scope| {
///     let ranks: Vec<_> = thread_groups(2).into_iter().map(|group| scope.spawn(|| rank(group))).collect();
///     ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
/// });
/// // Two moments of 60,200 parameters, in pieces of 16,384 or less, and the counts of steps.
/// assert_eq!(held, [2 * 32_768 + 2, 2 * (16_384 + 10_848 + 200) + 2]);
/// ```
pub struct Shared<T: Element, O> {
    inside: O,
    /// Nothing if every process does everything.
    owners: Option<Arc<Owners>>,
    element: PhantomData<T>,
}

impl<T: Element, O: Optimizer<T>> Shared<T, O> {
    /// `inside`, before the first step, shared by the processes of `group`.
    pub fn new(inside: O, group: Arc<dyn Group>) -> Self {
        let reach = inside.reach();
        let is_shared = group.size() > 1 && reach != Reach::Model;
        let owners = is_shared.then(|| Arc::new(Owners::new(group, reach)));
        Self { inside, owners, element: PhantomData }
    }

    /// The state that this process holds: of every parameter the count of steps, and its part of the other quantities.
    pub fn own_state(&self) -> Vec<(String, Tensor<T>)> {
        self.inside.state()
    }
}

/// A process's part of each parameter that was dealt. It may be empty, but all are there, so that the optimiser inside
/// counts the same steps in every process.
struct Part<T: Element>(Vec<(String, Parameter<T>)>);

impl<T: Element> Module<T> for Part<T> {
    fn visit<'a>(&'a self, _: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.0.iter().for_each(|(path, own)| f(path.clone(), ModuleTensor::Parameter(own)));
    }

    fn visit_mut<'a>(&'a mut self, _: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.0.iter_mut().for_each(|(path, own)| f(path.clone(), ModuleTensorMut::Parameter(own)));
    }
}

/// A copy of what this process updates, and the ids of those parameters in the model.
fn part_of<T: Element>(model: &dyn Module<T>, owners: &Owners) -> (Part<T>, Vec<ParamId>) {
    let (mut part, mut ids) = (Vec::new(), Vec::new());
    for (path, parameter) in model.parameters() {
        if let Some(held) = owners.at(&path) {
            let mut own = held.own(&parameter.value, owners.group.rank());
            // What would be the model's is copied.
            own.data_mut();
            part.push((path, Parameter::new(own)));
            ids.push(parameter.id());
        }
    }
    (Part(part), ids)
}

/// Gives the parameters of these ids the values that processes have of them.
#[track_caller]
fn share<T: Element>(model: &mut dyn Module<T>, part: &Part<T>, owners: &Owners, ids: &BTreeSet<ParamId>) {
    let known: BTreeMap<&str, &Parameter<T>> = part.0.iter().map(|(path, own)| (&**path, own)).collect();
    let (mut values, mut own, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for (path, parameter) in model.parameters_mut() {
        if !ids.contains(&parameter.id()) {
            continue;
        }
        let held = owners.of(parameter.id());
        parts.extend(held.parts().within(0..held.len()).map(|(run, rank)| (run.len(), rank)));
        own.push(known[&*path].value.data());
        let Some(value) = parameter.value.unique_data_mut() else {
            panic!(
                "shared optimiser: the values of {path} are shared with another tensor and cannot be changed in place; \
                 drop the tapes, contexts, clones and views that hold them before the step"
            );
        };
        values.push(value);
    }
    let mut values = Fill::new(values);
    Parts::new(parts).gather(&*owners.group, &own, |some| values.take(some));
}

impl<T: Element, O: Optimizer<T>> Optimizer<T> for Shared<T, O> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        match self.owners(model) {
            None => self.inside.step(model, gradients),
            Some(owners) => self.step_own(model, &OwnGradients::of_all(&owners, gradients)),
        }
    }

    fn learning_rate(&self) -> f64 {
        self.inside.learning_rate()
    }

    #[track_caller]
    fn set_learning_rate(&mut self, rate: f64) {
        self.inside.set_learning_rate(rate);
    }

    fn steps(&self) -> u64 {
        self.inside.steps()
    }

    /// The whole state in the first process, and nothing in the others.
    fn state(&self) -> Vec<(String, Tensor<T>)> {
        let Some(owners) = &self.owners else { return self.inside.state() };
        let group = &*owners.group;
        let mut all = Vec::new();
        // The names are the same in every process.
        for (name, own) in self.inside.state() {
            // A count of steps is the same, too.
            let Some(held) = self.inside.parameter_of(&name).and_then(|path| owners.at(path)) else {
                all.push((name, own));
                continue;
            };
            let first = Parts::new([(held.len(), 0)]);
            let whole = held.parts().hand_over(group, &[own.contiguous().data()], &first);
            if group.is_first() {
                all.push((name, Tensor::from_vec(whole, &held.shape)));
            }
        }
        if group.is_first() { all } else { Vec::new() }
    }

    /// Takes a whole state in every process, of which each keeps its part.
    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        // Says what is wrong with it.
        self.inside.load_state(model, tensors.clone())?;
        let Some(owners) = &mut self.owners else { return Ok(()) };
        let paths: BTreeSet<&str> =
            tensors.iter().filter_map(|(name, _)| self.inside.parameter_of(name)).collect();
        owners.deal(model, |path| paths.contains(path));
        let own = |(name, tensor): &(String, Tensor<T>)| {
            let held = self.inside.parameter_of(name).and_then(|path| owners.at(path));
            (name.clone(), held.map_or_else(|| tensor.clone(), |held| held.own(tensor, owners.group.rank())))
        };
        let own = tensors.iter().map(own).collect();
        self.inside.load_state(&part_of(model, owners).0, own)
    }

    fn reach(&self) -> Reach {
        // Of another group.
        Reach::Model
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.inside.parameter_of(name)
    }

    fn owners(&mut self, model: &dyn Module<T>) -> Option<Arc<Owners>> {
        let owners = self.owners.as_mut()?;
        owners.deal(model, |_| false);
        Some(Arc::clone(owners))
    }

    #[track_caller]
    fn step_own(&mut self, model: &mut dyn Module<T>, gradients: &OwnGradients<T>) {
        let owners = &*gradients.owners;
        let (mut part, ids) = part_of(model, owners);
        let own = |((_, own), id): (&(String, Parameter<T>), ParamId)| {
            let gradient = gradients.own.parameter(id)?;
            Some((own.id(), gradient.reshape(own.value.shape())))
        };
        let own: Gradients<T> = part.0.iter().zip(ids).filter_map(own).collect();
        self.inside.step(&mut part, &own);
        let ids = gradients.own.parameters().map(|(id, _)| id).collect();
        share(model, &part, owners, &ids);
    }
}

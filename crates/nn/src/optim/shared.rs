//! One optimiser in several processes, each of which holds the state of a part of the parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;

use cerberus_autograd::{Gradients, ParamId};
use cerberus_distributed::{Group, Parts};
use cerberus_tensor::{Element, Tensor};

use super::owners::{OwnGradients, Owners, Reach};
use super::{Optimizer, StateError};
use crate::module::{Module, ModuleTensor, ModuleTensorMut, Parameter};

/// An optimiser that the processes of a group share (Rajbhandari et al., "ZeRO: Memory optimizations toward training
/// trillion parameter models", 2020, section 5.1): each keeps the state of its part of the parameters only, updates that
/// part, and gets the others' new values. Weights and state have the same bits as without sharing.
///
/// Parts are pieces of tensors if the optimiser inside reaches no further than a [value](Reach::Value), and whole tensors
/// if it reaches as far as [those](Reach::Tensor). One that reaches further, or is alone, does everything everywhere.
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
/// assert_eq!(held, [2 * 32_768 + 1, 2 * (16_384 + 10_848 + 200) + 2]);
/// ```
pub struct Shared<T: Element, O> {
    inside: O,
    /// Nothing if every process does everything.
    owners: Option<Arc<Owners>>,
    /// Steps in all processes.
    steps: u64,
    element: PhantomData<T>,
}

impl<T: Element, O: Optimizer<T>> Shared<T, O> {
    /// `inside`, before the first step, shared by the processes of `group`.
    pub fn new(inside: O, group: Arc<dyn Group>) -> Self {
        let reach = inside.reach();
        let is_shared = group.size() > 1 && reach != Reach::Model;
        let owners = is_shared.then(|| Arc::new(Owners::new(group, reach)));
        Self { inside, owners, steps: 0, element: PhantomData }
    }

    /// The state that this process holds.
    pub fn own_state(&self) -> Vec<(String, Tensor<T>)> {
        self.inside.state()
    }
}

/// This process's part of a model.
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
    let here = owners.group.rank();
    let (mut part, mut ids) = (Vec::new(), Vec::new());
    for (path, parameter) in model.parameters() {
        if let Some(held) = owners.at(&path).filter(|held| held.is_of(here)) {
            let own = held.own(&parameter.value, here);
            part.push((path, Parameter::new(Tensor::from_vec(own.to_vec(), own.shape()))));
            ids.push(parameter.id());
        }
    }
    (Part(part), ids)
}

/// Gives the parameters of these ids the values that processes have of them.
#[track_caller]
fn share<T: Element>(model: &mut dyn Module<T>, part: &Part<T>, owners: &Owners, ids: &BTreeSet<ParamId>) {
    let mut values = Vec::new();
    let mut parts = Vec::new();
    let mut own = Vec::new();
    let known: BTreeMap<&str, &Parameter<T>> = part.0.iter().map(|(path, own)| (&**path, own)).collect();
    for (path, parameter) in model.parameters_mut() {
        if !ids.contains(&parameter.id()) {
            continue;
        }
        let held = owners.of(parameter.id());
        let len = held.len();
        parts.extend(held.parts().within(0..len).map(|(run, rank)| (run.len(), rank)));
        own.extend(known.get(&*path).into_iter().flat_map(|own| own.value.data()));
        let Some(value) = parameter.value.unique_data_mut() else {
            panic!(
                "shared optimiser: the values of {path} are shared with another tensor and cannot be changed in place; \
                 drop the tapes, contexts, clones and views that hold them before the step"
            );
        };
        values.push(value);
    }
    // The tensor that the next number belongs to, and the place of that number there.
    let (mut tensor, mut place) = (0, 0);
    Parts::new(parts).gather(&*owners.group, &own, |part| {
        let mut rest = &part[..];
        while !rest.is_empty() {
            let (now, after) = rest.split_at(rest.len().min(values[tensor].len() - place));
            values[tensor][place..place + now.len()].copy_from_slice(now);
            (rest, place) = (after, place + now.len());
            if place == values[tensor].len() {
                (tensor, place) = (tensor + 1, 0);
            }
        }
    });
}

/// A number of every process, the largest of which is returned.
fn largest(group: &dyn Group, own: u64) -> u64 {
    let all = group.gather(own.to_le_bytes().to_vec()).wait();
    all.iter().filter_map(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?))).max().unwrap_or(own)
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
        if self.owners.is_some() { self.steps } else { self.inside.steps() }
    }

    /// The whole state in order of names, in the first process; nothing in the others.
    fn state(&self) -> Vec<(String, Tensor<T>)> {
        let Some(owners) = &self.owners else { return self.inside.state() };
        let group = &*owners.group;
        let own: BTreeMap<String, Tensor<T>> = self.inside.state().into_iter().collect();
        // A single number, such as a count of steps, is the same in all that have it.
        let single = |tensor: &Tensor<T>| (tensor.rank() == 0).then(|| tensor.item().as_f64().to_bits());
        let names: Vec<(&String, Option<u64>)> =
            own.iter().map(|(name, tensor)| (name, single(tensor))).collect();
        let told = group.gather(serde_json::to_vec(&names).expect("names and numbers are valid JSON")).wait();
        let names = |bytes: &Vec<u8>| -> BTreeMap<String, Option<u64>> {
            let names: Vec<_> = serde_json::from_slice(bytes).expect("other ranks are the same program");
            names.into_iter().collect()
        };
        let mut all = Vec::new();
        for (name, single) in told.iter().flat_map(names).collect::<BTreeMap<String, Option<u64>>>() {
            if let Some(bits) = single {
                all.push((name, Tensor::scalar(T::from_f64(f64::from_bits(bits)))));
                continue;
            }
            let held = self.inside.parameter_of(&name).and_then(|path| owners.at(path));
            let held = held.expect("a tensor of the state is of a parameter that was dealt");
            let own = own.get(&name).map_or_else(Vec::new, Tensor::to_vec);
            let whole = held.parts().hand_over(group, &own, &Parts::new([(held.len(), 0)]));
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
        self.steps = self.inside.steps();
        let paths: BTreeSet<&str> =
            tensors.iter().filter_map(|(name, _)| self.inside.parameter_of(name)).collect();
        owners.deal(model, |path| paths.contains(path));
        let here = owners.group.rank();
        let mut own = Vec::new();
        for (name, tensor) in &tensors {
            match self.inside.parameter_of(name).and_then(|path| owners.at(path)) {
                Some(held) if !held.is_of(here) => {}
                Some(held) if tensor.rank() > 0 => own.push((name.clone(), held.own(tensor, here))),
                _ => own.push((name.clone(), tensor.clone())),
            }
        }
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
        self.steps = largest(&*owners.group, self.inside.steps());
    }
}

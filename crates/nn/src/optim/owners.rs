//! Who updates which numbers, where processes share an optimiser.
//!
//! Each parameter is cut into pieces of [`PIECE`] numbers, which are dealt to the processes like cards, the largest
//! first, each to the one that has the least so far: every process has about as much of each layer as the others, so
//! that all sums of a backward pass are shared out evenly. Where the update of a number depends on the whole tensor,
//! tensors are dealt in the same way.
//!
//! Pieces begin where those begin by which [norms](Tensor::squared_norm) are summed. Sums of squares of pieces, added
//! in order, are therefore the norm in one process, bit by bit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use cerberus_autograd::{Gradients, ParamId};
use cerberus_distributed::{Group, Parts, Sum};
use cerberus_tensor::parallel::{PIECE, map_ranges};
use cerberus_tensor::{Element, Tensor};

use super::Optimizer;
use crate::module::{Module, Parameter};

/// What the update of a number depends on, besides the step and the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// On the number, its gradient and its state, and on the rank of its tensor.
    Value,
    /// On those of the whole tensor.
    Tensor,
    /// On more; processes cannot share such an optimiser.
    Model,
}

/// The owner of every number of a model's parameters.
#[derive(Clone)]
pub struct Owners {
    pub(super) group: Arc<dyn Group>,
    reach: Reach,
    held: Vec<Held>,
    by_path: BTreeMap<String, usize>,
    by_id: BTreeMap<ParamId, usize>,
    /// How many numbers each process sums, and how many it updates.
    loads: [Vec<usize>; 2],
}

/// A parameter, and who has its pieces.
#[derive(Clone)]
pub(super) struct Held {
    pub shape: Vec<usize>,
    summed_by: Vec<usize>,
    updated_by: Vec<usize>,
}

impl Held {
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn piece(&self, piece: usize) -> Range<usize> {
        piece * PIECE..((piece + 1) * PIECE).min(self.len())
    }

    /// Who updates what.
    pub fn parts(&self) -> Parts {
        Parts::new(self.updated_by.iter().enumerate().map(|(piece, rank)| (self.piece(piece).len(), *rank)))
    }

    /// What a rank updates of a tensor of this shape: all of it, or its pieces in a row with as many axes, perhaps
    /// none. A single number has an axis, so that it can be without.
    pub fn own<T: Element>(&self, tensor: &Tensor<T>, rank: usize) -> Tensor<T> {
        let tensor = tensor.contiguous();
        if !self.shape.is_empty() && self.updated_by.iter().all(|owner| *owner == rank) {
            return tensor;
        }
        let parts = self.parts();
        let mut shape = vec![1; self.shape.len().max(1)];
        *shape.last_mut().expect("it has an axis") = parts.len_of(rank);
        Tensor::filled_by(&shape, |own| {
            let mut own = Fill::new(vec![own]);
            let runs = parts.within(0..self.len()).filter(|(_, owner)| *owner == rank);
            runs.for_each(|(run, _)| own.take(&tensor.data()[run]));
        })
    }
}

/// Slices that are filled one after another, as numbers come.
pub(super) struct Fill<'a, T> {
    slices: std::vec::IntoIter<&'a mut [T]>,
    rest: &'a mut [T],
}

impl<'a, T: Copy> Fill<'a, T> {
    pub fn new(slices: Vec<&'a mut [T]>) -> Self {
        Self { slices: slices.into_iter(), rest: &mut [] }
    }

    /// Puts the next numbers.
    pub fn take(&mut self, mut numbers: &[T]) {
        while !numbers.is_empty() {
            while self.rest.is_empty() {
                self.rest = self.slices.next().expect("a place for every number");
            }
            let (now, after) = numbers.split_at(numbers.len().min(self.rest.len()));
            let (places, rest) = std::mem::take(&mut self.rest).split_at_mut(now.len());
            places.copy_from_slice(now);
            (numbers, self.rest) = (after, rest);
        }
    }
}

impl Owners {
    pub(super) fn new(group: Arc<dyn Group>, reach: Reach) -> Self {
        let loads = [vec![0; group.size()], vec![0; group.size()]];
        Self { group, reach, held: Vec::new(), by_path: BTreeMap::new(), by_id: BTreeMap::new(), loads }
    }

    /// Deals the parameters that are trainable or chosen, and were not dealt before.
    #[track_caller]
    pub(super) fn deal<T: Element>(
        self: &mut Arc<Self>,
        model: &dyn Module<T>,
        is_chosen: impl Fn(&str) -> bool,
    ) {
        let mut new = Vec::new();
        for (path, parameter) in model.parameters() {
            match self.by_path.get(&path) {
                // Another model of the same paths.
                Some(&place) if self.by_id.get(&parameter.id()) != Some(&place) => {
                    let owners = Arc::make_mut(self);
                    owners.by_id.retain(|_, known| *known != place);
                    owners.by_id.insert(parameter.id(), place);
                }
                None if parameter.is_trainable() || is_chosen(&path) => new.push((path, parameter)),
                _ => {}
            }
        }
        if !new.is_empty() {
            Arc::make_mut(self).add(new);
        }
    }

    fn add<T: Element>(&mut self, new: Vec<(String, &Parameter<T>)>) {
        let first = self.held.len();
        for (path, parameter) in new {
            let shape = parameter.value.shape().to_vec();
            let pieces = parameter.value.len().div_ceil(PIECE).max(1);
            self.by_path.insert(path, self.held.len());
            self.by_id.insert(parameter.id(), self.held.len());
            self.held.push(Held { shape, summed_by: vec![0; pieces], updated_by: vec![0; pieces] });
        }
        let Self { held, loads: [summing, updating], reach, .. } = self;
        let new = &mut held[first..];
        let pieces =
            |held: &Held| (0..held.summed_by.len()).map(|piece| held.piece(piece).len()).collect::<Vec<_>>();
        let ranks = dealt(&new.iter().flat_map(pieces).collect::<Vec<_>>(), summing);
        let mut ranks = ranks.into_iter();
        new.iter_mut()
            .for_each(|held| held.summed_by.fill_with(|| ranks.next().expect("a rank for each piece")));
        if *reach == Reach::Value {
            updating.clone_from(summing);
            new.iter_mut().for_each(|held| held.updated_by.clone_from(&held.summed_by));
            return;
        }
        let ranks = dealt(&new.iter().map(Held::len).collect::<Vec<_>>(), updating);
        new.iter_mut().zip(ranks).for_each(|(held, rank)| held.updated_by.fill(rank));
    }

    pub(super) fn at(&self, path: &str) -> Option<&Held> {
        self.by_path.get(path).map(|&place| &self.held[place])
    }

    #[track_caller]
    pub(super) fn of(&self, id: ParamId) -> &Held {
        &self.held[*self.by_id.get(&id).expect("the parameter was dealt before the step")]
    }

    /// Who sums what in a vector of the gradients of these parameters, with a number before each that counts them.
    pub(crate) fn summing(&self, ids: &[ParamId]) -> Parts {
        self.counted(ids, |held| &held.summed_by)
    }

    fn counted(&self, ids: &[ParamId], ranks: impl Fn(&Held) -> &Vec<usize>) -> Parts {
        let pieces = ids.iter().map(|id| self.of(*id)).flat_map(|held| {
            let len = |piece: usize| held.piece(piece).len() + usize::from(piece == 0);
            ranks(held).iter().enumerate().map(move |(piece, rank)| (len(piece), *rank))
        });
        Parts::new(pieces)
    }
}

/// The rank that gets each of the items of these sizes: the largest first, each to the rank with the least so far.
fn dealt(sizes: &[usize], loads: &mut [usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&item| std::cmp::Reverse(sizes[item]));
    let mut ranks = vec![0; sizes.len()];
    for item in order {
        let rank = (0..loads.len()).min_by_key(|&rank| loads[rank]).expect("a group has processes");
        ranks[item] = rank;
        loads[rank] += sizes[item];
    }
    ranks
}

/// Of the gradient of each parameter that has one, what this process updates.
#[derive(Clone)]
pub struct OwnGradients<T: Element = f32> {
    /// The own numbers of each in a row, none where all are others'.
    pub(super) own: Gradients<T>,
    pub(super) owners: Arc<Owners>,
}

impl<T: Element> OwnGradients<T> {
    /// From a sum of vectors that [`Owners::summing`] cuts.
    pub(crate) fn of_sum(owners: &Arc<Owners>, ids: &[ParamId], sum: Sum<'_, T>) -> Self {
        let (group, here) = (&*owners.group, owners.group.rank());
        let held = |id: &ParamId| owners.of(*id);
        // Who updates a parameter's first number knows whether it has a gradient.
        let mut counts: Vec<T> =
            ids.iter().filter(|id| held(id).updated_by[0] == here).map(|_| T::ZERO).collect();
        let unspecified = |id: &ParamId| Tensor::filled_by(&[held(id).parts().len_of(here)], |_| {});
        let mut found: Vec<Tensor<T>> = ids.iter().map(unspecified).collect();
        let mut count = counts.iter_mut();
        let mut places = Vec::new();
        for (id, own) in ids.iter().zip(&mut found) {
            if held(id).updated_by[0] == here {
                places.extend(count.next().map(std::slice::from_mut));
            }
            places.push(own.data_mut());
        }
        let mut places = Fill::new(places);
        if owners.reach == Reach::Value {
            sum.finish_own(|part| places.take(&part));
        } else {
            let mut summed = Vec::new();
            sum.finish_own(|part| summed.push(part));
            let summed: Vec<&[T]> = summed.iter().map(Vec::as_slice).collect();
            let updating = owners.counted(ids, |held| &held.updated_by);
            places.take(&owners.summing(ids).hand_over(group, &summed, &updating));
        }
        let told = group.gather(counts.iter().map(|count| u8::from(*count > T::ZERO)).collect()).wait();
        let mut told: Vec<_> = told.iter().map(|counts| counts.iter()).collect();
        let mut has = |id: &ParamId| told[held(id).updated_by[0]].next() == Some(&1);
        let own = ids.iter().copied().zip(found).filter(|(id, _)| has(id)).collect();
        Self { own, owners: Arc::clone(owners) }
    }

    /// From gradients that every process has.
    pub(super) fn of_all(owners: &Arc<Owners>, gradients: &Gradients<T>) -> Self {
        let own = |(id, gradient): (ParamId, &Tensor<T>)| {
            // Others are of another model.
            let (held, here) = (&owners.held[*owners.by_id.get(&id)?], owners.group.rank());
            let own = held.own(gradient, here);
            Some((id, own.reshape(&[own.len()])))
        };
        Self { own: gradients.parameters().filter_map(own).collect(), owners: Arc::clone(owners) }
    }

    /// See [`Gradients::clip_values`].
    ///
    /// # Panics
    /// If the limit is negative or NaN.
    #[track_caller]
    pub fn clip_values(&mut self, limit: T) {
        self.own.clip_values(limit);
    }

    /// See [`Gradients::clip_global_norm`]: the norm is that of all processes' gradients, and has the same bits.
    pub fn clip_global_norm(&mut self, limit: T) -> T {
        let owners = &self.owners;
        let mut own = Vec::new();
        for (_, gradient) in self.own.parameters() {
            let square = |range: Range<usize>| gradient.narrow(0, range.start, range.len()).squared_norm();
            own.extend(map_ranges(gradient.len(), PIECE, square).into_iter().flat_map(f64::to_le_bytes));
        }
        let told = owners.group.gather(own).wait();
        let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
        let mut told: Vec<_> = told.iter().map(|bytes| bytes.as_chunks::<8>().0.iter().map(number)).collect();
        let mut square = |id: ParamId| {
            let held = owners.of(id);
            let ranks = held.updated_by.iter().filter(|_| held.len() > 0);
            ranks.map(|rank| told[*rank].next().expect("a sum of each piece")).sum::<f64>()
        };
        let norm = self.own.parameters().map(|(id, _)| square(id)).sum::<f64>();
        let norm = T::from_f64(norm.sqrt());
        if norm > limit {
            let scaled = |(id, own): (ParamId, &Tensor<T>)| (id, own.clone().scale(limit / norm));
            self.own = self.own.parameters().map(scaled).collect();
        }
        norm
    }
}

/// The gradients of a step.
pub enum StepGradients<T: Element = f32> {
    /// In every process.
    Everywhere(Gradients<T>),
    /// Where they are used.
    AtOwners(OwnGradients<T>),
}

impl<T: Element> StepGradients<T> {
    /// See [`Gradients::clip_values`].
    ///
    /// # Panics
    /// If the limit is negative or NaN.
    #[track_caller]
    pub fn clip_values(&mut self, limit: T) {
        match self {
            Self::Everywhere(gradients) => gradients.clip_values(limit),
            Self::AtOwners(gradients) => gradients.clip_values(limit),
        }
    }

    /// See [`Gradients::clip_global_norm`]; all processes must call it.
    pub fn clip_global_norm(&mut self, limit: T) -> T {
        match self {
            Self::Everywhere(gradients) => gradients.clip_global_norm(limit),
            Self::AtOwners(gradients) => gradients.clip_global_norm(limit),
        }
    }

    /// A step along them.
    ///
    /// # Panics
    /// As [`Optimizer::step`].
    #[track_caller]
    pub fn apply(&self, model: &mut dyn Module<T>, optimizer: &mut (impl Optimizer<T> + ?Sized)) {
        match self {
            Self::Everywhere(gradients) => optimizer.step(model, gradients),
            Self::AtOwners(gradients) => optimizer.step_own(model, gradients),
        }
    }
}

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

use cerberus_autograd::ParamId;
use cerberus_distributed::{Group, Parts};
use cerberus_tensor::parallel::PIECE;
use cerberus_tensor::{Element, Tensor};

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
    pub(super) reach: Reach,
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
    pub updated_by: Vec<usize>,
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

    /// A parameter by its id; `None` for one of another model.
    pub(super) fn known(&self, id: ParamId) -> Option<&Held> {
        self.by_id.get(&id).map(|&place| &self.held[place])
    }

    #[track_caller]
    pub(super) fn of(&self, id: ParamId) -> &Held {
        self.known(id).expect("the parameter was dealt before the step")
    }

    /// Who sums what in a vector of the gradients of these parameters, with a number before each that counts them.
    pub(crate) fn summing(&self, ids: &[ParamId]) -> Parts {
        self.counted(ids, |held| &held.summed_by)
    }

    pub(super) fn counted(&self, ids: &[ParamId], ranks: impl Fn(&Held) -> &Vec<usize>) -> Parts {
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

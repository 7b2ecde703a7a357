//! The gradients of a step where processes share the optimiser: each has what it updates, and no more.

use std::ops::Range;
use std::sync::Arc;

use cerberus_autograd::{Gradients, ParamId};
use cerberus_distributed::Sum;
use cerberus_tensor::parallel::{PIECE, map_ranges};
use cerberus_tensor::{Element, Tensor};

use super::Optimizer;
use super::owners::{Fill, Owners, Reach};
use crate::module::Module;

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
            let summed: Vec<&[T]> = summed.iter().map(|part| &part[..]).collect();
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
            let (held, here) = (owners.known(id)?, owners.group.rank());
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

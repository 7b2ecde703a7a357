//! Some of a model's tensors as one vector, as sums over shards need them.

use std::collections::HashMap;
use std::ops::Range;

use cerberus_autograd::ParamId;
use cerberus_tensor::{Element, Tensor};

use crate::module::{Module, ModuleTensor};

/// Some of a model's tensors as one vector, in order of declaration: of each, whether it is there, and its values.
pub(super) struct Layout {
    pub entries: Vec<(ParamId, Vec<usize>)>,
}

impl Layout {
    pub fn of<T: Element>(
        model: &dyn Module<T>,
        chosen: impl Fn(&ModuleTensor<T>) -> Option<ParamId>,
    ) -> Self {
        let mut entries = Vec::new();
        model.visit("", &mut |_, entry| {
            entries.extend(chosen(&entry).map(|id| (id, entry.value().shape().to_vec())));
        });
        Self { entries }
    }

    /// The length of such a vector.
    pub fn len(&self) -> usize {
        self.entries.iter().map(|(_, shape)| 1 + shape.iter().product::<usize>()).sum()
    }

    /// The place of each tensor in such a vector.
    pub fn places(&self) -> HashMap<ParamId, Range<usize>> {
        let mut next = 0;
        let place = |(id, shape): &(ParamId, Vec<usize>)| {
            let start = next;
            next += 1 + shape.iter().product::<usize>();
            (*id, start..next)
        };
        self.entries.iter().map(place).collect()
    }

    /// 1 and the values of a tensor that is there; otherwise zeros.
    pub fn flat<'a, T: Element>(&self, tensor: impl Fn(ParamId) -> Option<&'a Tensor<T>>) -> Vec<T> {
        let mut flat = Vec::new();
        for (id, shape) in &self.entries {
            match tensor(*id) {
                Some(tensor) => {
                    flat.push(T::ONE);
                    flat.extend_from_slice(tensor.contiguous().data());
                }
                None => flat.resize(flat.len() + 1 + shape.iter().product::<usize>(), T::ZERO),
            }
        }
        flat
    }
}

/// The tensors in a sum of vectors of a [`Layout`], which comes in parts.
pub(super) struct Found<T: Element> {
    /// Each with how many of the vectors had it.
    tensors: Vec<(ParamId, Tensor<T>, T)>,
    /// The tensor that the next number belongs to, and how many it has already, with that of how many had it.
    at: (usize, usize),
}

impl<T: Element> Found<T> {
    pub fn of(layout: &Layout) -> Self {
        // A sum has every number of the layout.
        let unset = |shape: &Vec<usize>| Tensor::filled_by(shape, |_| {});
        let tensors = layout.entries.iter().map(|(id, shape)| (*id, unset(shape), T::ZERO));
        Self { tensors: tensors.collect(), at: (0, 0) }
    }

    pub fn take(&mut self, mut part: &[T]) {
        while let [first, rest @ ..] = part {
            let (place, have) = self.at;
            let (_, tensor, count) = &mut self.tensors[place];
            let len = tensor.len();
            let now = match have {
                0 => {
                    *count = *first;
                    part = rest;
                    1
                }
                _ => {
                    let (own, after) = part.split_at(part.len().min(len + 1 - have));
                    tensor.data_mut()[have - 1..][..own.len()].copy_from_slice(own);
                    part = after;
                    own.len()
                }
            };
            self.at = if have + now > len { (place + 1, 0) } else { (place, have + now) };
        }
    }

    /// Those that any of the vectors had.
    pub fn tensors(self) -> impl Iterator<Item = (ParamId, Tensor<T>, T)> {
        self.tensors.into_iter().filter(|(_, _, count)| *count > T::ZERO)
    }
}

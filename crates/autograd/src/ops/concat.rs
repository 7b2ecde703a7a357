//! Tensors joined along one dimension.

use cerberus_tensor::{Element, Tensor, concat};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves};
use crate::tape::Var;

/// `y` is the inputs one after another along `axis`; each `dx` is its part of `dy`.
pub struct Concat {
    axis: usize,
    /// Extent of each input along `axis`; known after the forward pass.
    extents: Vec<usize>,
}

impl<T: Element> Operation<T> for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let parts = inputs.into_vec();
        self.extents = parts.iter().map(|part| part.shape()[self.axis]).collect();
        concat::concat(&parts, self.axis)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let mut start = 0;
        let part = |(&extent, &wanted): (&usize, &bool)| {
            let part = wanted.then(|| dy.narrow(self.axis, start, extent).contiguous().into());
            start += extent;
            part
        };
        self.extents.iter().zip(wants).map(part).collect()
    }

    fn cases() -> Vec<Case> {
        let parts = vec![sample(1, &[2, 2, 3]), sample(2, &[2, 1, 3]), sample(3, &[2, 4, 3])];
        vec![
            Case::new("concat: three parts", parts, |parts| Var::concat(parts, 1)),
            Case::binary("concat: channels", sample(4, &[2, 2]), sample(5, &[2, 3]), |a, b| Var::concat(vec![a, b], 1)),
        ]
    }
}

impl<T: Element> Var<T> {
    /// The parts joined along `axis`; see [`Concat`].
    ///
    /// # Panics
    /// If there is no part, no such axis, or the other extents differ.
    #[track_caller]
    pub fn concat(parts: Vec<Var<T>>, axis: usize) -> Var<T> {
        Var::apply(Concat { axis, extents: Vec::new() }, parts)
    }
}

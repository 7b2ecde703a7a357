//! Tensors joined along one dimension.

use cerberus_tensor::{Element, Tensor, concat};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the inputs one after another along `axis`; each `dx` is its part of `dy`.
pub struct Concat {
    /// The dimension.
    pub axis: usize,
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

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let mut start = 0;
        let part = |(&extent, &wanted): (&usize, &bool)| {
            let part = wanted.then(|| dy.clone().narrow(self.axis, start, extent));
            start += extent;
            part
        };
        Some(self.extents.iter().zip(wants).map(part).collect())
    }
}

#[cfg(feature = "proofs")]
impl Proof for Concat {
    fn facts() -> Facts {
        Facts::new(
            "concat",
            Group::Shape,
            "y = the inputs one after another along axis",
            "each dx = its part of dy",
        )
        .shapes("equal but along axis")
        .torch("torch.cat((a, b, ..), axis)")
        .linear(&[0, 1, 2])
        .large(&[&[20, 30, 37], &[20, 10, 37], &[20, 17, 37]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!(
                "concat: three parts",
                "torch.cat((a, b, c), 1)",
                [sample(1, &[2, 2, 3]), sample(2, &[2, 1, 3]), sample(3, &[2, 4, 3])],
                |a, b, c| Var::concat(vec![a, b, c], 1)
            ),
            case!(
                "concat: channels",
                "torch.cat((a, b), 1)",
                [sample(4, &[2, 2]), sample(5, &[2, 3])],
                |a, b| Var::concat(vec![a, b], 1)
            ),
            case!("concat: twice the same", "torch.cat((a, a), 0)", [sample(4, &[2, 2])], |a| {
                Var::concat(vec![a.clone(), a], 0)
            }),
            case!(
                "concat: empty batch",
                "torch.cat((a, b), 1)",
                [sample(4, &[0, 2]), sample(5, &[0, 3])],
                |a, b| Var::concat(vec![a, b], 1)
            ),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("concat: shapes [2, 3] and [2, 4] must be equal but for dimension 0", || {
            let _ = Var::concat(vec![super::zeros::<f64>(&[2, 3]), super::zeros(&[2, 4])], 0);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The parts joined along `axis`; see [`Concat`].
    ///
    /// # Panics
    /// If there is no part, no such axis, or the other extents differ.
    #[track_caller]
    pub fn concat(parts: Vec<Var<T>>, axis: usize) -> Var<T> {
        Var::record(Concat { axis, extents: Vec::new() }, parts)
    }
}

//! A range of positions along one dimension.

use cerberus_tensor::concat::concat;
use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = x[start .. start + len]` along `axis`; `dx` is `dy` there and zero elsewhere.
pub struct Narrow {
    /// The dimension.
    pub axis: usize,
    /// The first position.
    pub start: usize,
    len: usize,
    /// Of `x`; known after the forward pass.
    shape: Shape,
}

impl<T: Element> Operation<T> for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.shape = x.dims();
        x.narrow(self.axis, self.start, self.len)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let after = self.shape[self.axis] - self.start - self.len;
        let zeros = |extent| Tensor::zeros(&self.shape.with(self.axis, extent));
        one(concat(&[zeros(self.start), dy, zeros(after)], self.axis))
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let after = self.shape[self.axis] - self.start - self.len;
        let zeros = |extent| super::zeros(&self.shape.with(self.axis, extent));
        one_var(Var::concat(vec![zeros(self.start), dy, zeros(after)], self.axis))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Narrow {
    fn facts() -> Facts {
        Facts::new(
            "narrow",
            Group::Shape,
            "y = x[start .. start + len] along axis",
            "dx = dy there, 0 elsewhere",
        )
        .shapes("any, and a range inside one axis")
        .torch("torch.narrow(a, axis, start, len)")
        .linear(&[0])
        .large(&[&[20, 400, 5]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("narrow: middle", "a.narrow(1, 1, 3)", [sample(1, &[2, 5, 3])], |x| x.narrow(1, 1, 3)),
            case!("narrow: to the end", "a.narrow(0, 3, 1)", [sample(2, &[4, 2])], |x| x.narrow(0, 3, 1)),
            case!("narrow: empty batch", "a.narrow(1, 0, 2)", [sample(2, &[0, 3])], |x| x.narrow(1, 0, 2)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("narrow: 2 positions from 2 on along axis 1 are outside shape [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).narrow(1, 2, 2);
        })]
    }
}

impl<T: Element> Var<T> {
    /// `len` positions from `start` on along `axis`; see [`Narrow`].
    ///
    /// # Panics
    /// If the range reaches outside the dimension.
    #[track_caller]
    pub fn narrow(self, axis: usize, start: usize, len: usize) -> Var<T> {
        Var::record(Narrow { axis, start, len, shape: Shape::new(&[]) }, vec![self])
    }
}

//! A range of positions along one dimension.

use cerberus_tensor::concat::concat;
use cerberus_tensor::{Element, Shape, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// `y = x[start .. start + len]` along `axis`; `dx` is `dy` there and zero elsewhere.
pub struct Narrow {
    axis: usize,
    start: usize,
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

    fn cases() -> Vec<Case> {
        vec![
            Case::unary("narrow: middle", sample(1, &[2, 5, 3]), |x| x.narrow(1, 1, 3)),
            Case::unary("narrow: to the end", sample(2, &[4, 2]), |x| x.narrow(0, 3, 1)),
        ]
    }
}

impl<T: Element> Var<T> {
    /// `len` positions from `start` on along `axis`; see [`Narrow`].
    ///
    /// # Panics
    /// If the range reaches outside the dimension.
    #[track_caller]
    pub fn narrow(self, axis: usize, start: usize, len: usize) -> Var<T> {
        Var::apply(Narrow { axis, start, len, shape: Shape::new(&[]) }, vec![self])
    }
}

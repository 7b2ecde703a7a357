//! Dimensions in another order.

use cerberus_tensor::{Element, Shape, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// Dimension `i` of `y` is dimension `order[i]` of `x`; `dx` is `dy` put back in order.
pub struct Permute {
    order: Vec<usize>,
    /// Of `x`; known after the forward pass.
    shape: Shape,
}

impl<T: Element> Operation<T> for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.shape = x.dims();
        x.permute(&self.order)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let mut back = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        one(dy.permute(&back))
    }

    fn cases() -> Vec<Case> {
        vec![
            Case::unary("permute", sample(1, &[2, 3, 4]), |x| x.permute(&[2, 0, 1])),
            Case::unary("permute: then used as it lies", sample(2, &[2, 3]), |x| x.permute(&[1, 0]).exp()),
        ]
    }
}

impl<T: Element> Var<T> {
    /// The dimensions in another order; see [`Permute`].
    ///
    /// # Panics
    /// If `order` is not a permutation of the dimensions.
    #[track_caller]
    pub fn permute(self, order: &[usize]) -> Var<T> {
        Var::apply(Permute { order: order.to_vec(), shape: Shape::new(&[]) }, vec![self])
    }
}

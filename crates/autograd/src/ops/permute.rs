//! Dimensions in another order.

use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// Dimension `i` of `y` is dimension `order[i]` of `x`; `dx` is `dy` put back in order.
pub struct Permute {
    /// The dimension of `x` that each dimension of `y` is.
    pub order: Vec<usize>,
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

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let mut back = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        one_var(dy.permute(&back))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Permute {
    fn facts() -> Facts {
        Facts::new(
            "permute",
            Group::Shape,
            "dimension i of y is dimension order[i] of x",
            "dx = dy in the old order",
        )
        .shapes("any, and an order of its dimensions")
        .torch("torch.permute(a, order)")
        .linear(&[0])
        .large(&[&[20, 50, 37]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("permute", "a.permute(2, 0, 1)", [sample(1, &[2, 3, 4])], |x| x.permute(&[2, 0, 1])),
            case!("permute: then used as it lies", "a.permute(1, 0).reshape(6)", [sample(2, &[2, 3])], |x| x
                .permute(&[1, 0])
                .reshape(&[6])),
            case!("permute: rank 0", "a", [sample(2, &[])], |x| x.permute(&[])),
            case!("permute: empty batch", "a.permute(1, 0)", [sample(2, &[0, 3])], |x| x.permute(&[1, 0])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn misuse(order: &[usize]) {
            let _ = super::zeros::<f64>(&[2, 3]).permute(order);
        }
        vec![
            ErrorCase::new("permute: [0, 0] is not an order of the dimensions of [2, 3]", || misuse(&[0, 0])),
            ErrorCase::new("permute: [0, 2] is not an order of the dimensions of [2, 3]", || misuse(&[0, 2])),
            ErrorCase::new("permute: [1] is not an order of the dimensions of [2, 3]", || misuse(&[1])),
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
        Var::record(Permute { order: order.to_vec(), shape: Shape::new(&[]) }, vec![self])
    }
}

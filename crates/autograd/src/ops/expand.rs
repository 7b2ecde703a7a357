//! Broadcasting to a larger shape, and the sum that is its adjoint.

use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is `x` repeated along the dimensions that NumPy's rule broadcasts; `dx` is
/// `dy` summed over them.
pub struct Expand {
    to: Shape,
    shape: Shape,
}

impl<T: Element> Operation<T> for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.shape = x.dims();
        x.broadcast_to(&self.to)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(dy.sum_to(&self.shape))
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        one_var(dy.sum_to(&self.shape))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Expand {
    fn facts() -> Facts {
        Facts::new(
            "expand",
            Group::Shape,
            "y = x repeated along stretched dimensions",
            "dx = dy summed over them",
        )
        .shapes("any, to one it stretches to")
        .torch("a.expand(shape)")
        .linear(&[0])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("expand", "a.expand(4, 2, 3)", [sample(1, &[2, 1])], |x| x.expand(&[4, 2, 3])),
            case!("expand: rank 0", "a.expand(2, 3)", [sample(1, &[])], |x| x.expand(&[2, 3])),
            case!("expand: empty batch", "a.expand(0, 3)", [sample(1, &[0, 1])], |x| x.expand(&[0, 3])),
            case!("sum_to", "a.sum((0, 2), keepdim=True)[0]", [sample(1, &[4, 2, 3])], |x| x.sum_to(&[2, 1]))
                .alike_along(0, &[0, 2]),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("expand: [2, 3] does not stretch to [2, 4]", || {
            let _ = super::zeros::<f64>(&[2, 3]).expand(&[2, 4]);
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("expand", "a.expand(150, 37, 11)", [sample(1, &[37, 1])], |x| x.expand(&[150, 37, 11]))]
    }
}

impl<T: Element> Var<T> {
    /// The variable broadcast to `shape`; see [`Expand`].
    ///
    /// # Panics
    /// If it does not broadcast to that shape.
    #[track_caller]
    pub fn expand(self, shape: &[usize]) -> Var<T> {
        let to = Shape::new(shape);
        let stretches = Shape::new(self.shape()).broadcast(&to) == Some(to);
        assert!(stretches, "expand: {:?} does not stretch to {shape:?}", self.shape());
        Var::record(Expand { to, shape: to }, vec![self])
    }

    /// The sum over the dimensions in which `shape` would be broadcast to this
    /// variable's shape: the adjoint of [`expand`](Self::expand).
    ///
    /// # Panics
    /// If `shape` does not broadcast to this variable's shape.
    #[track_caller]
    pub fn sum_to(self, shape: &[usize]) -> Var<T> {
        if self.shape() == shape {
            return self;
        }
        let own = Shape::new(self.shape());
        assert!(
            Shape::new(shape).broadcast(&own) == Some(own),
            "sum_to: {shape:?} does not stretch to {own:?}"
        );
        let added = own.len() - shape.len();
        let summed = |&axis: &usize| axis < added || (shape[axis - added] == 1 && own[axis] != 1);
        let axes: Vec<usize> = (0..own.len()).filter(summed).collect();
        self.sum_keepdim(&axes).reshape(shape)
    }
}

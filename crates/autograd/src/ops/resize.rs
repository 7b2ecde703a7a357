//! Images at another size.

use cerberus_tensor::resize::{self, Interpolation};
use cerberus_tensor::{Element, Shape, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// `x [N, H, W, C]` sampled on a grid of `size` pixels with half-pixel centres;
/// `dx` is the exact adjoint: every `dy` goes back to the pixels it was mixed from.
pub struct Resize {
    size: [usize; 2],
    interpolation: Interpolation,
    shape: Shape,
}

impl<T: Element> Operation<T> for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.shape = x.dims();
        resize::resize(&x, self.size, self.interpolation)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(resize::resize_backward(&dy, [self.shape[1], self.shape[2]], self.interpolation))
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, size, interpolation| {
            Case::unary(format!("resize: {name}"), sample(1, &[2, 3, 4, 2]), move |x| x.resize(size, interpolation))
        };
        vec![
            case("bilinear, larger", [6, 8], Interpolation::Bilinear),
            case("bilinear, an odd ratio", [5, 3], Interpolation::Bilinear),
            case("nearest, larger", [6, 12], Interpolation::Nearest),
            case("nearest, smaller", [2, 3], Interpolation::Nearest),
        ]
    }
}

impl<T: Element> Var<T> {
    /// Images `[N, H, W, C]` at `size` (height, width); see [`Resize`].
    ///
    /// # Panics
    /// If this is not of rank 4 or a size is zero.
    #[track_caller]
    pub fn resize(self, size: [usize; 2], interpolation: Interpolation) -> Var<T> {
        Var::apply(Resize { size, interpolation, shape: Shape::new(&[]) }, vec![self])
    }
}

//! Images at another size.

use cerberus_tensor::resize::{self, Interpolation};
use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `x [N, H, W, C]` sampled on a grid of `size` pixels with half-pixel centres, or for bicubic
/// interpolation with corners on corners if asked for ([`Interpolation`]);
/// `dx` is the exact adjoint: every `dy` goes back to the pixels it was mixed from.
pub struct Resize {
    size: [usize; 2],
    /// How values between pixels are computed.
    pub interpolation: Interpolation,
    /// Whether this is the adjoint, from an image of any size to one of `size`.
    pub adjoint: bool,
    shape: Shape,
}

impl Resize {
    fn apply<T: Element>(&self, x: &Tensor<T>, size: [usize; 2], adjoint: bool) -> Tensor<T> {
        let function = if adjoint { resize::resize_backward } else { resize::resize };
        function(x, size, self.interpolation)
    }
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
        self.apply(&x, self.size, self.adjoint)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(self.apply(&dy, [self.shape[1], self.shape[2]], !self.adjoint))
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let back = Resize {
            size: [self.shape[1], self.shape[2]],
            interpolation: self.interpolation,
            adjoint: !self.adjoint,
            shape: Shape::new(&[]),
        };
        one_var(Var::record(back, vec![dy]))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Resize {
    fn facts() -> Facts {
        Facts::new(
            "resize",
            Group::Vision,
            "y = x sampled on a grid of another size",
            "dx = every dy back to the pixels it was mixed from",
        )
        .shapes("x [N, H, W, C], y [N, OH, OW, C]")
        .torch("F.interpolate(a, size, mode, align_corners)")
        .linear(&[0])
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x: &[usize], size, interpolation| {
            let mode = match interpolation {
                Interpolation::Nearest => "'nearest'",
                Interpolation::Bilinear => "'bilinear'",
                Interpolation::Bicubic { corners: false } => "'bicubic'",
                Interpolation::Bicubic { corners: true } => "'bicubic', align_corners=True",
            };
            let torch = format!("resize(a, {size:?}, {mode})");
            case!(format!("resize: {name}"), torch, [sample(1, x)], |x| x.resize(size, interpolation))
        };
        vec![
            case("bilinear, larger", &[2, 3, 4, 2], [6, 8], Interpolation::Bilinear),
            case("bilinear, an odd ratio", &[2, 3, 4, 2], [5, 3], Interpolation::Bilinear),
            case("nearest, larger", &[2, 3, 4, 2], [6, 12], Interpolation::Nearest),
            case("nearest, smaller", &[2, 3, 4, 2], [2, 3], Interpolation::Nearest),
            case("bicubic, larger", &[2, 3, 5, 2], [7, 10], Interpolation::Bicubic { corners: false }),
            case("bicubic, smaller", &[1, 7, 6, 2], [3, 4], Interpolation::Bicubic { corners: false }),
            case("bicubic, corners", &[2, 4, 3, 2], [6, 5], Interpolation::Bicubic { corners: true }),
            case(
                "bicubic, corners, smaller",
                &[1, 7, 6, 2],
                [3, 4],
                Interpolation::Bicubic { corners: true },
            ),
            case("empty batch", &[0, 3, 4, 2], [2, 3], Interpolation::Bilinear),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("resize: x [2, 3] to [4, 4]: x must be [N, H, W, C]", || {
            let _ = super::zeros::<f64>(&[2, 3]).resize([4, 4], Interpolation::Nearest);
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("resize", "resize(a, (61, 47), 'bilinear')", [sample(1, &[2, 40, 41, 8])], |x| {
            x.resize([61, 47], Interpolation::Bilinear)
        })]
    }
}

impl<T: Element> Var<T> {
    /// Images `[N, H, W, C]` at `size` (height, width); see [`Resize`].
    ///
    /// # Panics
    /// If this is not of rank 4 or a size is zero.
    #[track_caller]
    pub fn resize(self, size: [usize; 2], interpolation: Interpolation) -> Var<T> {
        Var::record(Resize { size, interpolation, adjoint: false, shape: Shape::new(&[]) }, vec![self])
    }
}

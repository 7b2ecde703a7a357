//! Bilinear resizing that keeps the corners.

use cerberus_tensor::Element;
use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::shape::product_of;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `x [N, H, W, C]` on a grid of `size` pixels whose corners are those of `x`: output `o`
/// reads position `o (in - 1) / (out - 1)`, mixing the two nearest along each axis; `dx`
/// is the adjoint. [`Resize`](super::Resize) has half-pixel centres instead, and bicubic interpolation
/// with both.
pub struct ResizeCorners;

#[cfg(feature = "proofs")]
impl Proof for ResizeCorners {
    fn facts() -> Facts {
        Facts::new(
            "resize_corners",
            Group::Vision,
            "y = x sampled on a grid of another size, corners on corners",
            "dx = every dy back to the pixels it was mixed from",
        )
        .shapes("x [N, H, W, C], y [N, OH, OW, C]")
        .torch("F.interpolate(a, size, mode='bilinear', align_corners=True)")
        .linear(&[0])
        .large(&[&[70, 15, 16, 2]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], size: [usize; 2]| {
            let torch = format!("resize(a, {size:?}, 'bilinear', align_corners=True)");
            case!(format!("resize_corners{kind}"), torch, [sample(1, x)], |x| x.resize_corners(size))
        };
        vec![
            case(": larger", &[2, 3, 4, 2], [5, 7]),
            case(": smaller", &[1, 5, 4, 2], [3, 2]),
            case(": empty batch", &[0, 3, 4, 2], [2, 2]),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("resize_corners: x [2, 3] to [4, 4]", || {
            let _ = super::zeros::<f64>(&[2, 3]).resize_corners([4, 4]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Images `[N, H, W, C]` at `size` (height, width), with the corners aligned; see [`ResizeCorners`].
    ///
    /// # Panics
    /// If this is not of rank 4 or a size is zero.
    #[track_caller]
    pub fn resize_corners(self, size: [usize; 2]) -> Var<T> {
        let (&[n, h, w, c], [oh, ow]) = (self.shape(), size) else {
            panic!("resize_corners: x {:?} to {size:?}: x must be [N, H, W, C]", self.shape())
        };
        let fits = [h, w, oh, ow].iter().all(|&extent| extent > 0);
        assert!(fits, "resize_corners: x {:?} to {size:?}: no size may be 0", self.shape());
        product_of("resize_corners", &[n, oh, ow, c]);
        let taps = |o: usize, input: usize, output: usize| {
            let place = if output == 1 { 0.0 } else { o as f64 * (input - 1) as f64 / (output - 1) as f64 };
            let from = (place as usize).min(input - 1);
            [(from, 1.0 - (place - from as f64)), ((from + 1).min(input - 1), place - from as f64)]
        };
        let rows = (0..oh * ow).map(|o| {
            let across = taps(o % ow, w, ow);
            taps(o / ow, h, oh).into_iter().flat_map(move |(y, down)| {
                across
                    .map(|(x, weight)| (y * w + x, down * weight))
                    .into_iter()
                    .filter(|(_, weight)| *weight != 0.0)
            })
        });
        self.linear_map("resize_corners", LinearMap::new(h * w, rows), 1..3, &size)
    }
}

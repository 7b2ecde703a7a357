//! Patches of an image as rows (im2col).

use cerberus_tensor::Element;
use cerberus_tensor::conv::{Conv2dSpec, Geometry};
use cerberus_tensor::linear_map::LinearMap;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y [N, OH, OW, KH KW C]` holds the window of `x` under every output position, 0 in the
/// padding, ordered by tap and then by channel; `dx` adds every `dy` to the pixel it was
/// copied from, which is [`Fold`](super::Fold).
pub struct Unfold;

#[cfg(feature = "proofs")]
impl Proof for Unfold {
    fn facts() -> Facts {
        Facts::new("unfold", Group::Vision, "y[o, k] = x[o stride + k dilation - padding]", "dx = fold(dy)")
            .shapes("x [N, H, W, C], y [N, OH, OW, KH KW C]")
            .torch("F.unfold(a, kernel, dilation, padding, stride)")
            .linear(&[0])
            .nan("padding stays 0")
            .large(&[&[20, 31, 33, 2]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], kernel: [usize; 2], spec: Conv2dSpec| {
            let torch = format!("unfold(a, {kernel:?}, {})", super::conv2d::python(&spec));
            case!(format!("unfold{kind}"), torch, [sample(1, x)], |x| x.unfold(kernel, spec))
        };
        let plain = Conv2dSpec::default();
        vec![
            case("", &[2, 3, 4, 2], [2, 2], plain),
            case(
                ": strided, padded, dilated",
                &[1, 5, 4, 2],
                [2, 3],
                Conv2dSpec { stride: [2, 1], padding: Padding::all(1), dilation: [2, 1], groups: 1 },
            ),
            case(": empty batch", &[0, 3, 4, 2], [2, 2], plain),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("unfold: x [1, 2, 2, 1] (N, H, W, Cin)", || {
            let _ = super::zeros::<f64>(&[1, 2, 2, 1]).unfold([3, 3], Conv2dSpec::default());
        })]
    }
}

impl<T: Element> Var<T> {
    /// The window under every output position of a convolution, as a row; see [`Unfold`].
    ///
    /// # Panics
    /// If this is not of rank 4 or smaller than the kernel.
    #[track_caller]
    pub fn unfold(self, kernel: [usize; 2], spec: Conv2dSpec) -> Var<T> {
        let (map, [n, oh, ow, taps, c]) = patches("unfold", self.shape(), kernel, spec);
        self.linear_map("unfold", map, 1..3, &[oh, ow, taps]).reshape(&[n, oh, ow, taps * c])
    }
}

/// From pixels to patches, and `[N, OH, OW, KH KW, C]`.
#[track_caller]
pub(super) fn patches(
    operation: &str,
    x: &[usize],
    kernel: [usize; 2],
    spec: Conv2dSpec,
) -> (LinearMap, [usize; 5]) {
    let channels = *x.last().unwrap_or(&0);
    let spec = Conv2dSpec { groups: 1, ..spec };
    let g = Geometry::new(operation, x, &[kernel[0], kernel[1], channels, 1], &spec);
    let ([oh, ow], [kh, kw], [h, w]) = (g.output, g.kernel, g.input);
    let source = |place: usize| {
        let (k, o) = (place % (kh * kw), place / (kh * kw));
        Some(g.source(0, o / ow, k / kw)? * w + g.source(1, o % ow, k % kw)?)
    };
    (LinearMap::select(h * w, (0..oh * ow * kh * kw).map(source)), [g.n, oh, ow, kh * kw, channels])
}

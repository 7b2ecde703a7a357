//! Patches added up to an image (col2im).

use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::shape::product_of;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// Every pixel of `y [N, H, W, C]` is the sum of its copies in the patches
/// `x [N, OH, OW, KH KW C]`; `dx` is [`Unfold`](super::Unfold) of `dy`. This is the adjoint of
/// `Unfold`.
pub struct Fold;

#[cfg(feature = "proofs")]
impl Proof for Fold {
    fn facts() -> Facts {
        Facts::new("fold", Group::Vision, "y[o stride + k dilation - padding] += x[o, k]", "dx = unfold(dy)")
            .shapes("x [N, OH, OW, KH KW C], y [N, H, W, C]")
            .torch("F.fold(a, size, kernel, dilation, padding, stride)")
            .linear(&[0])
            .nan("pixels in no patch are 0")
            .large(&[&[701, 2, 3, 8]])
    }

    fn cases() -> Vec<Case> {
        let of = |kind: &str, x: &[usize], size: [usize; 2], kernel: [usize; 2], spec: Conv2dSpec| {
            let torch = format!("fold(a, {size:?}, {kernel:?}, {})", super::conv2d::python(&spec));
            case!(format!("fold{kind}"), torch, [sample(1, x)], |x| x.fold(size, kernel, spec))
        };
        let case = |kind, x: &[usize], size, spec| of(kind, x, size, [2, 2], spec);
        let plain = Conv2dSpec::default();
        vec![
            case("", &[2, 2, 3, 8], [3, 4], plain),
            case(
                ": strided, padded",
                &[1, 2, 3, 4],
                [3, 4],
                Conv2dSpec { stride: [2, 2], padding: Padding::all(1), ..plain },
            ),
            of(": wide kernel", &[1, 2, 2, 6], [3, 4], [2, 3], plain),
            case(": empty batch", &[0, 2, 3, 4], [3, 4], plain),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("fold: x [1, 2, 2, 8] to [3, 4] with a kernel of [2, 2]", || {
                let _ = super::zeros::<f64>(&[1, 2, 2, 8]).fold([3, 4], [2, 2], Conv2dSpec::default());
            }),
            // Channels that are no multiple of the kernel's positions; another rank.
            ErrorCase::new("fold: x [1, 2, 3, 6] to [3, 4] with a kernel of [2, 2]", || {
                let _ = super::zeros::<f64>(&[1, 2, 3, 6]).fold([3, 4], [2, 2], Conv2dSpec::default());
            }),
            ErrorCase::new("fold: x [2, 3, 8] to [3, 4] with a kernel of [2, 2]", || {
                let _ = super::zeros::<f64>(&[2, 3, 8]).fold([3, 4], [2, 2], Conv2dSpec::default());
            }),
        ]
    }
}

impl<T: Element> Var<T> {
    /// Patches added up to images of `size`; see [`Fold`].
    ///
    /// # Panics
    /// If the patches are not those of such an image.
    #[track_caller]
    pub fn fold(self, size: [usize; 2], kernel: [usize; 2], spec: Conv2dSpec) -> Var<T> {
        let shape = self.value().dims();
        let taps = product_of("fold", &kernel);
        let fail = || -> ! {
            panic!("fold: x {shape:?} to {size:?} with a kernel of {kernel:?} and {spec:?}: not its patches")
        };
        let &[n, oh, ow, row] = &*shape else { fail() };
        if kernel.contains(&0) || row % taps != 0 {
            fail();
        }
        let c = row / taps;
        let (map, found) = super::unfold::patches("fold", &[n, size[0], size[1], c], kernel, spec);
        if found != [n, oh, ow, taps, c] {
            fail();
        }
        self.reshape(&[n, oh, ow, taps, c]).linear_map("fold", map.adjoint(), 1..4, &size)
    }
}

//! The transposed convolution of volumes: a sum of two-dimensional ones.

use cerberus_tensor::Element;
use cerberus_tensor::conv::{Conv2dSpec, Padding};
use cerberus_tensor::shape::{product_of, sum_of};

use super::Conv3dSpec;
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = Σ over kd of conv_transpose2d(x, weight[kd])`, depth `i` of each put at `i stride + kd dilation - padding`:
/// the adjoint of [`Conv3d`](super::Conv3d) in its input. Its gradients are those of its parts.
pub struct ConvTranspose3d;

const NAME: &str = "conv_transpose3d";

#[cfg(feature = "proofs")]
impl Proof for ConvTranspose3d {
    fn facts() -> Facts {
        Facts::new(
            NAME,
            Group::Vision,
            "y[i stride + k dilation - padding] = Σ x[i] weight[k]",
            "as conv_transpose2d, a depth at a time",
        )
        .shapes("x [N, D, H, W, Cin], weight [KD, KH, KW, Cout/groups, Cin], y [N, OD, OH, OW, Cout]")
        .torch("F.conv_transpose3d(a, b, stride, padding, output_padding, groups, dilation)")
        .linear(&[0, 1])
        .nan("a depth that no input reaches is 0")
        .large(&[&[3, 9, 16, 17, 1], &[2, 2, 2, 3, 1]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], weight: &[usize], spec: Conv3dSpec, extra: [usize; 3]| {
            let Conv3dSpec { stride, padding, dilation, groups } = spec;
            let torch =
                format!("conv_transpose3d(a, b, {stride:?}, {padding:?}, {dilation:?}, {groups}, {extra:?})");
            let [x, weight] = [sample(1, x), sample(2, weight)];
            case!(format!("conv_transpose3d{kind}"), torch, [x, weight], |x, weight| {
                x.conv_transpose3d(weight, spec, extra)
            })
        };
        let plain = Conv3dSpec::default();
        let doubling = Conv3dSpec { stride: [2; 3], padding: [1; 3], ..plain };
        let all = Conv3dSpec { stride: [3, 1, 2], padding: [1, 0, 1], dilation: [1, 2, 1], groups: 2 };
        vec![
            case("", &[2, 3, 2, 3, 1], &[2, 2, 2, 3, 1], plain, [0; 3]),
            case(": doubling", &[1, 2, 3, 2, 2], &[3, 3, 3, 1, 2], doubling, [1, 1, 1]),
            case(": strided, padded, dilated, grouped", &[1, 3, 2, 3, 4], &[2, 2, 3, 1, 4], all, [2, 0, 1]),
            case(
                ": dilated in depth",
                &[1, 3, 2, 2, 1],
                &[3, 1, 2, 2, 1],
                Conv3dSpec { dilation: [2, 1, 1], ..plain },
                [0; 3],
            ),
            case(": empty batch", &[0, 2, 3, 3, 1], &[2, 2, 2, 1, 1], plain, [0; 3]).zero_gradient(1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn misuse(x: &[usize], weight: &[usize], spec: Conv3dSpec, extra: usize) {
            let _ = super::zeros::<f64>(x).conv_transpose3d(super::zeros(weight), spec, [extra, 0, 0]);
        }
        vec![
            ErrorCase::new("conv_transpose3d: x [2, 3] and weight [1, 1, 1, 2, 2]", || {
                misuse(&[2, 3], &[1, 1, 1, 2, 2], Conv3dSpec::default(), 0);
            }),
            ErrorCase::new("conv_transpose3d: x [1, 2, 3, 3, 2] and weight [0, 1, 1, 2, 2]", || {
                misuse(&[1, 2, 3, 3, 2], &[0, 1, 1, 2, 2], Conv3dSpec::default(), 0);
            }),
            // The extra depth would belong to a further position of the stride.
            ErrorCase::new(DEPTHS, || misuse(&[1, 2, 3, 3, 2], &[1, 1, 1, 2, 2], Conv3dSpec::default(), 1)),
            // The padding takes away everything.
            ErrorCase::new(DEPTHS, || {
                let spec = Conv3dSpec { padding: [1, 0, 0], ..Conv3dSpec::default() };
                misuse(&[1, 2, 3, 3, 2], &[1, 1, 1, 2, 2], spec, 0);
            }),
        ]
    }
}

const DEPTHS: &str =
    "x and the kernel must have depths, the padding leave some, and the extra be less than the stride";

impl<T: Element> Var<T> {
    /// Transposed convolution of volumes; see [`ConvTranspose3d`]. `extra` positions (depth, height, width) are added
    /// at the end, less than the stride each: a convolution maps several input sizes to one output size.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    #[track_caller]
    pub fn conv_transpose3d(self, weight: Var<T>, spec: Conv3dSpec, extra: [usize; 3]) -> Var<T> {
        let fail = |rule: &str| -> ! {
            panic!("{NAME}: x {:?} and weight {:?} with {spec:?}: {rule}", self.shape(), weight.shape())
        };
        let (&[n, d, h, w, cin], &[kd, kh, kw, cout_group, weight_cin]) = (self.shape(), weight.shape())
        else {
            fail("both must have five dimensions")
        };
        let ([sd, sh, sw], [pd, ph, pw], [dd, dh, dw]) = (spec.stride, spec.padding, spec.dilation);
        if d == 0 || kd == 0 || extra[0] >= sd {
            fail(DEPTHS);
        }
        let reach = [product_of(NAME, &[d - 1, sd]), product_of(NAME, &[dd, kd - 1]), 1, extra[0]];
        let depths = sum_of(NAME, &reach).checked_sub(sum_of(NAME, &[pd, pd])).filter(|&depths| depths > 0);
        let Some(od) = depths else { fail(DEPTHS) };
        let images = self.reshape(&[n * d, h, w, cin]);
        let padding = Padding { top: ph, bottom: ph, left: pw, right: pw };
        let plane = Conv2dSpec { stride: [sh, sw], padding, dilation: [dh, dw], groups: spec.groups };
        let part = |k: usize| {
            let weight = weight.clone().narrow(0, k, 1).reshape(&[kh, kw, cout_group, weight_cin]);
            let y = images.clone().conv_transpose2d(weight, plane, [extra[1], extra[2]]);
            let &[_, oh, ow, cout] = y.shape() else { unreachable!("a convolution of images gives images") };
            product_of(NAME, &[n, od, oh, ow, cout]);
            let source = |o: usize| {
                let place = (o + pd).checked_sub(k * dd).filter(|place| place.is_multiple_of(sd));
                place.map(|place| place / sd).filter(|&depth| depth < d)
            };
            y.reshape(&[n, d, oh, ow, cout]).select_along(NAME, 1, (0..od).map(source))
        };
        (1..kd).fold(part(0), |sum, k| sum + part(k))
    }
}

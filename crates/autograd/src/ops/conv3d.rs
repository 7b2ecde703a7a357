//! Three-dimensional convolution, made of two-dimensional ones.

use cerberus_tensor::Element;
use cerberus_tensor::conv::{Conv2dSpec, Padding};
use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::shape::{product_of, sum_of};

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = Σ over kd of conv2d(x at depth o stride + kd dilation, weight[kd]) + bias`, the
/// depths of a volume taken as a batch of images, and those that a kernel reaches over as their channels; a kernel along
/// the depth alone is a convolution of images whose rows are depths. Its gradients are those of its parts.
pub struct Conv3d;

/// Stride, padding on both sides, dilation (depth, height, width) and groups of a [`Conv3d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3dSpec {
    /// Step between outputs.
    pub stride: [usize; 3],
    /// Zeros on both sides.
    pub padding: [usize; 3],
    /// Distance between the kernel's taps.
    pub dilation: [usize; 3],
    /// Into how many independent groups the channels are split.
    pub groups: usize,
}

impl Default for Conv3dSpec {
    fn default() -> Self {
        Self { stride: [1; 3], padding: [0; 3], dilation: [1; 3], groups: 1 }
    }
}

#[cfg(feature = "proofs")]
impl Proof for Conv3d {
    fn facts() -> Facts {
        Facts::new(
            "conv3d",
            Group::Vision,
            "y[o] = Σ x[o stride + k dilation - padding] weight[k] + bias",
            "as conv2d, a depth at a time",
        )
        .shapes("x [N, D, H, W, Cin], weight [KD, KH, KW, Cin/groups, Cout], bias [Cout]")
        .torch("F.conv3d(a, b, c, stride, padding, dilation, groups)")
        .composed()
        .linear(&[0, 1, 2])
        .large(&[&[3, 19, 20, 21, 1], &[2, 2, 2, 1, 2], &[2]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], weight: &[usize], spec: Conv3dSpec| {
            let Conv3dSpec { stride, padding, dilation, groups } = spec;
            let torch = format!("conv3d(a, b, c, {stride:?}, {padding:?}, {dilation:?}, {groups})");
            let inputs = [sample(1, x), sample(2, weight), sample(3, &weight[4..])];
            let [x, weight, bias] = inputs;
            case!(format!("conv3d{kind}"), torch, [x, weight, bias], |x, weight, bias| {
                x.conv3d(weight, Some(bias), spec)
            })
        };
        let plain = Conv3dSpec::default();
        let all = Conv3dSpec { stride: [2, 1, 2], padding: [1, 0, 1], dilation: [1, 2, 1], groups: 2 };
        vec![
            case("", &[2, 3, 3, 2, 1], &[2, 2, 2, 1, 2], plain),
            case(": strided, padded, dilated, grouped", &[1, 3, 4, 3, 2], &[2, 2, 2, 1, 2], all),
            case(
                ": three deep, dilated in depth",
                &[1, 6, 2, 2, 1],
                &[3, 1, 2, 1, 2],
                Conv3dSpec { dilation: [2, 1, 1], ..plain },
            ),
            case(
                ": along the depth alone",
                &[2, 4, 2, 3, 2],
                &[3, 1, 1, 1, 4],
                Conv3dSpec { stride: [2, 1, 1], padding: [1, 0, 0], groups: 2, ..plain },
            ),
            case(
                ": of planes alone",
                &[2, 3, 3, 2, 2],
                &[1, 3, 2, 2, 3],
                Conv3dSpec { padding: [0, 1, 0], ..plain },
            ),
            case(
                ": padded in depth",
                &[1, 3, 3, 2, 2],
                &[3, 2, 2, 2, 3],
                Conv3dSpec { padding: [1, 0, 0], ..plain },
            ),
            case(": empty batch", &[0, 3, 3, 3, 1], &[2, 2, 2, 1, 2], plain)
                .zero_gradient(1)
                .zero_gradient(2),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("conv3d: x [2, 3] and weight [1, 1, 1, 2, 2] must have five dimensions", || {
            let _ = super::zeros::<f64>(&[2, 3]).conv3d(
                super::zeros(&[1, 1, 1, 2, 2]),
                None,
                Conv3dSpec::default(),
            );
        })]
    }
}

impl<T: Element> Var<T> {
    /// Three-dimensional convolution; see [`Conv3d`].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    #[track_caller]
    pub fn conv3d(self, weight: Var<T>, bias: Option<Var<T>>, spec: Conv3dSpec) -> Var<T> {
        let (&[n, _, h, w, cin], &[kd, kh, kw, cin_group, cout]) = (self.shape(), weight.shape()) else {
            panic!("conv3d: x {:?} and weight {:?} must have five dimensions", self.shape(), weight.shape())
        };
        let ([sd, sh, sw], [pd, ph, pw], [dd, dh, dw]) = (spec.stride, spec.padding, spec.dilation);
        let depth = sum_of("conv3d", &[self.shape()[1], pd, pd]);
        let reach = sum_of("conv3d", &[product_of("conv3d", &[dd, kd.max(1) - 1]), 1]);
        assert!(
            kd > 0 && sd > 0 && reach <= depth,
            "conv3d: the kernel reaches over {reach} of {depth} padded depths"
        );
        let plane = |stride, [vertical, horizontal]: [usize; 2], dilation| Conv2dSpec {
            stride,
            padding: Padding { top: vertical, bottom: vertical, left: horizontal, right: horizontal },
            dilation,
            groups: spec.groups,
        };
        if [kh, kw, sh, sw] == [1; 4] && [ph, pw] == [0; 2] {
            // Along the depth alone: an image whose rows are the depths.
            let image = self.reshape(&[n, depth - 2 * pd, h * w, cin]);
            let weight = weight.reshape(&[kd, 1, cin_group, cout]);
            let y = image.conv2d(weight, bias, plane([sd, 1], [pd, 0], [dd, 1]));
            let od = y.shape()[1];
            return y.reshape(&[n, od, h, w, cout]);
        }
        let (x, plane) = (self, plane([sh, sw], [ph, pw], [dh, dw]));
        let od = (depth - reach) / sd + 1;
        // The depths that a tap of the kernel sees, [N, OD, H, W, Cin].
        let seen = |k: usize| {
            let inside = depth - 2 * pd;
            let sources: Vec<Option<usize>> = (0..od)
                .map(|o| (o * sd + k * dd).checked_sub(pd).filter(|&source| source < inside))
                .collect();
            let all = od == inside && sources.iter().enumerate().all(|(o, source)| *source == Some(o));
            if all {
                return x.clone();
            }
            x.clone().linear_map("linear_map", LinearMap::select(inside, sources), 1..2, &[od])
        };
        let y = if spec.groups == 1 {
            // One convolution of what all taps see as channels, rather than a sum over taps, which would go through the
            // memory of y for each.
            let all = Var::concat((0..kd).map(seen).collect(), 4).reshape(&[n * od, h, w, kd * cin]);
            let weight = if kd == 1 { weight } else { weight.permute(&[1, 2, 0, 3, 4]) };
            all.conv2d(weight.reshape(&[kh, kw, kd * cin_group, cout]), bias, plane)
        } else {
            let part = |k: usize| {
                let weight = weight.clone().narrow(0, k, 1).reshape(&[kh, kw, cin_group, cout]);
                let bias = if k == 0 { bias.clone() } else { None };
                seen(k).reshape(&[n * od, h, w, cin]).conv2d(weight, bias, plane)
            };
            (1..kd).fold(part(0), |sum, k| sum + part(k))
        };
        let (oh, ow) = (y.shape()[1], y.shape()[2]);
        y.reshape(&[n, od, oh, ow, cout])
    }
}

//! One-dimensional convolution: images of one row.

use cerberus_tensor::Element;
use cerberus_tensor::conv::{Conv2dSpec, Padding};

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// [`Conv2d`](super::Conv2d) over images of height 1, with the same gradients.
pub struct Conv1d;

/// Stride, padding on both sides, dilation and groups of a [`Conv1d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv1dSpec {
    /// Step between outputs.
    pub stride: usize,
    /// Zeros on both sides.
    pub padding: usize,
    /// Distance between the kernel's taps.
    pub dilation: usize,
    /// Into how many independent groups the channels are split.
    pub groups: usize,
}

impl Default for Conv1dSpec {
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

#[cfg(feature = "proofs")]
impl Proof for Conv1d {
    fn facts() -> Facts {
        Facts::new(
            "conv1d",
            Group::Vision,
            "y[o] = Σ x[o stride + k dilation - padding] weight[k] + bias",
            "as conv2d",
        )
        .shapes("x [N, L, Cin], weight [K, Cin/groups, Cout], bias [Cout]")
        .torch("F.conv1d(a, b, c, stride, padding, dilation, groups)")
        .composed()
        .linear(&[0, 1, 2])
        .large(&[&[3, 3001, 2], &[3, 2, 3], &[3]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], weight: &[usize], spec: Conv1dSpec| {
            let Conv1dSpec { stride, padding, dilation, groups } = spec;
            let torch = format!("conv1d(a, b, c, {stride}, {padding}, {dilation}, {groups})");
            let inputs = [sample(1, x), sample(2, weight), sample(3, &weight[2..])];
            let [x, weight, bias] = inputs;
            case!(format!("conv1d{kind}"), torch, [x, weight, bias], |x, weight, bias| {
                x.conv1d(weight, Some(bias), spec)
            })
        };
        let plain = Conv1dSpec::default();
        vec![
            case("", &[2, 6, 2], &[3, 2, 3], plain),
            case(
                ": strided, padded, dilated, grouped",
                &[1, 8, 4],
                &[3, 2, 2],
                Conv1dSpec { stride: 2, padding: 2, dilation: 2, groups: 2 },
            ),
            case(": empty batch", &[0, 6, 2], &[3, 2, 3], plain).zero_gradient(1).zero_gradient(2),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("conv1d: x [2, 3] and weight [3, 2, 3] must have three dimensions", || {
            let _ =
                super::zeros::<f64>(&[2, 3]).conv1d(super::zeros(&[3, 2, 3]), None, Conv1dSpec::default());
        })]
    }
}

impl<T: Element> Var<T> {
    /// One-dimensional convolution; see [`Conv1d`].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    #[track_caller]
    pub fn conv1d(self, weight: Var<T>, bias: Option<Var<T>>, spec: Conv1dSpec) -> Var<T> {
        let (&[n, len, cin], &[k, cin_group, cout]) = (self.shape(), weight.shape()) else {
            panic!("conv1d: x {:?} and weight {:?} must have three dimensions", self.shape(), weight.shape())
        };
        let image = self.reshape(&[n, 1, len, cin]);
        let padding = Padding { left: spec.padding, right: spec.padding, ..Padding::default() };
        let spec = Conv2dSpec {
            stride: [1, spec.stride],
            padding,
            dilation: [1, spec.dilation],
            groups: spec.groups,
        };
        let y = image.conv2d(weight.reshape(&[1, k, cin_group, cout]), bias, spec);
        let extent = y.shape()[2];
        y.reshape(&[n, extent, cout])
    }
}

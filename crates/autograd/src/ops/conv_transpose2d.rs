//! The transposed convolution: the adjoint of [`Conv2d`](super::Conv2d) in its input,
//! as an operation.

use cerberus_tensor::conv::{self, Conv2dSpec};
use cerberus_tensor::shape::{product_of, sum_of};
use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = Σ x[i] weight[k]` at `i stride + k dilation - padding`: what [`Conv2d`](super::Conv2d)
/// returns as the gradient of its input, on the same weights. `dx` is a convolution of `dy`,
/// `dweight` a convolution's weight gradient with `dy` as its input.
pub struct ConvTranspose2d {
    /// Stride, padding, dilation and groups of the convolution whose adjoint this is.
    pub spec: Conv2dSpec,
    /// The shape of the output, which is the convolution's input.
    x_shape: Shape,
    weight_shape: Shape,
}

impl<T: Element> Operation<T> for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x, weight] = inputs.take();
        conv::input_gradient(&x, &weight, &self.x_shape, &self.spec)
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (x, weight) = (saved.input(0), saved.input(1));
        two_vars(
            wants,
            || dy.clone().conv2d(weight, None, self.spec),
            || dy.clone().conv2d_weight_gradient(x, self.weight_shape, self.spec),
        )
    }
}

const CHANNELS: &str = "x must have the weight's last extent as channels, a multiple of the groups";

#[cfg(feature = "proofs")]
impl Proof for ConvTranspose2d {
    fn facts() -> Facts {
        Facts::new(
            "conv_transpose2d",
            Group::Vision,
            "y[i stride + k dilation - padding] = Σ x[i] weight[k]",
            "dx = conv2d(dy, weight), dweight = Σ dy x",
        )
        .shapes("x [N, H, W, Cin], weight [KH, KW, Cout/groups, Cin], y [N, OH, OW, Cout]")
        .torch("F.conv_transpose2d(a, b, stride, padding, output_padding, groups, dilation)")
        .linear(&[0, 1])
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x: &[usize], weight: &[usize], spec: Conv2dSpec, extra: [usize; 2]| {
            let torch = format!("conv_transpose2d(a, b, {}, extra={extra:?})", super::conv2d::python(&spec));
            case!(
                format!("conv_transpose2d: {name}"),
                torch,
                [sample(1, x), sample(2, weight)],
                |x, weight| x.conv_transpose2d(weight, spec, extra)
            )
        };
        let doubling = Conv2dSpec { stride: [2, 2], padding: Padding::all(1), ..Conv2dSpec::default() };
        vec![
            case("plain", &[2, 3, 4, 2], &[3, 2, 3, 2], Conv2dSpec::default(), [0, 0]),
            case("doubling", &[1, 3, 2, 2], &[4, 4, 1, 2], doubling, [0, 0]),
            case("a row and a column more", &[1, 3, 2, 2], &[3, 3, 2, 2], doubling, [1, 1]),
            case(
                "groups, dilation",
                &[1, 3, 3, 4],
                &[2, 2, 1, 4],
                Conv2dSpec { groups: 2, dilation: [2, 1], ..Conv2dSpec::default() },
                [0, 0],
            ),
            case("empty batch", &[0, 3, 3, 2], &[2, 2, 1, 2], Conv2dSpec::default(), [0, 0]).zero_gradient(1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn misuse(x: &[usize], weight: &[usize], groups: usize) {
            let spec = Conv2dSpec { groups, ..Conv2dSpec::default() };
            let _ = super::zeros::<f64>(x).conv_transpose2d(super::zeros(weight), spec, [0, 0]);
        }
        vec![
            ErrorCase::new("conv_transpose2d: x [1, 3, 3, 2] and weight [2, 2, 1, 5]", || {
                misuse(&[1, 3, 3, 2], &[2, 2, 1, 5], 1);
            }),
            ErrorCase::new("conv_transpose2d: x [3, 3, 2] and weight [2, 2, 1, 2]", || {
                let weight = super::zeros::<f64>(&[2, 2, 1, 2]);
                let _ = super::zeros(&[3, 3, 2]).conv_transpose2d(weight, Conv2dSpec::default(), [0, 0]);
            }),
            // Another number of channels; groups that do not divide it, or 0 groups; a kernel without rows or
            // columns.
            ErrorCase::new(CHANNELS, || misuse(&[1, 3, 3, 2], &[2, 2, 1, 5], 1)),
            ErrorCase::new(CHANNELS, || misuse(&[1, 3, 3, 4], &[2, 2, 1, 4], 3)),
            ErrorCase::new(CHANNELS, || misuse(&[1, 3, 3, 4], &[2, 2, 1, 4], 0)),
            ErrorCase::new(CHANNELS, || misuse(&[1, 3, 3, 2], &[0, 2, 1, 2], 1)),
            ErrorCase::new(CHANNELS, || misuse(&[1, 3, 3, 2], &[2, 0, 1, 2], 1)),
            // The extra rows would belong to a further position of the stride.
            ErrorCase::new("conv_transpose2d: x [1, 3, 3, 2] and weight [2, 2, 1, 2]", || {
                let weight = super::zeros::<f64>(&[2, 2, 1, 2]);
                let _ = super::zeros(&[1, 3, 3, 2]).conv_transpose2d(weight, Conv2dSpec::default(), [1, 0]);
            }),
        ]
    }

    fn large_cases() -> Vec<Case> {
        let spec = Conv2dSpec { stride: [2, 2], ..Conv2dSpec::same(3) };
        vec![case!(
            "conv_transpose2d",
            "conv_transpose2d(a, b, stride=(2, 2), padding=(1, 1, 1, 1))",
            [sample(1, &[3, 17, 19, 8]), sample(2, &[3, 3, 24, 8])],
            |x, weight| x.conv_transpose2d(weight, spec, [0, 0])
        )]
    }
}

impl<T: Element> Var<T> {
    /// Transposed convolution; see [`ConvTranspose2d`]. `extra` rows and columns
    /// are added at the bottom and the right, less than the stride each: a
    /// convolution maps several input sizes to one output size.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    #[track_caller]
    pub fn conv_transpose2d(self, weight: Var<T>, spec: Conv2dSpec, extra: [usize; 2]) -> Var<T> {
        let fail = |rule: &str| -> ! {
            panic!(
                "conv_transpose2d: x {:?} and weight {:?} with {spec:?}: {rule}",
                self.shape(),
                weight.shape()
            )
        };
        let (&[n, h, w, cin], &[kh, kw, cout_group, weight_cin]) = (self.shape(), weight.shape()) else {
            fail("both must have four dimensions")
        };
        if cin != weight_cin || spec.groups == 0 || cin % spec.groups != 0 || kh == 0 || kw == 0 {
            fail(CHANNELS);
        }
        let name = "conv_transpose2d";
        let size = |size: usize, kernel: usize, axis: usize, pads: [usize; 2]| {
            let steps = product_of(name, &[size.max(1) - 1, spec.stride[axis]]);
            let reach = product_of(name, &[spec.dilation[axis], kernel - 1]);
            let full = sum_of(name, &[steps, reach, 1, extra[axis]]);
            full.checked_sub(sum_of(name, &pads)).filter(|_| extra[axis] < spec.stride[axis])
        };
        let p = spec.padding;
        let (Some(oh), Some(ow)) = (size(h, kh, 0, [p.top, p.bottom]), size(w, kw, 1, [p.left, p.right]))
        else {
            fail("the padding must leave something, and the extra be less than the stride")
        };
        self.conv2d_input_gradient(
            weight,
            Shape::new(&[n, oh, ow, product_of(name, &[cout_group, spec.groups])]),
            spec,
        )
    }

    /// The gradient of a convolution's input of shape `x_shape`, from the gradient of its output (this).
    #[track_caller]
    pub(super) fn conv2d_input_gradient(self, weight: Var<T>, x_shape: Shape, spec: Conv2dSpec) -> Var<T> {
        let weight_shape = weight.value().dims();
        Var::record(ConvTranspose2d { spec, x_shape, weight_shape }, vec![self, weight])
    }
}

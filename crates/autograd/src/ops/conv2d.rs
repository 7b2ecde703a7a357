//! Two-dimensional convolution with bias and ReLU in one pass.

use cerberus_tensor::conv::{self, Conv2dSpec, Epilogue};
use cerberus_tensor::{Element, Rectifier, Shape, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = conv(x, weight) + bias`, then `max(y, 0)` if `relu`.
///
/// `x [N, H, W, Cin]`, `weight [KH, KW, Cin/groups, Cout]`, `bias [Cout]` (or left
/// out) to `[N, OH, OW, Cout]`. With `dz = dy` where `y > 0` (everywhere without
/// `relu`): `dx` is `dz` convolved with the flipped weights, `dweight` the
/// correlation of `x` and `dz`, `dbias` the sum of `dz` over pixels.
/// Kernels: [`cerberus_tensor::conv`].
pub struct Conv2d {
    /// Stride, padding, dilation and groups.
    pub spec: Conv2dSpec,
    /// Whether a ReLU follows.
    pub relu: bool,
    has_bias: bool,
    x_shape: Shape,
    weight_shape: Shape,
}

impl<T: Element> Operation<T> for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0, 1], output: self.relu }
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let mut inputs = inputs.into_vec();
        let bias = self.has_bias.then(|| inputs.remove(2));
        (self.x_shape, self.weight_shape) = (inputs[0].dims(), inputs[1].dims());
        let activation = if self.relu { Rectifier::Relu } else { Rectifier::None };
        conv::conv2d(&inputs[0], &inputs[1], &self.spec, &Epilogue { bias, activation })
    }

    fn backward(&self, mut saved: Saved<T>, mut dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (x, weight) = (saved.input(0), saved.input(1));
        if self.relu {
            dy = dy.zip(saved.output(), |dy, y| if y > T::ZERO { dy } else { T::ZERO });
        }
        let mut answers = vec![
            wants[0].then(|| conv::input_gradient(&dy, &weight, &self.x_shape, &self.spec).into()),
            wants[1].then(|| conv::weight_gradient(&x, &dy, &self.weight_shape, &self.spec).into()),
        ];
        if self.has_bias {
            answers.push(wants[2].then(|| dy.sum(&[0, 1, 2]).into()));
        }
        answers
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        mut dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (x, weight) = (saved.input(0), saved.input(1));
        if self.relu {
            dy = dy * super::relu::passes(saved.output());
        }
        let mut answers = vec![
            wants[0].then(|| dy.clone().conv2d_input_gradient(weight, self.x_shape, self.spec)),
            wants[1].then(|| x.conv2d_weight_gradient(dy.clone(), self.weight_shape, self.spec)),
        ];
        if self.has_bias {
            answers.push(wants[2].then(|| dy.sum(&[0, 1, 2])));
        }
        Some(answers)
    }
}

#[cfg(feature = "proofs")]
impl Proof for Conv2d {
    fn facts() -> Facts {
        Facts::new(
            "conv2d",
            Group::Vision,
            "y[o] = Σ x[o stride + k dilation - padding] weight[k] + bias; max(y, 0) if relu",
            "dx = dz * flipped weight, dweight = Σ x dz, dbias = Σ dz; dz = dy where y > 0",
        )
        .shapes("x [N, H, W, Cin], weight [KH, KW, Cin/groups, Cout], bias [Cout]")
        .torch("F.conv2d(a, b, c, stride, padding, dilation, groups)")
        .kinks("with relu, 0 at 0")
        .linear(&[0, 1, 2])
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x: &[usize], weight: &[usize], spec: Conv2dSpec, relu: bool| {
            let case = case!(
                format!("conv2d: {name}"),
                format!("{}(conv2d(a, b, c, {}))", if relu { "F.relu" } else { "" }, python(&spec)),
                [sample(1, x), sample(2, weight), sample(3, &weight[3..])],
                |x, weight, bias| x.convolved(weight, Some(bias), spec, relu)
            );
            if relu { case.composed() } else { case }
        };
        let plain = Conv2dSpec::default();
        let uneven = Padding { top: 1, bottom: 0, left: 2, right: 1 };
        vec![
            case("valid", &[2, 5, 6, 2], &[3, 3, 2, 3], plain, false),
            case("same, rectified", &[1, 4, 5, 2], &[3, 3, 2, 4], Conv2dSpec::same(3), true),
            case("1x1", &[2, 3, 3, 4], &[1, 1, 4, 2], plain, false),
            case(
                "a stride that does not divide",
                &[1, 6, 7, 2],
                &[3, 2, 2, 2],
                Conv2dSpec { stride: [2, 3], ..plain },
                false,
            ),
            case(
                "uneven padding",
                &[1, 4, 4, 1],
                &[3, 2, 1, 2],
                Conv2dSpec { padding: uneven, ..plain },
                false,
            ),
            case(
                "more padding than kernel",
                &[1, 3, 3, 1],
                &[2, 2, 1, 2],
                Conv2dSpec { padding: Padding::all(3), ..plain },
                false,
            ),
            case("dilation", &[1, 6, 6, 2], &[2, 3, 2, 2], Conv2dSpec { dilation: [3, 2], ..plain }, false),
            case(
                "groups with stride",
                &[1, 5, 5, 4],
                &[3, 3, 2, 6],
                Conv2dSpec { groups: 2, stride: [2, 2], ..plain },
                false,
            ),
            case(
                "depthwise",
                &[1, 4, 4, 3],
                &[3, 3, 1, 3],
                Conv2dSpec { groups: 3, ..Conv2dSpec::same(3) },
                true,
            ),
            case(
                "depthwise, two outputs for each channel",
                &[1, 4, 4, 2],
                &[3, 3, 1, 4],
                Conv2dSpec { groups: 2, ..plain },
                false,
            ),
            case!(
                "conv2d: no bias",
                "conv2d(a, b)",
                [sample(4, &[1, 4, 4, 2]), sample(5, &[3, 3, 2, 2])],
                |x, weight| x.conv2d(weight, None, Conv2dSpec::default())
            ),
            case!(
                "conv2d: empty batch",
                "conv2d(a, b)",
                [sample(4, &[0, 4, 4, 2]), sample(5, &[3, 3, 2, 2])],
                |x, weight| x.conv2d(weight, None, Conv2dSpec::default())
            )
            .zero_gradient(1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("conv2d: x [1, 4, 4, 2] (N, H, W, Cin) and weight [3, 3, 5, 2]", || {
                let weight = super::zeros::<f64>(&[3, 3, 5, 2]);
                let _ = super::zeros(&[1, 4, 4, 2]).conv2d(weight, None, Conv2dSpec::default());
            }),
            ErrorCase::new("conv2d: x [1, 2, 2, 2] (N, H, W, Cin) and weight [3, 3, 2, 2]", || {
                let weight = super::zeros::<f64>(&[3, 3, 2, 2]);
                let _ = super::zeros(&[1, 2, 2, 2]).conv2d(weight, None, Conv2dSpec::default());
            }),
        ]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!(
            "conv2d",
            "conv2d(a, b, c, padding=(1, 1, 1, 1))",
            [sample(1, &[3, 17, 19, 8]), sample(2, &[3, 3, 8, 24]), sample(3, &[24])],
            |x, weight, bias| x.conv2d_relu(weight, Some(bias), Conv2dSpec::same(3))
        )]
    }
}

impl<T: Element> Var<T> {
    /// Convolution, with a bias added where there is one; see [`Conv2d`].
    ///
    /// # Panics
    /// If the shapes do not fit each other; the message says which rule is broken.
    #[track_caller]
    pub fn conv2d(self, weight: Var<T>, bias: Option<Var<T>>, spec: Conv2dSpec) -> Var<T> {
        self.convolved(weight, bias, spec, false)
    }

    /// [`conv2d`](Self::conv2d) followed by ReLU, in one pass over memory.
    ///
    /// # Panics
    /// If the shapes do not fit each other; the message says which rule is broken.
    #[track_caller]
    pub fn conv2d_relu(self, weight: Var<T>, bias: Option<Var<T>>, spec: Conv2dSpec) -> Var<T> {
        if self.is_taken_apart() {
            return self.conv2d(weight, bias, spec).relu();
        }
        self.convolved(weight, bias, spec, true)
    }

    #[track_caller]
    fn convolved(self, weight: Var<T>, bias: Option<Var<T>>, spec: Conv2dSpec, relu: bool) -> Var<T> {
        let operation = Conv2d {
            spec,
            relu,
            has_bias: bias.is_some(),
            x_shape: Shape::new(&[]),
            weight_shape: Shape::new(&[]),
        };
        let mut inputs = vec![self, weight];
        inputs.extend(bias);
        Var::record(operation, inputs)
    }
}

/// The geometry as the arguments of the reference program's functions.
#[cfg(feature = "proofs")]
pub(super) fn python(spec: &Conv2dSpec) -> String {
    let p = spec.padding;
    format!(
        "stride={:?}, padding=({}, {}, {}, {}), dilation={:?}, groups={}",
        spec.stride, p.top, p.bottom, p.left, p.right, spec.dilation, spec.groups
    )
}

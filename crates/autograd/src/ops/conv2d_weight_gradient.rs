//! The weight gradient of a convolution, as an operation: the third of three
//! operations that together are closed under differentiation.

use cerberus_tensor::conv::{self, Conv2dSpec, Geometry};
use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[k] = Σ x[o stride + k dilation - padding] g[o]`: what [`Conv2d`](super::Conv2d)
/// returns as the gradient of its weights when `g` is the gradient of its output. `dx` is a
/// convolution's input gradient with weights `dy`, `dg` a convolution with them.
pub struct Conv2dWeightGradient {
    spec: Conv2dSpec,
    x_shape: Shape,
    weight_shape: Shape,
}

impl<T: Element> Operation<T> for Conv2dWeightGradient {
    fn name(&self) -> &'static str {
        "conv2d_weight_gradient"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x, g] = inputs.take();
        conv::weight_gradient(&x, &g, &self.weight_shape, &self.spec)
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (x, g) = (saved.input(0), saved.input(1));
        two_vars(
            wants,
            || g.conv2d_input_gradient(dy.clone(), self.x_shape, self.spec),
            || x.conv2d(dy.clone(), None, self.spec),
        )
    }
}

#[cfg(feature = "proofs")]
impl Proof for Conv2dWeightGradient {
    fn facts() -> Facts {
        Facts::new(
            "conv2d_weight_gradient",
            Group::Vision,
            "y[k] = Σ x[o stride + k dilation - padding] g[o]",
            "dx = conv_transpose2d(g, dy), dg = conv2d(x, dy)",
        )
        .shapes("x [N, H, W, Cin], g [N, OH, OW, Cout], y [KH, KW, Cin/groups, Cout]")
        .torch("torch.nn.grad.conv2d_weight(a, shape, b, stride, padding, dilation, groups)")
        .linear(&[0, 1])
        .never_empty("a batch of none gives a constant 0")
        .large(&[&[40, 20, 21, 2], &[40, 19, 19, 3]])
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x: &[usize], g: &[usize], shape: &[usize], spec: Conv2dSpec| {
            let shape = Shape::new(shape);
            let torch = format!("conv2d_weight_gradient(a, {shape:?}, b, {})", super::conv2d::python(&spec));
            let name = format!("conv2d_weight_gradient: {name}");
            case!(name, torch, [sample(1, x), sample(2, g)], |x, g| x.conv2d_weight_gradient(g, shape, spec))
        };
        let strided =
            Conv2dSpec { stride: [2, 1], groups: 2, padding: Padding::all(1), ..Conv2dSpec::default() };
        vec![
            case("plain", &[2, 4, 4, 2], &[2, 3, 2, 3], &[2, 3, 2, 3], Conv2dSpec::default()),
            case("groups with stride", &[1, 5, 4, 2], &[1, 3, 4, 4], &[3, 3, 1, 4], strided),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "conv2d_weight_gradient: dy [1, 2, 2, 2] must have the output's shape [1, 1, 1, 2]",
            || {
                let (x, g) = (super::zeros::<f64>(&[1, 3, 3, 2]), super::zeros(&[1, 2, 2, 2]));
                let _ = x.conv2d_weight_gradient(g, Shape::new(&[3, 3, 2, 2]), Conv2dSpec::default());
            },
        )]
    }
}

impl<T: Element> Var<T> {
    /// The weight gradient of a convolution of this variable whose output has the
    /// gradient `g`; see [`Conv2dWeightGradient`].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    #[track_caller]
    pub fn conv2d_weight_gradient(self, g: Var<T>, weight_shape: Shape, spec: Conv2dSpec) -> Var<T> {
        let geometry = Geometry::new("conv2d_weight_gradient", self.shape(), &weight_shape, &spec);
        geometry.check_dy("conv2d_weight_gradient", g.shape());
        let x_shape = self.value().dims();
        Var::record(Conv2dWeightGradient { spec, x_shape, weight_shape }, vec![self, g])
    }
}

//! Branches that are added to their input, and the blocks of mobile networks that are
//! built so.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;

use super::{BatchNorm2d, Conv2d, Layer, Linear};
use crate::context::Context;
use crate::init::Init;

/// `x + body(x)`, or `projection(x) + body(x)` where the body changes the shape, with an optional ReLU of the sum
/// (He et al., 2016, equations 1 and 2). The forward pass panics if the two shapes differ.
pub struct Residual<T: Element = f32> {
    body: Box<dyn Layer<T>>,
    projection: Option<Box<dyn Layer<T>>>,
    relu: bool,
}

crate::module!(Residual { body, projection } without { relu });

impl<T: Element> Residual<T> {
    /// `x + body(x)`.
    pub fn new(body: impl Layer<T> + 'static) -> Self {
        Self { body: Box::new(body), projection: None, relu: false }
    }

    /// With this layer on the way past the body.
    pub fn with_projection(self, projection: impl Layer<T> + 'static) -> Self {
        Self { projection: Some(Box::new(projection)), ..self }
    }

    /// With a ReLU of the sum, computed together with it.
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }
}

impl<T: Element> Layer<T> for Residual<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let y = context.part("body", |context| self.body.forward(x.clone(), context));
        let past = match &self.projection {
            Some(projection) => context.part("projection", |context| projection.forward(x, context)),
            None => x,
        };
        assert!(
            past.shape() == y.shape(),
            "Residual: the body gives {:?}, to be added to {:?}: it needs a projection to that shape",
            y.shape(),
            past.shape()
        );
        if self.relu { y.add_relu(past) } else { y + past }
    }
}

/// The block of MobileNetV2 (Sandler et al., 2018, section 3.3): a 1 × 1 convolution to `expansion` times as many
/// channels, a 3 × 3 depthwise one with a stride, a 1 × 1 one to `cout`; a batch norm after each, ReLU6 after
/// the first two; added to the input if the shapes allow it. `[N, H, W, Cin]` to
/// `[N, ceil(H / stride), ceil(W / stride), Cout]`.
#[derive(Clone, Debug)]
pub struct InvertedResidual<T: Element = f32> {
    expand: Option<Conv2d<T>>,
    expand_norm: Option<BatchNorm2d<T>>,
    depthwise: Conv2d<T>,
    depthwise_norm: BatchNorm2d<T>,
    project: Conv2d<T>,
    project_norm: BatchNorm2d<T>,
    residual: bool,
}

crate::module!(InvertedResidual {
    expand,
    expand_norm,
    depthwise,
    depthwise_norm,
    project,
    project_norm
} without { residual });

impl<T: Element> InvertedResidual<T> {
    /// From `cin` to `cout` channels; with an `expansion` of 1 there is no first convolution.
    ///
    /// # Panics
    /// If `cin` or `expansion` is 0.
    #[track_caller]
    pub fn new(cin: usize, cout: usize, stride: usize, expansion: usize, init: &mut Init) -> Self {
        assert!(
            cin > 0 && expansion > 0,
            "InvertedResidual: {cin} channels and expansion {expansion} must be above 0"
        );
        let hidden = cin * expansion;
        let expands = expansion > 1;
        let spec = Conv2dSpec { stride: [stride; 2], groups: hidden, ..Conv2dSpec::same(3) };
        Self {
            expand: expands.then(|| Conv2d::new(cin, hidden, 1, init).without_bias()),
            expand_norm: expands.then(|| BatchNorm2d::new(hidden)),
            depthwise: Conv2d::with_spec(hidden, hidden, 3, spec, init).without_bias(),
            depthwise_norm: BatchNorm2d::new(hidden),
            project: Conv2d::new(hidden, cout, 1, init).without_bias(),
            project_norm: BatchNorm2d::new(cout),
            residual: stride == 1 && cin == cout,
        }
    }
}

impl<T: Element> Layer<T> for InvertedResidual<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let mut y = x.clone();
        if let (Some(conv), Some(norm)) = (&self.expand, &self.expand_norm) {
            y = context.part("expand", |context| conv.forward(y, context));
            y = context.part("expand_norm", |context| norm.forward(y, context)).clamp(0.0, 6.0);
        }
        y = context.part("depthwise", |context| self.depthwise.forward(y, context));
        y = context.part("depthwise_norm", |context| self.depthwise_norm.forward(y, context)).clamp(0.0, 6.0);
        y = context.part("project", |context| self.project.forward(y, context));
        y = context.part("project_norm", |context| self.project_norm.forward(y, context));
        if self.residual { x + y } else { y }
    }
}

/// `x sigmoid(W₂ relu(W₁ mean(x)))`: scales every channel by a number that depends on all channels' means,
/// `[N, H, W, C]` to the same (Hu, Shen and Sun, 2018, equations 2 to 4). The forward pass panics if `x` has
/// another rank or other channels.
#[derive(Clone, Debug)]
pub struct SqueezeExcitation<T: Element = f32> {
    reduce: Linear<T>,
    expand: Linear<T>,
}

crate::module!(SqueezeExcitation { reduce, expand });

impl<T: Element> SqueezeExcitation<T> {
    /// For `channels` channels with `hidden` numbers between the two dense layers, `channels / 16` in the paper.
    pub fn new(channels: usize, hidden: usize, init: &mut Init) -> Self {
        Self { reduce: Linear::new(channels, hidden, init), expand: Linear::new(hidden, channels, init) }
    }
}

impl<T: Element> Layer<T> for SqueezeExcitation<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let &[n, _, _, c] = x.shape() else {
            panic!("SqueezeExcitation: x {:?} must be [N, H, W, C]", x.shape())
        };
        let means = x.clone().global_avg_pool();
        let hidden = context.part("reduce", |context| self.reduce.forward(means, context)).relu();
        let scale = context.part("expand", |context| self.expand.forward(hidden, context)).sigmoid();
        x * scale.reshape(&[n, 1, 1, c])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_tensor::Tensor;

    #[test]
    #[should_panic(expected = "Residual: the body gives [1, 4, 4, 3], to be added to [1, 4, 4, 2]")]
    fn a_body_that_changes_the_shape_needs_a_projection() {
        let layer = Residual::<f32>::new(Conv2d::new(2, 3, 1, &mut Init::new(1)));
        crate::predict(&layer, Tensor::zeros(&[1, 4, 4, 2]));
    }
}

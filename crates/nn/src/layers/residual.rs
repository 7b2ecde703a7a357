//! Branches that are added to their input, or scale it.

use cerberus_autograd::Var;
use cerberus_tensor::Element;

use super::{Conv2d, Layer};
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

/// `x gate(W₂ activation(W₁ mean(x)))`: scales every channel by a number that depends on all channels' means,
/// `[N, H, W, C]` to the same, with ReLU and the sigmoid (Hu, Shen and Sun, 2018, equations 2 to 4). The weights are
/// those of 1 × 1 convolutions, `fc1.weight [1, 1, C, hidden]` and `fc2.weight [1, 1, hidden, C]`. The forward pass
/// panics if `x` has another rank or other channels.
#[derive(Clone, Debug)]
pub struct SqueezeExcitation<T: Element = f32> {
    fc1: Conv2d<T>,
    fc2: Conv2d<T>,
    activation: fn(Var<T>) -> Var<T>,
    gate: fn(Var<T>) -> Var<T>,
}

crate::module!(SqueezeExcitation { fc1, fc2 } without { activation, gate });

impl<T: Element> SqueezeExcitation<T> {
    /// For `channels` channels with `hidden` numbers between the two dense layers, `channels / 16` in the paper.
    pub fn new(channels: usize, hidden: usize, init: &mut Init) -> Self {
        Self {
            fc1: Conv2d::new(channels, hidden, 1, init),
            fc2: Conv2d::new(hidden, channels, 1, init),
            activation: Var::relu,
            gate: Var::sigmoid,
        }
    }

    /// With another activation between the two layers, such as `Var::silu`.
    pub fn with_activation(self, activation: fn(Var<T>) -> Var<T>) -> Self {
        Self { activation, ..self }
    }

    /// With another function that makes the scales, such as `Var::hardsigmoid`.
    pub fn with_gate(self, gate: fn(Var<T>) -> Var<T>) -> Self {
        Self { gate, ..self }
    }
}

impl<T: Element> Layer<T> for SqueezeExcitation<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let &[n, _, _, c] = x.shape() else {
            panic!("SqueezeExcitation: x {:?} must be [N, H, W, C]", x.shape())
        };
        let means = x.clone().global_avg_pool().reshape(&[n, 1, 1, c]);
        let hidden = context.part("fc1", |context| self.fc1.forward(means, context));
        let hidden = (self.activation)(hidden);
        let scale = context.part("fc2", |context| self.fc2.forward(hidden, context));
        x * (self.gate)(scale)
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

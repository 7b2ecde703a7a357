//! The dense layer.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use super::Layer;
use crate::context::Context;
use crate::init::Init;
use crate::module::Parameter;

/// `y = x weight + bias`, `x [N, in]` to `[N, out]`; `weight [in, out]`, `bias [out]`.
#[derive(Clone, Debug)]
pub struct Linear<T: Element = f32> {
    weight: Parameter<T>,
    bias: Parameter<T>,
}

crate::module!(Linear { weight, bias });

impl<T: Element> Linear<T> {
    /// A layer with Glorot weights and zero bias.
    pub fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        Self {
            weight: Parameter::new(init.glorot(&[inputs, outputs], inputs, outputs)),
            bias: Parameter::new(Tensor::zeros(&[outputs])),
        }
    }
}

impl<T: Element> Layer<T> for Linear<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let y = x.linear(context.parameter(&self.weight), context.parameter(&self.bias));
        context.layer_done(&self.weight, &y);
        y
    }
}

//! The dense layer.

use cerberus_autograd::Var;
use cerberus_tensor::conv::{Conv2dSpec, Epilogue};
use cerberus_tensor::{Element, Rectifier, Tensor};

use super::{Layer, set_weight};
use crate::context::Context;
use crate::init::Init;
use crate::module::Parameter;

/// `y = x weight + bias` along the last dimension, `x [.., in]` to `[.., out]`; `weight [in, out]`,
/// `bias [out]`.
#[derive(Clone, Debug)]
pub struct Linear<T: Element = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
}

crate::module!(Linear { weight, bias });

impl<T: Element> Linear<T> {
    /// A layer with Glorot weights and zero bias.
    pub fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        Self {
            weight: Parameter::new(init.glorot(&[inputs, outputs], inputs, outputs)),
            bias: Some(Parameter::new(Tensor::zeros(&[outputs]))),
        }
    }

    /// Without bias.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// With these weights, `[in, out]`.
    ///
    /// # Panics
    /// If they have another shape than the layer's.
    #[track_caller]
    pub fn with_weight(mut self, weight: Tensor<T>) -> Self {
        set_weight("Linear", &mut self.weight, weight);
        self
    }
}

/// The most weights of a layer that prediction keeps packed beside the layer's own.
const MOST_PREPARED: usize = 4 << 20;

impl<T: Element> Linear<T> {
    /// Whether packing the weights, which takes about as long as a product with few rows, pays when a context
    /// uses them for `rows` rows at a time.
    fn pays_to_prepare(&self, rows: usize) -> bool {
        rows >= 16 && self.weight.value.len() <= MOST_PREPARED
    }
}

impl<T: Element> Layer<T> for Linear<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let shape = x.value().dims();
        let [inputs, outputs] = [0, 1].map(|axis| self.weight.value.shape()[axis]);
        assert!(
            shape.last() == Some(&inputs),
            "Linear: x {shape:?} must end in the {inputs} inputs of weight [{inputs}, {outputs}]"
        );
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let x = if shape.len() == 2 { x } else { x.reshape(&[rows, inputs]) };
        let y = if !context.is_training() && !x.is_recorded() && self.pays_to_prepare(rows) {
            // A convolution of `rows` pixels by a kernel of one.
            let prepared = context.prepared(&self.weight, Conv2dSpec::default());
            let epilogue = Epilogue {
                bias: self.bias.as_ref().map(|bias| bias.value.clone()),
                activation: Rectifier::None,
            };
            let x = x.into_value().reshape(&[1, rows, 1, inputs]);
            Var::constant(prepared.forward(&x, &epilogue).reshape(&[rows, outputs]))
        } else {
            let weight = context.parameter(&self.weight);
            match &self.bias {
                Some(bias) => x.linear(weight, context.parameter(bias)),
                None => x.matmul(weight),
            }
        };
        let y =
            if shape.len() == 2 { y } else { y.reshape(&[&shape[..shape.len() - 1], &[outputs]].concat()) };
        context.count_multiply_adds(rows * inputs * outputs);
        context.layer_done(&self.weight, &y);
        y
    }
}

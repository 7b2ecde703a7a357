//! The dense layer's product and bias.

use cerberus_tensor::{Element, Tensor, product};

use crate::gradcheck::{Case, arguments, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves};
use crate::tape::Var;

/// `y = x weight + bias` for `x [M, K]`, `weight [K, N]`, `bias [N]`;
/// `dx = dy weightᵀ`, `dweight = xᵀ dy`, `dbias` the sum of `dy` over its rows.
///
/// `dweight` is answered as its two factors, which an optimiser may apply
/// without storing their product. Kernels: [`cerberus_tensor::product`].
pub struct Linear;

impl<T: Element> Operation<T> for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x, weight, bias] = inputs.take();
        product::dense(&x, &weight, Some(&bias))
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (x, weight) = (saved.input(0), saved.input(1));
        let dx = wants[0].then(|| product::dense_input_gradient(&dy, &weight).into());
        let dbias = wants[2].then(|| dy.sum(&[0], false).into());
        let dweight = wants[1].then(|| Gradient::Product { left: x.t(), right: dy });
        vec![dx, dweight, dbias]
    }

    fn cases() -> Vec<Case> {
        let inputs = vec![sample(1, &[3, 4]), sample(2, &[4, 2]), sample(3, &[2])];
        vec![
            Case::new("linear", inputs, |inputs| {
                let [x, weight, bias] = arguments(inputs);
                x.linear(weight, bias)
            }),
            Case::binary("linear: a weight used twice", sample(4, &[2, 3]), sample(5, &[3, 3]), |x, weight| {
                let zero = || Var::constant(Tensor::zeros(&[3]));
                x.linear(weight.clone(), zero()).linear(weight, zero())
            }),
        ]
    }
}

impl<T: Element> Var<T> {
    /// `x weight + bias`, `[M, K] [K, N] + [N]`; see [`Linear`].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    #[track_caller]
    pub fn linear(self, weight: Var<T>, bias: Var<T>) -> Var<T> {
        Var::apply(Linear, vec![self, weight, bias])
    }
}

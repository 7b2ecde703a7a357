//! The dense layer's product and bias.

use cerberus_tensor::{Element, Tensor, product};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = x weight + bias` for `x [M, K]`, `weight [K, N]`, `bias [N]`;
/// `dx = dy weightᵀ`, `dweight = xᵀ dy`, `dbias` the sum of `dy` over its rows.
///
/// `dweight` is returned as its two factors, which an optimiser may apply
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
        let dbias = wants[2].then(|| dy.sum(&[0]).into());
        let dweight = wants[1].then(|| Gradient::Product { left: x.t(), right: dy });
        vec![dx, dweight, dbias]
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (x, weight) = (saved.input(0), saved.input(1));
        Some(vec![
            wants[0].then(|| dy.clone().matmul(weight.permute(&[1, 0]))),
            wants[1].then(|| x.permute(&[1, 0]).matmul(dy.clone())),
            wants[2].then(|| dy.clone().sum(&[0])),
        ])
    }
}

#[cfg(feature = "proofs")]
impl Proof for Linear {
    fn facts() -> Facts {
        Facts::new(
            "linear",
            Group::Algebra,
            "y = x weight + bias",
            "dx = dy weightᵀ, dweight = xᵀ dy, dbias = Σ dy",
        )
        .shapes("x [M, K], weight [K, N], bias [N]")
        .torch("F.linear(a, b.T, c)")
        .linear(&[0, 1, 2])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, rows: usize| {
            let inputs = [sample(1, &[rows, 4]), sample(2, &[4, 2]), sample(3, &[2])];
            let [x, weight, bias] = inputs;
            case!(format!("linear{kind}"), "F.linear(a, b.T, c)", [x, weight, bias], |x, weight, bias| {
                x.linear(weight, bias)
            })
        };
        let torch = "a @ b @ b";
        vec![
            case("", 3),
            case(": empty batch", 0).zero_gradient(1).zero_gradient(2),
            case!(
                "linear: a weight used twice",
                torch,
                [sample(4, &[2, 3]), sample(5, &[3, 3])],
                |x, weight| {
                    let zero = || Var::constant(Tensor::zeros(&[3]));
                    x.linear(weight.clone(), zero()).linear(weight, zero())
                }
            )
            .composed(),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "linear: x [2, 3] weight [4, 5] + bias [5]; expected [M, K] [K, N] + [N]",
            || {
                let _ = super::zeros::<f64>(&[2, 3]).linear(super::zeros(&[4, 5]), super::zeros(&[5]));
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let inputs = [sample(1, &[97, 80]), sample(2, &[80, 211]), sample(3, &[211])];
        let [x, weight, bias] = inputs;
        vec![case!("linear", "F.linear(a, b.T, c)", [x, weight, bias], |x, weight, bias| x
            .linear(weight, bias))]
    }
}

impl<T: Element> Var<T> {
    /// `x weight + bias`, `[M, K] [K, N] + [N]`; see [`Linear`].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    #[track_caller]
    pub fn linear(self, weight: Var<T>, bias: Var<T>) -> Var<T> {
        let fits = matches!((self.shape(), weight.shape(), bias.shape()), (&[_, k], &[inner, n], &[columns]) if k == inner && n == columns);
        assert!(
            fits,
            "linear: x {:?} weight {:?} + bias {:?}; expected [M, K] [K, N] + [N]",
            self.shape(),
            weight.shape(),
            bias.shape()
        );
        Var::record(Linear, vec![self, weight, bias])
    }
}

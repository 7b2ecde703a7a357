//! Scaled dot-product attention of a sequence with itself.

use cerberus_tensor::{Element, Tensor, attention};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = softmax(q kᵀ / √d) v` in heads of `d` channels (Vaswani et al., 2017, equation 1), from queries, keys and values
/// side by side, `[N, L, 3 C]`, to `[N, L, C]`. With the weights `P`: `dv = Pᵀ dy`, `dS = P (dy vᵀ - Σ dy y)`,
/// `dq = dS k / √d`, `dk = dSᵀ q / √d`.
pub struct SelfAttention<T: Element = f64> {
    /// The number of heads.
    pub heads: usize,
    /// The logarithms of the sums of the weights' rows.
    sums: Option<Tensor<T>>,
}

impl<T: Element> Operation<T> for SelfAttention<T> {
    fn name(&self) -> &'static str {
        "self_attention"
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0], output: true }
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [qkv] = inputs.take();
        let (y, sums) = attention::attention(&qkv, self.heads);
        self.sums = Some(sums);
        y
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (qkv, y) = (saved.input(0), saved.output());
        let sums = self.sums.as_ref().expect("the forward rule runs before the backward rule");
        crate::one(attention::attention_backward(&qkv, self.heads, (&y, sums), &dy))
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let qkv = saved.input(0);
        let &[n, len, channels] = qkv.shape() else { return None };
        let (heads, d) = (self.heads, channels / 3 / self.heads);
        let root = 1.0 / (d as f64).sqrt();
        // [3, N, heads, L, d]
        let parts = qkv.reshape(&[n, len, 3, heads, d]).permute(&[2, 0, 3, 1, 4]);
        let part = |index| parts.clone().narrow(0, index, 1).reshape(&[n, heads, len, d]);
        let turned = |x: Var<T>| x.permute(&[0, 1, 3, 2]);
        let (q, k, v) = (part(0), part(1), part(2));
        let dy = dy.reshape(&[n, len, heads, d]).permute(&[0, 2, 1, 3]);
        let weights = q.clone().matmul(turned(k.clone())).scale(root).softmax(3);
        let dv = turned(weights.clone()).matmul(dy.clone());
        let slope = dy.matmul(turned(v));
        let mean = (weights.clone() * slope.clone()).sum(&[3]).reshape(&[n, heads, len, 1]);
        let slope = (weights * (slope - mean)).scale(root);
        let (dq, dk) = (slope.clone().matmul(k), turned(slope).matmul(q));
        let gradient = Var::concat([dq, dk, dv].map(|x| x.reshape(&[1, n, heads, len, d])).into(), 0);
        Some(vec![Some(gradient.permute(&[1, 3, 0, 2, 4]).reshape(&[n, len, channels]))])
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for SelfAttention<T> {
    fn facts() -> Facts {
        Facts::new(
            "self_attention",
            Group::Algebra,
            "y = softmax(q kᵀ / √d) v, head by head",
            "dv = Pᵀ dy, dS = P (dy vᵀ - Σ dy y), dq = dS k / √d, dk = dSᵀ q / √d",
        )
        .shapes("qkv [N, L, 3 C]")
        .torch("F.scaled_dot_product_attention(q, k, v)")
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, shape: &[usize], heads: usize| {
            let &[n, len, channels] = shape else { unreachable!("a sample is [N, L, 3 C]") };
            let (d, c) = (channels / 3 / heads, channels / 3);
            let torch = format!(
                "F.scaled_dot_product_attention(*a.reshape({n}, {len}, 3, {heads}, {d}).permute(2, 0, 3, 1, 4))\
                 .transpose(1, 2).reshape({n}, {len}, {c})"
            );
            case!(format!("self_attention: {kind}"), torch, [sample(1, shape)], |qkv| qkv
                .self_attention(heads))
        };
        vec![
            case("two heads", &[2, 3, 12], 2),
            case("one head", &[1, 4, 6], 1),
            case("empty batch", &[0, 4, 6], 1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "self_attention: qkv [1, 2, 8] must be [N, L, 3 C] with C a multiple of the 2 heads",
            || {
                let _ = super::zeros::<f64>(&[1, 2, 8]).self_attention(2);
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("self_attention", "attention", [sample(1, &[2, 175, 48])], |qkv| qkv.self_attention(2))]
    }
}

impl<T: Element> Var<T> {
    /// Attention of a sequence with itself in `heads` heads, from queries, keys and values; see [`SelfAttention`].
    ///
    /// # Panics
    /// If `self` is not `[N, L, 3 C]` with `C` a multiple of the heads.
    #[track_caller]
    pub fn self_attention(self, heads: usize) -> Var<T> {
        Var::apply(SelfAttention { heads, sums: None }, vec![self])
    }
}

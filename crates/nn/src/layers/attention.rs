//! Self-attention and the block of vision transformers around it.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};

use super::{DropPath, Dropout, Layer, LayerNorm, Linear};
use crate::attention_mask::AttentionMask;
use crate::context::Context;
use crate::init::Init;

/// The score of a pair that the mask excludes. Finite, so that a row without any other stays a number.
const EXCLUDED: f64 = -1e30;

/// `softmax(q kᵀ / √d) v` in `heads` heads of `d = C / heads` channels each, then a dense layer; `q`, `k` and `v`
/// are dense layers of `x`, one after the other in `qkv`: `[N, L, C]` to `[N, L, C]` (Vaswani et al., 2017,
/// section 3.2). The forward pass panics if `x` has another rank or other channels. With a mask, or in training with
/// dropout, it keeps `N heads L²` weights for the backward pass, otherwise none.
#[derive(Clone, Debug)]
pub struct MultiHeadSelfAttention<T: Element = f32> {
    qkv: Linear<T>,
    projection: Linear<T>,
    dropout: Option<Dropout<T>>,
    heads: usize,
}

crate::module!(MultiHeadSelfAttention { qkv, projection } without { dropout, heads });

impl<T: Element> MultiHeadSelfAttention<T> {
    /// For `channels` channels in `heads` heads.
    ///
    /// # Panics
    /// If the channels are not a multiple of the heads.
    #[track_caller]
    pub fn new(channels: usize, heads: usize, init: &mut Init) -> Self {
        assert!(
            heads > 0 && channels.is_multiple_of(heads),
            "MultiHeadSelfAttention: {channels} channels must be a multiple of {heads} heads"
        );
        // Glorot's bound of each of the three layers, not of a layer with three times as many outputs.
        let weight = init.glorot(&[channels, 3 * channels], channels, channels);
        Self {
            qkv: Linear::new(channels, 3 * channels, init).with_weight(weight),
            projection: Linear::new(channels, channels, init),
            dropout: None,
            heads,
        }
    }

    /// With dropout of this rate of the weights after the softmax.
    ///
    /// # Panics
    /// Unless `0 <= rate < 1`.
    #[track_caller]
    pub fn with_dropout(self, rate: f64) -> Self {
        let dropout = Dropout::new(rate);
        Self { dropout: (rate > 0.0).then_some(dropout), ..self }
    }

    /// [`forward`](Layer::forward) with attention only where the mask allows it: other pairs have weight 0. A position
    /// that may attend to none gets the bias of the last dense layer.
    ///
    /// # Panics
    /// If `x` is not `[N, L, C]`, or the mask does not have a value for every key or every pair.
    #[track_caller]
    pub fn forward_masked(&self, x: Var<T>, mask: AttentionMask, context: &mut Context<T>) -> Var<T> {
        self.attend(x, Some(mask), context)
    }

    #[track_caller]
    fn attend(&self, x: Var<T>, mask: Option<AttentionMask>, context: &mut Context<T>) -> Var<T> {
        let &[n, len, c] = x.shape() else {
            panic!("MultiHeadSelfAttention: x {:?} must be [N, L, C]", x.shape())
        };
        let heads = self.heads;
        let dropout = self.dropout.as_ref().filter(|_| context.is_training());
        let qkv = context.part("qkv", |context| self.qkv.forward(x, context));
        let mixed = context.part("attention", |context| {
            // Two products of [L, d] and [d, L], or [L, L] and [L, d], per head.
            context.count_multiply_adds(2 * n * len * len * c);
            if mask.is_none() && dropout.is_none() {
                return qkv.self_attention(heads);
            }
            let d = c / heads;
            // [3, N, heads, L, d]
            let qkv = qkv.reshape(&[n, len, 3, heads, d]).permute(&[2, 0, 3, 1, 4]);
            let part = |index| qkv.clone().narrow(0, index, 1).reshape(&[n * heads, len, d]);
            let (q, k, v) = (part(0).scale(1.0 / (d as f64).sqrt()), part(1), part(2));
            let scores = q.matmul(k.permute(&[0, 2, 1]));
            let mut weights = match mask {
                Some(mask) => masked_softmax(scores, mask.spread([n, len, heads])),
                None => scores.softmax(2),
            };
            if let Some(dropout) = dropout {
                weights = dropout.forward(weights, context);
            }
            weights.matmul(v).reshape(&[n, heads, len, d]).permute(&[0, 2, 1, 3]).reshape(&[n, len, c])
        });
        context.part("projection", |context| self.projection.forward(mixed, context))
    }
}

/// The softmax of the scores `[N heads, L, L]` at the pairs of a [spread](AttentionMask::spread) mask.
fn masked_softmax<T: Element>(scores: Var<T>, (mask, some_attend_to_none): (Tensor<T>, bool)) -> Var<T> {
    let excluded = Var::constant(Tensor::full(T::from_f64(EXCLUDED), &[]));
    let weights = Var::where_(&mask, scores, excluded).softmax(2);
    // Where all scores are equally low, the softmax gives all the same weight.
    if some_attend_to_none { weights * Var::constant(mask) } else { weights }
}

impl<T: Element> Layer<T> for MultiHeadSelfAttention<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        self.attend(x, None, context)
    }
}

/// The block of a vision transformer with the norms first: `x = x + attention(norm1(x))`, then
/// `x + output(gelu(hidden(norm2(x))))`, `[N, L, C]` to `[N, L, C]` (Dosovitskiy et al., 2021, equations 2 and 3).
/// The norms' eps is 1e-6, as in the paper's code.
#[derive(Clone, Debug)]
pub struct TransformerBlock<T: Element = f32> {
    norm1: LayerNorm<T>,
    attention: MultiHeadSelfAttention<T>,
    norm2: LayerNorm<T>,
    hidden: Linear<T>,
    output: Linear<T>,
    dropout: Dropout<T>,
    drop_path: DropPath<T>,
}

crate::module!(TransformerBlock {
    norm1,
    attention,
    norm2,
    hidden,
    output
} without { dropout, drop_path });

impl<T: Element> TransformerBlock<T> {
    /// For `channels` channels in `heads` heads, with `hidden` numbers inside the dense part (4 times the channels
    /// in the paper); nothing is dropped.
    ///
    /// # Panics
    /// If the channels are not a multiple of the heads.
    #[track_caller]
    pub fn new(channels: usize, heads: usize, hidden: usize, init: &mut Init) -> Self {
        Self {
            norm1: LayerNorm::new(channels).with_eps(1e-6),
            attention: MultiHeadSelfAttention::new(channels, heads, init),
            norm2: LayerNorm::new(channels).with_eps(1e-6),
            hidden: Linear::new(channels, hidden, init),
            output: Linear::new(hidden, channels, init),
            dropout: Dropout::new(0.0),
            drop_path: DropPath::new(0.0),
        }
    }

    /// With dropout of this rate after the attention, after the GELU and after the last dense layer.
    ///
    /// # Panics
    /// Unless `0 <= rate < 1`.
    #[track_caller]
    pub fn with_dropout(self, rate: f64) -> Self {
        Self { dropout: Dropout::new(rate), ..self }
    }

    /// With dropout of this rate of the attention's weights.
    ///
    /// # Panics
    /// Unless `0 <= rate < 1`.
    #[track_caller]
    pub fn with_attention_dropout(self, rate: f64) -> Self {
        Self { attention: self.attention.with_dropout(rate), ..self }
    }

    /// With stochastic depth of this rate for both branches.
    ///
    /// # Panics
    /// Unless `0 <= rate < 1`.
    #[track_caller]
    pub fn with_drop_path(self, rate: f64) -> Self {
        Self { drop_path: DropPath::new(rate), ..self }
    }

    /// [`forward`](Layer::forward) with attention only where the mask allows it.
    ///
    /// # Panics
    /// As [`MultiHeadSelfAttention::forward_masked`].
    #[track_caller]
    pub fn forward_masked(&self, x: Var<T>, mask: AttentionMask, context: &mut Context<T>) -> Var<T> {
        self.run(x, Some(mask), context)
    }

    #[track_caller]
    fn run(&self, x: Var<T>, mask: Option<AttentionMask>, context: &mut Context<T>) -> Var<T> {
        let y = context.part("norm1", |context| self.norm1.forward(x.clone(), context));
        let y = context.part("attention", |context| self.attention.attend(y, mask, context));
        let y = self.dropout.forward(y, context);
        let x = x + self.drop_path.forward(y, context);

        let y = context.part("norm2", |context| self.norm2.forward(x.clone(), context));
        let y = context.part("hidden", |context| self.hidden.forward(y, context)).gelu();
        let y = self.dropout.forward(y, context);
        let y = context.part("output", |context| self.output.forward(y, context));
        let y = self.dropout.forward(y, context);
        x + self.drop_path.forward(y, context)
    }
}

impl<T: Element> Layer<T> for TransformerBlock<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        self.run(x, None, context)
    }
}

#[cfg(test)]
mod tests;

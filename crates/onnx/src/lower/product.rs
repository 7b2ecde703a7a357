//! Matrix products, and attention, which is made of them.

use cerberus_autograd::ops;

use super::{Lowering, Mapped, same};
use crate::error::ExportError;
use crate::layout::Layout::Plain;
use crate::proto::AttributeProto;
use crate::recording::Step;

impl Lowering<'_> {
    pub(super) fn product(&mut self, place: usize, step: &Step) -> Mapped {
        if let Some([attention, other]) = step.as_both::<ops::SelfAttention<f32>>() {
            let heads = same(step, [attention.heads as f64, other.heads as f64])? as usize;
            self.attention(place, step, heads)?;
            return Ok(true);
        }
        let operator = if step.is::<ops::Linear>() {
            // y = x weight + bias, with weight [in, out] as here.
            "Gemm"
        } else if step.is::<ops::MatMul>() || step.is::<ops::BatchedMatMul>() {
            "MatMul"
        } else {
            return Ok(false);
        };
        let mut inputs = Vec::with_capacity(3);
        for index in 0..step.inputs.len() {
            inputs.push(self.plain(step, index)?);
        }
        let y = self.graph.node(operator, inputs, []);
        self.set(place, Plain, y);
        Ok(true)
    }

    /// `softmax(q kᵀ / √d) v` by head, from `[N, L, 3 C]`.
    fn attention(&mut self, place: usize, step: &Step, heads: usize) -> Result<(), ExportError> {
        let qkv = self.plain(step, 0)?;
        let channels = self.extents(place)[2].in_shape();
        let width = channels / heads as i64;
        // In ONNX, 0 takes the extent over: images and positions.
        let shape = self.graph.integers(&[0, 0, 3, heads as i64, width]);
        let parts = self.graph.node("Reshape", [qkv, shape], []);
        let turned = |order: [usize; 5]| AttributeProto::ints("perm", order);
        let parts = self.graph.node("Transpose", [parts], [turned([2, 0, 3, 1, 4])]);
        let [q, k, v] = [0, 1, 2].map(|part| {
            let index = self.graph.integers_of_shape(&format!("part_{part}"), &[], &[part]);
            self.graph.node("Gather", [parts.clone(), index], [AttributeProto::int("axis", 0)])
        });
        let k = self.graph.node("Transpose", [k], [AttributeProto::ints("perm", [0, 1, 3, 2])]);
        let logits = self.graph.node("MatMul", [q, k], []);
        let scale = self.graph.number(1.0 / (width as f64).sqrt());
        let logits = self.graph.node("Mul", [logits, scale], []);
        let weights = self.graph.node("Softmax", [logits], [AttributeProto::int("axis", -1)]);
        let y = self.graph.node("MatMul", [weights, v], []);
        let y = self.graph.node("Transpose", [y], [AttributeProto::ints("perm", [0, 2, 1, 3])]);
        let shape = self.graph.integers(&[0, 0, channels]);
        let y = self.graph.node("Reshape", [y, shape], []);
        self.set(place, Plain, y);
        Ok(())
    }
}

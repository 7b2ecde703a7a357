//! Matrix products.

use cerberus_autograd::ops;

use super::{Lowering, Mapped};
use crate::layout::Layout::Plain;
use crate::recording::Step;

impl Lowering<'_> {
    pub(super) fn product(&mut self, place: usize, step: &Step) -> Mapped {
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
}

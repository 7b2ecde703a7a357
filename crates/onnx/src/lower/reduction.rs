//! Sums, means, softmax, layer norm: operations along some dimensions.

use cerberus_autograd::ops;

use super::{Lowering, Mapped, input, refusal, same};
use crate::layout::Layout::{self, ChannelsFirst, Plain};
use crate::proto::AttributeProto;
use crate::recording::Step;

impl Lowering<'_> {
    pub(super) fn reduction(&mut self, place: usize, step: &Step) -> Mapped {
        if let Some([sum, other]) = step.as_both::<ops::Sum>() {
            if (&sum.axes, sum.keep) != (&other.axes, other.keep) {
                return Err(refusal(step, "its axes depend on the batch"));
            }
            return self.sum(place, step, sum);
        }
        if let Some([norm, other]) = step.as_both::<ops::LayerNorm>() {
            let eps = AttributeProto::float("epsilon", same(step, [norm.eps, other.eps])?);
            let mut inputs = Vec::with_capacity(3);
            for index in 0..3 {
                inputs.push(self.plain(step, index)?);
            }
            let y = self.graph.node("LayerNormalization", inputs, [AttributeProto::int("axis", -1), eps]);
            self.set(place, Plain, y);
            return Ok(true);
        }
        if step.is::<ops::GlobalAvgPool>() {
            let x = self.value(input(step), ChannelsFirst)?;
            let y = self.graph.node("GlobalAveragePool", [x], []);
            let y = self.graph.node("Flatten", [y], [AttributeProto::int("axis", 1)]);
            self.set(place, Plain, y);
            return Ok(true);
        }
        for (found, operator) in
            [(step.is::<ops::Softmax>(), "Softmax"), (step.is::<ops::LogSoftmax>(), "LogSoftmax")]
        {
            if found {
                let (from, rank) = (input(step), self.extents(place).len());
                let layout = self.layout(from);
                let x = self.value(from, layout)?;
                let axis = AttributeProto::int("axis", layout.place(rank - 1, rank) as i64);
                let y = self.graph.node(operator, [x], [axis]);
                self.set(place, layout, y);
                return Ok(true);
            }
        }
        for (found, operator) in
            [(step.is::<ops::LogSumExp>(), "ReduceLogSumExp"), (step.is::<ops::Norm>(), "ReduceL2")]
        {
            if found {
                // Rows, of which each becomes a number.
                let x = self.value(input(step), Plain)?;
                let y = self.reduced(operator, x, &[1], false);
                self.set(place, Plain, y);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A reduction over these places of a value.
    pub(super) fn reduced(&mut self, operator: &str, x: String, places: &[usize], keep: bool) -> String {
        let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let axes = self.graph.integers(&places);
        self.graph.node(operator, [x, axes], [AttributeProto::int("keepdims", i64::from(keep))])
    }

    fn sum(&mut self, place: usize, step: &Step, sum: &ops::Sum) -> Mapped {
        let from = input(step);
        let rank = self.extents(from).len();
        if sum.axes.is_empty() {
            self.alias(place, from);
            return Ok(true);
        }
        let mut layout = self.layout(from);
        // The dimensions that stay, in the order in which they lie. Without `keep` this must be their own order.
        let left = |layout: Layout| -> Vec<usize> {
            layout.order(rank).into_iter().filter(|axis| !sum.axes.contains(axis)).collect()
        };
        if layout == ChannelsFirst && !sum.keep && !left(layout).is_sorted() {
            layout = Plain;
        }
        let x = self.value(from, layout)?;
        let places: Vec<usize> = sum.axes.iter().map(|&axis| layout.place(axis, rank)).collect();
        let y = self.reduced("ReduceSum", x, &places, sum.keep);
        self.set(place, if sum.keep { layout } else { Plain }, y);
        Ok(true)
    }
}

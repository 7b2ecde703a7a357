//! Operations that only move elements: reshapes, permutations, parts, joins.

use cerberus_autograd::ops;
use cerberus_tensor::Tensor;

use super::{Lowering, Mapped, input, refusal};
use crate::error::ExportError;
use crate::layout::Layout::{self, ChannelsFirst, Plain};
use crate::layout::{Extent, layouts_agree};
use crate::proto::AttributeProto;
use crate::recording::{Constant, Input, Step};

impl Lowering<'_> {
    pub(super) fn movement(&mut self, place: usize, step: &Step) -> Mapped {
        if step.is::<ops::Reshape>() {
            self.reshape(place, step)?;
        } else if let Some([permute, other]) = step.as_both::<ops::Permute>() {
            if permute.order != other.order {
                return Err(refusal(step, "its order depends on the batch"));
            }
            self.permute(place, step, &permute.order)?;
        } else if step.is::<ops::Expand>() {
            self.expand(place, step)?;
        } else if let Some([narrow, other]) = step.as_both::<ops::Narrow>() {
            if (narrow.axis, narrow.start) != (other.axis, other.start) {
                return Err(refusal(step, "its range depends on the batch"));
            }
            self.narrow(place, step, narrow)?;
        } else if let Some([concat, _]) = step.as_both::<ops::Concat>() {
            self.concat(place, step, concat.axis)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// A reshape that leaves batch and channels alone keeps channels first; so does one of a single channel or
    /// position, whose elements lie in the same order either way.
    fn reshape(&mut self, place: usize, step: &Step) -> Result<(), ExportError> {
        let from = input(step);
        let (before, after) = (self.extents(from), self.extents(place));
        if before == after {
            self.alias(place, from);
            return Ok(());
        }
        let first = self.layout(from) == ChannelsFirst && !self.has(from, Plain);
        let ends = |extents: &[Extent]| extents.first().copied().zip(extents.last().copied());
        if first && after.len() > 2 && ends(&before) == ends(&after) {
            let x = self.value(from, ChannelsFirst)?;
            let y = self.reshaped(x, &ChannelsFirst.stored(&after))?;
            self.set(place, ChannelsFirst, y);
            return Ok(());
        }
        let layout = if first && layouts_agree(&before) { ChannelsFirst } else { Plain };
        let x = self.value(from, layout)?;
        let y = self.reshaped(x, &after)?;
        self.set(place, Plain, y);
        Ok(())
    }

    /// One `Transpose` from the input as it lies, or none if that is the order that is asked for.
    fn permute(&mut self, place: usize, step: &Step, order: &[usize]) -> Result<(), ExportError> {
        let from = input(step);
        let (layout, rank) = (self.layout(from), order.len());
        let x = self.value(from, layout)?;
        let moved = |to: Layout| -> Vec<usize> {
            let order = to.order(rank).into_iter().map(|axis| order[axis]);
            order.map(|axis| layout.place(axis, rank)).collect()
        };
        let stays = |moved: &[usize]| moved.iter().enumerate().all(|(to, from)| to == *from);
        if rank > 2 && stays(&moved(ChannelsFirst)) {
            self.set(place, ChannelsFirst, x);
            return Ok(());
        }
        let moved = moved(Plain);
        let y = if stays(&moved) {
            x
        } else {
            self.graph.node("Transpose", [x], [AttributeProto::ints("perm", moved)])
        };
        self.set(place, Plain, y);
        Ok(())
    }

    fn expand(&mut self, place: usize, step: &Step) -> Result<(), ExportError> {
        let from = input(step);
        let (before, after) = (self.extents(from), self.extents(place));
        let layout = if before.len() == after.len() { self.layout(from) } else { Plain };
        let added = after.len() - before.len();
        let target = |(axis, extent): (usize, &Extent)| match extent {
            Extent::Fixed(extent) => Ok(*extent as i64),
            // The operator broadcasts both ways: 1 leaves the extent as it is.
            Extent::PerImage(_) if axis >= added && before[axis - added] == *extent => Ok(1),
            Extent::PerImage(_) => {
                Err(refusal(step, "it repeats a value for every image; add or multiply, which broadcast"))
            }
        };
        let target = after.iter().enumerate().map(target).collect::<Result<Vec<i64>, _>>()?;
        let x = self.value(from, layout)?;
        let shape = self.graph.integers(&layout.stored(&target));
        let y = self.graph.node("Expand", [x, shape], []);
        self.set(place, layout, y);
        Ok(())
    }

    fn narrow(&mut self, place: usize, step: &Step, narrow: &ops::Narrow) -> Result<(), ExportError> {
        let from = input(step);
        let (before, after) = (self.extents(from), self.extents(place));
        if before == after {
            self.alias(place, from);
            return Ok(());
        }
        let (Extent::Fixed(_), Extent::Fixed(len)) = (before[narrow.axis], after[narrow.axis]) else {
            return Err(refusal(step, "it takes some images out of the batch"));
        };
        let layout = self.layout(from);
        let x = self.value(from, layout)?;
        let axis = layout.place(narrow.axis, before.len());
        let range = [narrow.start, narrow.start + len, axis];
        let [start, end, axis] = range.map(|number| self.graph.integers(&[number as i64]));
        let y = self.graph.node("Slice", [x, start, end, axis], []);
        self.set(place, layout, y);
        Ok(())
    }

    /// `x` with so many positions of `fill` before and after it along one of its axes.
    pub(super) fn padded(
        &mut self,
        x: String,
        (axis, rank): (usize, usize),
        [before, after]: [i64; 2],
        fill: f64,
    ) -> String {
        // All axes are named by their places: not all readers know a list of some.
        let mut pads = vec![0; 2 * rank];
        (pads[axis], pads[rank + axis]) = (before, after);
        let pads = self.graph.integers(&pads);
        let fill = self.graph.number(fill);
        self.graph.node("Pad", [x, pads, fill], [AttributeProto::text("mode", "constant")])
    }

    fn concat(&mut self, place: usize, step: &Step, axis: usize) -> Result<(), ExportError> {
        let rank = self.extents(place).len();
        let parts: Vec<&Input> = step
            .inputs
            .iter()
            .filter(|input| !matches!(input, Input::Constant(constant) if constant.value.is_empty()))
            .collect();
        let nodes: Vec<usize> = parts
            .iter()
            .filter_map(|part| match part {
                Input::Node(from) => Some(*from),
                Input::Constant(_) => None,
            })
            .collect();
        if let (&[Input::Node(from)], 1) = (&parts[..], parts.len()) {
            self.alias(place, *from);
            return Ok(());
        }
        let plain = nodes.iter().filter(|&&from| !self.has(from, Plain)).count();
        let first = nodes.iter().filter(|&&from| !self.has(from, ChannelsFirst)).count();
        let layout = if rank > 2 && first <= plain { ChannelsFirst } else { Plain };
        if let Some((fill, pads)) = padding(&parts, axis) {
            let x = self.value(nodes[0], layout)?;
            let y = self.padded(x, (layout.place(axis, rank), rank), pads, fill);
            self.set(place, layout, y);
            return Ok(());
        }
        let mut names = Vec::with_capacity(parts.len());
        for part in &parts {
            names.push(match part {
                Input::Node(from) => self.value(*from, layout)?,
                Input::Constant(constant) => self.joined_constant(step, constant, (nodes[0], layout))?,
            });
        }
        let y =
            self.graph.node("Concat", names, [AttributeProto::int("axis", layout.place(axis, rank) as i64)]);
        self.set(place, layout, y);
        Ok(())
    }

    /// A constant that is joined with values in this layout, repeated for every image of `beside` if it is to be.
    fn joined_constant(
        &mut self,
        step: &Step,
        constant: &Constant,
        (beside, layout): (usize, Layout),
    ) -> Result<String, ExportError> {
        let value = &constant.value;
        let rank = value.rank();
        let stored = value.permute(&layout.order(rank)).contiguous();
        let name = self.names.find(value).unwrap_or(step.name()).to_string();
        let name = self.graph.floats(&name, stored.shape(), stored.data());
        match constant.repeated {
            None => Ok(name),
            Some(0) if self.extents(beside)[0] == Extent::PerImage(1) => {
                let x = self.value(beside, layout)?;
                let ends = [AttributeProto::int("start", 0), AttributeProto::int("end", 1)];
                let batch = self.graph.node("Shape", [x], ends);
                let rest: Vec<i64> = stored.shape()[1..].iter().map(|&extent| extent as i64).collect();
                let rest = self.graph.integers(&rest);
                let shape = self.graph.node("Concat", [batch, rest], [AttributeProto::int("axis", 0)]);
                Ok(self.graph.node("Expand", [name, shape], []))
            }
            Some(_) => Err(refusal(step, "it joins a constant with an entry for each image of the batch")),
        }
    }
}

/// The value and the positions before and after, if the parts are one value between constants of a single number.
fn padding(parts: &[&Input], axis: usize) -> Option<(f64, [i64; 2])> {
    let mut pads = [0, 0];
    let (mut fill, mut seen): (Option<f32>, bool) = (None, false);
    for part in parts {
        match part {
            Input::Node(_) if seen => return None,
            Input::Node(_) => seen = true,
            Input::Constant(constant) if constant.repeated == Some(axis) => return None,
            Input::Constant(constant) => {
                let number = single_number(&constant.value)?;
                if fill.is_some_and(|fill| fill.to_bits() != number.to_bits()) {
                    return None;
                }
                fill = Some(number);
                pads[usize::from(seen)] += constant.value.shape()[axis] as i64;
            }
        }
    }
    Some((f64::from(fill?), pads)).filter(|_| seen)
}

/// The number that all elements are.
fn single_number(tensor: &Tensor) -> Option<f32> {
    let values = tensor.to_vec();
    let first = *values.first()?;
    values.iter().all(|value| value.to_bits() == first.to_bits()).then_some(first)
}

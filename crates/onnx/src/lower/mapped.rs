//! Linear maps along dimensions: means and maxima of windows, selections,
//! interpolation with aligned corners.
//!
//! The operation knows its entries, not what they are for. Windows at regular
//! steps become a pool, a selection along one dimension a `Gather`, and any other
//! map that treats the dimensions one by one a product with a small matrix for
//! each.

use cerberus_autograd::ops;
use cerberus_autograd::ops::Origin;
use cerberus_tensor::linear_map::LinearMap;

use super::{Lowering, Mapped, input, refusal};
use crate::error::ExportError;
use crate::layout::Extent;
use crate::layout::Layout::{self, ChannelsFirst, Plain};
use crate::proto::AttributeProto;
use crate::recording::Step;
use crate::windows::{Regular, as_matrices, as_means, as_selection, regular};

/// A step with the two extents and the beginning of the dimensions it maps.
struct Place<'a> {
    place: usize,
    step: &'a Step,
    start: usize,
    from: &'a [usize],
    to: &'a [usize],
}

impl Lowering<'_> {
    pub(super) fn mapped(&mut self, place: usize, step: &Step) -> Mapped {
        let Some([mapped, other]) = step.as_both::<ops::Mapped>() else { return Ok(false) };
        let [from, to] = mapped.extents();
        let at = Place { place, step, start: mapped.start(), from, to };
        match (mapped.origin(), other.origin()) {
            (Origin::Largest(windows), Origin::Largest(_)) => self.largest(&at, windows.taps())?,
            (Origin::Extreme, Origin::Extreme) => self.extreme(&at)?,
            (Origin::Given, Origin::Given) => {
                let same = mapped.start() == other.start() && mapped.extents() == other.extents();
                if !same || mapped.map() != other.map() {
                    let problem =
                        "what it reads depends on the batch or on the values of the network's input";
                    return Err(refusal(step, problem));
                }
                self.given(&at, mapped.map())?;
            }
            _ => return Err(refusal(step, "it is another map in another batch")),
        }
        Ok(true)
    }

    /// The largest or smallest of every row.
    fn extreme(&mut self, at: &Place) -> Result<(), ExportError> {
        let operator = if at.step.name() == "min" { "ReduceMin" } else { "ReduceMax" };
        let x = self.value(input(at.step), Plain)?;
        let y = self.reduced(operator, x, &[1], false);
        let y = self.reshaped(y, &self.extents(at.place))?;
        self.set(at.place, Plain, y);
        Ok(())
    }

    /// The largest value of windows: a pool, or if they are not regular, a choice and a maximum for each dimension.
    fn largest(&mut self, at: &Place, taps: &[Vec<Vec<usize>>]) -> Result<(), ExportError> {
        let from = input(at.step);
        let rank = self.extents(from).len();
        let image: Vec<usize> = at.from[1..rank - 1].to_vec();
        if let Some(windows) = regular(taps, &image) {
            let x = self.value(from, ChannelsFirst)?;
            let y = self.graph.node("MaxPool", [x], pool(&windows));
            self.set(at.place, ChannelsFirst, y);
            return Ok(());
        }
        let layout = self.layout(from);
        let mut x = self.value(from, layout)?;
        for (axis, taps) in taps.iter().enumerate() {
            let longest = taps.iter().map(Vec::len).max().unwrap_or(0);
            // A position that is looked at twice does not change a maximum.
            let padded =
                taps.iter().flat_map(|window| (0..longest).map(|i| window[i.min(window.len() - 1)] as i64));
            let padded: Vec<i64> = padded.collect();
            let places = self.graph.integers_of_shape("windows", &[taps.len(), longest], &padded);
            let place = layout.place(axis + 1, rank);
            x = self.graph.node("Gather", [x, places], [AttributeProto::int("axis", place as i64)]);
            x = self.reduced("ReduceMax", x, &[place + 1], false);
        }
        self.set(at.place, layout, x);
        Ok(())
    }

    fn given(&mut self, at: &Place, map: &LinearMap) -> Result<(), ExportError> {
        let from = input(at.step);
        let rank = self.extents(from).len();
        if let Some(sources) = as_selection(map) {
            return self.selection(at, &sources);
        }
        let whole_image = at.start == 1 && at.from.len() + 2 == rank && at.to.len() == at.from.len();
        if whole_image
            && let Some((taps, count_padding)) = as_means(map, at.from, at.to)
            && let Some(windows) = regular(&taps, at.from)
        {
            let x = self.value(from, ChannelsFirst)?;
            let counts = AttributeProto::int("count_include_pad", i64::from(count_padding));
            let y = self.graph.node("AveragePool", [x], pool(&windows).into_iter().chain([counts]));
            self.set(at.place, ChannelsFirst, y);
            return Ok(());
        }
        if at.step.name() == "resize_corners"
            && let (&[rows, columns], &[height, width], 4) = (at.from, at.to, rank)
        {
            let x = self.value(from, ChannelsFirst)?;
            let modes = [("mode", "linear"), ("coordinate_transformation_mode", "align_corners")];
            let y = self.resized(x, [[rows, columns], [height, width]], &modes);
            self.set(at.place, ChannelsFirst, y);
            return Ok(());
        }
        let Some(matrices) = as_matrices(map, at.from, at.to) else {
            return Err(ExportError::Operation { operation: at.step.name().into() });
        };
        let layout = self.layout(from);
        let mut x = self.value(from, layout)?;
        let mut extents = self.extents(from);
        for (index, matrix) in matrices.into_iter().enumerate() {
            let axis = at.start + index;
            x = self.along(x, (layout, &extents, axis), &matrix, at.to[index])?;
            extents[axis] = Extent::Fixed(at.to[index]);
        }
        self.set(at.place, layout, x);
        Ok(())
    }

    /// The product of a matrix `[outputs, inputs]` and one dimension.
    fn along(
        &mut self,
        x: String,
        (layout, extents, axis): (Layout, &[Extent], usize),
        matrix: &[f32],
        outputs: usize,
    ) -> Result<String, ExportError> {
        let inputs = matrix.len() / outputs.max(1);
        let identity = |i: usize| if i / inputs == i % inputs { 1.0 } else { 0.0 };
        if inputs == outputs && matrix.iter().enumerate().all(|(i, &value)| value == identity(i)) {
            return Ok(x);
        }
        let (stored, place) = (layout.stored(extents), layout.place(axis, extents.len()));
        // What lies behind the dimension, as columns: [.., inputs, columns].
        let after = &stored[place + 1..];
        let columns: Option<usize> = after
            .iter()
            .map(|extent| match extent {
                Extent::Fixed(extent) => Some(*extent),
                Extent::PerImage(_) => None,
            })
            .product();
        let Some(columns) = columns.filter(|_| place > 0) else {
            return Err(ExportError::Use {
                operation: "linear_map".into(),
                problem: "it mixes the images of a batch".into(),
            });
        };
        let matrix = self.graph.floats("map", &[outputs, inputs], matrix);
        let flat = after.len() == 1;
        let rows = |extent: usize| [Extent::PerImage(1), Extent::Fixed(extent), Extent::Fixed(columns)];
        let x = if flat { x } else { self.reshaped(x, &rows(inputs))? };
        let y = self.graph.node("MatMul", [matrix, x], []);
        if flat {
            return Ok(y);
        }
        let mut stored = stored;
        stored[place] = Extent::Fixed(outputs);
        self.reshaped(y, &stored)
    }

    /// Chosen positions, 0 where there is none.
    fn selection(&mut self, at: &Place, sources: &[Option<usize>]) -> Result<(), ExportError> {
        let from = input(at.step);
        let extents = self.extents(from);
        let inputs: usize = at.from.iter().product();
        let single = at.from.len() == 1 && at.to.len() == 1;
        let layout = if single { self.layout(from) } else { Plain };
        let mut x = self.value(from, layout)?;
        if !single {
            let mut flat = extents.clone();
            flat.splice(at.start..at.start + at.from.len(), [Extent::Fixed(inputs)]);
            x = self.reshaped(x, &flat)?;
        }
        let place = if single { layout.place(at.start, extents.len()) } else { at.start };
        if sources.contains(&None) {
            let rank = if single { extents.len() } else { extents.len() + 1 - at.from.len() };
            x = self.padded(x, (place, rank), [0, 1], 0.0);
        }
        let places: Vec<i64> = sources.iter().map(|source| source.unwrap_or(inputs) as i64).collect();
        let places = self.graph.integers(&places);
        let mut y = self.graph.node("Gather", [x, places], [AttributeProto::int("axis", place as i64)]);
        if !single {
            y = self.reshaped(y, &self.extents(at.place))?;
        }
        self.set(at.place, layout, y);
        Ok(())
    }
}

fn pool(windows: &Regular) -> Vec<AttributeProto> {
    let pads = windows.before.iter().chain(&windows.after).copied();
    vec![
        AttributeProto::ints("kernel_shape", windows.kernel.iter().copied()),
        AttributeProto::ints("strides", windows.stride.iter().copied()),
        AttributeProto::ints("pads", pads),
    ]
}

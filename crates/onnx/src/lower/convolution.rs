//! Convolutions, pools of images and resizing: operators that take channels first.
//!
//! Our weights are `[KH, KW, Cin/groups, Cout]`; ONNX's are `[Cout, Cin/groups, KH,
//! KW]`, and of a transposed convolution `[Cin, Cout/groups, KH, KW]`. Both are the
//! same reordering of ours.

use cerberus_autograd::ops;
use cerberus_tensor::Tensor;
use cerberus_tensor::conv::{Conv2dSpec, Padding};
use cerberus_tensor::resize::Interpolation;

use super::{Lowering, Mapped, input, refusal};
use crate::error::ExportError;
use crate::layout::Extent;
use crate::layout::Layout::ChannelsFirst;
use crate::proto::AttributeProto;
use crate::recording::{Input, Step};

/// `[a, b, c, d]` becomes `[d, c, a, b]`.
const KERNELS_LAST: [usize; 4] = [3, 2, 0, 1];

/// Padding in ONNX's order: all beginnings, then all ends.
fn pads(padding: Padding) -> [usize; 4] {
    [padding.top, padding.left, padding.bottom, padding.right]
}

fn geometry(spec: &Conv2dSpec, kernel: &[usize]) -> Vec<AttributeProto> {
    vec![
        AttributeProto::ints("kernel_shape", kernel.iter().copied()),
        AttributeProto::ints("strides", spec.stride),
        AttributeProto::ints("pads", pads(spec.padding)),
        AttributeProto::ints("dilations", spec.dilation),
        AttributeProto::int("group", spec.groups as i64),
    ]
}

impl Lowering<'_> {
    pub(super) fn convolution(&mut self, place: usize, step: &Step) -> Mapped {
        if let Some([conv, other]) = step.as_both::<ops::Conv2d>() {
            if conv.spec != other.spec {
                return Err(refusal(step, "its geometry depends on the batch"));
            }
            return self.conv2d(place, step, conv);
        }
        if let Some([conv, _]) = step.as_both::<ops::ConvTranspose2d>() {
            return self.conv_transpose2d(place, step, &conv.spec);
        }
        if let Some([pool, _]) = step.as_both::<ops::MaxPool2d>() {
            let x = self.value(input(step), ChannelsFirst)?;
            let windows = [
                AttributeProto::ints("kernel_shape", pool.spec.kernel),
                AttributeProto::ints("strides", pool.spec.stride),
                AttributeProto::ints("pads", pads(pool.spec.padding)),
            ];
            let mut y = self.graph.node("MaxPool", [x], windows);
            if pool.relu {
                y = self.graph.node("Relu", [y], []);
            }
            self.set(place, ChannelsFirst, y);
            return Ok(true);
        }
        if let Some([resize, _]) = step.as_both::<ops::Resize>() {
            if resize.adjoint {
                return Err(refusal(step, "it is the gradient of a resize, which ONNX does not have"));
            }
            return self.resize(place, step, resize.interpolation);
        }
        Ok(false)
    }

    fn conv2d(&mut self, place: usize, step: &Step, conv: &ops::Conv2d) -> Mapped {
        let weight = kernels(step)?;
        let bias = match step.inputs.get(2) {
            None => None,
            Some(Input::Constant(bias)) => Some(&bias.value),
            Some(Input::Node(_)) => {
                return Err(refusal(step, "its bias is computed; it must be a parameter"));
            }
        };
        let x = self.value(input(step), ChannelsFirst)?;
        let stored = weight.permute(&KERNELS_LAST).contiguous();
        // weight: [Cout, Cin/groups, KH, KW]
        let each = stored.len() / stored.shape()[0].max(1);
        let (mut values, mut shift) = (stored.to_vec(), bias.map(Tensor::to_vec));
        let mut last = place;
        if let Some(fold) = &self.folds[place] {
            values = fold.scaled(values, |index| index / each);
            shift = fold.bias(shift);
            last = fold.last(place);
        }
        let weight_name = self.names.find(weight).unwrap_or("weight").to_string();
        let mut inputs = vec![x, self.graph.floats(&weight_name, stored.shape(), &values)];
        if let Some(shift) = shift {
            let name = self.bias_name(&weight_name, bias);
            inputs.push(self.graph.floats(&name, &[shift.len()], &shift));
        }
        let mut y = self.graph.node("Conv", inputs, geometry(&conv.spec, &weight.shape()[..2]));
        if conv.relu {
            y = self.graph.node("Relu", [y], []);
        }
        self.set(last, ChannelsFirst, y);
        Ok(true)
    }

    fn conv_transpose2d(&mut self, place: usize, step: &Step, spec: &Conv2dSpec) -> Mapped {
        let weight = kernels(step)?;
        let from = input(step);
        let sizes = [from, place].map(|place| self.extents(place));
        let kernel = &weight.shape()[..2];
        let p = spec.padding;
        let around = [p.top + p.bottom, p.left + p.right];
        // What the output is larger than the formula of the transposed convolution says.
        let extra = [0, 1].map(|axis| match [sizes[0][axis + 1], sizes[1][axis + 1]] {
            [Extent::Fixed(x), Extent::Fixed(y)] => {
                let reach = x.max(1).saturating_sub(1) * spec.stride[axis]
                    + spec.dilation[axis] * (kernel[axis] - 1)
                    + 1;
                (y + around[axis]).checked_sub(reach)
            }
            _ => None,
        });
        let [Some(down), Some(across)] = extra else {
            return Err(refusal(step, "its output is smaller than a transposed convolution's"));
        };
        let x = self.value(from, ChannelsFirst)?;
        let stored = weight.permute(&KERNELS_LAST).contiguous();
        // weight: [Cin, Cout/groups, KH, KW]
        let [cin, cout_group] = [stored.shape()[0], stored.shape()[1]];
        let (each, taps) = (stored.len() / cin.max(1), kernel[0] * kernel[1]);
        let cin_group = (cin / spec.groups).max(1);
        let (mut values, mut shift, mut last) = (stored.to_vec(), None, place);
        if let Some(fold) = &self.folds[place] {
            values = fold.scaled(values, |index| index / each / cin_group * cout_group + index % each / taps);
            shift = fold.bias(None);
            last = fold.last(place);
        }
        let weight_name = self.names.find(weight).unwrap_or("weight").to_string();
        let mut inputs = vec![x, self.graph.floats(&weight_name, stored.shape(), &values)];
        if let Some(shift) = shift {
            let name = self.bias_name(&weight_name, None);
            inputs.push(self.graph.floats(&name, &[shift.len()], &shift));
        }
        let mut attributes = geometry(spec, kernel);
        attributes.push(AttributeProto::ints("output_padding", [down, across]));
        let y = self.graph.node("ConvTranspose", inputs, attributes);
        self.set(last, ChannelsFirst, y);
        Ok(true)
    }

    /// The bias's own path, or one beside the weights' for a bias that was folded.
    fn bias_name(&self, weight: &str, bias: Option<&Tensor>) -> String {
        let own = bias.and_then(|bias| self.names.find(bias));
        own.map_or_else(
            || format!("{}.bias", weight.strip_suffix(".weight").unwrap_or(weight)),
            str::to_string,
        )
    }

    fn resize(&mut self, place: usize, step: &Step, interpolation: Interpolation) -> Mapped {
        let from = input(step);
        let [before, after] = [from, place].map(|place| self.extents(place));
        if before == after {
            self.alias(place, from);
            return Ok(true);
        }
        let mut sides = [[0; 2]; 2];
        for (sides, extents) in sides.iter_mut().zip([&before, &after]) {
            let (Extent::Fixed(height), Extent::Fixed(width)) = (extents[1], extents[2]) else {
                return Err(refusal(step, "the images' size depends on the batch"));
            };
            *sides = [height, width];
        }
        let [from_size, size] = sides;
        let x = self.value(from, ChannelsFirst)?;
        let y = match interpolation {
            Interpolation::Bilinear => {
                let modes = [("mode", "linear"), ("coordinate_transformation_mode", "half_pixel")];
                self.resized(x, sides, &modes)
            }
            // The operator's a is -0.75, and the edges are continued, unless it is told otherwise.
            Interpolation::Bicubic { corners } => {
                let grid = if corners { "align_corners" } else { "half_pixel" };
                self.resized(x, sides, &[("mode", "cubic"), ("coordinate_transformation_mode", grid)])
            }
            Interpolation::Nearest if (0..2).all(|axis| size[axis].is_multiple_of(from_size[axis])) => {
                let modes = [
                    ("mode", "nearest"),
                    ("coordinate_transformation_mode", "asymmetric"),
                    ("nearest_mode", "floor"),
                ];
                self.resized(x, sides, &modes)
            }
            // The operator divides rounded numbers, and may miss by a pixel where sizes do not divide.
            Interpolation::Nearest => [0, 1].into_iter().fold(x, |x, axis| {
                let places: Vec<i64> =
                    (0..size[axis]).map(|o| (o * from_size[axis] / size[axis]) as i64).collect();
                let places = self.graph.integers(&places);
                self.graph.node("Gather", [x, places], [AttributeProto::int("axis", axis as i64 + 2)])
            }),
        };
        self.set(place, ChannelsFirst, y);
        Ok(true)
    }

    /// Images `[N, C, H, W]` at another size.
    pub(super) fn resized(
        &mut self,
        x: String,
        [from, to]: [[usize; 2]; 2],
        modes: &[(&str, &str)],
    ) -> String {
        let modes = modes.iter().map(|(name, mode)| AttributeProto::text(name, mode));
        // By factors, if they give the size: not all readers know sizes of some axes only.
        if let [Some(rows), Some(columns)] = [0, 1].map(|axis| factor(from[axis], to[axis])) {
            let factors = self.graph.floats("factors", &[4], &[1.0, 1.0, rows, columns]);
            return self.graph.node("Resize", [x, String::new(), factors], modes);
        }
        let sizes = self.graph.integers(&to.map(|side| side as i64));
        let attributes = modes.chain([AttributeProto::ints("axes", [2, 3])]);
        self.graph.node("Resize", [x, String::new(), String::new(), sizes], attributes)
    }
}

/// What a side is multiplied by, if the operator, which rounds the product down, then finds the other.
fn factor(from: usize, to: usize) -> Option<f32> {
    let factor = to as f32 / from as f32;
    ((from as f32 * factor).floor() == to as f32).then_some(factor)
}

/// The weights of a convolution.
fn kernels(step: &Step) -> Result<&Tensor, ExportError> {
    match (&step.inputs[0], &step.inputs[1]) {
        (Input::Node(_), Input::Constant(weight)) if weight.repeated.is_none() => Ok(&weight.value),
        _ => Err(refusal(step, "its weights are computed; they must be parameters")),
    }
}

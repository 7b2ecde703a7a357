//! Operations that treat every element by itself.
//!
//! Those of one input keep its layout. Those of two choose the layout that needs
//! the fewest conversions; constants are brought into it here.

use cerberus_autograd::ops;

use super::{Lowering, Mapped, input, refusal, same};
use crate::error::ExportError;
use crate::graph::Graph;
use crate::layout::Extent;
use crate::layout::Layout::{self, ChannelsFirst, Plain};
use crate::proto::AttributeProto;
use crate::recording::{Input, Step};

/// `√2 / 2`, `√(2 / π)` and the cubic term of the tanh approximation of GELU.
const HALF_ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;
const GELU_SCALE: f64 = 0.797_884_560_802_865_4;
const GELU_CUBIC: f64 = 0.044_715;

/// An operator without attributes.
fn op(graph: &mut Graph, operator: &str, inputs: &[&String]) -> String {
    graph.node(operator, inputs.iter().map(|&name| name.clone()), [])
}

/// `x` and a number.
fn with(graph: &mut Graph, operator: &str, x: &String, number: f64) -> String {
    let number = graph.number(number);
    op(graph, operator, &[x, &number])
}

/// The operations that one operator without attributes computes.
fn operator(step: &Step) -> Option<&'static str> {
    macro_rules! table {
        ($($operation:ident => $operator:literal),* $(,)?) => {
            $(if step.is::<ops::$operation>() {
                return Some($operator);
            })*
        };
    }
    table! {
        Sqrt => "Sqrt", Exp => "Exp", Log => "Log", Abs => "Abs", Sign => "Sign", Sin => "Sin", Cos => "Cos",
        Tanh => "Tanh", Sigmoid => "Sigmoid", Softplus => "Softplus", Relu => "Relu", Erf => "Erf",
        Hardswish => "HardSwish", Mish => "Mish",
    }
    None
}

/// The operations of several operators.
fn composed(step: &Step, graph: &mut Graph, x: &String) -> Option<String> {
    if step.is::<ops::Square>() {
        return Some(op(graph, "Mul", &[x, x]));
    }
    if step.is::<ops::Rsqrt>() {
        let root = op(graph, "Sqrt", &[x]);
        return Some(op(graph, "Reciprocal", &[&root]));
    }
    if step.is::<ops::Expm1>() {
        let y = op(graph, "Exp", &[x]);
        return Some(with(graph, "Sub", &y, 1.0));
    }
    if step.is::<ops::Log1p>() {
        let y = with(graph, "Add", x, 1.0);
        return Some(op(graph, "Log", &[&y]));
    }
    if step.is::<ops::LogSigmoid>() {
        // ln sigmoid(x) = -softplus(-x)
        let y = op(graph, "Neg", &[x]);
        let y = op(graph, "Softplus", &[&y]);
        return Some(op(graph, "Neg", &[&y]));
    }
    if step.is::<ops::Silu>() {
        let y = op(graph, "Sigmoid", &[x]);
        return Some(op(graph, "Mul", &[x, &y]));
    }
    if step.is::<ops::Hardsigmoid>() {
        let numbers = [AttributeProto::float("alpha", 1.0 / 6.0), AttributeProto::float("beta", 0.5)];
        return Some(graph.node("HardSigmoid", [x.clone()], numbers));
    }
    if step.is::<ops::Gelu>() {
        // x (1 + erf(x / √2)) / 2
        let y = with(graph, "Mul", x, HALF_ROOT);
        let y = op(graph, "Erf", &[&y]);
        return Some(half_of(graph, x, &y));
    }
    if step.is::<ops::GeluTanh>() {
        // x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2
        let square = op(graph, "Mul", &[x, x]);
        let cube = op(graph, "Mul", &[&square, x]);
        let y = with(graph, "Mul", &cube, GELU_CUBIC);
        let y = op(graph, "Add", &[x, &y]);
        let y = with(graph, "Mul", &y, GELU_SCALE);
        let y = op(graph, "Tanh", &[&y]);
        return Some(half_of(graph, x, &y));
    }
    None
}

/// `x (1 + y) / 2`.
fn half_of(graph: &mut Graph, x: &String, y: &String) -> String {
    let y = with(graph, "Add", y, 1.0);
    let y = op(graph, "Mul", &[x, &y]);
    with(graph, "Mul", &y, 0.5)
}

/// The operations with numbers for arguments.
fn with_numbers(step: &Step, graph: &mut Graph, x: &String) -> Result<Option<String>, ExportError> {
    if let Some([a, b]) = step.as_both::<ops::Affine>() {
        let (alpha, beta) = (same(step, [a.alpha, b.alpha])?, same(step, [a.beta, b.beta])?);
        let y = if alpha == 1.0 { x.clone() } else { with(graph, "Mul", x, alpha) };
        return Ok(Some(if beta == 0.0 { y } else { with(graph, "Add", &y, beta) }));
    }
    if let Some([a, b]) = step.as_both::<ops::Clamp>() {
        let (low, high) = (same(step, [a.low, b.low])?, same(step, [a.high, b.high])?);
        let ends = [graph.number(low), graph.number(high)];
        return Ok(Some(op(graph, "Clip", &[x, &ends[0], &ends[1]])));
    }
    if let Some([a, b]) = step.as_both::<ops::Powf>() {
        return Ok(Some(with(graph, "Pow", x, same(step, [a.p, b.p])?)));
    }
    if let Some([a, b]) = step.as_both::<ops::LeakyRelu>() {
        let slope = AttributeProto::float("alpha", same(step, [a.slope, b.slope])?);
        return Ok(Some(graph.node("LeakyRelu", [x.clone()], [slope])));
    }
    if let Some([a, b]) = step.as_both::<ops::Elu>() {
        let alpha = AttributeProto::float("alpha", same(step, [a.alpha, b.alpha])?);
        return Ok(Some(graph.node("Elu", [x.clone()], [alpha])));
    }
    Ok(None)
}

/// The operations of two inputs.
fn binary(step: &Step) -> Option<&'static str> {
    macro_rules! table {
        ($($operation:ident => $operator:literal),* $(,)?) => {
            $(if step.is::<ops::$operation>() {
                return Some($operator);
            })*
        };
    }
    table! {
        Add => "Add", AddRelu => "Add", Sub => "Sub", Mul => "Mul", Div => "Div", Pow => "Pow",
        Minimum => "Min", Maximum => "Max",
    }
    None
}

impl Lowering<'_> {
    pub(super) fn elementwise(&mut self, place: usize, step: &Step) -> Mapped {
        if let Some(operator) = binary(step) {
            return self.binary(place, step, operator);
        }
        if step.is::<ops::Prelu>() {
            return self.prelu(place, step);
        }
        if !matches!(&step.inputs[..], [Input::Node(_)]) {
            return Ok(false);
        }
        let from = input(step);
        let layout = self.layout(from);
        let x = self.value(from, layout)?;
        let y = match operator(step) {
            Some(operator) => Some(op(&mut self.graph, operator, &[&x])),
            None => match composed(step, &mut self.graph, &x) {
                Some(y) => Some(y),
                None => with_numbers(step, &mut self.graph, &x)?,
            },
        };
        if let Some(y) = &y {
            self.set(place, layout, y.clone());
        }
        Ok(y.is_some())
    }

    fn binary(&mut self, place: usize, step: &Step, operator: &str) -> Mapped {
        let rank = self.extents(place).len();
        let full: Vec<usize> = step
            .inputs
            .iter()
            .filter_map(|input| match input {
                Input::Node(from) if self.extents(*from).len() == rank => Some(*from),
                _ => None,
            })
            .collect();
        let conversions = |layout| full.iter().filter(|&&from| !self.has(from, layout)).count();
        let first = rank > 2 && !full.is_empty() && conversions(ChannelsFirst) <= conversions(Plain);
        let layout = if first { ChannelsFirst } else { Plain };
        let mut names = Vec::with_capacity(2);
        for index in 0..2 {
            names.push(self.operand(step, index, rank, layout)?);
        }
        let mut y = self.graph.node(operator, names, []);
        if step.is::<ops::AddRelu>() {
            y = self.graph.node("Relu", [y], []);
        }
        self.set(place, layout, y);
        Ok(true)
    }

    /// An input as an operand of a result of this rank in this layout.
    fn operand(
        &mut self,
        step: &Step,
        index: usize,
        rank: usize,
        layout: Layout,
    ) -> Result<String, ExportError> {
        match &step.inputs[index] {
            Input::Node(from) => {
                let extents = self.extents(*from);
                if extents.len() == rank {
                    return self.value(*from, layout);
                }
                let plain = self.value(*from, Plain)?;
                if layout == Plain || extents.is_empty() {
                    return Ok(plain);
                }
                // Dimensions that broadcasting adds stand in front, as everywhere in NumPy's rule.
                let mut raised = vec![Extent::Fixed(1); rank - extents.len()];
                raised.extend(extents);
                let name = self.reshaped(plain, &raised)?;
                self.converted(name, &raised, ChannelsFirst)
            }
            Input::Constant(constant) => {
                let value = &constant.value;
                let other = match &step.inputs[1 - index] {
                    Input::Node(from) => self.extents(*from).len(),
                    Input::Constant(other) => other.value.rank(),
                };
                if value.len() == 1 && value.rank() <= other && self.names.find(value).is_none() {
                    return Ok(self.graph.number(f64::from(value.to_vec()[0])));
                }
                if constant.repeated.is_some() && other < rank {
                    return Err(refusal(step, "it adds the batch's dimension to a value that has none"));
                }
                if layout == Plain {
                    return Ok(self.constant(value, step.name()));
                }
                let mut raised = vec![1; rank - value.rank()];
                raised.extend(value.shape());
                let stored = value.reshape(&raised).permute(&ChannelsFirst.order(rank)).contiguous();
                let name = self.names.find(value).unwrap_or(step.name());
                Ok(self.graph.floats(name, stored.shape(), stored.data()))
            }
        }
    }

    /// One slope for each channel, which lie second or last, or one slope for all.
    fn prelu(&mut self, place: usize, step: &Step) -> Mapped {
        let [Input::Node(from), Input::Constant(slope)] = &step.inputs[..] else {
            return Err(refusal(step, "its slopes are computed; they must be parameters"));
        };
        let (layout, rank) = (self.layout(*from), self.extents(*from).len());
        let x = self.value(*from, layout)?;
        let mut shape = vec![slope.value.len()];
        if layout == ChannelsFirst {
            shape.extend(vec![1; rank - 2]);
        }
        let slope = self.constant(&slope.value.reshape(&shape), step.name());
        let y = self.graph.node("PRelu", [x, slope], []);
        self.set(place, layout, y);
        Ok(true)
    }
}

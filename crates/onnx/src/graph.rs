//! A graph under construction: operators, constants, and a name for each value.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::{AttributeProto, FLOAT, GraphProto, INT64, NodeProto, TensorProto};

/// The operators and constants so far.
#[derive(Default)]
pub(crate) struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// The places of constants in the list, by name.
    places: BTreeMap<String, usize>,
    taken: BTreeSet<String>,
}

impl Graph {
    /// Reserves a name for an input or output.
    pub fn reserve(&mut self, name: &str) {
        self.taken.insert(name.into());
    }

    /// A name that no value has: `wanted`, or that with a number.
    fn name(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|number| format!("{wanted}.{number}"));
        let mut names = std::iter::once(wanted.to_string()).chain(numbered);
        let name = names.find(|name| !self.taken.contains(name)).expect("there are numbers enough");
        self.taken.insert(name.clone());
        name
    }

    /// Adds an operator; returns the name of its output.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: impl IntoIterator<Item = String>,
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        let name = self.name(&operator.to_lowercase());
        self.nodes.push(NodeProto {
            input: inputs.into_iter().collect(),
            output: vec![name.clone()],
            name: Some(name.clone()),
            op_type: Some(operator.into()),
            attribute: attributes.into_iter().collect(),
        });
        name
    }

    /// A constant of numbers; the same constant under the same name is added once.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.constant(name, shape, FLOAT, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A single number.
    pub fn number(&mut self, value: f64) -> String {
        self.floats(&format!("number_{}", value as f32), &[], &[value as f32])
    }

    /// A list of whole numbers, for operators that take shapes, axes and places.
    pub fn integers(&mut self, values: &[i64]) -> String {
        let short = values.len() <= 8;
        let listed = values.iter().map(i64::to_string).collect::<Vec<_>>().join("_");
        let name = if short { format!("integers_{listed}") } else { "integers".into() };
        self.integers_of_shape(&name, &[values.len()], values)
    }

    /// Whole numbers of any shape.
    pub fn integers_of_shape(&mut self, name: &str, shape: &[usize], values: &[i64]) -> String {
        self.constant(name, shape, INT64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn constant(&mut self, wanted: &str, shape: &[usize], kind: i32, bytes: Vec<u8>) -> String {
        let dims: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
        let mut tensor =
            TensorProto { dims, data_type: Some(kind), name: Some(wanted.into()), raw_data: Some(bytes) };
        // The same constant may have got a number.
        let numbered = (2..).map(|number| format!("{wanted}.{number}"));
        for name in std::iter::once(wanted.to_string()).chain(numbered) {
            tensor.name = Some(name.clone());
            match self.places.get(&name) {
                Some(&place) if self.constants[place] == tensor => return name,
                Some(_) => {}
                None if self.taken.contains(&name) => {}
                None => break,
            }
        }
        let name = self.name(wanted);
        self.places.insert(name.clone(), self.constants.len());
        tensor.name = Some(name.clone());
        self.constants.push(tensor);
        name
    }

    /// Makes the value `from` the output called `to`, a reserved name.
    pub fn output(&mut self, from: &str, to: &str) {
        let made = self.nodes.iter().any(|node| node.output[0] == from && !self.is_output(from));
        if !made {
            // The input, a constant, or a value that is an output already has its own name.
            let name = Some(to.to_string());
            let (input, output) = (vec![from.to_string()], vec![to.to_string()]);
            let op_type = Some("Identity".into());
            self.nodes.push(NodeProto { input, output, name, op_type, attribute: Vec::new() });
            return;
        }
        for node in &mut self.nodes {
            for value in node.input.iter_mut().chain(&mut node.output).filter(|value| **value == from) {
                *value = to.into();
            }
        }
    }

    /// Values that operators make have the operators' names, except outputs.
    fn is_output(&self, value: &str) -> bool {
        self.nodes.iter().any(|node| node.output[0] == value && node.name.as_deref() != Some(value))
    }

    /// The finished graph, without inputs and outputs.
    pub fn finish(self, name: &str) -> GraphProto {
        GraphProto {
            node: self.nodes,
            name: Some(name.into()),
            initializer: self.constants,
            ..GraphProto::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_constants_of_one_name_are_one_and_others_get_a_number() {
        let mut graph = Graph::default();
        assert_eq!(graph.floats("a.weight", &[2], &[1.0, 2.0]), "a.weight");
        assert_eq!(graph.floats("a.weight", &[2], &[1.0, 2.0]), "a.weight");
        assert_eq!(graph.floats("a.weight", &[2, 1], &[1.0, 2.0]), "a.weight.2");
        assert_eq!(graph.floats("a.weight", &[2, 1], &[1.0, 2.0]), "a.weight.2");
        assert_eq!(graph.finish("test").initializer.len(), 2);
    }

    #[test]
    fn a_value_that_is_two_outputs_is_copied_for_the_second() {
        let mut graph = Graph::default();
        ["x", "y", "z"].iter().for_each(|name| graph.reserve(name));
        let relu = graph.node("Relu", ["x".to_string()], []);
        graph.output(&relu, "y");
        graph.output("y", "z");
        let nodes = graph.finish("test").node;
        assert_eq!((&nodes[0].output, &nodes[1].input), (&vec!["y".to_string()], &vec!["y".to_string()]));
        assert_eq!(
            (nodes[1].op_type.as_deref(), &nodes[1].output),
            (Some("Identity"), &vec!["z".to_string()])
        );
    }
}

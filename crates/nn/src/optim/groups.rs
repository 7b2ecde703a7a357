//! Groups of parameters with a learning rate, a weight decay or an optimiser of their own.

use std::collections::BTreeMap;

use cerberus_autograd::{Gradients, ParamId};
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::{Optimizer, Reach, StateError};
use crate::module::Module;
use crate::pattern::PathPattern;

/// Some parameters by their paths, and what is different for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterGroup {
    /// The parameters, as a [`PathPattern`].
    pub pattern: String,
    /// The group's learning rate over that of the other parameters; 1 by default.
    #[serde(default = "one")]
    pub rate_factor: f64,
    /// The group's weight decay; by default, that of the other parameters.
    #[serde(default)]
    pub weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

impl ParameterGroup {
    /// The parameters that `pattern` names, with nothing changed yet.
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.to_string(), rate_factor: one(), weight_decay: None }
    }
}

/// A group of parameters cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("parameter group {pattern:?}: {problem}")]
pub struct GroupError {
    /// The group's pattern.
    pub pattern: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// Several optimisers, each for the parameters of its group. A parameter belongs to the first group that names it, and
/// to the last optimiser if none does.
///
/// ```
/// use cerberus_nn::optim::{AdamOptions, AdamW, ParameterGroup, ParameterGroups, Optimizer};
/// use cerberus_nn::{Init, Linear, Sequential};
///
/// let mut init = Init::new(0);
/// let model = Sequential::new()
///     .add("trunk", Linear::new(4, 8, &mut init))
///     .add("head", Linear::new(8, 2, &mut init));
/// // A trunk that was trained before learns ten times more slowly, and does not decay.
/// let trunk = ParameterGroup { rate_factor: 0.1, weight_decay: Some(0.0), ..ParameterGroup::new("trunk") };
/// let mut optimizer = ParameterGroups::<f32>::new(&model, &[trunk], |group| {
///     let weight_decay = group.and_then(|group| group.weight_decay).unwrap_or(0.01);
///     Box::new(AdamW::new(AdamOptions { weight_decay, ..AdamOptions::default() }))
/// })?;
/// optimizer.set_learning_rate(1e-2); // and 1e-3 for the trunk
/// # Ok::<(), cerberus_nn::optim::GroupError>(())
/// ```
pub struct ParameterGroups<T: Element = f32> {
    /// The groups' optimisers with their rate factors; the last one is for the parameters that no group names.
    members: Vec<(Box<dyn Optimizer<T> + Send>, f64)>,
    /// The number of the optimiser that updates a parameter, by path.
    member_of: BTreeMap<String, usize>,
    learning_rate: f64,
}

impl<T: Element> ParameterGroups<T> {
    /// Optimisers for the parameters of `model`: `make` is called for every group, and with `None` for the parameters
    /// outside all groups. The learning rate is that of the latter, times the group's factor.
    ///
    /// # Errors
    /// [`GroupError`] for a pattern that cannot be understood or is the first to name no parameter, and for a factor or
    /// decay that is negative or not finite.
    pub fn new(
        model: &dyn Module<T>,
        groups: &[ParameterGroup],
        mut make: impl FnMut(Option<&ParameterGroup>) -> Box<dyn Optimizer<T> + Send>,
    ) -> Result<Self, GroupError> {
        let paths: Vec<String> = model.parameters().into_iter().map(|(path, _)| path).collect();
        let mut member_of = BTreeMap::new();
        let mut members = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let refuse = |problem: String| GroupError { pattern: group.pattern.clone(), problem };
            let numbers =
                [Some(("rate_factor", group.rate_factor)), group.weight_decay.map(|x| ("weight_decay", x))];
            for (name, value) in numbers.into_iter().flatten() {
                if !(value.is_finite() && value >= 0.0) {
                    return Err(refuse(format!("{name} is {value}; it must be finite and at least 0")));
                }
            }
            let pattern = PathPattern::new(&group.pattern).map_err(refuse)?;
            let mut named = paths.iter().filter(|path| pattern.names(path)).peekable();
            if named.peek().is_none() {
                return Err(refuse(format!("no parameter is called that; there are: {}", paths.join(", "))));
            }
            let mut first_here = false;
            for path in named {
                member_of.entry(path.clone()).or_insert_with(|| {
                    first_here = true;
                    index
                });
            }
            if !first_here {
                return Err(refuse("all its parameters belong to earlier groups; put it before them".into()));
            }
            members.push((make(Some(group)), group.rate_factor));
        }
        for path in paths {
            member_of.entry(path).or_insert(groups.len());
        }
        let others = make(None);
        let learning_rate = others.learning_rate();
        members.push((others, 1.0));
        let mut all = Self { members, member_of, learning_rate };
        all.set_learning_rate(learning_rate);
        Ok(all)
    }
}

impl<T: Element> Optimizer<T> for ParameterGroups<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let number = |path: String, id: ParamId| match self.member_of.get(&path) {
            Some(&number) => (id, number),
            None => panic!("ParameterGroups: {path} is not in the model that the groups were made for"),
        };
        let member_of: BTreeMap<ParamId, usize> =
            model.parameters().into_iter().map(|(path, parameter)| number(path, parameter.id())).collect();
        for (number, (optimizer, _)) in self.members.iter_mut().enumerate() {
            optimizer.step(model, &gradients.select(|id| member_of.get(&id) == Some(&number)));
        }
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    #[track_caller]
    fn set_learning_rate(&mut self, rate: f64) {
        super::assert_learning_rate("ParameterGroups", rate);
        self.learning_rate = rate;
        for (optimizer, factor) in &mut self.members {
            optimizer.set_learning_rate(rate * *factor);
        }
    }

    fn steps(&self) -> u64 {
        self.members.iter().map(|(optimizer, _)| optimizer.steps()).max().unwrap_or(0)
    }

    /// The states of all groups, the group's number before every name: `0.adam.m.trunk.conv.weight`.
    fn state(&self) -> Vec<(String, Tensor<T>)> {
        let of = |(number, (optimizer, _)): (usize, &(Box<dyn Optimizer<T> + Send>, f64))| {
            optimizer.state().into_iter().map(move |(name, tensor)| (format!("{number}.{name}"), tensor))
        };
        self.members.iter().enumerate().flat_map(of).collect()
    }

    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        let mut parts: Vec<Vec<(String, Tensor<T>)>> = self.members.iter().map(|_| Vec::new()).collect();
        for (name, tensor) in tensors {
            let part =
                name.split_once('.').and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, rest)));
            match part.and_then(|(number, rest)| Some((parts.get_mut(number)?, rest.to_string()))) {
                Some((part, rest)) => part.push((rest, tensor)),
                None => {
                    let problem =
                        format!("belongs to none of the {} groups of parameters", self.members.len());
                    return Err(StateError { name, problem });
                }
            }
        }
        let before: Vec<_> = self.members.iter().map(|(optimizer, _)| optimizer.state()).collect();
        for (number, part) in parts.into_iter().enumerate() {
            if let Err(error) = self.members[number].0.load_state(model, part) {
                // An error leaves the state as it was. What an optimiser returned, it accepts.
                for ((optimizer, _), before) in self.members.iter_mut().zip(before) {
                    optimizer.load_state(model, before)?;
                }
                return Err(StateError { name: format!("{number}.{}", error.name), ..error });
            }
        }
        Ok(())
    }

    fn reach(&self) -> Reach {
        self.members.iter().map(|(optimizer, _)| optimizer.reach()).max().unwrap_or(Reach::Model)
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        let (number, rest) = name.split_once('.')?;
        self.members.get(number.parse::<usize>().ok()?)?.0.parameter_of(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Sgd, SgdOptions};
    use crate::{Init, Linear, Sequential, step};

    fn model() -> Sequential {
        let mut init = Init::new(3);
        Sequential::new().add("trunk", Linear::new(2, 3, &mut init)).add("head", Linear::new(3, 1, &mut init))
    }

    fn sgd(group: Option<&ParameterGroup>) -> Box<dyn Optimizer + Send> {
        let weight_decay = group.and_then(|group| group.weight_decay).unwrap_or(0.0);
        Box::new(Sgd::new(SgdOptions {
            learning_rate: 0.5,
            weight_decay,
            decay_all: true,
            ..Default::default()
        }))
    }

    /// How much each parameter changed, over its value, in a step whose gradient is 0.
    fn shrunk(groups: &[ParameterGroup]) -> Vec<(String, f32)> {
        let mut model = model();
        for (_, parameter) in model.parameters_mut() {
            parameter.value = Tensor::ones(parameter.value.shape());
        }
        let mut optimizer = ParameterGroups::new(&model, groups, sgd).unwrap();
        step(&mut model, &mut optimizer, |model, context| {
            let parameters: Vec<_> =
                model.parameters().into_iter().map(|(_, p)| context.parameter(p)).collect();
            let sums = parameters.into_iter().map(|p| p.scale(0.0).sum_all());
            sums.reduce(|a, b| a + b).unwrap()
        });
        model.parameters().into_iter().map(|(path, p)| (path, 1.0 - p.value.data()[0])).collect()
    }

    #[test]
    fn the_first_group_that_names_a_parameter_sets_its_rate_and_decay() {
        let bias = ParameterGroup { weight_decay: Some(0.25), ..ParameterGroup::new("*.bias") };
        let trunk =
            ParameterGroup { rate_factor: 0.5, weight_decay: Some(0.5), ..ParameterGroup::new("trunk") };
        let expected =
            [("trunk.weight", 0.125), ("trunk.bias", 0.125), ("head.weight", 0.0), ("head.bias", 0.125)];
        let named = |all: [(&str, f32); 4]| all.map(|(path, change)| (path.to_string(), change)).to_vec();
        assert_eq!(shrunk(&[bias.clone(), trunk.clone()]), named(expected));
        let slow = ParameterGroup { rate_factor: 0.125, ..bias };
        let expected =
            [("trunk.weight", 0.125), ("trunk.bias", 0.125), ("head.weight", 0.0), ("head.bias", 0.015625)];
        assert_eq!(shrunk(&[trunk, slow]), named(expected));
    }

    #[test]
    fn a_group_that_names_nothing_or_holds_a_bad_number_is_an_error_that_says_so() {
        let refused = |groups: &[ParameterGroup], expected: &str| {
            let message = ParameterGroups::new(&model(), groups, sgd).err().expect("an error").to_string();
            assert!(message.contains(expected), "{message}");
        };
        refused(
            &[ParameterGroup::new("tail")],
            "\"tail\": no parameter is called that; there are: trunk.weight,",
        );
        refused(&[ParameterGroup::new("[")], "parameter group \"[\"");
        let negative = ParameterGroup { rate_factor: -1.0, ..ParameterGroup::new("head") };
        refused(&[negative], "rate_factor is -1; it must be finite and at least 0");
        let endless = ParameterGroup { weight_decay: Some(f64::NAN), ..ParameterGroup::new("head") };
        refused(&[endless], "weight_decay is NaN");
        refused(&[ParameterGroup::new("*"), ParameterGroup::new("head")], "belong to earlier groups");
    }
}

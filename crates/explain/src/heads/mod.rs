//! What is explained of a multi-task model: one number of each head's answer.
//!
//! A [`Target`] is chosen by a text such as `mug`, `margin`, `2:left` or `dog@predicted` (`text.rs`), where the
//! picture's own prediction decides what is fixed (`Target::find`): the place of a detection, the pixels of a
//! region, the class that comes second. From then on it is a differentiable function of the head's raw outputs
//! (`Target::value`). [`HeadTargets`] runs the trunk once for all of them.

mod boxes;
mod target;
mod text;

pub use target::{Side, Target};

use cerberus_autograd::Var;
use cerberus_multitask::{HeadOutput, MultiTaskModel};
use cerberus_nn::Context;
use cerberus_tensor::{Element, Tensor};

use crate::error::ExplainError;
use crate::explainer::{Explained, Explainer};

/// One target of each of some heads of a model: what an [`Explainer`] explains.
pub struct HeadTargets<'a, T: Element = f32> {
    model: &'a MultiTaskModel<T>,
    /// The head's place among the model's tasks, and its target.
    chosen: Vec<(usize, Target)>,
}

impl<'a, T: Element> HeadTargets<'a, T> {
    /// The targets that pairs of a task's name and a target's text mean for a picture `[1, H, W, C]`, in their
    /// order; see [`Target::find`] for the texts.
    ///
    /// # Errors
    /// If there is no such task or target; the message lists those that there are.
    pub fn of(
        model: &'a MultiTaskModel<T>,
        picture: &Tensor<T>,
        wanted: &[(&str, &str)],
    ) -> Result<Self, ExplainError> {
        if picture.rank() != 4 || picture.shape()[0] != 1 {
            return Err(ExplainError::Option(format!(
                "targets are chosen for one picture [1, H, W, C]; found {:?}",
                picture.shape()
            )));
        }
        let names = model.task_names();
        let places = wanted.iter().map(|(task, _)| {
            names.iter().position(|name| name == task).ok_or_else(|| {
                ExplainError::Target(format!("the model has no task {task:?}; it has {}", names.join(", ")))
            })
        });
        let places: Vec<usize> = places.collect::<Result<_, _>>()?;
        let size = [picture.shape()[1], picture.shape()[2]];
        let mut context = Context::evaluation();
        let features = model.features(Var::constant(picture.clone()), &mut context);
        let mut outputs: Vec<Option<HeadOutput<T>>> = vec![None; names.len()];
        let mut chosen = Vec::with_capacity(wanted.len());
        for (&place, (_, text)) in places.iter().zip(wanted) {
            let task = &*model.tasks()[place];
            let output = outputs[place].get_or_insert_with(|| model.head(place, &features, &mut context));
            chosen.push((place, Target::find(task, output, size, text)?));
        }
        Ok(Self { model, chosen })
    }

    /// These targets of the tasks at these places in the model.
    ///
    /// # Panics
    /// If the model has no task at a place.
    #[track_caller]
    pub fn new(model: &'a MultiTaskModel<T>, chosen: Vec<(usize, Target)>) -> Self {
        let tasks = model.tasks().len();
        assert!(chosen.iter().all(|(place, _)| *place < tasks), "HeadTargets: the model has {tasks} tasks");
        Self { model, chosen }
    }

    /// The tasks' places in the model and their targets, in the order of the answers.
    pub fn chosen(&self) -> &[(usize, Target)] {
        &self.chosen
    }

    /// For each target its task's name, and the target in words, such as `the logit of mug`.
    pub fn descriptions(&self) -> Vec<(String, String)> {
        let of = |(place, target): &(usize, Target)| {
            let task = &self.model.tasks()[*place];
            (task.name().to_string(), target.describe(&task.config().classes))
        };
        self.chosen.iter().map(of).collect()
    }

    /// The paths of the trunk's maps, shallow to deep, for class activation maps.
    pub fn stages(&self) -> Vec<String> {
        let trunk = self.model.trunk();
        trunk.stages().into_iter().chain(trunk.neck()).map(|map| format!("trunk.{}", map.name)).collect()
    }

    /// For each target the path of the deepest of the trunk's [maps](Self::stages) that changes it at the picture `x:
    /// [1, H, W, C]` and has more than one place: what a class activation map of the target is usually made from. If
    /// there is none, the deepest map. One forward and one backward pass for each map that is tried.
    pub fn deepest_maps(&self, x: &Tensor<T>) -> Vec<String> {
        let (stages, explainer) = (self.stages(), Explainer::new(self));
        let mut maps: Vec<Option<&String>> = vec![None; self.chosen.len()];
        for path in stages.iter().rev() {
            if maps.iter().all(Option::is_some) {
                break;
            }
            let Ok((map, gradients)) = explainer.layer_gradients(x, path) else { continue };
            if map.shape()[1] * map.shape()[2] == 1 {
                continue;
            }
            for (own, gradient) in maps.iter_mut().zip(&gradients) {
                if own.is_none() && gradient.squared_norm() > 0.0 {
                    *own = Some(path);
                }
            }
        }
        maps.into_iter().map(|map| map.or(stages.last()).cloned().unwrap_or_default()).collect()
    }
}

impl<T: Element> Explained<T> for HeadTargets<'_, T> {
    fn outputs(&self, x: Var<T>, context: &mut Context<T>) -> Vec<Var<T>> {
        let features = self.model.features(x, context);
        let mut outputs: Vec<Option<HeadOutput<T>>> = vec![None; self.model.tasks().len()];
        let mut values = Vec::with_capacity(self.chosen.len());
        for (place, target) in &self.chosen {
            let task = &*self.model.tasks()[*place];
            let output = outputs[*place].get_or_insert_with(|| self.model.head(*place, &features, context));
            values.push(target.value(task, output));
        }
        values
    }
}

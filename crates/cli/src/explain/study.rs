//! The heads' targets for one picture, and their maps by each method.

use cerberus::explain::{Attribution, Choices, ExplainError, Explainer, HeadTargets, Method, Target};
use cerberus::multitask::MultiTaskModel;
use cerberus::tensor::Tensor;

/// The targets that a picture has, one for each head that has any.
pub(super) struct Study<'a> {
    model: &'a MultiTaskModel,
    x: &'a Tensor,
    /// The heads' places in the model and their targets.
    pub chosen: Vec<(usize, Target)>,
    /// For each of them its place among those that were wanted.
    pub wanted: Vec<usize>,
    /// For each of them the layer of class activation maps.
    pub layers: Vec<String>,
    /// Tasks without a target, and why.
    pub without: Vec<(String, String)>,
}

impl<'a> Study<'a> {
    /// Of a picture `[1, H, W, C]`; `layer` replaces the deepest map that the target uses.
    pub fn new(
        model: &'a MultiTaskModel,
        x: &'a Tensor,
        wanted: &[(&str, &str)],
        layer: Option<&str>,
    ) -> Self {
        let (mut chosen, mut places, mut without) = (Vec::new(), Vec::new(), Vec::new());
        for (place, &(task, text)) in wanted.iter().enumerate() {
            match HeadTargets::of(model, x, &[(task, text)]) {
                Ok(targets) => {
                    chosen.extend_from_slice(targets.chosen());
                    places.push(place);
                }
                Err(error) => without.push((task.to_string(), error.to_string())),
            }
        }
        let layers = match layer {
            Some(layer) => vec![layer.to_string(); chosen.len()],
            None => HeadTargets::new(model, chosen.clone()).deepest_maps(x),
        };
        Self { model, x, chosen, wanted: places, layers, without }
    }

    /// What is explained, of all heads together.
    pub fn targets(&self) -> HeadTargets<'a> {
        HeadTargets::new(self.model, self.chosen.clone())
    }

    /// The attributions of one method for every head, or why there is none. Heads share their passes; if one of them
    /// cannot be explained, each is tried alone.
    pub fn explain(&self, name: &str, choices: &Choices) -> Vec<Result<Attribution, ExplainError>> {
        self.explain_in(self.model, self.x, name, choices)
    }

    /// The same targets explained in another model of the same shape, and for another picture.
    pub fn explain_in(
        &self,
        model: &MultiTaskModel,
        x: &Tensor,
        name: &str,
        choices: &Choices,
    ) -> Vec<Result<Attribution, ExplainError>> {
        let mut found: Vec<Option<Result<Attribution, ExplainError>>> = vec![None; self.chosen.len()];
        let by_layer =
            matches!(super::method(name, choices, "", x), Ok(Method::Cam(..) | Method::ScoreCam(_)));
        for place in 0..self.chosen.len() {
            if found[place].is_some() {
                continue;
            }
            let layer = &self.layers[place];
            // The heads whose maps come from the same passes.
            let together: Vec<usize> = (place..self.chosen.len())
                .filter(|&other| !by_layer || self.layers[other] == *layer)
                .collect();
            match self.run((model, x), (name, choices), layer, &together) {
                Ok(all) => together.iter().zip(all).for_each(|(&place, one)| found[place] = Some(Ok(one))),
                Err(_) => {
                    for &place in &together {
                        let alone = self.run((model, x), (name, choices), layer, &[place]);
                        found[place] = Some(alone.map(|mut all| all.remove(0)));
                    }
                }
            }
        }
        found.into_iter().flatten().collect()
    }

    fn run(
        &self,
        (model, x): (&MultiTaskModel, &Tensor),
        (name, choices): (&str, &Choices),
        layer: &str,
        heads: &[usize],
    ) -> Result<Vec<Attribution>, ExplainError> {
        let chosen = heads.iter().map(|&place| self.chosen[place].clone()).collect();
        let targets = HeadTargets::new(model, chosen);
        Explainer::new(&targets).explain(x, &super::method(name, choices, layer, x)?)
    }
}

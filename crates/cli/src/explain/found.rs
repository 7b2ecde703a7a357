//! The explanation of one picture: every head's target, and its map and figures by every method.

use std::time::Instant;

use cerberus::data::Image;
use cerberus::explain::faithfulness::{CurveOptions, Curves};
use cerberus::explain::{Choices, ExplainError, Explainer};
use cerberus::multitask::{MultiTaskModel, Prediction};
use cerberus::tensor::Tensor;

use super::study::Study;

/// What is to be explained, and how.
pub(super) struct Asked<'a> {
    pub tasks: Vec<String>,
    /// The text of the target; what is predicted without one.
    pub target: Option<String>,
    pub methods: &'a [String],
    pub layer: Option<String>,
    /// The name of the baseline among the choices.
    pub baseline: &'a str,
    pub choices: Choices,
}

/// The explanation of one picture.
pub(super) struct Explanation {
    /// The picture as the model sees it.
    pub picture: Image,
    /// All heads' predictions for it.
    pub predictions: Vec<Prediction>,
    /// The heads that have a target.
    pub answers: Vec<Answer>,
    /// Tasks without one, and why.
    pub without: Vec<(String, String)>,
}

/// One head's target.
pub(super) struct Answer {
    pub task: String,
    /// In words.
    pub target: String,
    pub value: f64,
    pub layer: String,
    /// For every method its map, or why there is none.
    pub methods: Vec<(String, Result<Map, ExplainError>)>,
}

/// A map and its figures.
pub(super) struct Map {
    /// A number for each pixel, row by row.
    pub values: Vec<f32>,
    pub sum: f64,
    pub gap: Option<f64>,
    pub curves: Curves,
    /// For all heads together.
    pub seconds: f64,
}

/// Explains a picture `x: [1, H, W, C]`.
///
/// # Errors
/// If a target that was asked for does not exist, or no head has one.
pub(super) fn explanation(
    model: &MultiTaskModel,
    picture: Image,
    x: &Tensor,
    asked: &Asked,
) -> Result<Explanation, ExplainError> {
    let text = asked.target.as_deref().unwrap_or("");
    let wanted: Vec<(&str, &str)> = asked.tasks.iter().map(|task| (task.as_str(), text)).collect();
    let study = Study::new(model, x, &wanted, asked.layer.as_deref());
    if let Some((_, reason)) = study.without.first()
        && (asked.target.is_some() || study.chosen.is_empty())
    {
        return Err(ExplainError::Target(reason.clone()));
    }
    let targets = study.targets();
    let explainer = Explainer::new(&targets);
    let values = explainer.answers(x);
    let mut answers: Vec<Answer> = targets
        .descriptions()
        .into_iter()
        .zip(values.iter().zip(&study.layers))
        .map(|((task, target), (value, layer))| Answer {
            task,
            target,
            value: value[0],
            layer: layer.clone(),
            methods: Vec::new(),
        })
        .collect();
    let size = [x.shape()[1], x.shape()[2]];
    for name in asked.methods {
        let clock = Instant::now();
        let found = study.explain(name, &asked.choices);
        let seconds = clock.elapsed().as_secs_f64();
        let zero = Tensor::zeros(&[1, size[0], size[1], 1]);
        let maps: Vec<Tensor> =
            found.iter().map(|one| one.as_ref().map_or(zero.clone(), |one| one.resized(size))).collect();
        let curves = explainer.curves(x, &maps, &CurveOptions::default())?;
        for (place, (found, mut curves)) in found.into_iter().zip(curves).enumerate() {
            let map = found.map(|attribution| Map {
                values: maps[place].to_vec(),
                sum: f64::from(attribution.map().sum_all().item()),
                gap: attribution.gap.map(|gap| gap[0]),
                curves: curves.remove(0),
                seconds,
            });
            answers[place].methods.push((name.clone(), map));
        }
    }
    let predictions = model.predict(x.clone()).into_iter().filter_map(|mut batch| batch.pop()).collect();
    Ok(Explanation { picture, predictions, answers, without: study.without })
}

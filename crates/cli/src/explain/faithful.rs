//! `--faithfulness`: whether the methods' maps are true, over the test part of a data set.

use std::collections::BTreeMap;
use std::time::Instant;

use cerberus::data::{Dataset, Sample, normalise};
use cerberus::explain::faithfulness::{
    CurveOptions, Randomised, SensitivityMax, Subsets, energy_inside, points_inside, spearman,
};
use cerberus::explain::{Attribution, Choices, ExplainError, Explainer};
use cerberus::metrics::Estimate;
use cerberus::multitask::MultiTaskModel;
use cerberus::nn::files::write_atomically;
use cerberus::tensor::Tensor;
use cerberus::tensor::random::stream;
use cerberus::train::{TrainConfig, TrainError, load_model};
use rand::RngExt;
use serde_json::{Value, json};

use super::objects::inside;
use super::study::Study;
use super::{Options, SCORED, choices, open, refused};
use crate::pictures::{advance, progress};
use crate::say;
use crate::shell::{make_folder, write_json};

/// The pictures on which the figures are taken that need the method several times: sensitivity, randomised layers.
const CHECKED: usize = 20;
/// Changed pictures for the maximal sensitivity.
const CHANGES: usize = 3;
/// The map that every method must beat: numbers drawn at random.
const RANDOM: &str = "(random)";

/// The figures and what is said of them in the head of the table.
const FIGURES: [&str; 10] = [
    "deletion",
    "insertion",
    "pointing",
    "energy",
    "sens-n",
    "sens-max",
    "gap",
    "heads-new",
    "all-new",
    "ms",
];

/// Values by task and method, then by figure and picture; of several models each adds one.
type Values = BTreeMap<(usize, usize), [BTreeMap<usize, Vec<f64>>; FIGURES.len()]>;

/// Scores the methods and prints the table.
pub(super) fn run(
    options: &Options,
    methods: &[String],
    models: &[(TrainConfig, MultiTaskModel)],
) -> Result<(), TrainError> {
    let (config, first) = &models[0];
    let tasks = options.tasks(first);
    for (path, (_, model)) in options.model.iter().zip(models) {
        if model.task_names() != first.task_names() {
            return Err(TrainError::Option(format!(
                "{} has the tasks {}, {} has {}; score models of the same tasks together",
                options.model[0].display(),
                first.task_names().join(", "),
                path.display(),
                model.task_names().join(", ")
            )));
        }
    }
    let (data, split) = open(options, config)?;
    let count = data.len(split).min(options.samples.unwrap_or(SCORED));
    let mut rows: Vec<String> = methods.to_vec();
    rows.push(RANDOM.into());
    let choices = choices(options, methods, config);
    let mut values = Values::new();
    let mut refusals: BTreeMap<(usize, usize), String> = BTreeMap::new();
    let bar = progress(count * models.len());
    for (path, (config, model)) in options.model.iter().zip(models) {
        let untrained = MultiTaskModel::new(&config.model, options.seed.wrapping_add(1_000_003));
        let randomised = |all: bool| -> Result<MultiTaskModel, TrainError> {
            let mut randomised = Randomised::new(load_model(path)?.1, &untrained);
            randomised.next();
            while all && randomised.next().is_some() {}
            Ok(randomised.into_model())
        };
        let scene = Scene {
            config,
            model,
            randomised: [randomised(false)?, randomised(true)?],
            data: &*data,
            tasks: &tasks,
            rows: &rows,
            choices: &choices,
            layer: options.layer.as_deref(),
        };
        for index in 0..count {
            let sample = data.sample(split, 0, index)?;
            scene.score(&sample, index, &mut values, &mut refusals)?;
            advance(&bar);
        }
    }
    bar.finish_and_clear();
    let table = table(&tasks, &rows, &values, &refusals);
    say!("{count} pictures of {} ({split}), {} models", data.info().name, models.len());
    say!("{table}");
    if let Some(out) = &options.out {
        make_folder(out)?;
        let json = to_json(options, &tasks, &rows, &values, &refusals);
        write_json(&out.join("faithfulness.json"), &json)?;
        write_atomically(&out.join("faithfulness.md"), table.as_bytes())?;
    }
    Ok(())
}

/// A model and what it is scored with.
struct Scene<'a> {
    config: &'a TrainConfig,
    model: &'a MultiTaskModel,
    /// With new heads, and with everything new.
    randomised: [MultiTaskModel; 2],
    data: &'a dyn Dataset,
    tasks: &'a [String],
    rows: &'a [String],
    choices: &'a Choices,
    layer: Option<&'a str>,
}

impl Scene<'_> {
    /// Adds the figures of one picture.
    fn score(
        &self,
        sample: &Sample,
        index: usize,
        values: &mut Values,
        refusals: &mut BTreeMap<(usize, usize), String>,
    ) -> Result<(), TrainError> {
        let x = normalise(&[&sample.image]);
        let wanted: Vec<(&str, &str)> = self.tasks.iter().map(|task| (task.as_str(), "")).collect();
        let study = Study::new(self.model, &x, &wanted, self.layer);
        if study.chosen.is_empty() {
            return Ok(());
        }
        let size = [x.shape()[1], x.shape()[2]];
        let targets = study.targets();
        let explainer = Explainer::new(&targets);
        let predictions = self.model.predict(x.clone());
        let objects: Vec<Option<Vec<bool>>> = study
            .chosen
            .iter()
            .map(|(place, target)| {
                let (head, prediction) = (&self.config.model.heads[*place], predictions[*place].first());
                inside(sample, self.data.info(), head, target, prediction)
            })
            .collect();
        let subsets = Subsets { seed: index as u64, ..Subsets::default() };
        let drops = explainer.subset_drops(&x, &subsets).map_err(refused)?;
        let (answers, grey) = (explainer.answers(&x), explainer.answers(&Tensor::zeros(x.shape())));
        for (row, name) in self.rows.iter().enumerate() {
            let clock = Instant::now();
            let found: Vec<Option<Result<Attribution, ExplainError>>> = match name.as_str() {
                RANDOM => vec![None; study.chosen.len()],
                name => study.explain(name, self.choices).into_iter().map(Some).collect(),
            };
            let milliseconds = clock.elapsed().as_secs_f64() * 1e3;
            let random = || {
                let mut random = stream(0, "random map", 0, index as u64);
                Tensor::from_fn(&[1, size[0], size[1], 1], |_| random.random::<f32>())
            };
            let map = |one: &Option<Result<Attribution, ExplainError>>| match one {
                None => random(),
                Some(Ok(one)) => one.resized(size),
                Some(Err(_)) => Tensor::zeros(&[1, size[0], size[1], 1]),
            };
            let maps: Vec<Tensor> = found.iter().map(map).collect();
            let curves = explainer.curves(&x, &maps, &CurveOptions::default()).map_err(refused)?;
            let again =
                if index < CHECKED && name != RANDOM { Some(self.again(&study, name, &x)) } else { None };
            for (answer, &task) in study.wanted.iter().enumerate() {
                if let Some(Err(error)) = &found[answer] {
                    refusals.insert((task, row), error.to_string());
                    continue;
                }
                let plain = maps[answer].to_vec();
                let object = objects[answer].as_deref();
                let gap = found[answer].as_ref().and_then(|one| one.as_ref().ok()?.gap.clone());
                let difference = (answers[answer][0] - grey[answer][0]).abs();
                let again = again.as_ref().map(|again| again.figures(answer, &plain));
                let again = again.unwrap_or([None; 3]);
                let figures = [
                    Some(curves[answer][0].deletion.area()),
                    Some(curves[answer][0].insertion.area()),
                    object.map(|object| f64::from(u8::from(points_inside(&plain, object, size[1], 0)))),
                    object.and_then(|object| energy_inside(&plain, object)),
                    drops.correlation(answer, 0, &plain),
                    again[0],
                    gap.filter(|_| difference > 0.0).map(|gap| gap[0].abs() / difference),
                    again[1],
                    again[2],
                    (name != RANDOM).then_some(milliseconds),
                ];
                let all = values.entry((task, row)).or_default();
                for (all, figure) in all.iter_mut().zip(figures) {
                    if let Some(figure) = figure.filter(|figure| figure.is_finite()) {
                        all.entry(index).or_default().push(figure);
                    }
                }
            }
        }
        Ok(())
    }

    /// The method once more, for changed pictures and for randomised models. Targets stay what they are.
    fn again(&self, study: &Study, name: &str, x: &Tensor) -> Again {
        let size = [x.shape()[1], x.shape()[2]];
        let targets = study.targets();
        let options = SensitivityMax { samples: CHANGES, ..SensitivityMax::default() };
        // A head that cannot be explained has nothing that could change.
        let nothing = || Attribution { values: Tensor::zeros(&[1, 1, 1, 1]), gap: None };
        let sensitivity = Explainer::new(&targets).sensitivity_max(x, options, |_, x| {
            let found = study.explain_in(self.model, x, name, self.choices);
            Ok(found.into_iter().map(|one| one.unwrap_or_else(|_| nothing())).collect())
        });
        let maps = self.randomised.each_ref().map(|model| {
            let found = study.explain_in(model, x, name, self.choices);
            found.into_iter().map(|one| Some(one.ok()?.resized(size).to_vec())).collect()
        });
        Again { sensitivity: sensitivity.map_or(Vec::new(), |all| all.concat()), maps }
    }
}

/// What a method says of a changed picture and of randomised models, by answer.
struct Again {
    sensitivity: Vec<f64>,
    maps: [Vec<Option<Vec<f32>>>; 2],
}

impl Again {
    /// The maximal sensitivity, and how alike the maps of the randomised models are to the map: the rank correlation of
    /// their sizes, without signs. A map without any contrast is not alike.
    fn figures(&self, answer: usize, map: &[f32]) -> [Option<f64>; 3] {
        let sizes = |map: &[f32]| -> Vec<f64> { map.iter().map(|v| f64::from(v.abs())).collect() };
        let alike = |other: &Option<Vec<f32>>| {
            let other = other.as_ref()?;
            Some(spearman(&sizes(map), &sizes(other)).unwrap_or(0.0))
        };
        [self.sensitivity.get(answer).copied(), alike(&self.maps[0][answer]), alike(&self.maps[1][answer])]
    }
}

/// The mean over pictures; the models' values of a picture are averaged first.
fn summary(pictures: &BTreeMap<usize, Vec<f64>>) -> Option<Estimate> {
    let means: Vec<f64> = pictures.values().map(|v| v.iter().sum::<f64>() / v.len() as f64).collect();
    (!means.is_empty()).then(|| Estimate::of(&means))
}

/// A table for each task, in Markdown.
fn table(
    tasks: &[String],
    rows: &[String],
    values: &Values,
    refusals: &BTreeMap<(usize, usize), String>,
) -> String {
    let mut text = String::new();
    for (task, name) in tasks.iter().enumerate() {
        text += &format!(
            "\n**{name}**\n\n| method | {} |\n|---|{}\n",
            FIGURES.join(" | "),
            "---|".repeat(FIGURES.len())
        );
        for (row, method) in rows.iter().enumerate() {
            let Some(all) = values.get(&(task, row)) else { continue };
            let cells = all.iter().enumerate().map(|(figure, pictures)| match summary(pictures) {
                None => "-".to_string(),
                Some(Estimate { mean, .. }) if FIGURES[figure] == "ms" => format!("{mean:.0}"),
                Some(Estimate { mean, half }) if half.is_nan() => format!("{mean:.2}"),
                Some(Estimate { mean, half }) => format!("{mean:.2} ± {half:.2}"),
            });
            text += &format!("| {method} | {} |\n", cells.collect::<Vec<_>>().join(" | "));
        }
        for (row, method) in rows.iter().enumerate() {
            if let Some(reason) = refusals.get(&(task, row)) {
                text += &format!("\n{method} is not possible: {reason}.\n");
            }
        }
    }
    text
}

fn to_json(
    options: &Options,
    tasks: &[String],
    rows: &[String],
    values: &Values,
    refusals: &BTreeMap<(usize, usize), String>,
) -> Value {
    let models: Vec<String> = options.model.iter().map(|path| path.display().to_string()).collect();
    let mut all = Vec::new();
    for (&(task, row), figures) in values {
        let figures = FIGURES.iter().zip(figures).map(|(name, pictures)| {
            let found = summary(pictures);
            let half = found.map(|found| found.half).filter(|half| half.is_finite());
            (name.to_string(), json!({ "mean": found.map(|found| found.mean), "half_interval": half, "pictures": pictures.len() }))
        });
        let figures: serde_json::Map<String, Value> = figures.collect();
        all.push(json!({ "task": tasks[task], "method": rows[row], "figures": figures }));
    }
    let refused: Vec<Value> = refusals
        .iter()
        .map(|(&(task, row), reason)| json!({ "task": tasks[task], "method": rows[row], "reason": reason }))
        .collect();
    json!({ "models": models, "baseline": options.baseline, "seed": options.seed, "rows": all, "refused": refused })
}

//! Scores a trained model on the test part of a data set and prints every
//! metric as one line of JSON: the figures, and under `per_class` those of every
//! class. `--curves FILE` writes precision against recall as well.
//!
//! For tasks that give each image one class, calibration is also scored after
//! temperature scaling. The temperature is fitted on the validation part of the
//! data. Without one, it is fitted on each half of the images for the other half,
//! so that it never comes from the images it is scored on.
//!
//! `cargo run --release --example evaluate -- --model runs/train-1/checkpoints/best.safetensors`

use crate::say;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use cerberus::data::{Dataset, Split, Without};
use cerberus::metrics::CALIBRATION_BINS;
use cerberus::multitask::{Metric, MultiTaskModel};
use cerberus::nn::files::write_atomically;
use cerberus::train::{TrainConfig, TrainError, load_model, score_split};
use clap::Parser;
use serde_json::{Map, Value, json};

/// Score a trained model.
#[derive(Parser)]
#[command(name = "evaluate")]
struct Options {
    /// A checkpoint written by the train example
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Data set name or folder; all photographs are scored, but of those the model was trained on only the ones held
    /// back [default: what the model was trained on]
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<String>,
    /// Score every picture of the data, also those the model was trained on
    #[arg(long)]
    all: bool,
    /// Score the data that the model was trained on even if they have changed since then
    #[arg(long)]
    accept_changed_data: bool,
    /// Score as if every sample lacked these inputs, separated by commas, such as audio: what the model can do without
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    without: Vec<String>,
    /// At most this many images
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Write precision against recall, for every class and IoU threshold, to this CSV file
    #[arg(long, value_name = "FILE")]
    curves: Option<PathBuf>,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

/// Scores a trained model; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let result = crate::shell::thread_pool(options.threads)
        .map_err(TrainError::Option)
        .and_then(|pool| pool.install(|| score(&options)));
    match result {
        Ok(line) => {
            say!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

fn score(options: &Options) -> Result<Value, TrainError> {
    if options.samples == Some(0) {
        return Err(TrainError::Option("--samples must be at least 1".into()));
    }
    let (config, model) = load_model(&options.model)?;
    let chosen = choose_data(&config, options.data.as_deref(), options.all, options.accept_changed_data)?;
    if chosen.changed {
        return Err(TrainError::Option(format!(
            "{} is not what it was when the model was trained on it: pictures or labels have changed, so nobody knows which \
             were kept from training; put them back, score all with --all, or go on with --accept-changed-data",
            chosen.name
        )));
    }
    let Some(split) = chosen.split else {
        return Err(TrainError::Option(format!(
            "{} has no images kept from training; give others with --data, train with --hold-back 0.2, or score the \
             training images with --all",
            chosen.name
        )));
    };
    if options.data.is_some() && chosen.own {
        eprintln!(
            "note: the model was trained on these data; only the {split} part is scored, which was kept from training (--all \
             scores everything)"
        );
    }
    let mut dataset = chosen.dataset;
    if !options.without.is_empty() {
        config.model.check_without(&options.without).map_err(TrainError::Option)?;
        dataset = Arc::new(Without::new(dataset, &options.without));
    }
    let unscored = config.check_to_score(dataset.info())?;
    for (task, why) in &unscored {
        eprintln!("note: the task {task} is not scored: {why}");
    }
    let mut images = 0;
    let metrics = score_split(&model, &dataset, split, options.samples, &mut |count| images += count)?;
    let temperatures = temperatures(&model, &dataset, split, options.samples)?;
    let mut line = Map::new();
    let mut per_class = Map::new();
    for (task, metric) in model.tasks().iter().zip(&metrics) {
        let mut figures = metric.values();
        figures.extend(metric.details());
        figures.extend(calibrated(&**metric, temperatures.get(task.name()).copied()));
        for (name, value) in figures {
            // If two tasks have a figure of the same name, the later one gets its task's name as a prefix.
            let taken = line.contains_key(name);
            let name = if taken { format!("{}.{name}", task.name()) } else { name.to_string() };
            line.insert(name, json!(value));
        }
        let classes = &task.config().classes;
        let of = |values: Vec<Option<f64>>| -> Map<String, Value> {
            classes.iter().zip(values).map(|(class, value)| (class.clone(), json!(value))).collect()
        };
        let figures =
            metric.per_class().into_iter().map(|(name, values)| (name.to_string(), json!(of(values))));
        let figures: Map<String, Value> = figures.collect();
        if !figures.is_empty() {
            per_class.insert(task.name().to_string(), json!(figures));
        }
    }
    line.insert("per_class".into(), json!(per_class));
    line.insert("images".into(), json!(images));
    line.insert("part".into(), json!(if options.all { "all" } else { split.name() }));
    if let Some(path) = &options.curves {
        write_curves(path, &model, &metrics)?;
    }
    Ok(Value::Object(line))
}

/// Data that a model is tried on.
pub(crate) struct Chosen {
    pub dataset: Arc<dyn Dataset>,
    /// What was kept from training; `None` if nothing was.
    pub split: Option<Split>,
    /// Whether the model was trained on them, and what was kept from that is meant.
    pub own: bool,
    /// Whether they are no longer what they were then, so that nobody knows what was kept.
    pub changed: bool,
    /// The name or place of the data.
    pub name: String,
}

/// The data to try a model on and the part of them: for `data` that the model was not trained on, the test part or all
/// photographs, else the pictures that were kept from training, or all.
pub(crate) fn choose_data(
    config: &TrainConfig,
    data: Option<&str>,
    all: bool,
    accept_changed: bool,
) -> Result<Chosen, TrainError> {
    let known = config.data_names();
    let mut config = config.clone();
    let all_of = |dataset: Arc<dyn Dataset>, name: &str| Chosen {
        dataset,
        split: Some(Split::Test),
        own: false,
        changed: false,
        name: name.into(),
    };
    if let Some(other) = data.filter(|other| !same_place(other, &known[0])) {
        let dataset = config.open_other(other)?;
        let fingerprints = dataset.info().accounts.iter().map(|account| &account.fingerprint);
        // The training pictures in another folder are still the training pictures.
        if config.fingerprints.is_empty() || fingerprints.ne(&config.fingerprints) {
            // Data that have parts of their own are scored on their test part, photographs on all.
            return Ok(all_of(dataset, other));
        }
        config.data = other.into();
        config.places.clear();
    }
    if all {
        return Ok(all_of(config.open_other(&config.data_names()[0])?, &config.data));
    }
    let dataset = config.open_data()?;
    let accounts = dataset.info().accounts.iter();
    let changed = accounts.map(|account| &account.fingerprint).ne(&config.fingerprints);
    let changed = changed && !config.fingerprints.is_empty() && !accept_changed;
    let split = [Split::Test, Split::Validation].into_iter().find(|&split| !dataset.is_empty(split));
    Ok(Chosen { dataset, split, own: true, changed, name: config.data })
}

/// The temperature of every task that gives images one class, from the validation part; none where there is none.
fn temperatures(
    model: &MultiTaskModel,
    dataset: &Arc<dyn Dataset>,
    scored: Split,
    limit: Option<usize>,
) -> Result<BTreeMap<String, f64>, TrainError> {
    let classifies = model.tasks().iter().any(|task| task.metric().class_samples().is_some());
    if !classifies || scored == Split::Validation || dataset.is_empty(Split::Validation) {
        return Ok(BTreeMap::new());
    }
    let metrics = score_split(model, dataset, Split::Validation, limit, &mut |_| {})?;
    let named = model.tasks().iter().zip(&metrics).filter_map(|(task, metric)| {
        let samples = metric.class_samples().filter(|samples| !samples.is_empty())?;
        Some((task.name().to_string(), samples.temperature(|_| true)))
    });
    Ok(named.collect())
}

/// Calibration after temperature scaling, for tasks that give each image one class.
fn calibrated(metric: &dyn Metric, temperature: Option<f64>) -> Vec<(&'static str, Option<f64>)> {
    let Some(samples) = metric.class_samples().filter(|samples| !samples.is_empty()) else {
        return Vec::new();
    };
    let (scaled, temperature) = match temperature {
        Some(temperature) => (samples.calibration(CALIBRATION_BINS, |_| temperature), temperature),
        None => {
            let (scaled, [a, b]) = samples.cross_fitted(CALIBRATION_BINS);
            (scaled, (a * b).sqrt())
        }
    };
    let figures = [
        ("temperature", temperature),
        ("nll_scaled", scaled.negative_log_likelihood()),
        ("brier_scaled", scaled.brier()),
        ("ece_scaled", scaled.expected_error()),
        ("mce_scaled", scaled.maximum_error()),
    ];
    figures.map(|(name, value)| (name, Some(value))).into()
}

/// One row per point: task, class, IoU threshold (empty if predictions are not boxes), recall, precision.
fn write_curves(path: &Path, model: &MultiTaskModel, metrics: &[Box<dyn Metric>]) -> Result<(), TrainError> {
    let mut text = String::from("task,class,iou,recall,precision\n");
    for (task, metric) in model.tasks().iter().zip(metrics) {
        for curve in metric.curves() {
            // A class name may hold any character; quotes inside a quoted cell are doubled.
            let class = task.config().classes[curve.class].replace('"', "\"\"");
            let iou = curve.iou.map_or(String::new(), |iou| format!("{iou:.2}"));
            for [recall, precision] in curve.points {
                let _ = writeln!(text, "{},\"{class}\",{iou},{recall:.6},{precision:.6}", task.name());
            }
        }
    }
    Ok(write_atomically(path, text.as_bytes())?)
}

/// Whether two names lead to the same data.
fn same_place(a: &str, b: &str) -> bool {
    let place = |name: &str| std::fs::canonicalize(name).ok();
    a == b || (place(a).is_some() && place(a) == place(b))
}

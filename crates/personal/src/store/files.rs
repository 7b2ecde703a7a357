//! The store's two files: the index as JSON, the numbers as tensors.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_nn::checkpoint::{self, Checkpoint};
use cerberus_tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::log::check_class;
use super::{BaseName, FORMAT, Log, Metadata};
use crate::adapted::Numbers;
use crate::error::PersonalError;
use crate::hash::bytes_hash;
use crate::heads::Linear;
use crate::knowledge::{narrow, wide};
use crate::matrix::Matrix;
use crate::recogniser::{Recogniser, Way};

/// What a store learned: for each task that something was taught for, the person's classes beside the base's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    /// By the task's name.
    pub recognisers: BTreeMap<String, Recogniser>,
    /// The hash of the [knowledge](crate::Knowledge) that each was fitted beside; empty if there was none.
    pub knowledge: BTreeMap<String, String>,
}

/// The content of the index.
#[derive(Serialize, Deserialize)]
pub(super) struct Index {
    pub format: u32,
    pub base: BaseName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<String>,
    #[serde(flatten)]
    pub log: Log,
}

/// The numbers of a recogniser that are not tensors.
#[derive(Serialize, Deserialize)]
struct Facts {
    classes: Vec<String>,
    way: Way,
    threshold: f64,
    /// Absent if no picture is called unknown.
    familiar: Option<f64>,
    knowledge: String,
}

pub(super) fn malformed(path: &Path, expected: &str, found: String) -> PersonalError {
    let remedy = "restore it from an exported file, or begin another store".into();
    PersonalError::Malformed { path: path.into(), expected: expected.into(), found, remedy }
}

pub(super) fn read_index(path: &Path) -> Result<Index, PersonalError> {
    let text = std::fs::read_to_string(path).map_err(PersonalError::io("read", path))?;
    parse_index(path, &text)
}

pub(super) fn parse_index(path: &Path, text: &str) -> Result<Index, PersonalError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let fail = |error: serde_json::Error| malformed(path, "the index of a personal store", error.to_string());
    let version: Version = serde_json::from_str(text).map_err(fail)?;
    if version.format > FORMAT {
        let remedy = "use a newer program".to_string();
        let (expected, found) = (format!("format {FORMAT} or older"), version.format.to_string());
        return Err(PersonalError::Malformed { path: path.into(), expected, found, remedy });
    }
    let index: Index = serde_json::from_str(text).map_err(fail)?;
    if index.learned.as_ref().is_some_and(|name| is_path(name)) || index.log.kept().any(|name| is_path(&name))
    {
        return Err(malformed(path, "names of files in the store's folder", "a path".into()));
    }
    for lesson in index.log.steps.iter().flat_map(|step| &step.lessons) {
        check_class(&lesson.class).map_err(|error| malformed(path, "names of classes", error.to_string()))?;
    }
    Ok(index)
}

/// Whether a name would lead out of its folder.
fn is_path(name: &str) -> bool {
    name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', ':'])
}

pub(super) fn index_json(base: &BaseName, log: &Log, learned: Option<&str>) -> Result<String, PersonalError> {
    let index =
        Index { format: FORMAT, base: base.clone(), learned: learned.map(String::from), log: log.clone() };
    let text = serde_json::to_string_pretty(&index);
    Ok(text.map_err(|error| PersonalError::Request(format!("the index cannot be written: {error}")))? + "\n")
}

/// The name of the file with these bytes.
pub(super) fn learned_name(bytes: &[u8]) -> String {
    format!("learned-{:.16}.safetensors", bytes_hash(bytes))
}

/// The prefix of the tensors of adapters, of which a log has at most one step.
const ADAPTERS: &str = "adapters";

/// The prefix of the statistics of the style that was measured in this step: a plain one for the style that is worn.
fn style_name(log: &Log, place: usize) -> String {
    match log.steps.iter().rposition(|step| step.style.is_some()) == Some(place) {
        true => "style".into(),
        false => format!("style-{place}"),
    }
}

/// Tensors that there must be.
fn finite(
    path: &Path,
    tensors: Vec<(String, Tensor)>,
    expected: &str,
) -> Result<Vec<(String, Tensor)>, PersonalError> {
    match tensors.is_empty() || tensors.iter().any(|(_, values)| !values.all_finite()) {
        true => Err(malformed(path, expected, "others, or none".into())),
        false => Ok(tensors),
    }
}

/// The embeddings of a task's pictures, the styles' statistics and the adapters.
pub(super) fn shown_tensors(log: &Log) -> Vec<(String, Tensor)> {
    let mut tensors = Vec::new();
    for task in log.tasks() {
        let rows: Vec<&[f32]> = log.pictures_of(&task).map(|picture| picture.embedding.as_slice()).collect();
        let shape = [rows.len(), rows.first().map_or(0, |row| row.len())];
        tensors.push((format!("embeddings.{task}"), Tensor::from_vec(rows.concat(), &shape)));
    }
    for (place, step) in log.steps.iter().enumerate() {
        let styles = step.style.iter().flat_map(|style| &style.statistics);
        tensors.extend(styles.map(|(path, values)| {
            let values = Tensor::from_vec(values.clone(), &[values.len()]);
            (format!("{}.{path}", style_name(log, place)), values)
        }));
        let adapters = step.adapters.iter().flat_map(|own| &own.numbers);
        tensors.extend(adapters.map(|own| {
            (format!("{ADAPTERS}.{}", own.path), Tensor::from_vec(own.values.clone(), &own.shape))
        }));
    }
    tensors
}

/// Gives a log's pictures their embeddings, its styles their statistics and its adapters their numbers.
pub(super) fn restore_shown(path: &Path, file: &Checkpoint, log: &mut Log) -> Result<(), PersonalError> {
    let all: BTreeMap<String, Tensor> = file.under("embeddings").into_iter().collect();
    for task in log.tasks() {
        let count = log.pictures_of(&task).count();
        let found = all.get(&task).filter(|found| found.shape().len() == 2 && found.shape()[0] == count);
        let found = found.filter(|found| found.shape()[1] > 0 && found.all_finite());
        let found = found.ok_or_else(|| {
            malformed(
                path,
                &format!("{count} finite embeddings for the task {task:?}"),
                "others, or none".into(),
            )
        })?;
        let values = found.to_vec();
        for (picture, row) in log.pictures_of_mut(&task).zip(values.chunks_exact(found.shape()[1])) {
            picture.embedding = row.to_vec();
        }
    }
    let names: Vec<String> = (0..log.steps.len()).map(|place| style_name(log, place)).collect();
    for (step, name) in log.steps.iter_mut().zip(names) {
        if let Some(style) = &mut step.style {
            let statistics = finite(path, file.under(&name), "a style's finite statistics")?;
            style.statistics = statistics.into_iter().map(|(path, values)| (path, values.to_vec())).collect();
        }
        if let Some(adapters) = &mut step.adapters {
            let numbers = finite(path, file.under(ADAPTERS), "finite numbers of adapters")?;
            let numbers = numbers.into_iter().map(|(path, values)| Numbers {
                path,
                shape: values.shape().to_vec(),
                values: values.to_vec(),
            });
            adapters.numbers = numbers.collect();
        }
    }
    Ok(())
}

/// The file of what was shown and learned; `None` if nothing was.
pub(super) fn learned_bytes(log: &Log, learned: &Learned) -> Result<Option<Vec<u8>>, PersonalError> {
    let mut tensors = shown_tensors(log);
    if tensors.is_empty() {
        return Ok(None);
    }
    let mut metadata = Metadata::new();
    for (task, found) in &learned.recognisers {
        let matrix = |m: &Matrix| Tensor::from_vec(narrow(&m.data), &[m.rows, m.columns]);
        let list = |values: &[f64]| Tensor::from_vec(narrow(values), &[values.len()]);
        tensors.push((format!("weight.{task}"), matrix(&found.head.weight)));
        tensors.push((format!("bias.{task}"), list(&found.head.bias)));
        tensors.push((format!("centre.{task}"), list(&found.centre)));
        let facts = Facts {
            classes: found.classes.clone(),
            way: found.way,
            threshold: found.threshold,
            familiar: found.familiar.is_finite().then_some(found.familiar),
            knowledge: learned.knowledge.get(task).cloned().unwrap_or_default(),
        };
        let text = serde_json::to_string(&facts);
        let text = text.map_err(|error| {
            PersonalError::Request(format!("what was learned cannot be written: {error}"))
        })?;
        metadata.insert(format!("{RECOGNISER}{task}"), text);
    }
    Ok(Some(checkpoint::to_bytes(&tensors, &metadata)))
}

const RECOGNISER: &str = "recogniser.";

/// Reads what was learned, and gives the log its numbers.
pub(super) fn read_learned(path: &Path, log: &mut Log) -> Result<Learned, PersonalError> {
    let file = checkpoint::load::<f32>(path)?;
    restore_shown(path, &file, log)?;
    let mut learned = Learned::default();
    let texts: Vec<(&str, &String)> = file
        .metadata()
        .iter()
        .filter_map(|(key, text)| Some((key.strip_prefix(RECOGNISER)?, text)))
        .collect();
    for (task, text) in texts {
        let facts: Facts = serde_json::from_str(text)
            .map_err(|error| malformed(path, "the facts of a recogniser", error.to_string()))?;
        let get = |name: &str| {
            let found = file.under(name).into_iter().find(|(own, _)| own == task).map(|(_, tensor)| tensor);
            let found = found.filter(|tensor| tensor.all_finite());
            found.ok_or_else(|| {
                malformed(path, &format!("finite numbers {name:?} of the task {task:?}"), "none".into())
            })
        };
        let matrix = |tensor: &Tensor| match *tensor.shape() {
            [rows, columns] => Matrix { rows, columns, data: wide(&tensor.to_vec()) },
            _ => Matrix::default(),
        };
        let weight = matrix(&get("weight")?);
        let [bias, centre] = [wide(&get("bias")?.to_vec()), wide(&get("centre")?.to_vec())];
        let (classes, width) = (facts.classes.len(), centre.len());
        if classes == 0 || bias.len() != classes || [weight.rows, weight.columns] != [classes, width] {
            return Err(malformed(
                path,
                "a row and a number for each class",
                format!("those of {} classes", weight.rows),
            ));
        }
        learned.knowledge.insert(task.into(), facts.knowledge);
        let recogniser = Recogniser {
            classes: facts.classes,
            way: facts.way,
            centre,
            head: Linear { weight, bias },
            threshold: facts.threshold,
            familiar: facts.familiar.unwrap_or(f64::NEG_INFINITY),
        };
        learned.recognisers.insert(task.into(), recogniser);
    }
    Ok(learned)
}

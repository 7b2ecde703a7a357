//! The store's two files: the index as JSON, the numbers as tensors.

use std::path::Path;

use cerberus_nn::checkpoint;
use cerberus_tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::log::check_class;
use super::{BaseName, FORMAT, Log, Metadata};
use crate::base::bytes_hash;
use crate::error::PersonalError;
use crate::heads::Linear;
use crate::knowledge::{narrow, wide};
use crate::matrix::Matrix;
use crate::recogniser::{Recogniser, Way};

/// What a store learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// The person's classes beside the base's; `None` for a log without a picture.
    pub recogniser: Option<Recogniser>,
    /// The hash of the [knowledge](crate::Knowledge) that it was fitted beside.
    pub knowledge: String,
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
    /// Absent if every picture is familiar.
    familiar: Option<f64>,
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

/// The embeddings as `[pictures, D]`.
pub(super) fn embeddings(log: &Log, width: usize) -> Tensor {
    let values: Vec<f32> = log.pictures().flat_map(|picture| picture.embedding.iter().copied()).collect();
    Tensor::from_vec(values, &[log.pictures().count(), width])
}

/// The file of what was learned, `None` for an empty log, and the same as it will be read.
pub(super) fn learned_bytes(
    log: &Log,
    recogniser: Option<&Recogniser>,
    knowledge: &str,
    width: usize,
) -> Result<(Option<Vec<u8>>, Option<Learned>), PersonalError> {
    if log.pictures().next().is_none() {
        return Ok((None, None));
    }
    let mut tensors = vec![("embeddings".to_string(), embeddings(log, width))];
    let mut metadata = Metadata::from([("knowledge".to_string(), knowledge.to_string())]);
    if let Some(found) = recogniser {
        let matrix = |m: &Matrix| Tensor::from_vec(narrow(&m.data), &[m.rows, m.columns]);
        let list = |values: &[f64]| Tensor::from_vec(narrow(values), &[values.len()]);
        tensors.push(("head.weight".into(), matrix(&found.head.weight)));
        tensors.push(("head.bias".into(), list(&found.head.bias)));
        tensors.push(("centre".into(), list(&found.centre)));
        tensors.push(("prototypes".into(), matrix(&found.prototypes)));
        let facts = Facts {
            classes: found.classes.clone(),
            way: found.way,
            threshold: found.threshold,
            familiar: found.familiar.is_finite().then_some(found.familiar),
        };
        let text = serde_json::to_string(&facts);
        let text = text.map_err(|error| {
            PersonalError::Request(format!("what was learned cannot be written: {error}"))
        })?;
        metadata.insert("recogniser".into(), text);
    }
    let bytes = checkpoint::to_bytes(&tensors, &metadata);
    Ok((Some(bytes), Some(Learned { recogniser: recogniser.cloned(), knowledge: knowledge.into() })))
}

/// Reads what was learned, and gives the log's pictures their embeddings.
pub(super) fn read_learned(path: &Path, log: &mut Log, width: usize) -> Result<Learned, PersonalError> {
    let file = checkpoint::load::<f32>(path)?;
    let tensors: std::collections::BTreeMap<String, Tensor> = file.under("").into_iter().collect();
    let get = |name: &str, shape: &[usize]| {
        let found =
            tensors.get(name).ok_or_else(|| malformed(path, &format!("a tensor {name:?}"), "none".into()))?;
        match found.shape() == shape && found.all_finite() {
            true => Ok(found.to_vec()),
            false => Err(malformed(
                path,
                &format!("finite numbers of shape {shape:?} in {name:?}"),
                format!("{:?}", found.shape()),
            )),
        }
    };
    let count = log.pictures().count();
    let values = get("embeddings", &[count, width])?;
    for (picture, row) in log.pictures_mut().zip(values.chunks_exact(width.max(1))) {
        picture.embedding = row.to_vec();
    }
    let knowledge = file.metadata().get("knowledge").cloned().unwrap_or_default();
    let Some(text) = file.metadata().get("recogniser") else {
        return Ok(Learned { recogniser: None, knowledge });
    };
    let facts: Facts = serde_json::from_str(text)
        .map_err(|error| malformed(path, "the facts of a recogniser", error.to_string()))?;
    let classes = facts.classes.len();
    let prototypes = tensors.get("prototypes").map_or(0, |found| found.shape()[0]);
    if classes == 0 || (prototypes != 0 && prototypes != classes) {
        return Err(malformed(path, "a prototype for each class", format!("{prototypes} for {classes}")));
    }
    let matrix = |name: &str, rows: usize| {
        Ok::<_, PersonalError>(Matrix { rows, columns: width, data: wide(&get(name, &[rows, width])?) })
    };
    let recogniser = Recogniser {
        head: Linear { weight: matrix("head.weight", classes)?, bias: wide(&get("head.bias", &[classes])?) },
        centre: wide(&get("centre", &[width])?),
        prototypes: matrix("prototypes", prototypes)?,
        classes: facts.classes,
        way: facts.way,
        threshold: facts.threshold,
        familiar: facts.familiar.unwrap_or(f64::NEG_INFINITY),
    };
    Ok(Learned { recogniser: Some(recogniser), knowledge })
}

//! What is written for one picture: overlays, the raw maps, the figures.

use std::collections::BTreeMap;
use std::path::Path;

use crate::shell::write_json;
use cerberus::draw::{HeatScale, RgbImage, comfortable_scale, encode_png, heat_overlay, to_rgb};
use cerberus::explain::ExplainError;
use cerberus::multitask::HeadConfig;
use cerberus::nn::checkpoint::StateDict;
use cerberus::nn::files::write_atomically;
use cerberus::tensor::Tensor;
use cerberus::train::TrainError;
use serde_json::{Value, json};

use super::found::{Answer, Explanation, Map};
use super::sheet::sheet;

/// The page with all pictures.
pub(super) const PAGE: &str = "explain.html";

/// The endings of a picture's files.
pub(super) fn endings(tasks: &[String], methods: &[String]) -> Vec<String> {
    let overlays =
        tasks.iter().flat_map(|task| methods.iter().map(move |method| overlay_ending(task, method)));
    ["json", "sheet.png", "maps.safetensors"].map(String::from).into_iter().chain(overlays).collect()
}

/// A task's name may hold anything; a file's name may not.
fn overlay_ending(task: &str, method: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let task: String = task.chars().map(|c| if kept(c) { c } else { '_' }).collect();
    format!("{task}.{method}.png")
}

/// The name of a raw map in its file.
fn map_name(task: &str, method: &str) -> String {
    format!("{task}.{method}")
}

/// The map over the picture, and its scale.
pub(super) fn overlay(found: &Explanation, map: &Map) -> (RgbImage, HeatScale) {
    let (rgb, scale) = (to_rgb(&found.picture), HeatScale::of(&map.values));
    let enlarge = comfortable_scale(rgb.width(), rgb.height());
    (heat_overlay(&rgb, &map.values, &scale, enlarge), scale)
}

/// The file of a drawing.
pub(super) fn png(path: &Path, drawn: &RgbImage) -> Result<Vec<u8>, TrainError> {
    encode_png(drawn).map_err(|error| TrainError::Folder {
        path: path.into(),
        problem: format!("the drawing cannot be made: {error}"),
    })
}

/// The figures of a picture.
pub(super) fn json(path: &Path, found: &Explanation) -> Value {
    let method = |task: &str, name: &str, map: &Result<Map, ExplainError>| match map {
        Ok(map) => json!({
            "method": name,
            "map": map_name(task, name),
            "sum": map.sum,
            "gap": map.gap,
            "deletion": map.curves.deletion.area(),
            "insertion": map.curves.insertion.area(),
            "deletion_curve": map.curves.deletion.0,
            "insertion_curve": map.curves.insertion.0,
            "seconds": map.seconds,
        }),
        Err(error) => json!({ "method": name, "refused": error.to_string() }),
    };
    let answer = |answer: &Answer| {
        let methods = answer.methods.iter().map(|(name, map)| method(&answer.task, name, map));
        json!({
            "task": answer.task,
            "target": answer.target,
            "value": answer.value,
            "layer": answer.layer,
            "methods": methods.collect::<Vec<Value>>(),
        })
    };
    let answers: Vec<Value> = found.answers.iter().map(answer).collect();
    let without: Vec<Value> =
        found.without.iter().map(|(task, reason)| json!({ "task": task, "refused": reason })).collect();
    json!({
        "image": path.to_string_lossy(),
        "size": [found.picture.height, found.picture.width],
        "answers": answers,
        "without_target": without,
    })
}

/// Writes the files of one picture.
pub(super) fn write(
    out: &Path,
    name: &str,
    found: &Explanation,
    json: &Value,
    heads: &[HeadConfig],
) -> Result<(), TrainError> {
    let size = [found.picture.height, found.picture.width];
    let mut maps = BTreeMap::new();
    for answer in &found.answers {
        for (method, map) in &answer.methods {
            let Ok(map) = map else { continue };
            maps.insert(map_name(&answer.task, method), Tensor::from_vec(map.values.clone(), &size));
            let path = out.join(format!("{name}.{}", overlay_ending(&answer.task, method)));
            write_atomically(&path, &png(&path, &overlay(found, map).0)?)?;
        }
    }
    let path = out.join(format!("{name}.sheet.png"));
    write_atomically(&path, &png(&path, &sheet(found, heads))?)?;
    StateDict::write(&out.join(format!("{name}.maps.safetensors")), &maps, &BTreeMap::new())?;
    write_json(&out.join(format!("{name}.json")), json)
}

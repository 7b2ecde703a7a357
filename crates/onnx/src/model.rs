//! A model with all its heads as an ONNX file.
//!
//! The input `images` is `[batch, C, H, W]`; every raw output of every head is an
//! output `HEAD.NAME`. How images are to be prepared and outputs to be read is in
//! the file's metadata, under the key `cerberus`, as JSON.

use cerberus_multitask::MultiTaskModel;
use cerberus_multitask::tasks::{Decoding, OutputInfo, Task};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::ExportError;
use crate::export::{Signature, export};
use crate::proto::ModelProto;

/// The name of a model's input.
pub const IMAGES: &str = "images";
/// The key of the description in the file's metadata.
pub const DESCRIPTION: &str = "cerberus";

/// How pictures become a model's input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preprocessing {
    /// The colours of the channels, such as `RGB`.
    pub channels: String,
    /// What each value of a picture, from 0 to 255, is multiplied with.
    pub scale: f64,
    /// What is added then.
    pub offset: f64,
    /// How a picture of another size is fitted, such as `stretch`.
    pub fit: String,
    /// The steps from a picture to the input, a sentence each.
    pub steps: Vec<String>,
}

/// A model as an ONNX model, for images `[height, width, channels]`. Each head's outputs are called by the names of its
/// [`Decoding`]; those of a head without one are `HEAD.output1` and so on.
///
/// # Errors
/// As for [`export_layer`](crate::export_layer).
///
/// # Panics
/// If the model does not take images of this size.
#[track_caller]
pub fn export_model(
    model: &MultiTaskModel,
    image: [usize; 3],
    preprocessing: &Preprocessing,
) -> Result<ModelProto, ExportError> {
    let heads: Vec<(&dyn Task, Vec<OutputInfo>)> = model
        .tasks()
        .iter()
        .zip(counts(model, image))
        .map(|(task, count)| (&**task, infos(&**task, count)))
        .collect();
    let outputs = heads.iter().flat_map(|(task, infos)| {
        infos.iter().map(|info| (format!("{}.{}", task.name(), info.name), info.holds.clone()))
    });
    let signature = Signature {
        graph: "model".into(),
        input: IMAGES.into(),
        outputs: outputs.collect(),
        metadata: vec![(DESCRIPTION.into(), description(image, preprocessing, &heads))],
    };
    let forward =
        |x, context: &mut _| model.forward(x, context).into_iter().flat_map(|output| output.maps).collect();
    export(model, &image, &forward, &signature)
}

/// The names of a model's outputs in an exported file, in the order of the heads and their maps.
///
/// # Panics
/// If the model does not take images of this size.
#[track_caller]
pub fn output_names(model: &MultiTaskModel, image: [usize; 3]) -> Vec<String> {
    let heads = model.tasks().iter().zip(counts(model, image));
    heads
        .flat_map(|(task, count)| {
            infos(&**task, count).into_iter().map(|info| format!("{}.{}", task.name(), info.name))
        })
        .collect()
}

/// The number of raw outputs of each head.
fn counts(model: &MultiTaskModel, image: [usize; 3]) -> Vec<usize> {
    let zeros: cerberus_tensor::Tensor = cerberus_tensor::Tensor::zeros(&[1, image[0], image[1], image[2]]);
    let outputs = model.forward(zeros, &mut cerberus_nn::Context::evaluation());
    outputs.iter().map(|output| output.maps.len()).collect()
}

/// A head's outputs, numbered if it does not describe them.
fn infos(task: &dyn Task, count: usize) -> Vec<OutputInfo> {
    let infos = task.decoding().outputs;
    if infos.len() == count {
        return infos;
    }
    let numbered = (1..=count).map(|number| format!("output{number}"));
    numbered.map(|name| OutputInfo { name, holds: "a raw output of the head".into(), stride: None }).collect()
}

fn description(
    [height, width, channels]: [usize; 3],
    preprocessing: &Preprocessing,
    heads: &[(&dyn Task, Vec<OutputInfo>)],
) -> String {
    let input = serde_json::json!({
        "name": IMAGES,
        "layout": "NCHW",
        "height": height,
        "width": width,
        "channels": channels,
        "preprocessing": preprocessing,
    });
    let heads: Vec<Value> = heads.iter().map(|(task, infos)| head(*task, infos)).collect();
    let all = serde_json::json!({ "format": 1, "input": input, "heads": heads });
    serde_json::to_string_pretty(&all).expect("a value without odd keys")
}

fn head(task: &dyn Task, infos: &[OutputInfo]) -> Value {
    let Decoding { steps, numbers, .. } = task.decoding();
    let outputs: Vec<Value> = infos
        .iter()
        .map(|info| {
            let name = format!("{}.{}", task.name(), info.name);
            serde_json::json!({ "name": name, "holds": info.holds, "stride": info.stride })
        })
        .collect();
    let numbers: Map<String, Value> =
        numbers.into_iter().map(|(name, value)| (name.to_string(), value.into())).collect();
    let config = task.config();
    serde_json::json!({
        "name": config.name,
        "kind": config.kind,
        "label": config.label,
        "classes": config.classes,
        "outputs": outputs,
        "decoding": { "steps": steps, "numbers": numbers },
    })
}

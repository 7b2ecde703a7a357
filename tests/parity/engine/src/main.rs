//! Runs exported networks in [tract](https://github.com/sonos/tract), an ONNX engine in Rust, and compares the outputs
//! with those that Cerberus computed.
//!
//! `cargo run --manifest-path tests/parity/engine/Cargo.toml -- FOLDER..`
//!
//! Each folder holds files `NAME.onnx` and, beside each, `NAME.safetensors` with the inputs and outputs of a batch, under
//! the names that they have in the ONNX file: see `onnx_models.py`, which does the same with ONNX Runtime. The batch is run
//! as a whole and image by image. Every output must agree within 1e-4, relative to its largest value if that is above 1.
//! Ends with 1 if any does not; files that the engine cannot read are only told.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use safetensors::SafeTensors;
use tract_onnx::prelude::*;

const TOLERANCE: f32 = 1e-4;

fn main() -> ExitCode {
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in std::env::args().skip(1) {
        match std::fs::read_dir(&folder) {
            Ok(files) => paths.extend(files.flatten().map(|file| file.path())),
            Err(error) => eprintln!("{folder}: {error}"),
        }
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "onnx"));
    paths.sort();
    let (mut differ, mut refused) = (0, 0);
    for path in &paths {
        let path_text = path.display();
        match check(path) {
            Ok(worst) => println!("{path_text}: agrees within {worst:.1e}"),
            Err(Failure::Differs(what)) => {
                differ += 1;
                println!("{path_text}: DIFFERS: {what}");
            }
            Err(Failure::Refused(why)) => {
                refused += 1;
                println!("{path_text}: not read by the engine: {why}");
            }
        }
    }
    println!("{} files: {differ} differ, {refused} are not read", paths.len());
    ExitCode::from(u8::from(differ > 0 || refused == paths.len()))
}

enum Failure {
    /// The engine finds something else.
    Differs(String),
    /// The engine lacks an operator, or cannot follow the shapes.
    Refused(String),
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        // The outermost sentence says the operator; the rest is a stack.
        Self::Refused(error.into().to_string().lines().next().unwrap_or_default().to_string())
    }
}

/// The largest difference of a file's outputs.
fn check(path: &Path) -> Result<f32, Failure> {
    let bytes = std::fs::read(path.with_extension("safetensors"))?;
    let values = SafeTensors::deserialize(&bytes)?;
    let model = tract_onnx::onnx().model_for_path(path)?;
    let input = model.node(model.input_outlets()?[0].node).name.clone();
    let outputs: Vec<String> = model
        .output_outlets()?
        .iter()
        .map(|&outlet| {
            model.outlet_label(outlet).map_or_else(|| model.node(outlet.node).name.clone(), String::from)
        })
        .collect();
    let images = tensor(&values, &input)?;
    let batch = images.shape()[0];
    let mut worst = 0.0;
    for (start, count) in std::iter::once((0, batch)).chain((0..batch).map(|place| (place, 1))) {
        let part = images.slice(0, start, start + count)?;
        let runnable = model
            .clone()
            .with_input_fact(0, f32::fact(part.shape()).into())?
            .into_optimized()?
            .into_runnable()?;
        let found = runnable.run(tvec!(part.into()))?;
        for (name, found) in outputs.iter().zip(&found) {
            let expected = tensor(&values, name)?.slice(0, start, start + count)?;
            if found.shape() != expected.shape() {
                let shapes = format!("{name}: {:?} instead of {:?}", found.shape(), expected.shape());
                return Err(Failure::Differs(shapes));
            }
            let (found, expected) = (found.as_slice::<f32>()?, expected.as_slice::<f32>()?);
            let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
            for (found, expected) in found.iter().zip(expected) {
                let difference = (found - expected).abs() / largest;
                // NaN is not small either.
                if !(difference <= TOLERANCE) {
                    let place = format!("{name}, images {start}..{}: {difference:e}", start + count);
                    return Err(Failure::Differs(place));
                }
                worst = difference.max(worst);
            }
        }
    }
    Ok(worst)
}

fn tensor(values: &SafeTensors, name: &str) -> Result<Tensor, Box<dyn Error>> {
    let view = values.tensor(name)?;
    let numbers: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    Ok(Tensor::from_shape(view.shape(), &numbers)?)
}

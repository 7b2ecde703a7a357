//! Writes small networks of all layers as ONNX files, each with inputs and the
//! outputs that this library computes for them: `tests/parity/onnx_models.py`
//! compares those with ONNX Runtime's.
//!
//! `cargo run --release -p cerberus-onnx --example onnx_layers -- DIR`

use std::path::{Path, PathBuf};

use cerberus_nn::{Module, predict};
use cerberus_onnx::{export_layer, save, save_values};
use cerberus_tensor::Tensor;

#[path = "../tests/networks/mod.rs"]
mod networks;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = std::env::args_os().nth(1).ok_or("give the folder to write to")?;
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    for network in networks::networks() {
        write(&folder, network).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(())
}

fn write(
    folder: &Path,
    networks::Network { name, mut layers, sample }: networks::Network,
) -> Result<(), Failure> {
    // Fresh norms and biases would hide what they do: nothing.
    layers.visit_mut("", &mut |path, mut entry| {
        let positive = path.ends_with("variance");
        for (index, value) in entry.value_mut().data_mut().iter_mut().enumerate() {
            let noise = (index as f32 * 1.3 + path.len() as f32).sin();
            *value = if positive { 1.0 + 0.5 * noise } else { *value + 0.1 * noise };
        }
    });
    let model = export_layer(&layers, &sample).map_err(|error| format!("{name}: {error}"))?;
    save(&folder.join(format!("{name}.onnx")), &model)?;
    let shape = [&[3], &sample[..]].concat();
    let x = Tensor::from_fn(&shape, |i| 2.0 * (i as f32 * 0.37).sin());
    let y = predict(&layers, x.clone());
    save_values(&folder.join(format!("{name}.safetensors")), &[("input".into(), x), ("output".into(), y)])?;
    Ok(())
}

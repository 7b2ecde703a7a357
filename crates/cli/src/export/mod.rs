//! Writes a trained model as an ONNX file, for programs that run it elsewhere:
//! the trunk and every head, for any batch, with a description of what goes in and
//! how the outputs are read. `--check` also writes a batch of images and the
//! outputs that this program computes for them, to compare with another program's.
//! `--format torch` writes the weights alone, as torchvision or timm load them.
//!
//! `cargo run --release --example export -- --model runs/train-1/checkpoints/best.safetensors --out exported`

mod torch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::autograd::Var;
use cerberus::data::{Fit, MARGIN};
use cerberus::multitask::MultiTaskModel;
use cerberus::nn::Context;
use cerberus::onnx::{IMAGES, Preprocessing, export_model, output_names, save, save_values};
use cerberus::tensor::Tensor;
use cerberus::train::{TrainConfig, TrainError, load_image_model};
use clap::{Parser, ValueEnum};

use crate::say;

/// Write a trained model for other programs.
#[derive(Parser)]
#[command(name = "export")]
struct Options {
    /// A checkpoint written by the train example, or a classifier of import
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Folder for model.onnx or torch.safetensors; made if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// onnx: the whole model, to run; torch: the weights of a classifier, or of a trained model's trunk, to load into
    /// the library's network
    #[arg(long, value_enum, default_value = "onnx")]
    format: Format,
    /// For --format torch: the library whose names the weights get
    #[arg(long, value_enum, default_value = "torchvision")]
    library: torch::Library,
    /// For --format onnx: also write a batch of noise images and the outputs for them to this file, in the safetensors format
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Onnx,
    Torch,
}

impl Format {
    /// The name of the file in `--out`.
    fn file(self) -> &'static str {
        match self {
            Self::Onnx => "model.onnx",
            Self::Torch => "torch.safetensors",
        }
    }
}

/// Images in the batch of `--check`.
const CHECKED: usize = 3;

/// Exports a trained model; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    crate::shell::run_on(options.threads, || run(&options))
}

fn run(options: &Options) -> Result<(), TrainError> {
    if options.format == Format::Torch && options.check.is_some() {
        let problem = "--check runs an ONNX file; leave it out with --format torch".into();
        return Err(TrainError::Option(problem));
    }
    let path = options.out.join(options.format.file());
    let taken = [Some(&path), options.check.as_ref()].into_iter().flatten().find(|path| path.exists());
    if let Some(path) = taken {
        return Err(refuse(path, "the file is there already; choose another place or remove it".into()));
    }
    if options.format == Format::Torch {
        let written = torch::write(&options.model, &path, options.library)?;
        say!("{}: {written}", path.display());
        return Ok(());
    }
    let (config, model) = load_image_model(&options.model)?;
    crate::shell::make_folder(&options.out)?;
    let image = config.model.image;
    let exported = export_model(&model, image, &preprocessing(&config))
        .map_err(|error| refuse(&options.model, error.to_string()))?;
    save(&path, &exported)?;
    let names = output_names(&model, image).join(", ");
    let [height, width, channels] = image;
    say!("{}: {IMAGES} [batch, {channels}, {height}, {width}] to {names}", path.display());
    if let Some(check) = &options.check {
        save_values(check, &values(&model, image))?;
        say!("{}: {CHECKED} images and their outputs", check.display());
    }
    Ok(())
}

fn refuse(path: &Path, problem: String) -> TrainError {
    TrainError::Folder { path: path.to_path_buf(), problem }
}

/// What `predict` does with a picture, for programs that cannot call it.
fn preprocessing(config: &TrainConfig) -> Preprocessing {
    let [height, width, channels] = config.model.image;
    let colours = match channels {
        1 => "grey".into(),
        3 => "RGB".into(),
        other => format!("{other} channels as in the data"),
    };
    let (fit, place) = match config.fit() {
        Fit::Stretch => (
            "stretch",
            format!("resize the picture to {height} rows and {width} columns, each side by its own factor"),
        ),
        Fit::Letterbox => (
            "letterbox",
            format!(
                "resize the picture by one factor so that it just fits into {height} rows and {width} columns, and \
                 put it in the middle of an image of that size whose other pixels are {MARGIN}; map boxes and masks \
                 back by the same factor and offset"
            ),
        ),
    };
    Preprocessing {
        channels: colours,
        // (v / 255 - 0.5) / 0.25
        scale: 4.0 / 255.0,
        offset: -2.0,
        fit: fit.into(),
        steps: vec![
            place
                + "; a triangle filter, widened where the picture shrinks, is what the model was trained with",
            "multiply every value, from 0 to 255, with scale and add offset: black becomes -2, white 2"
                .into(),
            "put the channels first: [batch, channels, height, width]".into(),
        ],
    }
}

/// Noise images and the model's outputs for them, by their names in the exported file.
fn values(model: &MultiTaskModel, image: [usize; 3]) -> Vec<(String, Tensor)> {
    let [height, width, channels] = image;
    // A multiplicative hash; the top byte is a pixel's value.
    let pixel = |index: usize| ((index as u32).wrapping_mul(2_654_435_761) >> 24) as f32;
    let shape = [CHECKED, height, width, channels];
    let images = Tensor::from_fn(&shape, |index| (pixel(index) / 255.0 - 0.5) / 0.25);
    let outputs = model.forward(Var::constant(images.clone()), &mut Context::evaluation());
    let maps = outputs.into_iter().flat_map(|output| output.maps).map(Var::into_value);
    let named = output_names(model, image).into_iter().zip(maps);
    std::iter::once((IMAGES.to_string(), images)).chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus::data::{Image, normalise};

    #[test]
    fn the_told_scale_and_offset_are_those_of_the_loader() {
        let info = cerberus::data::DatasetInfo {
            name: "grey".into(),
            height: 8,
            width: 8,
            channels: 1,
            labels: Vec::new(),
            inputs: Vec::new(),
            accounts: Default::default(),
        };
        let told = preprocessing(&TrainConfig::for_data("grey", &info));
        let pixels: Vec<u8> = (0..=255).collect();
        let image = Image { height: 16, width: 16, channels: 1, pixels: pixels.into() };
        for (value, made) in normalise(&[&image]).to_vec().into_iter().enumerate() {
            let expected = value as f64 * told.scale + told.offset;
            assert!((f64::from(made) - expected).abs() < 1e-6, "{value}: {made}, not {expected}");
        }
    }
}

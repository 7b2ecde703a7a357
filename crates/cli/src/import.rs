//! Makes a model of the weights of a published network in a file of PyTorch: a classifier that `predict` and `evaluate`
//! run, and a trunk that `train --init-from` begins with.
//!
//! `cargo run --release --example import -- --model resnet18.safetensors --classes names.txt --out imported`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::data::photos::fit::parse_size;
use cerberus::multitask::Normalisation;
use cerberus::multitask::networks;
use cerberus::multitask::weights::{ClassifierInfo, Imported, WeightsError, export, import, save_classifier};
use cerberus::nn::checkpoint::CheckpointError;
use cerberus::nn::{Init, StateDict, load_model, predict};
use cerberus::tensor::Tensor;
use cerberus::train::TrainError;
use clap::Parser;

use crate::say;

/// Make a model of weights that were trained with PyTorch.
#[derive(Parser)]
#[command(name = "import")]
struct Options {
    /// The state dict of a network of torchvision or timm, with its classifier, in safetensors form
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Folder for model.safetensors; made if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The network, such as resnet18 [default: found by the names and shapes of the tensors]
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// A file with the name of a class on each line, in the order of the logits, or only their number, to check it
    /// [default: numbers as names]
    #[arg(long, value_name = "FILE|N")]
    classes: Option<String>,
    /// The size of the images that the classifier is run on: one number, or rows and columns, such as 224x224
    /// [default: 224, or 32 for networks made for small images]
    #[arg(long, value_name = "N|HxW")]
    size: Option<String>,
    /// The means that the network's pixels were normalised with, one for each channel, for pixels from 0 to 1
    /// [default for 3 channels: ImageNet's, 0.485,0.456,0.406, or 0.5 for timm's vision transformers]
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "std")]
    mean: Vec<f64>,
    /// The standard deviations [default for 3 channels: ImageNet's, 0.229,0.224,0.225, or 0.5]
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "mean")]
    std: Vec<f64>,
    /// Also run the classifier: on `images [N, H, W, C]`, normalised, in this safetensors file; writes logits.safetensors,
    /// and the weights as PyTorch names and orders them, torch.safetensors
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

/// Makes a model of weights of PyTorch; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    crate::shell::run_on(None, || run(&options))
}

fn run(options: &Options) -> Result<(), TrainError> {
    let file = options.out.join("model.safetensors");
    if file.exists() {
        let problem = "exists already; choose another --out, or remove it".into();
        return Err(TrainError::Folder { path: file, problem });
    }
    let dict = StateDict::read(&options.model).map_err(WeightsError::from)?;
    let imported = import(&dict, options.network.as_deref())?;
    let info = describe(options, &imported)?;
    crate::shell::make_folder(&options.out)?;
    save_classifier(&file, &info, &imported.tensors)?;
    let Imported { network, library, channels, classes, tensors } = &imported;
    let [height, width, _] = info.image;
    say!(
        "{network} with {library}'s names: {} tensors, {channels} channels, {classes} classes, images of {height}x{width}",
        tensors.len()
    );
    match &info.normalisation {
        Some(Normalisation { mean, std }) => {
            say!("  pixels normalised by means {mean:?} and deviations {std:?}")
        }
        None => say!("  pixels normalised as data sets do it; give --mean and --std for others"),
    }
    say!("\nWritten:\n  {}  for predict, evaluate, and train --trunk {network} --init-from", file.display());
    if let Some(images) = &options.check {
        check(images, &dict, &imported, &options.out)?;
    }
    Ok(())
}

/// The description of the classifier by the options and the shapes of the tensors.
fn describe(options: &Options, imported: &Imported) -> Result<ClassifierInfo, TrainError> {
    let small = |name: &str| name.ends_with("-cifar") || ["resnet9", "small_cnn"].contains(&name);
    let [height, width] = match &options.size {
        Some(text) => parse_size(text).map_err(|problem| TrainError::Option(format!("--size: {problem}")))?,
        None if small(imported.network) => [32; 2],
        None => [224; 2],
    };
    let normalisation = match options.mean.is_empty() {
        false => Some(Normalisation { mean: options.mean.clone(), std: options.std.clone() }),
        true => imported.usual_normalisation(),
    };
    let info = ClassifierInfo {
        network: imported.network.into(),
        image: [height, width, imported.channels],
        classes: class_names(options.classes.as_deref(), imported.classes)?,
        normalisation,
    };
    info.config().check().map_err(TrainError::Option)?;
    Ok(info)
}

/// The names in the file, or numbers.
fn class_names(given: Option<&str>, count: usize) -> Result<Vec<String>, TrainError> {
    let refuse = |problem: String| Err(TrainError::Option(format!("--classes {problem}")));
    let numbers = || (0..count).map(|class| class.to_string()).collect();
    let Some(given) = given else { return Ok(numbers()) };
    if let Ok(number) = given.parse::<usize>() {
        if number != count {
            return refuse(format!("{number}: the classifier has {count} outputs; leave the number out"));
        }
        return Ok(numbers());
    }
    let text = match std::fs::read_to_string(given) {
        Ok(text) => text,
        Err(error) => return refuse(format!("{given}: cannot be read: {error}; give a file or a number")),
    };
    let names: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    if let Some(line) = names.iter().position(String::is_empty) {
        return refuse(format!(
            "{given}, line {}: expected the name of a class, found nothing; fill it in",
            line + 1
        ));
    }
    if names.len() != count {
        return refuse(format!(
            "{given}: expected {count} lines, one for each output of the classifier, found {}; give all names in the \
             order of the outputs",
            names.len()
        ));
    }
    Ok(names)
}

/// Runs the classifier on given images, and writes its weights back under the names that they had.
fn check(path: &Path, dict: &StateDict, imported: &Imported, out: &Path) -> Result<(), TrainError> {
    let images = StateDict::read(path).map_err(WeightsError::from)?;
    let refuse = |problem: String| {
        let (path, tensor) = (path.to_path_buf(), "images".to_string());
        TrainError::Checkpoint(CheckpointError::Tensor { path, tensor, problem })
    };
    let x = images.tensors.get("images").ok_or_else(|| refuse("is missing".into()))?;
    if x.shape().len() != 4 || x.shape()[3] != imported.channels || x.shape()[1].min(x.shape()[2]) < 32 {
        return Err(refuse(format!(
            "has shape {:?}, not [N, H, W, {}] with sides of at least 32",
            x.shape(),
            imported.channels
        )));
    }
    let network = networks::find::<f32>(imported.network).expect("it was found by its name");
    let mut classifier = (network.classifier)([imported.channels, imported.classes], &mut Init::blank());
    load_model(&mut *classifier, out.join("model.safetensors"))?;
    let logits: Tensor = predict(&*classifier, x.clone());
    let [logits_file, torch_file] = ["logits", "torch"].map(|name| out.join(format!("{name}.safetensors")));
    StateDict::write(&logits_file, &BTreeMap::from([("logits".into(), logits)]), &BTreeMap::new())?;
    let theirs = export(&*classifier, imported.network, imported.library)?;
    StateDict::write(&torch_file, &theirs, &dict.metadata)?;
    say!("  {}  the logits of the images", logits_file.display());
    say!("  {}  the weights as they were", torch_file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_classes_are_one_for_each_output() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("names.txt");
        let given = file.to_str().unwrap();
        std::fs::write(&file, "cat\n dog \n").unwrap();
        assert_eq!(class_names(Some(given), 2).unwrap(), ["cat", "dog"]);
        assert_eq!(class_names(None, 2).unwrap(), ["0", "1"]);
        assert_eq!(class_names(Some("2"), 2).unwrap(), ["0", "1"]);
        let refused = |given: &str, count, part: &str| {
            let error = class_names(Some(given), count).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(part), "{error}");
        };
        refused(given, 3, "expected 3 lines, one for each output of the classifier, found 2");
        refused("5", 2, "2 outputs");
        refused("nowhere.txt", 2, "cannot be read");
        std::fs::write(&file, "cat\n\ndog\n").unwrap();
        refused(given, 3, "line 2: expected the name of a class");
    }
}

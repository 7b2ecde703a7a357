//! The weights of a model as PyTorch's libraries name and order them.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus::multitask::networks;
use cerberus::multitask::weights::{ClassifierInfo, export};
use cerberus::nn::{Init, Module, StateDict, checkpoint};
use cerberus::tensor::Tensor;
use cerberus::train::{TrainError, load_image_model};
use clap::ValueEnum;

/// A library whose names the file may have.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Library {
    Torchvision,
    Timm,
}

impl Library {
    fn name(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
        }
    }
}

/// What was written, in words.
pub fn write(model: &Path, to: &Path, library: Library) -> Result<String, TrainError> {
    let file = checkpoint::load(model)?;
    let Some(info) = ClassifierInfo::in_metadata(file.path(), file.metadata())? else {
        return trunk(model, to, library);
    };
    let [_, _, channels] = info.image;
    let mut classifier = blank(&info.network, [channels, info.classes.len()]);
    file.load_into(&mut *classifier, "")?;
    let tensors = export(&*classifier, &info.network, library.name())?;
    save(to, &tensors)?;
    Ok(format!("{} with its classifier, {} tensors", info.network, tensors.len()))
}

/// The trunk of a trained model, without the neck and the heads, which the libraries do not have.
fn trunk(model: &Path, to: &Path, library: Library) -> Result<String, TrainError> {
    let (config, trained) = load_image_model(model)?;
    let network = &config.model.network;
    if network.is_empty() {
        let problem = format!(
            "its trunk is none of the networks that {} has; --format torch writes the trunks of runs with one of --trunk {}",
            library.name(),
            networks::networks::<f32>().iter().map(|network| network.name).collect::<Vec<_>>().join(", ")
        );
        return Err(TrainError::Folder { path: model.to_path_buf(), problem });
    }
    let known = export(&*blank(network, [config.model.image[2], 1]), network, library.name())?;
    let mut tensors = export(trained.trunk(), network, library.name())?;
    tensors.retain(|name, _| known.contains_key(name));
    save(to, &tensors)?;
    Ok(format!("the trunk {network} without heads, {} tensors; load it with strict=False", tensors.len()))
}

fn blank(network: &str, size: [usize; 2]) -> Box<dyn Module> {
    let network = networks::find::<f32>(network).expect("the name was checked when the model was read");
    Box::new((network.classifier)(size, &mut Init::blank()))
}

fn save(to: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
    crate::shell::make_folder(to.parent().unwrap_or(Path::new(".")))?;
    // What PyTorch's own library writes there.
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    Ok(StateDict::write(to, tensors, &metadata)?)
}

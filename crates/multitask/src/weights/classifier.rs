//! A classifier in a file: a network's tensors under their own paths, and in the metadata what is needed to run it.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_autograd::Var;
use cerberus_data::CLASS;
use cerberus_nn::checkpoint::{self, Checkpoint};
use cerberus_nn::{Context, Init, Module, ModuleTensor, ModuleTensorMut};
use cerberus_tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::WeightsError;
use crate::config::{HeadConfig, HeadOptions, ModelConfig, TrunkKind};
use crate::features::{Features, MapInfo};
use crate::model::MultiTaskModel;
use crate::networks;
use crate::normalisation::Normalisation;
use crate::tasks::WholeNetwork;
use crate::trunk::Trunk;

/// The metadata's entry with the description.
const ENTRY: &str = "classifier";

/// What a classifier's file says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassifierInfo {
    /// One of the [networks].
    pub network: String,
    /// Rows, columns and channels of the images it is run on.
    pub image: [usize; 3],
    /// The names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// The normalisation of pixels that its weights expect; that of the data sets if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
}

impl ClassifierInfo {
    /// The description in a checkpoint's metadata; `None` if the checkpoint is of something else.
    ///
    /// # Errors
    /// [`WeightsError::Description`] if it describes nothing that can be built.
    pub fn in_metadata(
        path: &Path,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, WeightsError> {
        let Some(text) = metadata.get(ENTRY) else { return Ok(None) };
        let fail = |problem: String| WeightsError::Description { path: path.to_path_buf(), problem };
        let info: Self =
            serde_json::from_str(text).map_err(|error| fail(format!("cannot be understood: {error}")))?;
        info.config()
            .check()
            .map_err(|problem| fail(format!("is of no network that can be built: {problem}")))?;
        Ok(Some(info))
    }

    /// The configuration of the network with one task, which classifies.
    pub fn config(&self) -> ModelConfig {
        let head = HeadConfig {
            name: "classify".into(),
            kind: "classify".into(),
            label: CLASS.into(),
            classes: self.classes.clone(),
            weight: 1.0,
            options: HeadOptions::default(),
        };
        let mut config = ModelConfig::with_stages(self.image, Vec::new(), vec![head]);
        (config.trunk, config.network) = (TrunkKind::Network, self.network.clone());
        config.normalisation.clone_from(&self.normalisation);
        config
    }
}

/// Writes the tensors of a network as a classifier's file, atomically. [`cerberus_nn::load_model`] reads it into
/// [`Network::classifier`](crate::networks::Network::classifier), and a run can begin with its trunk.
///
/// # Errors
/// If the file cannot be written.
pub fn save_classifier(
    path: &Path,
    info: &ClassifierInfo,
    tensors: &[(String, Tensor)],
) -> Result<(), WeightsError> {
    let text = serde_json::to_string(info).expect("names and numbers are valid JSON");
    Ok(checkpoint::save(path, tensors, &BTreeMap::from([(ENTRY.to_string(), text)]))?)
}

/// The classifier in a file, as a model with one task that takes images as data sets make them; `None` if the
/// checkpoint is of something else.
///
/// # Errors
/// If the description or the tensors do not fit.
pub fn load_classifier(file: &Checkpoint) -> Result<Option<(ClassifierInfo, MultiTaskModel)>, WeightsError> {
    let Some(info) = ClassifierInfo::in_metadata(file.path(), file.metadata())? else { return Ok(None) };
    let fail = |problem: String| WeightsError::Description { path: file.path().to_path_buf(), problem };
    let network = networks::find::<f32>(&info.network)
        .ok_or_else(|| fail(format!("names no network: {:?}", info.network)))?;
    let [_, _, channels] = info.image;
    let classes = info.classes.len();
    // Checked before memory is allocated: a few bytes can describe a network of any size.
    let tensors = file.under("");
    if tensors.last().is_none_or(|(_, last)| last.shape().last() != Some(&classes)) {
        return Err(fail(format!("has {classes} classes, which are not the outputs of the last tensor")));
    }
    let mut layer = (network.classifier)([channels, classes], &mut Init::blank());
    file.load_into(&mut *layer, "")?;
    let head = info.config().heads.remove(0);
    let pixels: Box<dyn Trunk> = Box::new(Pixels { channels });
    let trunk = match &info.normalisation {
        Some(normalisation) => normalisation.before(pixels),
        None => pixels,
    };
    let model = MultiTaskModel::from_boxed(trunk, vec![Box::new(WholeNetwork::new(layer, head))]);
    Ok(Some((info, model)))
}

/// A trunk whose only map is the image.
struct Pixels {
    channels: usize,
}

impl Module for Pixels {
    fn visit<'a>(&'a self, _: &str, _: &mut dyn FnMut(String, ModuleTensor<'a, f32>)) {}

    fn visit_mut<'a>(&'a mut self, _: &str, _: &mut dyn FnMut(String, ModuleTensorMut<'a, f32>)) {}
}

impl Trunk for Pixels {
    fn stages(&self) -> Vec<MapInfo> {
        vec![MapInfo { name: "image".into(), channels: self.channels, stride: 1 }]
    }

    fn forward(&self, images: Var, _context: &mut Context) -> Features {
        Features::new(vec![images], None)
    }
}

//! The weights of published networks, from and to files of PyTorch.
//!
//! [`import`] takes the state dict of torchvision or timm in safetensors form, finds the network by the names and
//! shapes of its tensors, and gives them the names and the layout of [this project](crate::networks). [`export`] is its
//! inverse: a file that is imported and exported again holds the same bits. A [`ClassifierInfo`] written beside the
//! tensors makes the file a classifier that can be run and a trunk that can be trained on.
//!
//! How names correspond is in `names.rs`, how dimensions do in `layout.rs`.

mod classifier;
mod error;
mod layout;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use cerberus_nn::checkpoint::{Differences, Reshaped};
use cerberus_nn::{Init, Module, StateDict};
use cerberus_tensor::Tensor;

use crate::networks::{self, Network};
use crate::normalisation::Normalisation;
use crate::sense_config::MOST_CHANNELS;
use layout::Layout;
use names::{NAMINGS, Naming};

pub use classifier::{ClassifierInfo, load_classifier, save_classifier};
pub use error::WeightsError;

/// A state dict with our names and layouts.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network that it is of.
    pub network: &'static str,
    /// The library whose names it had.
    pub library: &'static str,
    /// Channels of the images.
    pub channels: usize,
    /// Classes of the classifier.
    pub classes: usize,
    /// The tensors, in the order of the network's.
    pub tensors: Vec<(String, Tensor)>,
}

impl Imported {
    /// The normalisation with which the library trains this network, for colour images: ImageNet's, but for timm's
    /// vision transformers, which take pixels from -1 to 1. `None` for images of other channels.
    pub fn usual_normalisation(&self) -> Option<Normalisation> {
        let centred = self.library == "timm" && self.network.starts_with("vit_");
        let half = || Normalisation { mean: vec![0.5; 3], std: vec![0.5; 3] };
        (self.channels == 3).then(|| if centred { half() } else { Normalisation::imagenet() })
    }
}

/// The paths and shapes of a network's tensors as a classifier.
type Shapes = Vec<(String, Vec<usize>)>;

/// Gives the tensors of a state dict of torchvision or timm our names and layouts, for the named network or for the one
/// that it fits. A `module.` before every name, as `DataParallel` writes it, is ignored.
///
/// # Errors
/// [`WeightsError`] if there is no such network, or the names and shapes are not those of one.
pub fn import(dict: &StateDict, network: Option<&str>) -> Result<Imported, WeightsError> {
    let all = networks::networks::<f32>();
    let known: Vec<&'static str> = all.iter().map(|network| network.name).collect();
    let candidates: Vec<&Network<f32>> =
        all.iter().filter(|candidate| network.is_none_or(|name| name == candidate.name)).collect();
    let found = without_wrapper(&dict.tensors);
    let mut closest: Option<(Differences, &'static str)> = None;
    for candidate in candidates {
        let differences = match fit(candidate, &found) {
            Ok(imported) => return Ok(imported),
            Err(differences) => differences,
        };
        if closest.as_ref().is_none_or(|(least, _)| count(&differences) < count(least)) {
            closest = Some((differences, candidate.name));
        }
    }
    let path = dict.path.clone();
    let closest = closest.map(|(differences, network)| (Box::new(differences), network));
    Err(match (closest, network) {
        (None, name) => WeightsError::NoSuchNetwork { name: name.unwrap_or_default().into(), known },
        (Some((differences, network)), Some(_)) => WeightsError::OtherNetwork { path, network, differences },
        (Some((differences, closest)), None) => {
            let found = found.into_keys().map(str::to_string).collect();
            WeightsError::Unknown { path, found, known, closest, differences }
        }
    })
}

fn count(differences: &Differences) -> usize {
    let Differences { missing, unexpected, reshaped } = differences;
    missing.len() + unexpected.len() + reshaped.len()
}

/// The tensors by their names without a `module.` that stands before all of them.
fn without_wrapper(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<&str, &Tensor> {
    let stripped: Option<BTreeMap<_, _>> =
        tensors.iter().map(|(name, tensor)| Some((name.strip_prefix("module.")?, tensor))).collect();
    stripped.unwrap_or_else(|| tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect())
}

/// The paths and shapes of a network with so many channels and classes.
fn shapes(network: &Network<f32>, size: [usize; 2]) -> Shapes {
    let model = (network.classifier)(size, &mut Init::blank());
    model.tensors().into_iter().map(|(path, tensor)| (path, tensor.shape().to_vec())).collect()
}

/// [`shapes`] for 3 channels and 1 class. Kept, because the largest networks take a while to build.
fn usual_shapes(network: &Network<f32>) -> Shapes {
    static KNOWN: Mutex<BTreeMap<&'static str, Shapes>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(network.name).or_insert_with(|| shapes(network, [3, 1])).clone()
}

/// The tensors of a file as those of a network, under the first naming that fits; otherwise how they differ under the
/// one that fits best.
fn fit(network: &Network<f32>, found: &BTreeMap<&str, &Tensor>) -> Result<Imported, Differences> {
    let mut own = usual_shapes(network);
    let (naming, mut differences) = NAMINGS
        .iter()
        .filter(|naming| naming.is_for(network.name))
        .map(|naming| (naming, differences_of_names(&own, naming, found)))
        .min_by_key(|(_, differences)| count(differences))
        .expect("torchvision's naming is for every network");
    if differences.is_empty() {
        let [channels, classes] = match size_of(network.name, &own, naming, found) {
            Ok(size) => size,
            Err(reshaped) => return Err(Differences { reshaped: vec![reshaped], ..differences }),
        };
        own = shapes(network, [channels, classes]);
        let tensor = |(path, shape): &(String, Vec<usize>)| {
            let name = naming.theirs(path);
            let layout = Layout::of(network.name, [path, &name], shape);
            let (theirs, expected) = (found[&*name], layout.their_shape(shape));
            if theirs.shape() != expected {
                differences.reshaped.push((name, theirs.shape().to_vec(), expected));
                return None;
            }
            Some((path.clone(), layout.to_ours(theirs)))
        };
        let tensors: Vec<(String, Tensor)> = own.iter().filter_map(tensor).collect();
        if differences.is_empty() {
            let Naming { library, .. } = naming;
            return Ok(Imported { network: network.name, library, channels, classes, tensors });
        }
    }
    Err(differences)
}

/// The names of a network that a file lacks, and those that it has besides.
fn differences_of_names(own: &Shapes, naming: &Naming, found: &BTreeMap<&str, &Tensor>) -> Differences {
    let wanted: Vec<String> = own.iter().map(|(path, _)| naming.theirs(path)).collect();
    let known: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let unexpected =
        found.keys().filter(|name| !known.contains(**name)).map(|name| name.to_string()).collect();
    let missing = wanted.into_iter().filter(|name| !found.contains_key(name.as_str())).collect();
    Differences { missing, unexpected, reshaped: Vec::new() }
}

/// Channels and classes, from the shapes of the first kernel, `[out, in, KH, KW]`, and of the last tensor,
/// `[classes, ..]`; the tensor that has no such shape, or one that is impossible. All names must be in the file.
fn size_of(
    network: &str,
    own: &Shapes,
    naming: &Naming,
    found: &BTreeMap<&str, &Tensor>,
) -> Result<[usize; 2], Reshaped> {
    let first =
        own.iter().find(|(_, shape)| shape.len() == 4).expect("every network begins with a convolution");
    let last = own.last().expect("every network has tensors");
    let extent = |(path, shape): &(String, Vec<usize>), axis: usize, most: usize| {
        let name = naming.theirs(path);
        let theirs = found[&*name].shape().to_vec();
        match theirs.get(axis) {
            // What a damaged file could ask for must not be built.
            Some(&extent) if (1..=most).contains(&extent) => Ok(extent),
            extent => {
                let mut expected = Layout::of(network, [path, &name], shape).their_shape(shape);
                expected[axis] = extent.map_or(expected[axis], |&extent| extent.clamp(1, most));
                Err((name, theirs, expected))
            }
        }
    };
    Ok([extent(first, 1, MOST_CHANNELS)?, extent(last, 0, cerberus_data::MOST_CLASSES)?])
}

/// The tensors of a network (a classifier, or the trunk of a model, with what else it holds) with the names of
/// `library`, `torchvision` or `timm`, and PyTorch's layouts, for
/// [`StateDict::write`]. PyTorch fills in the `num_batches_tracked` of batch norms.
///
/// # Errors
/// [`WeightsError::NoSuchNetwork`] for a name that is none. A library without names of its own for the network gives
/// torchvision's.
pub fn export(
    model: &dyn Module<f32>,
    network: &str,
    library: &str,
) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let known: Vec<&'static str> = networks::networks::<f32>().iter().map(|network| network.name).collect();
    if !known.contains(&network) {
        return Err(WeightsError::NoSuchNetwork { name: network.into(), known });
    }
    let of =
        |library: &str| NAMINGS.iter().find(|naming| naming.library == library && naming.is_for(network));
    let naming =
        of(library).or_else(|| of("torchvision")).expect("torchvision's naming is for every network");
    let tensor = |(path, tensor): (String, Tensor)| {
        let name = naming.theirs(&path);
        let layout = Layout::of(network, [&path, &name], tensor.shape());
        (name, layout.to_theirs(&tensor))
    };
    Ok(model.tensors().into_iter().map(tensor).collect())
}

#[cfg(test)]
mod tests;

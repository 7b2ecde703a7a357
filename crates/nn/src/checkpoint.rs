//! Checkpoints: named tensors and a few strings in one safetensors file.
//!
//! Every file states `layout: nhwc-hwio` and `format_version: 1` in its metadata;
//! loading refuses anything else, because a tensor in another layout often has
//! the right shape by chance. Files are written atomically.
//!
//! The same content gives the same bytes. The `safetensors` crate takes the
//! metadata as a `HashMap` and so writes it in a different order every time; the
//! header (8 bytes of length, sorted JSON, spaces up to a multiple of 8) is
//! therefore built here, with the tensors' bytes in the order given. The crate
//! does what needs care: it checks the headers of files that are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cerberus_tensor::{Element, Tensor};
use safetensors::tensor::{Dtype, TensorInfo};
use serde::Serialize;

use crate::files::write_atomically;
use crate::module::{Module, join};
use crate::optim::Optimizer;
use crate::pattern::PathPattern;

mod differences;
mod error;
mod read;
mod state_dict;

pub use differences::{Differences, Reshaped, Transfer, shortened};
pub use error::CheckpointError;
pub use state_dict::StateDict;

/// The order of dimensions in every file: images NHWC, convolution weights HWIO.
pub const LAYOUT: &str = "nhwc-hwio";
/// The format version that this code writes, and the newest that it reads.
pub const FORMAT_VERSION: u64 = 1;

/// The contents of a checkpoint file, checked.
#[derive(Debug)]
pub struct Checkpoint<T: Element = f32> {
    path: PathBuf,
    tensors: Vec<(String, Tensor<T>)>,
    metadata: BTreeMap<String, String>,
}

/// An entry of the file's header.
#[derive(Serialize)]
#[serde(untagged)]
enum Header<'a> {
    Metadata(&'a BTreeMap<String, String>),
    Tensor(TensorInfo),
}

/// Writes `tensors` and `metadata` to `path`, atomically. The layout and the
/// format version are added to the metadata.
///
/// # Errors
/// If the file cannot be written; what was there before is then untouched.
///
/// # Panics
/// If two tensors have the same name.
#[track_caller]
pub fn save<T: Element>(
    path: &Path,
    tensors: &[(String, Tensor<T>)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    Ok(write_atomically(path, &to_bytes(tensors, metadata))?)
}

/// The bytes of the file that [`save`] writes.
///
/// # Panics
/// If two tensors have the same name.
#[track_caller]
pub fn to_bytes<T: Element>(tensors: &[(String, Tensor<T>)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut metadata = metadata.clone();
    metadata.insert("layout".to_string(), LAYOUT.to_string());
    metadata.insert("format_version".to_string(), FORMAT_VERSION.to_string());
    bytes_of(tensors, &metadata)
}

/// Writes a safetensors file with nothing but `metadata` in its header besides the tensors.
#[track_caller]
fn write<T: Element>(
    path: &Path,
    tensors: &[(String, Tensor<T>)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    Ok(write_atomically(path, &bytes_of(tensors, metadata))?)
}

#[track_caller]
fn bytes_of<T: Element>(tensors: &[(String, Tensor<T>)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut header = BTreeMap::new();
    if !metadata.is_empty() {
        header.insert("__metadata__", Header::Metadata(metadata));
    }
    let mut end = 0;
    for (name, tensor) in tensors {
        let start = end;
        end += tensor.len() * size_of::<T>();
        let info =
            TensorInfo { dtype: dtype::<T>(), shape: tensor.shape().to_vec(), data_offsets: (start, end) };
        assert!(
            header.insert(name, Header::Tensor(info)).is_none(),
            "save: there are two tensors called {name:?}"
        );
    }
    let mut text = serde_json::to_vec(&header).expect("a map of strings and numbers is valid JSON");
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + text.len() + end);
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text);
    tensors.iter().for_each(|(_, tensor)| append(&mut bytes, tensor));
    bytes
}

/// Writes the parameters and buffers of a model to `path`, atomically: a safetensors
/// file with the names that [`Module::tensors`] gives.
///
/// # Errors
/// If the file cannot be written; what was there before is then untouched.
pub fn save_model<T: Element>(model: &dyn Module<T>, path: impl AsRef<Path>) -> Result<(), CheckpointError> {
    save(path.as_ref(), &model.tensors(), &BTreeMap::new())
}

/// Sets the parameters and buffers of a model to those that [`save_model`] wrote.
///
/// If the file cannot be read, or belongs to another model: the message lists the
/// tensors that are missing, unexpected or of another shape. The model is then
/// unchanged.
pub fn load_model<T: Element>(
    model: &mut dyn Module<T>,
    path: impl AsRef<Path>,
) -> Result<(), CheckpointError> {
    load(path.as_ref())?.load_into(model, "")
}

fn dtype<T: Element>() -> Dtype {
    if size_of::<T>() == 4 { Dtype::F32 } else { Dtype::F64 }
}

/// The elements, little-endian.
fn append<T: Element>(bytes: &mut Vec<u8>, tensor: &Tensor<T>) {
    let tensor = tensor.contiguous();
    let values = tensor.data().iter().map(|value| value.as_f64());
    match dtype::<T>() {
        Dtype::F32 => values.for_each(|value| bytes.extend((value as f32).to_le_bytes())),
        _ => values.for_each(|value| bytes.extend(value.to_le_bytes())),
    }
}

/// Reads a checkpoint whose tensors have element type `T`.
///
/// # Errors
/// If the file cannot be read, is no safetensors file, is cut short, is in
/// another layout or a newer format, or holds tensors of another type.
pub fn load<T: Element>(path: &Path) -> Result<Checkpoint<T>, CheckpointError> {
    load_only(path, |_| true)
}

/// [`load`] of the tensors whose names are wanted.
///
/// # Errors
/// As [`load`].
pub fn load_only<T: Element>(
    path: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<Checkpoint<T>, CheckpointError> {
    let file = read::SafetensorsFile::open(path)?;
    let (path, metadata) = (path.to_path_buf(), file.metadata().clone());
    let entry = |key: &str| metadata.get(key).cloned().unwrap_or_else(|| "unknown".to_string());
    if entry("layout") != LAYOUT {
        return Err(CheckpointError::Layout { path, found: entry("layout") });
    }
    if !entry("format_version").parse().is_ok_and(|version: u64| version <= FORMAT_VERSION) {
        return Err(CheckpointError::Version { path, found: entry("format_version") });
    }
    let own = dtype::<T>();
    let tensors = file.tensors(|name, found| match found == own {
        true => Ok(wanted(name)),
        false => Err(format!("has element type {found}, not {own}")),
    })?;
    Ok(Checkpoint { path, tensors, metadata })
}

/// The metadata of a safetensors file, without its tensors.
///
/// # Errors
/// If the file cannot be read, is no safetensors file or is cut short.
pub fn metadata(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    Ok(read::SafetensorsFile::open(path)?.metadata().clone())
}

impl<T: Element> Checkpoint<T> {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The metadata, layout and format version included.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensors whose names start with `prefix.`, in the order in which they
    /// were saved, with names without the prefix. An empty prefix gives all
    /// tensors.
    pub fn under(&self, prefix: &str) -> Vec<(String, Tensor<T>)> {
        let strip = |name: &str| match prefix {
            "" => Some(name.to_string()),
            _ => name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_string),
        };
        self.tensors.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect()
    }

    /// Sets all parameters and buffers of `model` to the tensors under `prefix`.
    ///
    /// # Errors
    /// If a tensor of the model is missing or has another shape, or there is one
    /// under the prefix that the model does not have. The model is then unchanged.
    pub fn load_into(&self, model: &mut dyn Module<T>, prefix: &str) -> Result<(), CheckpointError> {
        let fitting = self.fitting(model, prefix)?;
        set(model, fitting);
        Ok(())
    }

    /// Checks what [`load_into`](Self::load_into) checks, and changes nothing.
    ///
    /// # Errors
    /// As [`load_into`](Self::load_into).
    pub fn check_fits(&self, model: &dyn Module<T>, prefix: &str) -> Result<(), CheckpointError> {
        self.fitting(model, prefix).map(drop)
    }

    /// A value for every tensor of the model.
    fn fitting(
        &self,
        model: &dyn Module<T>,
        prefix: &str,
    ) -> Result<BTreeMap<String, Tensor<T>>, CheckpointError> {
        let (transfer, fitting) = self.compare(model, prefix, |_| true)?;
        let full = |name: String| join(prefix, &name);
        let differences = Differences {
            missing: transfer.missing.into_iter().map(full).collect(),
            unexpected: transfer.unused.into_iter().map(full).collect(),
            reshaped: transfer.reshaped.into_iter().map(|(name, a, b)| (full(name), a, b)).collect(),
        };
        if !differences.is_empty() {
            return Err(CheckpointError::OtherModel { path: self.path.clone(), differences });
        }
        Ok(fitting)
    }

    /// Sets the tensors of `model` that the file has, under the prefix, with the same name and shape, and leaves the
    /// others unchanged. Use it to start from a model that was trained for another task.
    ///
    /// # Errors
    /// If a tensor that matches holds values that are not finite; the model is then unchanged.
    pub fn load_matching(
        &self,
        model: &mut dyn Module<T>,
        prefix: &str,
    ) -> Result<Transfer, CheckpointError> {
        let (transfer, fitting) = self.compare(model, prefix, |_| true)?;
        set(model, fitting);
        Ok(transfer)
    }

    /// As [`load_matching`](Self::load_matching), for the tensors of `model` that one of the patterns names: `trunk`
    /// for everything under it, `*.norm*`, ... The others are not touched; they are listed as `left`.
    ///
    /// # Errors
    /// If a tensor that matches holds values that are not finite; the model is then unchanged.
    pub fn load_named(
        &self,
        model: &mut dyn Module<T>,
        prefix: &str,
        patterns: &[PathPattern],
    ) -> Result<Transfer, CheckpointError> {
        let wanted = |name: &str| patterns.iter().any(|pattern| pattern.names(name));
        let (transfer, fitting) = self.compare(model, prefix, wanted)?;
        set(model, fitting);
        Ok(transfer)
    }

    /// What of the tensors under `prefix` fits the tensors of `model` that are wanted, and those that fit.
    fn compare(
        &self,
        model: &dyn Module<T>,
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(Transfer, BTreeMap<String, Tensor<T>>), CheckpointError> {
        let mut found: BTreeMap<String, Tensor<T>> = self.under(prefix).into_iter().collect();
        let (mut transfer, mut fitting) = (Transfer::default(), BTreeMap::new());
        for (name, value) in model.tensors() {
            match found.remove(&name) {
                _ if !wanted(&name) => transfer.left.push(name),
                None => transfer.missing.push(name),
                Some(tensor) if tensor.shape() != value.shape() => {
                    transfer.reshaped.push((name, tensor.shape().to_vec(), value.shape().to_vec()));
                }
                Some(tensor) => {
                    self.check_finite(&join(prefix, &name), &tensor)?;
                    transfer.taken.push(name.clone());
                    fitting.insert(name, tensor);
                }
            }
        }
        transfer.unused = found.into_keys().collect();
        Ok((transfer, fitting))
    }

    fn check_finite(&self, name: &str, tensor: &Tensor<T>) -> Result<(), CheckpointError> {
        if tensor.all_finite() {
            return Ok(());
        }
        let problem = "holds values that are not finite".to_string();
        Err(CheckpointError::Tensor { path: self.path.clone(), tensor: name.to_string(), problem })
    }

    /// Sets the state of `optimizer`, made for `model`, to the tensors under `prefix`.
    ///
    /// # Errors
    /// If the state is that of another optimiser or another model; the state is then unchanged.
    pub fn load_optimizer(
        &self,
        optimizer: &mut dyn Optimizer<T>,
        model: &dyn Module<T>,
        prefix: &str,
    ) -> Result<(), CheckpointError> {
        let state = self.under(prefix);
        optimizer
            .load_state(model, state)
            .map_err(|source| CheckpointError::Optimizer { path: self.path.clone(), source })
    }
}

/// Gives the tensors of `model` the values found for them.
fn set<T: Element>(model: &mut dyn Module<T>, mut values: BTreeMap<String, Tensor<T>>) {
    model.visit_mut("", &mut |name, mut entry| {
        if let Some(tensor) = values.remove(&name) {
            // A copy: the optimiser refuses parameters that share their memory with the checkpoint.
            *entry.value_mut() = owned(&tensor);
        }
    });
}

/// A copy with its own memory: optimisers refuse parameters whose memory is shared.
pub(crate) fn owned<T: Element>(tensor: &Tensor<T>) -> Tensor<T> {
    let tensor = tensor.contiguous();
    Tensor::filled_by(tensor.shape(), |values| values.copy_from_slice(tensor.data()))
}

#[cfg(test)]
mod tests;

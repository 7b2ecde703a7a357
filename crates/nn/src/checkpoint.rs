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

use cerberus_tensor::{Element, MAX_RANK, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, SafeTensorError, TensorInfo};
use serde::Serialize;

use crate::files::write_atomically;
use crate::module::{Module, ModuleTensorMut, join};
use crate::optim::Optimizer;

mod error;

pub use error::CheckpointError;

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
    let mut metadata = metadata.clone();
    metadata.insert("layout".to_string(), LAYOUT.to_string());
    metadata.insert("format_version".to_string(), FORMAT_VERSION.to_string());
    let mut header = BTreeMap::from([("__metadata__", Header::Metadata(&metadata))]);
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
    Ok(write_atomically(path, &bytes)?)
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

/// The tensor of `shape` whose little-endian elements are `bytes`.
fn parse<T: Element>(bytes: &[u8], shape: &[usize]) -> Tensor<T> {
    let value = |i: usize| match dtype::<T>() {
        Dtype::F32 => f32::from_le_bytes(std::array::from_fn(|k| bytes[4 * i + k])).into(),
        _ => f64::from_le_bytes(std::array::from_fn(|k| bytes[8 * i + k])),
    };
    Tensor::from_fn(shape, |i| T::from_f64(value(i)))
}

/// Reads a checkpoint whose tensors have element type `T`.
///
/// # Errors
/// If the file cannot be read, is no safetensors file, is cut short, is in
/// another layout or a newer format, or holds tensors of another type.
pub fn load<T: Element>(path: &Path) -> Result<Checkpoint<T>, CheckpointError> {
    let path = path.to_path_buf();
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(CheckpointError::Read { path, source }),
    };
    let (header_len, header) = match SafeTensors::read_metadata(&bytes) {
        Ok(header) => header,
        // The file begins like a safetensors file, but its length does not fit its header or its tensors.
        Err(SafeTensorError::InvalidHeaderLength) if bytes.get(8) == Some(&b'{') => {
            return Err(CheckpointError::Truncated { path });
        }
        Err(SafeTensorError::MetadataIncompleteBuffer) => return Err(CheckpointError::Truncated { path }),
        Err(error) => return Err(CheckpointError::NotSafetensors { path, reason: error.to_string() }),
    };
    if let Some(tensor) = named_twice(&bytes[8..8 + header_len]) {
        let problem = "stands in the header twice".to_string();
        return Err(CheckpointError::Tensor { path, tensor, problem });
    }
    let metadata: BTreeMap<String, String> =
        header.metadata().clone().unwrap_or_default().into_iter().collect();
    let entry = |key: &str| metadata.get(key).cloned().unwrap_or_else(|| "unknown".to_string());
    if entry("layout") != LAYOUT {
        return Err(CheckpointError::Layout { path, found: entry("layout") });
    }
    if !entry("format_version").parse().is_ok_and(|version: u64| version <= FORMAT_VERSION) {
        return Err(CheckpointError::Version { path, found: entry("format_version") });
    }
    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let problem = if info.dtype != dtype::<T>() {
            Some(format!("has element type {}, not {}", info.dtype, dtype::<T>()))
        } else if info.shape.len() > MAX_RANK {
            Some(format!("has {} dimensions, more than {MAX_RANK}", info.shape.len()))
        } else if info.shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent.max(1))).is_none() {
            Some(format!("has the impossible shape {:?}", info.shape))
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(CheckpointError::Tensor { path, tensor: name, problem });
        }
        let (start, end) = info.data_offsets;
        tensors.push((name, parse(&bytes[8 + header_len + start..8 + header_len + end], &info.shape)));
    }
    Ok(Checkpoint { path, tensors, metadata })
}

/// The first name that occurs twice in a header; a map would silently keep only the last entry.
fn named_twice(header: &[u8]) -> Option<String> {
    struct Names(Option<String>);
    impl<'de> serde::Deserialize<'de> for Names {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Visitor)
        }
    }
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Names;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("a map of tensors")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
            let mut seen = std::collections::BTreeSet::new();
            let mut twice = None;
            while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                if !seen.insert(name.clone()) && twice.is_none() {
                    twice = Some(name);
                }
            }
            Ok(Names(twice))
        }
    }
    serde_json::from_slice::<Names>(header).ok()?.0
}

/// What [`Checkpoint::load_matching`] loaded and what it did not, by the tensors' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Loaded: in the model and in the file, with the same shape.
    pub taken: Vec<String>,
    /// In the model, not in the file.
    pub missing: Vec<String>,
    /// In both, but with different shapes: the name, the shape in the file and the shape in the model.
    pub reshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// In the file, not in the model.
    pub unused: Vec<String>,
}

impl<T: Element> Checkpoint<T> {
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
        let mut found: BTreeMap<String, Tensor<T>> = self.under(prefix).into_iter().collect();
        let mut differences = Vec::new();
        let mut fitting = BTreeMap::new();
        for (name, value) in model.tensors() {
            let full = join(prefix, &name);
            match found.remove(&name) {
                None => differences.push(format!("{full} is missing")),
                Some(tensor) if tensor.shape() != value.shape() => differences.push(format!(
                    "{full} has shape {:?}, not the model's {:?}",
                    tensor.shape(),
                    value.shape()
                )),
                Some(tensor) => {
                    self.check_finite(&full, &tensor)?;
                    drop(fitting.insert(name, tensor));
                }
            }
        }
        differences.extend(found.into_keys().map(|name| format!("{} is unexpected", join(prefix, &name))));
        if !differences.is_empty() {
            const SHOWN: usize = 4;
            let more = differences.len().saturating_sub(SHOWN);
            differences.truncate(SHOWN);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            let differences = differences.join(", ") + &more;
            return Err(CheckpointError::OtherModel { path: self.path.clone(), differences });
        }
        model.visit_mut("", &mut |name, entry| {
            let value = match entry {
                ModuleTensorMut::Parameter(parameter) => &mut parameter.value,
                ModuleTensorMut::Buffer(buffer) => &mut buffer.value,
            };
            // A copy: the optimiser refuses parameters that share their memory with the checkpoint.
            *value = fitting.remove(&name).map_or_else(|| value.clone(), |tensor| owned(&tensor));
        });
        Ok(())
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
        let mut found: BTreeMap<String, Tensor<T>> = self.under(prefix).into_iter().collect();
        let (mut transfer, mut fitting) = (Transfer::default(), BTreeMap::new());
        for (name, value) in model.tensors() {
            match found.remove(&name) {
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
        model.visit_mut("", &mut |name, mut entry| {
            if let Some(tensor) = fitting.remove(&name) {
                *entry.value_mut() = owned(&tensor);
            }
        });
        Ok(transfer)
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

/// A copy with its own memory: optimisers refuse parameters whose memory is shared.
pub(crate) fn owned<T: Element>(tensor: &Tensor<T>) -> Tensor<T> {
    let tensor = tensor.contiguous();
    Tensor::filled_by(tensor.shape(), |values| values.copy_from_slice(tensor.data()))
}

#[cfg(test)]
mod tests;

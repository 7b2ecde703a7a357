//! Reading a safetensors file: its header, checked, and its tensors.
//!
//! The `safetensors` crate checks that every offset lies in the file. What else a file from elsewhere can be (a pickle,
//! the index of a checkpoint in several files, a download that was cut) is recognised here, so that the error can say
//! what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cerberus_tensor::{Element, MAX_RANK, Tensor};
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, TensorInfo};

use super::CheckpointError;

/// A file whose header is sound.
pub(super) struct SafetensorsFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the tensors begin.
    start: usize,
    header: Metadata,
    metadata: BTreeMap<String, String>,
}

impl SafetensorsFile {
    /// Reads a file and checks its header.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let path = path.to_path_buf();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(CheckpointError::Read { path, source }),
        };
        let (length, header) = match SafeTensors::read_metadata(&bytes) {
            Ok(header) => header,
            Err(error) => return Err(refusal(path, &bytes, &error)),
        };
        let start = 8 + length;
        if let Some(tensor) = named_twice(&bytes[8..start]) {
            let problem = "stands in the header twice".to_string();
            return Err(CheckpointError::Tensor { path, tensor, problem });
        }
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { path, bytes, start, header, metadata })
    }

    /// The strings of the header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensors in the order of the file, rounded to `T`. `accept` decides by name and element type: a tensor is
    /// read (`true`), left out (`false`), or refused with a problem.
    pub fn tensors<T: Element>(
        &self,
        accept: impl Fn(&str, Dtype) -> Result<bool, String>,
    ) -> Result<Vec<(String, Tensor<T>)>, CheckpointError> {
        let mut tensors = Vec::new();
        for name in self.header.offset_keys() {
            let Some(info) = self.header.info(&name) else { continue };
            let refuse =
                |problem| CheckpointError::Tensor { path: self.path.clone(), tensor: name.clone(), problem };
            if !accept(&name, info.dtype).map_err(refuse)? {
                continue;
            }
            check_shape(info).map_err(refuse)?;
            let (start, end) = info.data_offsets;
            let bytes = &self.bytes[self.start + start..self.start + end];
            let tensor = parse(bytes, info).ok_or_else(|| {
                refuse(format!("has element type {}, not F32, F16, BF16 or F64", info.dtype))
            })?;
            tensors.push((name, tensor));
        }
        Ok(tensors)
    }
}

/// Checks that a tensor of this shape can exist.
fn check_shape(info: &TensorInfo) -> Result<(), String> {
    if info.shape.len() > MAX_RANK {
        return Err(format!("has {} dimensions, more than {MAX_RANK}", info.shape.len()));
    }
    match info.shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent.max(1))) {
        Some(_) => Ok(()),
        None => Err(format!("has the impossible shape {:?}", info.shape)),
    }
}

/// The tensor whose little-endian elements are `bytes`; `None` for types that are no floating-point numbers or of less
/// than 16 bits.
fn parse<T: Element>(bytes: &[u8], info: &TensorInfo) -> Option<Tensor<T>> {
    /// The `i`-th number of `N` bytes.
    fn at<const N: usize>(bytes: &[u8], i: usize) -> [u8; N] {
        std::array::from_fn(|k| bytes[N * i + k])
    }
    let value: fn(&[u8], usize) -> f64 = match info.dtype {
        Dtype::F32 => |bytes, i| f32::from_le_bytes(at(bytes, i)).into(),
        Dtype::F64 => |bytes, i| f64::from_le_bytes(at(bytes, i)),
        Dtype::F16 => |bytes, i| f16::from_le_bytes(at(bytes, i)).to_f64(),
        Dtype::BF16 => |bytes, i| bf16::from_le_bytes(at(bytes, i)).to_f64(),
        _ => return None,
    };
    Some(Tensor::from_fn(&info.shape, |i| T::from_f64(value(bytes, i))))
}

/// What a file is that has no sound header.
fn refusal(path: PathBuf, bytes: &[u8], error: &SafeTensorError) -> CheckpointError {
    // PyTorch's files are zip archives of a pickle; those of older versions, and of other programs, begin with the
    // pickle itself.
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") {
        return CheckpointError::Pickle { path };
    }
    if let Some(parts) = parts_of_index(bytes) {
        return CheckpointError::Index { path, parts };
    }
    match error {
        // The file begins like a safetensors file, but its length does not fit its header or its tensors.
        SafeTensorError::InvalidHeaderLength if bytes.get(8) == Some(&b'{') => {
            CheckpointError::Truncated { path }
        }
        SafeTensorError::MetadataIncompleteBuffer => CheckpointError::Truncated { path },
        error => CheckpointError::NotSafetensors { path, reason: error.to_string() },
    }
}

/// The files that the index of a checkpoint in several files (`model.safetensors.index.json`) names.
fn parts_of_index(bytes: &[u8]) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(bytes).ok()?;
    let parts: BTreeSet<String> = index.weight_map.into_values().collect();
    Some(parts.into_iter().collect())
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
            let mut seen = BTreeSet::new();
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

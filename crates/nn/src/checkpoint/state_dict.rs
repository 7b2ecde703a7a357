//! Files of other programs: the tensors as they are, without this project's layout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cerberus_tensor::Tensor;
use safetensors::tensor::Dtype;

use super::read::SafetensorsFile;
use super::{CheckpointError, write};

/// Counts the batches that a batch norm of PyTorch has seen; nothing here depends on it.
const IGNORED: &str = "num_batches_tracked";

/// The tensors of a safetensors file that another program wrote, such as the state dict of a PyTorch module, in `f32`
/// and with the names and the layouts of that program.
#[derive(Clone, Debug)]
pub struct StateDict {
    /// The file.
    pub path: PathBuf,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The strings of the header.
    pub metadata: BTreeMap<String, String>,
}

impl StateDict {
    /// Reads a file with tensors of `f32`, `f16`, `bf16` or `f64` (rounded); `num_batches_tracked` is left out.
    ///
    /// # Errors
    /// If the file cannot be read, is a pickle, the index of several files, no safetensors file or cut short, or holds
    /// a tensor of another type or with values that are not finite.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let file = SafetensorsFile::open(path)?;
        let counts = |name: &str| name.rsplit('.').next() == Some(IGNORED);
        let tensors = file.tensors::<f32>(|name, found| match found {
            _ if counts(name) => Ok(false),
            Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64 => Ok(true),
            _ => Err(format!("has element type {found}, not F32, F16, BF16 or F64")),
        })?;
        if let Some((tensor, _)) = tensors.iter().find(|(_, tensor)| !tensor.all_finite()) {
            let problem = "holds values that are not finite as f32".to_string();
            return Err(CheckpointError::Tensor {
                path: path.to_path_buf(),
                tensor: tensor.clone(),
                problem,
            });
        }
        let (path, metadata) = (path.to_path_buf(), file.metadata().clone());
        Ok(Self { path, tensors: tensors.into_iter().collect(), metadata })
    }

    /// Writes tensors for another program: in the order of their names, and with nothing else in the header than
    /// `metadata`. It gives the bytes that `safetensors.torch.save_file` writes for the same content.
    ///
    /// # Errors
    /// If the file cannot be written; what was there before is then untouched.
    pub fn write(
        path: &Path,
        tensors: &BTreeMap<String, Tensor>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), CheckpointError> {
        let tensors: Vec<(String, Tensor)> =
            tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        write(path, &tensors, metadata)
    }
}

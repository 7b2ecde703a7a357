//! Inputs and outputs of a network in a file, to compare an export with.

use std::path::Path;

use cerberus_nn::files::{WriteError, write_atomically};
use cerberus_tensor::Tensor;
use safetensors::tensor::{Dtype, TensorView};

use crate::lower::outer_layout;

/// Writes values under their names in the safetensors format, in the order of an exported file's inputs and outputs:
/// images `[N, H, W, C]` become `[N, C, H, W]`.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If two values have one name.
#[track_caller]
pub fn save_values(path: &Path, values: &[(String, Tensor)]) -> Result<(), WriteError> {
    let stored = values.iter().map(|(name, value)| {
        let value = value.permute(&outer_layout(value.rank()).order(value.rank())).contiguous();
        let bytes: Vec<u8> = value.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        (name.clone(), value.shape().to_vec(), bytes)
    });
    let stored: Vec<(String, Vec<usize>, Vec<u8>)> = stored.collect();
    let views = stored.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("four bytes for each element"))
    });
    let bytes = safetensors::serialize(views, None).expect("values with different names");
    write_atomically(path, &bytes)
}
